"""Store: atomic files, resume, damage named by file, one run at a time."""

import contextlib
import multiprocessing
import os
import subprocess
import sys

import numpy as np
import pytest

from nisbench.contract.records import (
    SCHEMA_VERSION,
    Budget,
    Cell,
    CellResult,
    CellState,
    Estimate,
    Hardware,
    PluginSource,
    ReferenceState,
    Status,
)
from nisbench.errors import StoreError
from nisbench.harness.atomic import check_seal, read_json, write_json
from nisbench.harness.cell_files import Reference
from nisbench.harness.launch import run_plan
from nisbench.harness.plan import Plan
from nisbench.harness.store import Store


def _cell(seed=1, **changes):
    return Cell(
        **{
            "plugin": "m",
            "kind": "model",
            "plugin_version": "1",
            "options": {"width": 1, "rate": 1e-3},
            "target": "ising",
            "L": 4,
            "beta": 0.44,
            "seed": seed,
            "draws": 10,
            "budget": Budget(steps=5),
            **changes,
        }
    )


def _plan(*cells, name="p"):
    return Plan(name=name, title="t", description="d", groups=(), cells=cells)


@pytest.fixture
def store(tmp_path):
    return Store.create(tmp_path / "run", _plan(_cell(1), _cell(2)), {"command": "nisbench run", "python": "3"})


def test_cells_come_back_in_plan_order_and_equal(store):
    again = Store.open(store.path)
    assert again.cells() == (_cell(1), _cell(2))
    assert again.plan()["title"] == "t"
    assert again.plan()["command"] == "nisbench run"
    assert again.environment()["python"] == "3"
    assert again.state(_cell(1).cell_id) == CellState()
    assert again.result(_cell(1).cell_id) is None
    assert again.series(_cell(1).cell_id) == {}
    assert again.samples(_cell(1).cell_id) is None
    assert again.reference(_cell(1).cell_id) is None
    assert again.history(_cell(1).cell_id) == []


def test_what_is_written_is_read(store):
    cell_id = _cell(1).cell_id
    files = store.files(cell_id)
    result = CellResult(
        cell_id,
        Status.UNTRUSTED,
        "short",
        {"energy": Estimate(1.5, float("inf"))},
        hardware=Hardware("a processor", 2, "2.13.0"),
        cost_basis="tau_int",
        reference=ReferenceState.LEFT,
        source=PluginSource(("a", "a.b"), "0" * 64),
        memory_needed_bytes=3,
        notes={"window": "7"},
    )
    series = {"log_prob": np.linspace(0, 1, 7), "energy": np.arange(7)}
    spins = np.where(np.random.default_rng(1).random((5, 3, 3)) < 0.5, -1, 1).astype(np.int8)
    files.write_series(series)
    files.write_samples(spins)
    files.write_reference(Reference(spins, np.array([0, 1, 0, 1, 0]), 2.5, 7))
    files.write_result(result)
    assert store.result(cell_id) == result
    assert store.state(cell_id) == CellState(Status.UNTRUSTED, "short")
    for name, values in store.series(cell_id).items():
        np.testing.assert_array_equal(values, series[name])
    np.testing.assert_array_equal(store.samples(cell_id), spins)
    reference = store.reference(cell_id)
    np.testing.assert_array_equal(reference.spins, spins)
    assert reference.spins.dtype == np.int8
    assert reference.chain.tolist() == [0, 1, 0, 1, 0]
    assert (reference.tau_int, reference.seed) == (2.5, 7)
    # 9 spins take 2 bytes
    with np.load(store.path / "reference" / f"{cell_id}.npz") as arrays:
        assert arrays["packed"].shape == (5, 2)


def test_equal_series_are_equal_bytes(store):
    series = {"energy": np.arange(100.0)}
    written = []
    for _ in range(2):
        store.files(_cell(1).cell_id).write_series(series)
        written.append((store.path / "cells" / _cell(1).cell_id / "series.npz").read_bytes())
    assert written[0] == written[1]


def test_running_is_told_from_interrupted_by_the_process(store):
    cell_id = _cell(1).cell_id
    files = store.files(cell_id)
    files.write_stage("train")
    assert store.state(cell_id) == CellState(stage="train")  # this process lives
    path = files.folder / "status.json"
    record = check_seal(path, read_json(path))
    write_json(path, record | {"started": record["started"] - 1})  # the pid was given to another process
    assert store.state(cell_id).status is Status.INTERRUPTED
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    write_json(path, record | {"pid": int(gone.stdout)})
    assert store.state(cell_id).status is Status.INTERRUPTED
    assert "train" in store.state(cell_id).reason


def test_a_result_counts_although_its_status_was_not_written(store):
    cell_id = _cell(1).cell_id
    files = store.files(cell_id)
    files.write_result(CellResult(cell_id, Status.OK))
    write_json(files.folder / "status.json", {"status": "running", "pid": 0, "started": 1})
    assert store.state(cell_id) == CellState(Status.OK)


