"""The command line with a distribution of its own."""

import os
import subprocess
import sys

import pytest
from fakes.commands import command_here, forget_modules


@pytest.fixture
def nisbench_with(tmp_path):
    """Runs the command in `tmp_path` with the distributions in a folder: (exit code, stdout, stderr)."""

    def run(site, *arguments):
        inherited = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *inherited])}
        command = [sys.executable, "-P", "-m", "nisbench", *map(str, arguments)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def nisbench_here(tmp_path, monkeypatch, capsys):
    """As `nisbench_with`, in this process: for commands that start no cells."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)

    def run(site, *arguments):
        monkeypatch.syspath_prepend(site)
        return command_here(monkeypatch, capsys, *arguments)

    yield run
    forget_modules(before, tmp_path)
