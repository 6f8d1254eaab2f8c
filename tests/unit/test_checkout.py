"""The asv environment that puts a commit's code first on the path, on a small repository of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from asv import util
from asv.runner import BENCHMARK_RUN_SCRIPT

from benchmarks.checkout import Checkout, export

ROOT = Path(__file__).parents[2]


def git(folder: Path, *arguments: str, **settings: str) -> str:
    """Run git and return its output. All commits get the same date."""
    who = {f"GIT_{role}_{what}": "x" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    dates = {f"GIT_{role}_DATE": "2020-01-01T00:00:00Z" for role in ("AUTHOR", "COMMITTER")}
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=folder, env={**os.environ, **who, **dates}, capture_output=True, check=True)
    return done.stdout.decode().strip()


def repository(folder: Path, *sources: str) -> list[str]:
    """A repository with one commit a source of nisbench/answer.py."""
    for name in ("nisbench", "plugins/nisbench_plugins"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("")
    git(folder, "init", "-q", "-b", "main")
    hashes = []
    for number, source in enumerate(sources):
        (folder / "nisbench" / "answer.py").write_text(source)
        points = f'[project.entry-points.nisbench]\npoint{number} = "nisbench.answer"\n'
        (folder / "pyproject.toml").write_text(f'[project]\nname = "nisbench"\nversion = "9.{number}"\n{points}')
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", "x")
        hashes.append(git(folder, "rev-parse", "HEAD"))
    return hashes


KERNEL = """
from numba import njit


@njit(cache=True)
def answer():
    return {}
"""
PROBE = """
import importlib.metadata, json, nisbench, nisbench_plugins, nisbench.answer
points = [point.name for point in importlib.metadata.entry_points(group="nisbench")]
files = [nisbench.__file__, nisbench_plugins.__file__]
print(json.dumps([nisbench.answer.answer(), importlib.metadata.version("nisbench"), points, files]))
"""
CHILD = f"import subprocess, sys; print(subprocess.check_output([sys.executable, '-c', {PROBE!r}], text=True))"


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Two commits with kernels of the same length and date, and an environment for them."""
    hashes = repository(tmp_path / "repository", KERNEL.format(1), KERNEL.format(2))
    settings = dict.fromkeys(("build_command", "install_command", "uninstall_command"))
    configuration = SimpleNamespace(
        repo=str(tmp_path / "repository"),
        env_dir=str(tmp_path / "env"),
        repo_subdir="",
        install_timeout=900,
        default_benchmark_timeout=900,
        project="nisbench",
        **settings,
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "shared-cache"))
    checkout = Checkout(configuration, "3.11", {}, {})
    checkout.create()
    return checkout, hashes


def test_the_code_under_test_is_that_of_the_commit(environment):
    """Sources, compiled kernels, version and entry points; of the process, and of a process that it starts."""
    checkout, hashes = environment
    for number, code in ((0, PROBE), (1, CHILD), (0, CHILD)):
        checkout.install_project(None, None, hashes[number])
        assert checkout.installed_commit_hash == hashes[number]
        answer, version, points, files = json.loads(checkout.run(["-c", code]))
        assert answer == number + 1
        assert version == f"9.{number}"
        assert points == [f"point{number}"]
        assert all(hashes[number] in file for file in files), files


def test_asv_runs_benchmarks_on_the_code_of_the_commit(environment):
    """asv takes PYTHONPATH off the path of its own process; without ASV_PYTHONPATH the installed code is measured."""
    checkout, hashes = environment
    checkout.install_project(None, None, hashes[1])
    folder = Path("suite")
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "bench_a.py").write_text("import nisbench\n\n\ndef track_path():\n    return nisbench.__file__\n")
    script = BENCHMARK_RUN_SCRIPT
    run = [script, "run", str(folder.resolve()), "bench_a.track_path", "{}", "None", str(Path("result").resolve())]
    checkout.run(run)
    assert hashes[1] in Path("result").read_text()
    variables = checkout._variables({}, Path(checkout._path) / hashes[1])
    del variables["ASV_PYTHONPATH"]
    subprocess.run([sys.executable, *run], env=variables, check=True)
    assert hashes[1] not in Path("result").read_text()


def test_a_commit_without_the_packages_is_refused_and_leaves_nothing(environment):
    checkout, _ = environment
    folder, source = Path(checkout._path), Path(checkout._repository)
    empty = git(source, "commit-tree", git(source, "hash-object", "-t", "tree", "-w", "/dev/null"), "-m", "x")
    with pytest.raises(util.ProcessError):
        export(source, empty, folder)
    assert [path for path in folder.iterdir() if path.is_dir()] == []


def test_folders_used_longest_ago_are_deleted(environment, monkeypatch):
    checkout, hashes = environment
    monkeypatch.setattr("benchmarks.checkout.KEPT", 1)
    for commit in hashes:
        checkout.install_project(None, None, commit)
    assert [path.name for path in Path(checkout._path).iterdir() if path.is_dir()] == [hashes[1]]


def test_the_suite_refuses_other_code(tmp_path):
    for variables, refused in (({"ASV_SOURCE": str(tmp_path)}, True), ({}, False)):
        command = [sys.executable, "-c", "import benchmarks.suite"]
        done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
        assert ("would be imported from" in done.stderr) == refused
        assert (done.returncode != 0) == refused
