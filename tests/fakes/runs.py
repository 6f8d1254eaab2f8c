"""Runs whose cells are measured in this process, which saves the seconds in which a worker starts."""

from pathlib import Path

from nisbench.contract.catalog import load_catalog
from nisbench.contract.records import Cell
from nisbench.harness.grow import extend
from nisbench.harness.resume import unfinished
from nisbench.harness.selection import select_plan
from nisbench.harness.store import Store
from nisbench.harness.worker import run_cell

__all__ = ["cell_of", "run_here"]


def run_here(folder: Path, **selection) -> Store:
    """Runs the unfinished cells of the selection in `folder`, without a reference unless one is asked for."""
    plan = select_plan(None, **{"device": "cpu", "sizes": 4, "beta": 0.3, "reference": "none", **selection})
    store = Store(folder)
    plan = extend(store, plan, "test")
    Store.create(folder, plan, {"command": "test"})
    for cell in unfinished(store):
        files = store.files(cell.cell_id)
        files.clear()
        files.write_result(run_cell(store, cell, load_catalog()))
    return store


def cell_of(store: Store, **fields) -> Cell:
    """The only cell with these fields."""
    (cell,) = [c for c in store.cells() if all(getattr(c, name) == value for name, value in fields.items())]
    return cell
