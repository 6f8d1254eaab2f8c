"""Errors of times: the spread between processes that measured the same, and the load of the machine.

The stored error of a time covers the spread within its process. Two processes on one machine differ by more. The cells
of a run that differ in the seed alone, and reference cells of the same sampler, are repeats: they show by how much.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from nisbench.contract.quantities import (
    DRAW_CPU_S,
    DRAW_S,
    DRAW_S_PER_1000,
    PREPARE_CPU_S,
    PREPARE_S,
    S_PER_EFFECTIVE_SAMPLE,
    TRAIN_CPU_S,
    TRAIN_S,
    TRAIN_STEP_S,
)
from nisbench.contract.records import Cell, CellResult, Estimate, canonical_json

__all__ = ["BUSY_ERROR", "busy_reason", "with_timing_errors"]

BUSY_ERROR = 0.25
"""Smallest relative error of a time that was taken on a busy machine. Beside other work, the same cell has taken up to
1.7 times as long; two errors of each side cover that."""
_ASSUMED, _WEIGHT = 0.1, 2
"""Relative spread between processes that is assumed as if it came from so many repeats. The repeats in the committed
runs spread by 5 % to 24 %. Few repeats can agree by chance; many outweigh the assumption."""

_PHASE_OF: Mapping[str, str] = {
    TRAIN_S: "train",
    TRAIN_CPU_S: "train",
    TRAIN_STEP_S: "train",
    PREPARE_S: "prepare",
    PREPARE_CPU_S: "prepare",
    DRAW_S: "draw",
    DRAW_CPU_S: "draw",
    DRAW_S_PER_1000: "draw",
    S_PER_EFFECTIVE_SAMPLE: "draw",
}
_REPEATED = (DRAW_S_PER_1000, TRAIN_STEP_S)
"""Times that do not depend on the number of draws or steps, so that repeats measure the same."""
_MARKED = (S_PER_EFFECTIVE_SAMPLE, TRAIN_S)
"""Quantities whose reason names the load of the machine."""
_NOT_OF_A_REPEAT = ("seed", "draws", "reference", "reference_draws")


def with_timing_errors(cells: Iterable[tuple[Cell, CellResult]]) -> dict[str, CellResult]:
    """Return the results by cell_id with the error of each time: sqrt(error^2 + (spread^2 + load^2) time^2).

    `spread` is the relative spread between repeats on the same machine, pooled over all samplers and sizes. `load` is 0
    on a quiet machine, and otherwise BUSY_ERROR or the share of the time that is known to be lost, if it is larger.
    """
    pairs = list(cells)
    machines: dict[tuple[object, ...], list[tuple[Cell, CellResult]]] = {}
    for cell, result in pairs:
        machines.setdefault(_machine(cell, result), []).append((cell, result))
    spreads = {machine: _spread(members) for machine, members in machines.items()}
    return {cell.cell_id: _extended(result, spreads[_machine(cell, result)]) for cell, result in pairs}


def busy_reason(result: CellResult | None) -> str:
    """Why the times of a cell are doubtful, in words; empty on a quiet machine and for cells without a record of it."""
    return "; ".join(result.timing.disturbances) if result and result.timing else ""


def _machine(cell: Cell, result: CellResult) -> tuple[object, ...]:
    hardware = result.hardware
    return (cell.device, hardware.device_name if hardware else None, hardware.threads if hardware else None)


def _spread(members: Iterable[tuple[Cell, CellResult]]) -> float:
    """Relative standard deviation between repeats on a quiet machine, pooled with the assumed one."""
    repeats: dict[tuple[str, str], list[float]] = {}
    for cell, result in members:
        settings = {name: value for name, value in cell.to_json().items() if name not in _NOT_OF_A_REPEAT}
        for name in _REPEATED:
            found = result.quantities.get(name)
            quiet = result.timing is None or not result.timing.disturbed(_PHASE_OF[name])
            if quiet and found is not None and found.value:
                repeats.setdefault((name, canonical_json(settings)), []).append(found.value)
    squares, freedom = _WEIGHT * _ASSUMED**2, _WEIGHT
    for values in repeats.values():
        squares += float(np.sum((np.array(values) / np.mean(values) - 1) ** 2))
        freedom += len(values) - 1
    return math.sqrt(squares / freedom)


def _extended(result: CellResult, spread: float) -> CellResult:
    quantities = dict(result.quantities)
    for name, phase in _PHASE_OF.items():
        found = quantities.get(name)
        if found is None or not found.value or math.isinf(found.value):
            continue
        disturbed = result.timing is not None and result.timing.disturbed(phase)
        load = max(BUSY_ERROR, result.timing.lost(phase)) if disturbed and result.timing else 0.0
        error = math.hypot(found.error or 0.0, math.hypot(spread, load) * found.value)
        quantities[name] = _marked(replace(found, error=error), name, busy_reason(result) if disturbed else "")
    return replace(result, quantities=quantities)


def _marked(estimate: Estimate, name: str, busy: str) -> Estimate:
    """The estimate with the load of the machine as its reason, unless it has a reason already."""
    if not busy or name not in _MARKED or estimate.reason:
        return estimate
    return replace(estimate, reason=f"busy machine: {busy}")