def test_history_resumes_at_a_step_and_drops_a_torn_line(store):
    files = store.files(_cell(1).cell_id)
    for step in (1, 2, 4):
        files.append_history({"step": step, "kl_nats": None})
    with (files.folder / "history.jsonl").open("a") as file:
        file.write('{"step": 8, "kl')
    assert [line["step"] for line in store.history(_cell(1).cell_id)] == [1, 2, 4]
    files.keep_history_until(2)
    files.append_history({"step": 3})
    assert [line["step"] for line in store.history(_cell(1).cell_id)] == [1, 2, 3]
    with pytest.raises(ValueError, match="Out of range"):
        files.append_history({"step": 4, "kl_nats": float("nan")})


@pytest.mark.parametrize("checkpoint", [True, False])
def test_clear_keeps_training_only_with_its_checkpoint(store, checkpoint):
    cell_id = _cell(1).cell_id
    files = store.files(cell_id)
    files.append_history({"step": 1})
    files.write_result(CellResult(cell_id, Status.FAILED, "x"))
    if checkpoint:
        files.checkpoint.write_bytes(b"weights")
    files.clear()
    assert store.state(cell_id) == CellState()
    assert store.result(cell_id) is None
    assert files.checkpoint.exists() is checkpoint
    assert len(store.history(cell_id)) == checkpoint


@pytest.mark.parametrize("name", ["cell.json", "result.json", "series.npz", "status.json", "history.jsonl"])
def test_a_damaged_file_is_named_and_nothing_is_lost(store, name):
    cell_id = _cell(1).cell_id
    files = store.files(cell_id)
    files.write_series({"energy": np.arange(3)})
    files.append_history({"step": 1})
    files.write_result(CellResult(cell_id, Status.OK))
    path = files.folder / name
    path.write_bytes(path.read_bytes()[:-4] + b"\x00??\n")
    before = {p: p.read_bytes() for p in files.folder.iterdir()}
    with pytest.raises(StoreError, match=name) as caught:
        store.cells(), store.result(cell_id), store.state(cell_id), store.history(cell_id), store.series(cell_id)
    assert "\n" not in str(caught.value)
    assert str(files.folder) in str(caught.value)
    assert {p: p.read_bytes() for p in files.folder.iterdir()} == before


def test_a_changed_cell_is_damage(store):
    path = store.path / "cells" / _cell(1).cell_id / "cell.json"
    path.write_text(path.read_text().replace("0.44", "0.45"))
    with pytest.raises(StoreError, match="checksum is wrong"):
        store.cells()
    write_json(path, _cell(3).to_json())
    with pytest.raises(StoreError, match="belong to cell"):
        store.cells()


def test_create_resumes_the_same_cells_and_refuses_others(store):
    files = store.files(_cell(1).cell_id)
    files.write_result(CellResult(_cell(1).cell_id, Status.OK))
    (store.path / "cells" / _cell(2).cell_id / "cell.json").unlink()  # as if killed while it was made
    again = Store.create(store.path, _plan(_cell(1), _cell(2)), {})
    assert again.cells() == (_cell(1), _cell(2))
    assert again.state(_cell(1).cell_id).status is Status.OK
    assert again.environment()["python"] == "3"
    with pytest.raises(StoreError, match="another plan"):
        Store.create(store.path, _plan(_cell(3)), {})


def test_a_lost_environment_is_written_anew(store):
    (store.path / "environment.json").unlink()
    assert Store.create(store.path, _plan(_cell(1), _cell(2)), {"python": "4"}).environment() == {"python": "4"}


def test_flipped_bytes_are_damage(store):
    files = store.files(_cell(1).cell_id)
    files.write_series({"energy": np.arange(1000.0) ** 2})
    path = store.path / "cells" / _cell(1).cell_id / "series.npz"
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        with contextlib.suppress(StoreError):  # the cell runs, so its files have no checksums yet
            store.series(_cell(1).cell_id)
    path.write_bytes(whole)
    files.write_result(CellResult(_cell(1).cell_id, Status.OK))
    for at in range(0, len(whole), 97):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(StoreError, match="changed after the cell ended"):
            store.series(_cell(1).cell_id)


def test_resumed_starts_are_noted_with_what_changed(store):
    store.note_resumed({"command": "nisbench run", "python": "4"})
    assert store.environment() == {"command": "nisbench run", "python": "3", "resumed": [{"python": "4"}]}


