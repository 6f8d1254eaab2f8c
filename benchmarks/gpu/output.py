"""The output folder: at most eight files in one folder, none over 16 MiB, complete after every stage."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.gpu.archive import STORE, pack
from benchmarks.gpu.names import FORMAT, LOG, NUMBERS, OWN, PAGE, archive_name
from benchmarks.gpu.page import page
from benchmarks.gpu.record import Rows, read_rows
from benchmarks.gpu.stages import Outcome

__all__ = ["LIMIT_BYTES", "Output"]

LIMIT_BYTES = 16 * 2**20
LOG_BYTES = 2**20
"""Bytes that are kept from the end of the output of each stage."""


class Output:
    """The page, the numbers, the log and the stores of one call."""

    def __init__(self, folder: Path, head: Mapping[str, Any]) -> None:
        self.folder = folder
        self.unfinished: list[str] = []
        self._stages: list[dict[str, Any]] = []
        self._tables: Rows = {}
        self._head = head
        folder.mkdir(parents=True, exist_ok=True)
        for name in OWN:
            (folder / name).unlink(missing_ok=True)
        self._write()

    def add(self, outcome: Outcome, work: Path) -> str | None:
        """Takes over what a stage left in its folder; returns a sentence about a store that is too large."""
        stage = outcome.stage
        if outcome.status != "done":
            self.unfinished.append(stage.name)
        self._stages.append(
            {
                "name": stage.name,
                "title": stage.title,
                "status": outcome.status,
                "reason": outcome.reason,
                "seconds": round(outcome.seconds, 1),
            }
        )
        for table, rows in read_rows(work).items():
            self._tables.setdefault(table, []).extend(rows)
        self._log(outcome, work / "log.txt")
        problem = self._pack(stage.name, work / STORE)
        self._write()
        return problem

    def _pack(self, name: str, store: Path) -> str | None:
        if not (store / "plan.json").exists():
            return None
        archive = self.folder / archive_name(name)
        pack(store, archive)
        size = archive.stat().st_size
        if size <= LIMIT_BYTES:
            return None
        archive.unlink()
        if name not in self.unfinished:
            self.unfinished.append(name)
        return f"{name}: its store is left out because it takes {size / 2**20:.1f} MiB"

    def _log(self, outcome: Outcome, log: Path) -> None:
        said = log.read_bytes()[-LOG_BYTES:] if log.exists() else b""
        with (self.folder / LOG).open("ab") as file:
            file.write(f"== {outcome.line}\n".encode() + said)

    def _write(self) -> None:
        numbers = {"format": FORMAT, **self._head, "stages": self._stages, "tables": self._tables}
        (self.folder / NUMBERS).write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
        (self.folder / PAGE).write_text(page(numbers), encoding="utf-8")
