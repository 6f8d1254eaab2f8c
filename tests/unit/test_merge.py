"""Runs of several machines become one: all cells, nothing twice, and nothing that does not belong together."""

from dataclasses import replace

import numpy as np
import pytest

from nisbench.contract.records import Cell, CellResult, ReferenceState, Status
from nisbench.errors import StoreError
from nisbench.harness.cell_files import Reference
from nisbench.harness.claims import driver
from nisbench.harness.merge import merge
from nisbench.harness.plan import Group, Plan
from nisbench.harness.store import Store

REFERENCE = Cell("s", "sampler", "1", {}, "ising", 2, 0.3, 0, 10, reference_draws=5)
CELLS = [Cell("s", "sampler", "1", {}, "ising", 2, 0.3, seed, 10) for seed in (1, 2, 3)]
SPINS = Reference(np.ones((5, 2, 2), np.int8), np.zeros(5, np.int64), 0.5, 0)


@pytest.fixture
def made(tmp_path):
    """Makes a run with some finished cells and some that wait."""

    def make(name, done, waiting=(), *, plan="p", value=1.0, spins=SPINS):
        cells = (REFERENCE, *done, *waiting)
        ids = tuple(cell.cell_id for cell in cells[1:])
        group = Group("g", "c", ("s",), (2,), (0.3,), tuple(cell.seed for cell in cells[1:]), ids)
        store = Store.create(tmp_path / name, Plan(plan, "t", "d", (group,), cells), {"command": name, "cores": 2})
        for cell in (REFERENCE, *done):
            files = store.files(cell.cell_id)
            files.write_series({"energy": np.array([value, np.nan])})
            if cell.reference_draws:
                files.write_reference(spins)
            left = ReferenceState.LEFT if cell.reference_draws else None
            files.write_result(CellResult(cell.cell_id, Status.OK, reference=left))
        return store.path

    return make


def test_the_union_of_the_cells(made, tmp_path):
    a, b = made("a", CELLS[:1], CELLS[2:]), made("b", CELLS[1:2])
    store = merge([a, b], tmp_path / "all")
    assert [cell.seed for cell in store.cells()] == [0, 1, 3, 2]
    assert [str(store.state(cell.cell_id)) for cell in store.cells()] == ["ok", "ok", "not started", "ok"]
    assert store.reference(REFERENCE.cell_id).spins.shape == (5, 2, 2)
    assert [line for cell in store.cells() for line in store.changed_files(cell.cell_id)] == []
    assert store.environment() == {"command": "a", "cores": 2, "resumed": [{"command": "b"}]}
    (group,) = store.plan()["groups"]
    assert sorted(group["seeds"]) == [1, 2, 3]
    assert len(group["cells"]) == 3
    assert not [path for path in store.path.iterdir() if path.name.startswith("lock")]


def test_a_finished_cell_wins_over_one_that_is_not(made, tmp_path):
    a, b = made("a", [], CELLS[:1]), made("b", CELLS[:1])
    store = merge([a, b], tmp_path / "all")
    assert store.state(CELLS[0].cell_id).status is Status.OK


def test_what_does_not_belong_together_is_refused(made, tmp_path):
    a, out = made("a", CELLS[:1]), tmp_path / "all"
    other = replace(SPINS, spins=-SPINS.spins)
    newer = replace(CELLS[1], protocol_version=99)
    for name, run, message in (
        ("series", made("series", CELLS[:1], value=2.0), "has one result in"),
        ("reference", made("reference", [], spins=other), "has one result in"),
        ("plan", made("plan", CELLS[1:], plan="q"), "merge one plan"),
        ("version", made("version", [newer]), "protocol version"),
    ):
        with pytest.raises(StoreError, match=message) as raised:
            merge([a, run], out)
        assert "\n" not in str(raised.value), name
    with pytest.raises(StoreError, match="is a run"):
        merge([a], a)
    assert not out.exists()


def test_damaged_runs_and_runs_in_progress_are_refused(made, tmp_path):
    a, b = made("a", CELLS[:1]), made("b", CELLS[1:])
    with driver(Store.open(b)), pytest.raises(StoreError, match="in progress"):
        merge([a, b], tmp_path / "all")
    path = b / "cells" / CELLS[1].cell_id / "series.npz"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(StoreError, match="changed"):
        merge([a, b], tmp_path / "all")
    path.unlink()
    path.symlink_to(tmp_path / "precious")
    with pytest.raises(StoreError, match=r"is a link|missing"):
        merge([a, b], tmp_path / "all")
    assert not (tmp_path / "all").exists()
