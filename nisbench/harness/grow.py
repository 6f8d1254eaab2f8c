"""Let a run grow: a folder takes more sizes, seeds or draws, or a longer budget, and keeps its finished cells."""

import dataclasses
import shutil
from collections.abc import Iterable, Mapping
from typing import Any

from nisbench.contract.records import Budget, Cell, CellState
from nisbench.errors import StoreError
from nisbench.harness.atomic import check_seal, read_json, write_json
from nisbench.harness.cell_files import CellFiles
from nisbench.harness.plan import Group, Interpreter, Plan
from nisbench.harness.store import Store

__all__ = ["add", "continued_from", "extend", "predecessor"]

_GROWING = ("budget", "draws", "reference", "reference_draws")
"""Fields of a cell that may differ from those of the cell whose training is continued."""


def extend(store: Store, plan: Plan, command: str, *, shared: bool = False) -> Plan:
    """Return `plan` with the finished cells that the folder has already, and record it there.

    A cell with a longer budget than a cell of the folder starts from the checkpoint of that cell. A cell of the earlier
    plan that is neither finished nor in `plan` leaves the plan, unless other drivers work on the folder (`shared`) or a
    scheduler has a job for the cell; its folder stays, so a later plan can take it up again.
    Nothing happens if the folder has no plan or the cells of `plan`. Call it while holding the lock of the store.

    Raises
    ------
    StoreError
        If the folder has a plan of another name.
    """
    if not (store.path / "plan.json").exists():
        return plan
    found = store.plan()
    if found["name"] != plan.name:
        raise StoreError(
            f"{store.path} holds another plan ('{found['name']}', {len(found['cells'])} cells); "
            "give another --out, or --fresh to start over"
        )
    # A run that was killed while it began lacks some of its cells.
    earlier = [store.cell(cell_id) for cell_id in found["cells"] if store.has_cell(cell_id)]
    kept = [cell for cell in earlier if shared or _stays(store.state(cell.cell_id))]
    larger = joined(found, plan, kept)
    if [cell.cell_id for cell in larger.cells] == found["cells"]:
        if larger.to_json()["python"] != found.get("python", {}):
            store.write_plan(larger, found["command"])
        return larger
    store.add_cells(larger.cells)
    for cell in plan.cells:
        if (shorter := predecessor(cell, earlier)) is not None:
            _continue(store.files(shorter.cell_id), store.files(cell.cell_id), shorter)
    store.write_plan(larger, command)  # last: after a kill, the same command does all of this again
    return larger


def add(store: Store, plan: Plan, environment: Mapping[str, Any]) -> None:
    """Add the cells of `plan` to the run in the folder, whose name and command stay; without a run, make one."""
    if not (store.path / "plan.json").exists():
        Store.create(store.path, plan, environment)
        return
    found = store.plan()
    head = {key: found[key] for key in ("name", "title", "description", "memory_limit", "timeout")}
    larger = joined(found, dataclasses.replace(plan, **head), store.cells())
    store.add_cells(plan.cells)
    store.write_plan(larger, found.get("command", ""))


def joined(found: Mapping[str, Any], plan: Plan, kept: Iterable[Cell]) -> Plan:
    """Return `plan` with the cells `kept` of the earlier plan `found`; groups of the same name become one."""
    cells = {cell.cell_id: cell for cell in (*kept, *plan.cells)}
    order = {cell_id: position for position, cell_id in enumerate(cells)}
    ordered = sorted(cells.values(), key=lambda c: (c.reference_draws == 0, c.L, c.beta, order[c.cell_id]))
    new = {group.name: group for group in plan.groups}
    groups = []
    for record in found.get("groups", ()):
        fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in record.items()}
        old = Group(**fields)
        old = dataclasses.replace(old, cells=tuple(cell_id for cell_id in old.cells if cell_id in cells))
        groups.append(_joined_group(old, new.pop(old.name)) if old.name in new else old)
    files = _union(found.get("plugin_files", ()), plan.plugin_files)
    # A plugin of the new plan runs where the new plan says, which may be the environment of this process.
    named = {cell.plugin for cell in plan.cells}
    others = {name: Interpreter(**one) for name, one in found.get("python", {}).items() if name not in named}
    larger = dataclasses.replace(plan, groups=(*groups, *new.values()), cells=tuple(ordered), plugin_files=files)
    return dataclasses.replace(larger, python={**others, **plan.python})


def predecessor(cell: Cell, earlier: Iterable[Cell]) -> Cell | None:
    """Return the cell whose training goes on in `cell`, or None.

    It has the largest budget that does not exceed that of `cell`, and equals it in every setting except budget, draws
    and reference.
    """
    fitting = [one for one in earlier if _same(one, cell) and _amount(one.budget, cell.budget) is not None]
    return max(fitting, key=lambda one: _amount(one.budget, cell.budget) or 0.0, default=None)


def continued_from(files: CellFiles) -> str | None:
    """Return in words which shorter training the cell continued; None if it continued none."""
    if not files.continued.exists():
        return None
    record = check_seal(files.continued, read_json(files.continued))
    return f"continued from cell {record['cell']} ({record['budget']}), whose schedules were those of its own budget"


def _continue(old: CellFiles, new: CellFiles, shorter: Cell) -> None:
    """Copy the checkpoint and the history, unless the cell has a checkpoint of its own."""
    if new.checkpoint.exists() or not old.checkpoint.exists():
        return
    shutil.copyfile(old.folder / "history.jsonl", new.folder / "history.jsonl")
    if shorter.budget is not None:
        write_json(new.continued, {"cell": shorter.cell_id, "budget": str(shorter.budget)})
    shutil.copyfile(old.checkpoint, new.checkpoint)


def _stays(state: CellState) -> bool:
    """Return True for a cell that is finished, or on which something works or will work."""
    return state.finished or state.running or state.queue is not None


def _same(one: Cell, cell: Cell) -> bool:
    names = [field.name for field in dataclasses.fields(Cell) if field.name not in _GROWING]
    return one.cell_id != cell.cell_id and all(getattr(one, name) == getattr(cell, name) for name in names)


def _amount(budget: Budget | None, largest: Budget | None) -> float | None:
    """Return the steps or seconds of a budget; None if it is larger than `largest` or has another unit."""
    if budget is None or largest is None:
        return None
    amount, limit = (budget.steps, largest.steps) if largest.steps is not None else (budget.seconds, largest.seconds)
    return None if amount is None or limit is None or amount > limit else float(amount)


def _joined_group(old: Group, new: Group) -> Group:
    """Return a group with the cells of both; the claim and its checks are those of the new plan."""
    names = ("plugins", "sizes", "beta", "seeds", "cells")
    both: dict[str, Any] = {name: _union(getattr(old, name), getattr(new, name)) for name in names}
    return dataclasses.replace(new, **both)


def _union(a: Iterable[Any], b: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys([*a, *b]))
