"""Rough time and memory of planned cells from operation counts, before anything is run.

    time = (draws + 4 x steps x batch) x flops_per_draw / rate of a matrix product

A training step draws a batch and computes its gradient, which takes about three times the operations of a draw. The
rate is measured in this process. A model that works with small matrices or memory-bound steps takes longer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch

from nisbench.contract.catalog import Catalog, Entry, load_catalog
from nisbench.contract.interfaces import Model, Target
from nisbench.contract.quantities import FLOPS_PER_DRAW
from nisbench.contract.records import Cell, canonical_json
from nisbench.errors import NisbenchError
from nisbench.harness.build import UnavailableError, build_target, model_without_storage, select_device
from nisbench.harness.clock import Clock
from nisbench.harness.cost import matmul_rate
from nisbench.harness.limits import OverLimitError, check_training_memory

__all__ = ["PlannedCost", "kind_of", "rough_costs"]

_STEP = 4
"""Operations of a training step in units of those of the draws of its batch."""
_LARGEST = 2**31
"""Bytes; a model that needs more is not built only to count its operations."""


@dataclass(frozen=True)
class PlannedCost:
    """The time and the memory that a planned cell will need; None where they are not known."""

    seconds: float | None = None
    memory: int | None = None
    """Bytes, at least"""
    too_large: str = ""
    """Why the cell does not fit into memory; empty if it fits or if this is not known."""


def rough_costs(cells: Iterable[Cell], memory_limit: int | None) -> dict[str, PlannedCost]:
    """Return the costs of the models among the cells by cell_id; other plugins do not count their operations."""
    models = [cell for cell in cells if cell.kind == "model"]
    names = {name for cell in models for name in (cell.plugin, cell.target)}
    catalog = load_catalog(names=tuple(sorted(names)))
    known: dict[str, tuple[PlannedCost, float | None]] = {}
    rates: dict[str, float] = {}
    found = {}
    for cell in models:
        kind = kind_of(cell)
        if kind not in known:
            known[kind] = _of_network(cell, catalog, memory_limit)
        network, operations = known[kind]
        if operations is not None and cell.device not in rates:
            rates[cell.device] = matmul_rate(Clock(select_device(cell.device)))
        seconds = _seconds(cell, operations, rates.get(cell.device, 1.0))
        found[cell.cell_id] = PlannedCost(seconds, network.memory, network.too_large)
    return found


def kind_of(cell: Cell) -> str:
    """Return the settings on which the cost of a draw and of a step depend, as text."""
    settings: Mapping[str, object] = {
        "plugin": cell.plugin,
        "options": dict(cell.options),
        "target": cell.target,
        "target_options": dict(cell.target_options or {}),
        "L": cell.L,
        "device": cell.device,
        "dtype": cell.dtype,
        "reference": cell.reference_draws > 0,
    }
    return canonical_json(settings)


def _of_network(cell: Cell, catalog: Catalog, limit: int | None) -> tuple[PlannedCost, float | None]:
    """Return the memory of a model, and its operations per draw if it counts them."""
    try:
        entry, device = catalog.plugin(cell.plugin), select_device(cell.device)
        plugin, target = entry.load(), build_target(cell, catalog)
        model = model_without_storage(plugin, target, entry.options(**cell.options))
    except (NisbenchError, UnavailableError, TypeError):
        return PlannedCost(), None
    if not isinstance(model, Model):
        return PlannedCost(), None
    try:
        needed = check_training_memory(model, limit, device)
    except OverLimitError as error:
        return PlannedCost(memory=error.needed, too_large=str(error)), None
    return PlannedCost(memory=needed), _operations(entry, target, cell) if needed < _LARGEST else None


def _operations(entry: Entry, target: Target, cell: Cell) -> float | None:
    """Return the operations per draw that the model counts; None if it counts none."""
    try:
        # Some models count the ones of their masks, so the model needs real tensors.
        with torch.random.fork_rng(devices=[]):
            counted = entry.load()(target, entry.options(**cell.options)).costs().get(FLOPS_PER_DRAW)
    except Exception:  # the code of a plugin may raise anything
        return None
    return None if counted is None else float(counted)


def _seconds(cell: Cell, operations: float | None, rate: float) -> float | None:
    """Return the seconds of training and drawing; None if they are not known."""
    batch = cell.options.get("batch_size")
    if operations is None:
        return None
    drawing = cell.draws * operations / rate
    if cell.budget is None or cell.budget.steps is None:
        return drawing + ((cell.budget.seconds or 0.0) if cell.budget else 0.0)
    return drawing + _STEP * cell.budget.steps * batch * operations / rate if isinstance(batch, int) else None
