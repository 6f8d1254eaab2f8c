"""Decide which cells of a run have to run: those without a result, and those whose result is out of date."""

import math

from nisbench.contract.records import Cell, ReferenceState
from nisbench.harness.environment import physical_memory
from nisbench.harness.source import has_changed
from nisbench.harness.store import Store

__all__ = ["changed_plugins", "lacks_reference", "unfinished"]


def unfinished(store: Store, *, memory_limit: int | None = None, keep: bool = False) -> tuple[Cell, ...]:
    """Return the cells that a run of this store starts, in plan order.

    `memory_limit` is in bytes; None means the memory of the machine. With `keep`, a finished cell stays although the
    source of its plugin has changed.
    """
    return tuple(cell for cell in store.cells() if _is_due(store, cell, memory_limit, keep))


def changed_plugins(store: Store) -> tuple[str, ...]:
    """Return the names of the plugins whose source has changed since one of their cells finished."""
    changed = {cell.plugin for cell in store.cells() if store.state(cell.cell_id).finished and _outdated(store, cell)}
    return tuple(sorted(changed))


def lacks_reference(store: Store, cell: Cell) -> bool:
    """Return True if the cell finished without its reference configurations and they are still missing."""
    if cell.reference is None or not store.state(cell.cell_id).finished:
        return False
    result = store.result(cell.cell_id)
    without = result is not None and result.reference is ReferenceState.MISSING
    return without and store.reference(cell.reference) is None


def _is_due(store: Store, cell: Cell, memory_limit: int | None, keep: bool) -> bool:
    """Return True if the cell is not finished, or if something that it lacked is there now."""
    result = store.result(cell.cell_id) if store.state(cell.cell_id).finished else None
    if result is None:
        return True
    if not keep and _outdated(store, cell):
        return True
    # The rest are finished cells that lacked memory or configurations.
    if result.memory_needed_bytes is not None:
        # Only a worker can ask a GPU for its memory, so a cell on a GPU is tried again.
        machine = physical_memory() if cell.device == "cpu" else math.inf
        return result.memory_needed_bytes <= (memory_limit or machine)
    if result.reference is ReferenceState.LEFT:
        return store.reference(cell.cell_id) is None
    if result.reference is ReferenceState.MISSING and cell.reference is not None:
        if store.reference(cell.reference) is not None:
            return True
        return _is_due(
            store, store.cell(cell.reference), memory_limit, keep
        )  # a new run of the reference may leave them
    return False


def _outdated(store: Store, cell: Cell) -> bool:
    """Return True if the source of the cell's plugin, or of its reference's plugin, has changed since it finished."""
    # The reference counts too: the p side of the cell depends on its configurations.
    results = [store.result(cell_id) for cell_id in (cell.cell_id, cell.reference) if cell_id]
    return any(result is not None and result.source is not None and has_changed(result.source) for result in results)
