"""The process of one stage: `python -m benchmarks.gpu.process STAGE FOLDER SECONDS PARENT [--dry]`."""

import argparse
import importlib
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.record import append_row
from benchmarks.gpu.settings import DEVICE, DRY, Settings
from nisbench.harness.build import select_device
from nisbench.harness.limits import die_with_parent

__all__ = ["Task"]

SOFT = 0.92
"""A stage stops starting new work after this part of its time limit."""


@dataclass
class Task:
    """Input of a stage."""

    folder: Path
    deadline: float
    """on the monotonic clock"""
    settings: Settings
    failures: list[str] = field(default_factory=list)

    @property
    def device(self) -> torch.device:
        """The device of the stage."""
        return torch.device(self.settings.device)

    def left(self) -> float:
        """Seconds until the stage stops starting new work."""
        return self.deadline - time.monotonic()

    def row(self, table: str, **cells: Any) -> None:
        """Records a row."""
        append_row(self.folder, table, cells)

    def fail(self, what: str) -> None:
        """The stage goes on, and fails at its end."""
        self.failures.append(what)
        sys.stderr.write(f"failed: {what}\n")

    def attempt(self, table: str, work: Callable[[], Mapping[str, Any]], **keys: Any) -> bool:
        """Records keys and result of `work` as a row; a row with the reason if there is no result.

        Too little memory or time is a reason, any other exception a failure. Returns whether there is a result.
        """
        if self.left() <= 0:
            self.row(table, **keys, note="not started: the time was up")
            return False
        try:
            found = work()
        except torch.OutOfMemoryError:
            self.row(table, **keys, note="out of device memory")
            return False
        except Exception as error:  # one size or plugin must not cost the others
            traceback.print_exc()
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            self.row(table, **keys, note=reason)
            self.fail(f"{table} {', '.join(map(str, keys.values()))}: {reason}")
            return False
        self.row(table, **keys, **found)
        return True


def main() -> None:
    """Runs the stage and exits with 1 if a part of it failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("stage")
    parser.add_argument("folder", type=Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("parent", type=int)
    parser.add_argument("--dry", action="store_true")
    given = parser.parse_args()
    die_with_parent(given.parent)
    torch.set_flush_denormal(True)
    settings = DRY if given.dry else DEVICE
    select_device(settings.device)
    task = Task(given.folder, time.monotonic() + SOFT * given.seconds, settings)
    importlib.import_module(f"benchmarks.gpu.{given.stage}").run(task)
    if task.failures:
        sys.exit(f"{len(task.failures)} parts failed, the first: {task.failures[0]}")


if __name__ == "__main__":
    main()
