"""One dry run of the GPU command in a bare checkout."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
BARE = Path(__file__).parent / "bare"


@dataclass(frozen=True)
class DryRun:
    """Results of the command."""

    folder: Path
    code: int
    output: str


def bare_environment() -> dict[str, str]:
    """nisbench is not installed, the packages of reports are missing, PYTHONPATH leads to the checkout."""
    path = os.pathsep.join([str(BARE), ".", "plugins"])
    return {**os.environ, "PYTHONPATH": path}


def dry_run(folder: Path) -> DryRun:
    """`python -m benchmarks.gpu --dry`; the generous time is for a machine with other work."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--dry", "--minutes", "90", "--out", str(folder)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=bare_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return DryRun(folder, done.returncode, done.stdout)
