"""Rows of tables, written one by one, so that a stage that is killed leaves what it had measured."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["Rows", "append_row", "read_rows"]

FILE = "rows.jsonl"

Rows = dict[str, list[dict[str, Any]]]
"""Rows by table name, each a mapping of column names to plain values."""


def append_row(folder: Path, table: str, cells: Mapping[str, Any]) -> None:
    """Adds a row to a table of the stage whose folder this is; infinities and NaN become None."""
    plain = {name: _plain(value) for name, value in cells.items()}
    with (folder / FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps([table, plain], allow_nan=False) + "\n")


def read_rows(folder: Path) -> Rows:
    """All rows that the stage recorded; a torn last line is dropped."""
    path, found = folder / FILE, Rows()
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    for line in text.splitlines(keepends=True):
        if line.endswith("\n"):
            table, cells = json.loads(line)
            found.setdefault(table, []).append(cells)
    return found


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