def test_what_is_no_run_is_refused_and_untouched(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    for act in (
        lambda: Store.create(tmp_path, _plan(_cell()), {}),
        lambda: Store.create(tmp_path, _plan(_cell()), {}, fresh=True),
        lambda: Store.open(tmp_path),
    ):
        with pytest.raises(StoreError, match="not a run folder"):
            act()
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(StoreError, match="is a file"):
        Store.create(tmp_path / "thesis.tex", _plan(_cell()), {})
    with pytest.raises(StoreError, match="cannot write"):
        Store.create(tmp_path / "thesis.tex" / "run", _plan(_cell()), {})
    with pytest.raises(StoreError, match="does not exist"):
        Store.open(tmp_path / "nothing")


def test_a_plan_of_another_version_is_refused(store):
    path = store.path / "plan.json"
    path.write_text(path.read_text().replace(f'"schema_version": {SCHEMA_VERSION}', '"schema_version": 99'))
    with pytest.raises(StoreError, match="schema version 99"):
        Store.open(store.path)


def test_a_folder_with_a_plan_has_all_of_its_cells(tmp_path, monkeypatch):
    """A run that is killed while it makes its folder leaves no plan, and the same run starts from there."""
    whole, written = Plan.to_json, []

    def killed(plan):
        written.extend(path.name for path in tmp_path.rglob("*.json"))
        raise KeyboardInterrupt

    monkeypatch.setattr(Plan, "to_json", killed)
    with pytest.raises(KeyboardInterrupt):
        Store.create(tmp_path, _plan(_cell(1), _cell(3)), {})
    assert sorted(written) == ["cell.json", "cell.json", "environment.json"]
    with pytest.raises(StoreError, match="not a run folder"):
        Store.open(tmp_path)
    monkeypatch.setattr(Plan, "to_json", whole)
    assert Store.create(tmp_path, _plan(_cell(1), _cell(3)), {}).cells() == (_cell(1), _cell(3))


def test_fresh_deletes_only_what_a_run_writes(store):
    (store.path / "notes.txt").write_text("mine")
    (store.path / "report.html").write_text("old")
    store.files(_cell(1).cell_id).write_result(CellResult(_cell(1).cell_id, Status.OK))
    again = Store.create(store.path, _plan(_cell(1), _cell(3), name="other"), {"python": "4"}, fresh=True)
    assert again.cells() == (_cell(1), _cell(3))
    assert again.plan()["name"] == "other"
    assert again.environment() == {"python": "4"}
    assert again.state(_cell(1).cell_id) == CellState()
    assert {p.name for p in store.path.iterdir()} == {"notes.txt", "plan.json", "environment.json", "cells"}
    assert Store.create(store.path / "new", _plan(_cell(1)), {}, fresh=True).cells() == (_cell(1),)


def _hold(path, held, release):
    with Store.open(path).lock():
        held.set()
        release.wait(30)


def test_one_plan_at_a_time(store, monkeypatch):
    monkeypatch.setattr("nisbench.harness.store.LOCK_WAIT_S", 0.1)
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(store.path, held, release))
    process.start()
    try:
        assert held.wait(30)
        with pytest.raises(StoreError, match="in use"), store.lock():
            pass
        with pytest.raises(StoreError, match="in use"):
            run_plan(_plan(_cell(1), _cell(2)), store.path, command="", fresh=True)
        assert store.cells()
    finally:
        release.set()
        process.join()
    with store.lock():
        pass


def test_a_killed_writer_leaves_the_old_file(store):
    files = store.files(_cell(1).cell_id)
    files.write_result(CellResult(_cell(1).cell_id, Status.OK))
    (files.folder / ".result.json.12345.tmp").write_text('{"half')  # what a kill in the middle leaves
    assert store.result(_cell(1).cell_id).status is Status.OK
    files.clear()
    files.write_result(CellResult(_cell(1).cell_id, Status.FAILED, "again"))
    assert store.result(_cell(1).cell_id).status is Status.FAILED
    assert not [p for p in os.listdir(files.folder) if p.endswith(".tmp")]


def test_states_of_many_cells_are_those_of_each_cell(tmp_path, monkeypatch):
    """A cell that waits costs no open file; each other state is that of `state`."""
    cells = [_cell(seed) for seed in range(6)]
    store = Store.create(tmp_path / "run", _plan(*cells), {"command": "nisbench run"})
    ids = [cell.cell_id for cell in cells]
    files = [store.files(cell_id) for cell_id in ids]
    files[1].write_stage("train")
    files[2].write_result(CellResult(ids[2], Status.OK))
    files[3].write_status(Status.INTERRUPTED, "stopped by SIGTERM")
    files[4].write_queued("slurm 7_1", store.version(ids[4]))
    opened, plain = [], os.open
    monkeypatch.setattr(os, "open", lambda path, *rest: opened.append(str(path)) or plain(path, *rest))
    found = Store(store.path).states(ids)
    assert list(found) == ids
    assert {path.split("/")[-2] for path in opened} == set(ids[1:5])
    assert found == {cell_id: Store(store.path).state(cell_id) for cell_id in ids}
    assert [str(state) for state in found.values()] == [
        "not started",
        "running",
        "ok",
        "interrupted",
        "queued",
        "not started",
    ]
