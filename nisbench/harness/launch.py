"""Start or resume the run of a plan in its folder."""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from nisbench.contract.records import Cell
from nisbench.errors import InvalidValue, StoreError, UserError
from nisbench.harness.claims import driver, other_drivers
from nisbench.harness.engines.local import LocalEngine
from nisbench.harness.environment import describe
from nisbench.harness.execute import Engine, Settings, Watch
from nisbench.harness.grow import extend
from nisbench.harness.plan import Plan
from nisbench.harness.resume import outdated, unfinished
from nisbench.harness.store import Store

__all__ = ["Beginning", "Display", "Shard", "run_plan"]


@dataclass(frozen=True)
class Shard:
    """A part of the cells of a plan: every n-th, beginning with the i-th."""

    i: int
    """1 to n"""
    n: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the shard in a text such as `2/8`. Raises InvalidValue for anything else."""
        first, _, second = text.partition("/")
        if not (first.isdecimal() and second.isdecimal() and len(text) < 20 and 1 <= int(first) <= int(second)):
            raise InvalidValue(f"--shard: {text!r} is not a part such as 2/8, the second of eight")
        return cls(int(first), int(second))

    def part(self, cells: Sequence[Cell], due: Sequence[Cell]) -> list[Cell]:
        """Return the due cells of this part, with the reference cells that they need.

        A reference cell that several parts need is run by the part that comes to it first; the others wait for it.
        """
        own = {cell.cell_id for cell in cells[self.i - 1 :: self.n]}
        needed = {cell.reference for cell in due if cell.cell_id in own}
        return [cell for cell in due if cell.cell_id in own or cell.cell_id in needed]


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
    engine: Engine | None = None,
    shard: Shard | None = None,
    fresh: bool = False,
    keep: bool = False,
    display: Display | None = None,
) -> Store:
    """Run the unfinished cells of `plan` in `folder` and return the store.

    Other drivers may work on the same folder. Each cell is run by one of them.

    Parameters
    ----------
    command
        The command that repeats this run; it is recorded in the folder.
    engine
        Where cells run; by default on this machine, one at a time.
    shard
        The part of the cells of `plan` to run.
    fresh
        Delete the run that is in the folder and start over.
    keep
        Keep finished cells although the source of their plugin has changed.

    Raises
    ------
    StoreError
        If the folder holds something else, or if another driver works on it and `fresh` is given.
    UserError
        If this is not the main thread.
    StoppedError
        If a signal stopped the run; calling this function again continues it.
    """
    if threading.current_thread() is not threading.main_thread():
        raise UserError("a run handles signals, so it must be started from the main thread")
    environment = describe(command)
    store = Store(folder)
    with ExitStack() as held:
        with store.lock():
            others = other_drivers(store)
            if fresh and others:
                raise StoreError(f"{folder} is in use by another run ({others[0]}); --fresh would delete its cells")
            beginning = _begin(store, plan, environment, fresh=fresh, keep=keep, shared=bool(others), shard=shard)
            lease = held.enter_context(driver(store))
        settings = Settings(plan.timeout, plan.memory_limit, keep)
        with display(beginning) if display else nullcontext() as watch:
            (engine or LocalEngine()).run(store, beginning.due, settings, lease, watch)
    return store


def _begin(
    store: Store,
    plan: Plan,
    environment: Mapping[str, Any],
    *,
    fresh: bool,
    keep: bool,
    shared: bool,
    shard: Shard | None,
) -> Beginning:
    """Write the plan, clear outdated cells, and return the cells that are due. Call it while holding the lock."""
    asked = {cell.cell_id for cell in plan.cells}
    larger = plan if fresh else extend(store, plan, environment["command"], shared=shared)
    Store.create(store.path, larger, environment, fresh=fresh)
    foreign = {cell.cell_id for cell in larger.cells if cell.cell_id not in asked}
    foreign = {cell_id for cell_id in foreign if not store.state(cell_id).finished}  # of another driver
    old, changed = outdated(store)
    if not keep:
        # Before anything runs, so that a run which is stopped half-way still repeats all of them.
        for cell in old:
            store.files(cell.cell_id).clear()
    due = [cell for cell in unfinished(store, memory_limit=plan.memory_limit) if cell.cell_id not in foreign]
    if shard is not None:
        due = shard.part(plan.cells, due)
    # Equal only at the first start, which has just written it: a later start has another start time.
    if due and store.environment() != environment:
        store.note_resumed(environment)
    return Beginning(store, larger.cells, tuple(due), changed, keep)
