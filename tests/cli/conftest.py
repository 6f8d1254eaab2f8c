"""The command line as a user has it, with plugins installed that fail in every way."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakes.commands import command_here, forget_modules

FAKES = Path(__file__).parent / "fake_plugins"

PLAN = """
name = "fakes"
title = "Fakes"
reference = "exact-draws"
reference_draws = 64
reference_chain_draws = 2000

[[group]]
name = "g"
claim = "none"
plugins = [{plugins}]
sizes = [2]
beta = 0.3
train_steps = 200
draws = 2000
{options}
"""
LONG_S = 600
"""Seconds after which a command is taken to hang; a machine with much other work is many times slower."""


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """The environment in which the distribution `fakes` is installed."""
    site = tmp_path_factory.mktemp("site")
    info = site / "fakes-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fakes\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[nisbench]\nfakes = fake_registration\nrotten = broken_registration\n")
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)  # a tree under test that is not installed
    path = [str(site), str(FAKES), *filter(None, inherited)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


@pytest.fixture(scope="session")
def start(environment):
    """Starts the command in a folder; the caller waits for it."""
    started = []

    def start(folder, *arguments):
        command = [sys.executable, "-P", "-m", "nisbench", *map(str, arguments)]  # -P: as the installed command
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, cwd=folder, env=environment, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def nisbench(start):
    """Runs the command to its end: (exit code, stdout, stderr)."""

    def run(folder, *arguments):
        process = start(folder, *arguments)
        out, err = process.communicate(timeout=LONG_S)
        return process.returncode, out, err

    return run


@pytest.fixture
def here(environment, tmp_path, monkeypatch, capsys):
    """Runs a command that starts no cells in this process, in `tmp_path`: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    own = environment["PYTHONPATH"].split(os.pathsep)[:2]  # the others are those of this process
    for folder in reversed(own):
        monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield lambda *arguments: command_here(monkeypatch, capsys, *arguments)
    forget_modules(before, *own)


@pytest.fixture(scope="session")
def write_plan(tmp_path_factory):
    """A plan file over the given plugins; the keywords are options of `tilted`."""

    def write(*plugins, **tilted):
        path = tmp_path_factory.mktemp("plan") / "fakes.toml"
        values = {"learning_rate": 0.05, **tilted}
        lines = [f"options.tilted.{name} = {json.dumps(value)}" for name, value in values.items()]
        options = "\n".join(lines) if "tilted" in plugins else ""
        path.write_text(PLAN.format(plugins=", ".join(f'"{p}"' for p in plugins), options=options))
        return path

    return write


@pytest.fixture(scope="session")
def wait_for():
    """Waits until a condition holds."""

    def wait(condition, seconds=LONG_S):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.02)

    return wait
