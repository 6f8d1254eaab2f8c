"""One dry run of the whole GPU command, in a bare checkout, for all tests that read its results."""

import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BARE = Path(__file__).parent / "bare"


@dataclass(frozen=True)
class DryRun:
    """What the command left."""

    folder: Path
    code: int
    output: str
    cpu_s: float
    """of all its processes"""


def bare_environment() -> dict[str, str]:
    """nisbench is not installed, the packages of reports are missing, PYTHONPATH leads to the checkout."""
    path = os.pathsep.join([str(BARE), ".", "plugins"])
    return {**os.environ, "PYTHONPATH": path}


@pytest.fixture(scope="session")
def dry(tmp_path_factory: pytest.TempPathFactory) -> DryRun:
    """`python -m benchmarks.gpu --dry`; the generous time is for a machine with other work."""
    folder = tmp_path_factory.mktemp("gpu") / "out"
    command = [sys.executable, "-m", "benchmarks.gpu", "--dry", "--minutes", "9", "--out", str(folder)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(command, cwd=ROOT, env=bare_environment(), check=False, **pipes)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return DryRun(folder, done.returncode, done.stdout, cpu_s)
