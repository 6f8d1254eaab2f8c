"""Time and memory of planned cells from finished cells of the same kind in an earlier run.

The kind is everything except beta, seed, budget and number of draws. Times grow in proportion to draws and steps.
"""

from collections.abc import Iterable, Sequence

from nisbench.contract.quantities import (
    COMPILE_S,
    DRAW_S_PER_1000,
    PEAK_HOST_DRAW_BYTES,
    PEAK_HOST_TRAIN_BYTES,
    PREPARE_S,
    TRAIN_STEP_S,
)
from nisbench.contract.records import Cell
from nisbench.harness.environment import physical_memory
from nisbench.harness.limits import size_text
from nisbench.harness.rough_costs import PlannedCost, kind_of
from nisbench.results.rows import CellRow

__all__ = ["earlier_costs"]


def earlier_costs(
    cells: Iterable[Cell], rows: Iterable[CellRow], memory_limit: int | None = None
) -> dict[str, PlannedCost]:
    """Return the costs by cell_id: means over the measured rows of the same kind; other cells are left out."""
    by_kind: dict[str, list[CellRow]] = {}
    for row in rows:
        if row.measured:
            by_kind.setdefault(kind_of(row.cell), []).append(row)
    found = {}
    for cell in cells:
        if same := by_kind.get(kind_of(cell)):
            found[cell.cell_id] = _cost(cell, same, memory_limit)
    return found


def _cost(cell: Cell, same: Sequence[CellRow], limit: int | None) -> PlannedCost:
    drawing, once = _mean(same, DRAW_S_PER_1000), (_mean(same, PREPARE_S) or 0.0) + (_mean(same, COMPILE_S) or 0.0)
    training, memory = _training(cell, same), _memory(same)
    seconds = None if drawing is None or training is None else drawing * cell.draws / 1000 + once + training
    room = limit if limit is not None else physical_memory()
    large = memory is not None and cell.device == "cpu" and memory > room
    why = f"a cell of the same kind took {size_text(memory or 0)}; there are {size_text(room)}" if large else ""
    return PlannedCost(seconds, memory, why)


def _training(cell: Cell, same: Sequence[CellRow]) -> float | None:
    if cell.budget is None or cell.budget.steps == 0:
        return 0.0
    if cell.budget.steps is None:
        return cell.budget.seconds
    step = _mean(same, TRAIN_STEP_S)
    return None if step is None else step * cell.budget.steps


def _memory(same: Sequence[CellRow]) -> int | None:
    """The largest peak on the host, above the memory of the libraries."""
    names = (PEAK_HOST_TRAIN_BYTES, PEAK_HOST_DRAW_BYTES)
    values = [value for row in same for name in names if (value := _value(row, name)) is not None]
    return round(max(values)) if values else None


def _mean(rows: Sequence[CellRow], name: str) -> float | None:
    values = [value for row in rows if (value := _value(row, name)) is not None]
    return sum(values) / len(values) if values else None


def _value(row: CellRow, name: str) -> float | None:
    estimate = row.quantities.get(name)
    return estimate.value if estimate else None
