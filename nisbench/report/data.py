"""The data for the script of the page, as JSON: positions of points, published values, all quantities of all cells."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from nisbench.contract.quantities import QUANTITIES, describe
from nisbench.report.document import Document
from nisbench.report.palette import GRID, INK, MUTED, PALETTE, PAPER
from nisbench.report.panels import Drawing, visible
from nisbench.report.tables import place_entries
from nisbench.results.cells import Results
from nisbench.results.export import LONG_COLUMNS, long_rows
from nisbench.results.numbers import stable
from nisbench.results.published import published
from nisbench.results.rows import Problem

__all__ = ["COLOURS", "page_data", "row_key", "sort_key"]

_OF_CELL = LONG_COLUMNS.index("reason")
"""Number of leading columns that belong to the cell, not to the quantity."""

_TIMED = (*(name for name, row in QUANTITIES.items() if row.timed), "with_training")
"""Keys of the columns whose ratios are meaningful on one machine only."""

COLOURS = {
    **{f"series-{i}": colour for i, colour in enumerate(PALETTE)},
    "ink": INK,
    "muted": MUTED,
    "grid": GRID,
    "paper": PAPER,
}
"""Colour variables of the page by name, with the colours of a drawing outside of the page."""


_MOST_CELLS = 500
"""Largest number of cells whose quantities the page contains."""


def page_data(document: Document, results: Results) -> str:
    """The embedded JSON, in which &, < and > are escaped so that no text can end its element.

    Keys: colours (for saved drawings), baselines (labels that can be the denominator of ratios), published (method ->
    row of a table -> quantity -> value in the unit of its column, timings left out), timed (keys of the columns with
    timings), machines (label and row of a table -> machine, if the run has several), drawings (name -> series), and the
    export as `columns`, `cells` and `rows`, which are empty if the report has more than _MOST_CELLS cells.
    """
    drawings = {picture.name: _series(picture.drawing) for picture in document.pictures}
    drawings |= {f"{p.name}-{p.other_scale}": _series(p.other) for p in document.pictures if p.other}
    record = {
        "colours": COLOURS,
        "baselines": list(dict.fromkeys(row.label for row in results.contest)),
        "published": dict(_published(results)),
        "timed": _TIMED,
        "machines": _machines(results),
        "drawings": drawings,
        "columns": LONG_COLUMNS,
        **(_rows(results) if len(results.rows) <= _MOST_CELLS else {"cells": [], "rows": []}),
    }
    text = json.dumps(_plain(record), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def row_key(results: Results, problem: Problem, L: int) -> str:
    """Target, beta and L of a table row as one text, which the script builds in the same way from its columns."""
    return "|".join(sort_key(entry.sort) for entry in place_entries(results, problem, L))


def sort_key(value: float | str) -> str:
    """The sort value of an entry as it is written into the page."""
    return str(stable(value)) if isinstance(value, float) else str(value)


def _series(drawing: Drawing) -> list[dict[str, Any]]:
    return [{"label": one.label, "group": one.group, "points": one.points} for one in drawing.series]


def _published(results: Results) -> Iterator[tuple[str, dict[str, dict[str, float]]]]:
    found: dict[str, dict[str, dict[str, float]]] = {}
    sizes = {row.cell.L for row in results.contest}
    for problem in results.problems:
        for value in (one for one in published().at(problem.target, problem.beta) if one.L in sizes):
            numbers = {
                name: estimate.value / describe(name).scale
                for name, estimate in value.quantities.items()
                if name in QUANTITIES and estimate.value is not None and name not in _TIMED
            }
            found.setdefault(value.method, {})[row_key(results, problem, value.L)] = numbers
    # Published methods without a size in common with the run cannot be a baseline.
    places = {row_key(results, row.problem, row.cell.L) for row in results.contest}
    yield from ((method, values) for method, values in found.items() if places & values.keys())


def _machines(results: Results) -> dict[str, str]:
    """`label|row of a table` -> device and machine of the group; empty if the run has one machine."""
    found = {
        f"{group.label}|{row_key(results, group.problem, group.L)}": f"{group.device} {group.machine}"
        for group in results.groups
    }
    return found if len(set(found.values())) > 1 else {}


def _rows(results: Results) -> dict[str, Any]:
    """The rows of the export. Columns of a cell are stored once, in `cells`; each row begins with the cell's index."""
    cells: dict[tuple[Any, ...], int] = {}
    rows = []
    for line in long_rows(results):
        values = [line.get(name) for name in LONG_COLUMNS]
        rows.append([cells.setdefault(tuple(values[:_OF_CELL]), len(cells)), *values[_OF_CELL:]])
    return {"cells": list(cells), "rows": rows}


def _plain(value: Any) -> Any:
    """JSON values: infinities as strings, as in the export; texts as the page shows them."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, float):
        return str(value) if math.isinf(value) else stable(value)
    if isinstance(value, Mapping):
        return {visible(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
