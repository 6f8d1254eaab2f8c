"""Decide which cells of a run have to run: those without a result, and those whose result is out of date."""

import math

from nisbench.contract.records import Cell, ReferenceState, Status
from nisbench.harness.environment import default_device, physical_memory
from nisbench.harness.interpreter import has_changed_there
from nisbench.harness.store import Store

__all__ = ["lacks_reference", "outdated", "unfinished"]


def outdated(store: Store) -> tuple[tuple[Cell, ...], tuple[str, ...]]:
    """Return the finished cells whose source has changed, and the names of the plugins that have changed.

    A cell is also outdated if the source of its reference cell has changed: its p side rests on the draws of the old
    source.
    """
    cells = [cell for cell in store.cells() if store.state(cell.cell_id).finished]
    results = {cell.cell_id: store.result(cell.cell_id) for cell in cells}
    sources = {cell_id: result.source for cell_id, result in results.items() if result and result.source}
    plugins = {cell.cell_id: cell.plugin for cell in cells}
    used = {(plugins[cell_id], source) for cell_id, source in sources.items()}
    changed = {(plugin, source) for plugin, source in used if has_changed_there(store, plugin, source)}
    ids = {cell_id for cell_id, source in sources.items() if (plugins[cell_id], source) in changed}
    old = tuple(cell for cell in cells if cell.cell_id in ids or cell.reference in ids)
    return old, tuple(sorted({cell.plugin for cell in cells if cell.cell_id in ids}))


def unfinished(store: Store, *, memory_limit: int | None = None) -> tuple[Cell, ...]:
    """Return the cells that a run of this store starts, in plan order.

    `memory_limit` is in bytes; None means the memory of the machine.
    """
    return tuple(cell for cell in store.cells() if _is_due(store, cell, memory_limit))


def lacks_reference(store: Store, cell: Cell) -> bool:
    """Return True if the cell finished without its reference configurations and they are still missing."""
    if cell.reference is None or not store.state(cell.cell_id).finished:
        return False
    result = store.result(cell.cell_id)
    without = result is not None and result.reference is ReferenceState.MISSING
    return without and store.reference(cell.reference) is None


def _is_due(store: Store, cell: Cell, memory_limit: int | None) -> bool:
    """Return True if the cell is not finished, or if something that it lacked is there now."""
    result = store.result(cell.cell_id) if store.state(cell.cell_id).finished else None
    if result is None:
        return True
    if result.memory_needed_bytes is not None:
        # Only a worker can ask a GPU for its memory, so a cell on a GPU is tried again.
        machine = physical_memory() if cell.device == "cpu" else math.inf
        return result.memory_needed_bytes <= (memory_limit or machine)
    if result.status is Status.UNAVAILABLE and cell.device == "cuda":
        return default_device() == "cuda"  # it may have been refused on a machine without a GPU
    # A lost file of configurations is made again, but not for a cell that has left none.
    if result.reference is ReferenceState.LEFT:
        return store.reference(cell.cell_id) is None
    if result.reference is ReferenceState.MISSING and cell.reference is not None:
        if store.reference(cell.reference) is not None:
            return True
        return _is_due(store, store.cell(cell.reference), memory_limit)
    return False
