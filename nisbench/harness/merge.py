"""Join runs of one plan that were made on several machines: the union of their cells in a new folder."""

import shutil
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nisbench.contract.records import Cell
from nisbench.errors import StoreError
from nisbench.harness.atomic import guard, write_json
from nisbench.harness.claims import other_drivers
from nisbench.harness.grow import joined
from nisbench.harness.plan import Group, Plan
from nisbench.harness.run_folder import occupied
from nisbench.harness.store import Store

__all__ = ["merge"]

_LEFT_BEHIND = ("queued.json", "lease.")
"""Begins of the names of files that mean something on their own machine only."""


def merge(runs: Sequence[Path], out: Path) -> Store:
    """Write a run with the cells of all `runs` into the new folder `out` and return it.

    A cell that several runs have is taken from the first that finished it. The command and the environment are those of
    the first run; `resumed` in environment.json lists the others.

    Raises
    ------
    StoreError
        If a run is in progress or damaged, if the runs belong to different plans or versions of the measurement, if two
        of them have different results of one cell, or if `out` is a run or not empty.
    """
    stores = [Store.open(path) for path in runs]
    if occupied(out):
        raise StoreError(f"{out} is a run; give a new folder as --out")
    for store in stores:
        _check_at_rest(store)
    _check_same_plan(stores)
    chosen = _chosen(stores)
    merged = Store(out)
    with merged.lock():
        for cell_id, store in chosen.items():
            _copy(store, merged, cell_id)
        write_json(out / "environment.json", _environment(stores))
        merged.write_plan(_plan(stores), stores[0].plan().get("command", ""))  # last: without it, this is not a run
    return merged


def _check_at_rest(store: Store) -> None:
    """Raise StoreError if something works on the run, or if a file was changed or is missing."""
    running = [cell.cell_id for cell in store.cells() if store.state(cell.cell_id).running]
    if running or other_drivers(store):
        raise StoreError(f"{store.path} is in progress; merge it when it has ended")
    for cell in store.cells():
        if changed := store.changed_files(cell.cell_id):
            raise StoreError(changed[0])


def _check_same_plan(stores: Sequence[Store]) -> None:
    """Raise StoreError if the runs have plans of different names or cells of different protocol versions."""
    first, *others = stores
    name, protocols = first.plan()["name"], _protocols(first)
    for store in others:
        if (other := store.plan()["name"]) != name:
            raise StoreError(f"{store.path} has the plan '{other}' and {first.path} the plan '{name}'; merge one plan")
        if found := _protocols(store) ^ protocols:
            raise StoreError(
                f"{store.path} and {first.path} have cells of different versions of the measurement (protocol version "
                f"{max(found)} is in one of them only); run the older cells again"
            )


def _protocols(store: Store) -> set[int]:
    return {cell.protocol_version for cell in store.cells()}


def _chosen(stores: Sequence[Store]) -> dict[str, Store]:
    """Return for each cell the run to copy it from. Raises StoreError if two runs have different results of it."""
    found: dict[str, Store] = {}
    for store in stores:
        for cell in store.cells():
            other = found.get(cell.cell_id)
            if other is None or _rank(store, cell) > _rank(other, cell):
                found[cell.cell_id] = store
            if other is not None and store.state(cell.cell_id).finished and other.state(cell.cell_id).finished:
                _check_same_numbers(other, store, cell)
    return found


def _rank(store: Store, cell: Cell) -> tuple[bool, int]:
    """Return how much is known about a cell: finished cells first, then the longer history."""
    state = store.state(cell.cell_id)
    return state.finished, 0 if state.finished else len(store.history(cell.cell_id))


def _check_same_numbers(one: Store, other: Store, cell: Cell) -> None:
    """Raise StoreError unless both runs drew the same numbers; times differ between machines."""
    statuses = [store.state(cell.cell_id).status for store in (one, other)]
    same = statuses[0] == statuses[1] and _equal(one.series(cell.cell_id), other.series(cell.cell_id))
    if not same or not _equal(_reference(one, cell), _reference(other, cell)):
        raise StoreError(
            f"cell {cell.cell_id} has one result in {one.path} and another in {other.path}; delete the folder of the "
            "cell in the run that is wrong"
        )


def _reference(store: Store, cell: Cell) -> dict[str, NDArray[Any]]:
    """Return the arrays of the configurations that a reference cell left; {} for other cells."""
    found = store.reference(cell.cell_id)
    return {} if found is None else {each.name: np.asarray(getattr(found, each.name)) for each in fields(found)}


def _equal(one: dict[str, NDArray[Any]], other: dict[str, NDArray[Any]]) -> bool:
    """Return True for the same arrays under the same names, NaN included."""
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype
        and one[name].shape == other[name].shape
        # byte for byte, since NaN differs from itself
        and one[name].tobytes() == other[name].tobytes()
        for name in one
    )


def _copy(store: Store, merged: Store, cell_id: str) -> None:
    """Copy the folder of a cell and its reference configurations."""
    old, new = store.files(cell_id), merged.files(cell_id)
    guard(new.folder, lambda: new.folder.mkdir(parents=True, exist_ok=True))
    pairs = [(path, new.folder / path.name) for path in old.folder.iterdir() if not path.name.startswith(_LEFT_BEHIND)]
    if old.reference.exists():
        guard(new.reference, lambda: new.reference.parent.mkdir(exist_ok=True))
        pairs.append((old.reference, new.reference))
    for source, copy in pairs:
        if source.is_symlink() or not source.is_file():
            raise StoreError(f"{source} is not a file; nothing else belongs into the folder of a cell")
        guard(copy, lambda source=source, copy=copy: shutil.copyfile(source, copy))  # type: ignore[misc]


def _environment(stores: Sequence[Store]) -> dict[str, Any]:
    """Return the environment of the first run; `resumed` has what differs in the others."""
    first, *others = [store.environment() for store in stores]
    resumed = [*first.get("resumed", [])]
    for each in others:
        resumed.append({key: value for key, value in each.items() if key != "resumed" and first.get(key) != value})
        resumed += each.get("resumed", [])
    return first | ({"resumed": resumed} if resumed else {})


def _plan(stores: Sequence[Store]) -> Plan:
    """Return the union of the plans."""
    merged = _read_plan(stores[0])
    for store in stores[1:]:
        merged = joined(merged.to_json(), _read_plan(store), merged.cells)
    return merged


def _read_plan(store: Store) -> Plan:
    """Return the plan of a run."""
    record = store.plan()
    groups = []
    for group in record["groups"]:
        entries: dict[str, Any] = {key: tuple(each) if isinstance(each, list) else each for key, each in group.items()}
        groups.append(Group(**entries))
    names = ("name", "title", "description", "memory_limit", "timeout")
    given: dict[str, Any] = {name: record.get(name) for name in names}
    return Plan(**given, groups=tuple(groups), cells=store.cells(), plugin_files=tuple(record.get("plugin_files", ())))
