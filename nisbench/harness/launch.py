"""Start or resume the run of a plan in its folder."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from nisbench.contract.records import Cell
from nisbench.errors import UserError
from nisbench.harness.environment import available_cores, describe
from nisbench.harness.execute import Watch, run_cells
from nisbench.harness.grow import extend
from nisbench.harness.plan import Plan
from nisbench.harness.resume import outdated, unfinished
from nisbench.harness.store import Store

__all__ = ["Beginning", "Display", "run_plan"]


@dataclass(frozen=True)
class Beginning:
    """The cells that a run is about to start, and those that it keeps."""

    store: Store
    cells: tuple[Cell, ...]
    """All cells of the run."""
    due: tuple[Cell, ...]
    """The cells that will run."""
    changed: tuple[str, ...]
    """Plugins whose source has changed since some of their cells finished."""
    keep: bool
    """True if finished cells of these plugins stay."""


Display = Callable[[Beginning], AbstractContextManager[Watch | None]]
"""Shows a run: called once at the beginning, it yields the function that gets the progress, and how often."""


def run_plan(
    plan: Plan,
    folder: Path,
    *,
    command: str,
    workers: int = 1,
    fresh: bool = False,
    keep: bool = False,
    display: Display | None = None,
) -> Store:
    """Run the unfinished cells of `plan` in `folder` and return the store.

    Parameters
    ----------
    command
        The command that repeats this run; it is recorded in the folder.
    workers
        Number of cells that run at a time. They share the cores.
    fresh
        Delete the run that is in the folder and start over.
    keep
        Keep finished cells although the source of their plugin has changed.

    Raises
    ------
    StoreError
        If the folder holds something else or another run uses it.
    UserError
        If this is not the main thread.
    StoppedError
        If a signal stopped the run; calling this function again continues it.
    """
    if threading.current_thread() is not threading.main_thread():
        raise UserError("a run handles signals, so it must be started from the main thread")
    environment = describe(command)
    store = Store(folder)
    with store.lock():
        if not fresh:
            plan = extend(store, plan, command)
        Store.create(folder, plan, environment, fresh=fresh)
        old, changed = outdated(store)
        if not keep:
            # Before anything runs, so that a run which is stopped half-way still repeats all of them.
            for cell in old:
                store.files(cell.cell_id).clear()
        due = unfinished(store, memory_limit=plan.memory_limit)
        # Equal only at the first start, which has just written it: a later start has another start time.
        if due and store.environment() != environment:
            store.note_resumed(environment)
        beginning = Beginning(store, plan.cells, due, changed, keep)
        with display(beginning) if display else nullcontext() as watch:
            run_cells(
                store,
                due,
                workers=workers,
                threads=max(1, available_cores() // workers),
                timeout=plan.timeout,
                memory_limit=plan.memory_limit,
                keep=keep,
                watch=watch,
            )
    return store
