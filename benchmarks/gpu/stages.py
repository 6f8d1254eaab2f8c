"""The stages in order of worth, and the runner: one process for each, with a time limit.

A stage that raises, hangs or is killed costs its own remaining rows. The rows that it had recorded before stay.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from benchmarks.gpu.requirements import ROOT
from nisbench.harness.environment import available_cores
from nisbench.harness.execute import worker_environment

__all__ = ["STAGES", "Outcome", "Stage", "run_stages", "stage_command", "stage_environment"]

LEAST = 0.01
"""A stage does not start with less than this part of the whole time."""


@dataclass(frozen=True)
class Stage:
    """One row of the table of stages."""

    name: str
    """module of benchmarks.gpu whose function `run` does the work"""
    title: str
    share: float
    """of the time that is left, relative to the shares of this stage and of those after it"""


STAGES = (
    Stage("right", "Is it right", 24),
    Stage("ceilings", "Ceilings of the device", 3),
    Stage("draws", "Draws", 15),
    Stage("steps", "Training steps", 13),
    Stage("quality", "Quality after training", 35),
    Stage("baselines", "Cluster and local samplers", 10),
)


@dataclass(frozen=True)
class Outcome:
    """How a stage ended."""

    stage: Stage
    status: Literal["done", "failed", "skipped"]
    reason: str
    """empty if it is done"""
    seconds: float

    @property
    def line(self) -> str:
        """The outcome for the terminal and the log."""
        after = "" if self.status == "skipped" else f" after {self.seconds:.0f} s"
        return f"{self.stage.name}: {self.status}{after}{': ' if self.reason else ''}{self.reason}"


Command = Callable[[Stage, Path, float], Sequence[str]]
"""Stage, its folder and its seconds -> the command line of its process."""


def run_stages(
    stages: Sequence[Stage],
    *,
    seconds: float,
    folder: Path,
    command: Command,
    environment: Mapping[str, str],
) -> Iterator[Outcome]:
    """Runs the stages one after the other, each in `folder`/name; yields an outcome as each ends."""
    deadline = time.monotonic() + seconds
    for number, stage in enumerate(stages):
        left = deadline - time.monotonic()
        limit = left * stage.share / sum(later.share for later in stages[number:])
        if limit < LEAST * seconds:
            yield Outcome(stage, "skipped", "the time was up", 0.0)
            continue
        own = folder / stage.name
        own.mkdir(parents=True)
        begin = time.monotonic()
        with (own / "log.txt").open("wb") as log:
            reason = _run(command(stage, own, limit), own, log, environment, limit)
        reason = reason if reason is None else f"{reason}{_last_line(own / 'log.txt')}"
        yield Outcome(stage, "failed" if reason else "done", reason or "", time.monotonic() - begin)


def stage_command(*, dry: bool) -> Command:
    """The command line of a real stage."""

    def command(stage: Stage, folder: Path, seconds: float) -> list[str]:
        words = [sys.executable, "-X", "faulthandler", "-m", "benchmarks.gpu.process", stage.name]
        return [*words, str(folder), f"{seconds:.1f}", str(os.getpid()), *(["--dry"] if dry else [])]

    return command


def stage_environment(*, dry: bool) -> dict[str, str]:
    """This checkout first on the path. A dry run sees no device and interprets the Triton kernels."""
    found = worker_environment(available_cores())
    given = filter(None, found.get("PYTHONPATH", "").split(os.pathsep))
    path = [ROOT, ROOT / "plugins", *map(Path.absolute, map(Path, given))]  # a stage runs in a folder of its own
    found["PYTHONPATH"] = os.pathsep.join(map(str, path))
    found.pop("TRITON_INTERPRET", None)
    return found | ({"CUDA_VISIBLE_DEVICES": "", "TRITON_INTERPRET": "1"} if dry else {})


def _run(
    command: Sequence[str], folder: Path, log: IO[bytes], environment: Mapping[str, str], limit: float
) -> str | None:
    """Why the process failed; None if it did not. Its children end with it."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        code = process.wait(limit)
    except subprocess.TimeoutExpired:
        return f"stopped at its limit of {limit:.0f} s"
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}" if code else None


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"; {lines[-1].strip()[:300]}" if lines else ""
