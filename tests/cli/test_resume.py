"""A run that is stopped or killed goes on with the same command, and ends with the numbers of one that was not."""

import json
import os
import signal

import numpy as np
import pytest

from nisbench.contract.records import CellState, Status
from nisbench.harness.claims import driver
from nisbench.harness.store import Store

TIMED = ("_s", "_bytes", "_per_1000", "per_effective_sample")


def _cell(store, plugin):
    (cell,) = [c for c in store.cells() if c.plugin == plugin and not c.reference_draws]
    return cell


def _worker(folder, plugin):
    """Return the process of a cell from its status.json; None before the cell trains."""
    for path in folder.glob(f"cells/{plugin}-*/status.json"):
        record = json.loads(path.read_text())
        if record["status"] == "running" and record["stage"] == "train":
            return record["pid"]
    return None


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"


def _times(folder, *, but=None):
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != "lock" and (but is None or but not in str(p))]
    return {p: p.stat().st_mtime_ns for p in files}


def _numbers(store):
    """Everything of a run but what is measured in seconds and bytes."""
    found = {}
    for cell in store.cells():
        quantities = store.result(cell.cell_id).quantities
        kept = {name: q for name, q in quantities.items() if not name.endswith(TIMED)}
        found[cell.cell_id] = (store.state(cell.cell_id), kept, store.series(cell.cell_id))
    return found


@pytest.fixture(scope="module")
def run(start, nisbench, write_plan, wait_for, tmp_path_factory):
    """Ctrl-C, then kill -9, then to the end; what was seen on the way."""
    folder = tmp_path_factory.mktemp("resume")
    slow = folder / "slow"  # while this file exists, the training takes 100 s
    slow.touch()
    plan = write_plan("tilted", step_sleep=0.5, slow_while=str(slow))  # its reference is of exact-draws
    out = folder / "r"
    command = ["run", "--plan", plan, "--out", out, "--no-report"]
    seen = {"folder": folder, "plan": plan}

    process = start(folder, *command)
    wait_for(lambda: _worker(out, "tilted"))
    worker = _worker(out, "tilted")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    store = Store.open(out)
    seen["stopped"] = (process.returncode, err, _alive(worker), store.state(_cell(store, "tilted").cell_id))

    with driver(store):
        seen["second"] = nisbench(folder, *command, "--fresh")

    process = start(folder, *command)
    wait_for(lambda: _worker(out, "tilted"))
    worker = _worker(out, "tilted")
    process.kill()
    process.communicate()
    wait_for(lambda: not _alive(worker))
    slow.unlink()
    seen["killed"] = store.state(_cell(store, "tilted").cell_id)
    before = _times(out, but="tilted")
    seen["last"] = nisbench(folder, *command)
    after = _times(out, but="tilted")
    seen["changed"] = {p.name for p in before if p in after and after[p] != before[p] and "exact-draws" in str(p)}
    seen["finished_before"] = any(p.name == "result.json" for p in before)
    seen["store"] = store
    return seen


def test_ctrl_c_ends_the_workers_and_marks_their_cells(run):
    code, err, worker_lives, state = run["stopped"]
    assert code == 130
    assert not worker_lives
    assert state == CellState(Status.INTERRUPTED, "stopped by SIGINT")
    assert "the same command continues" in err
    assert "Traceback" not in err


def test_cells_of_a_run_in_progress_are_not_deleted(run):
    code, out, err = run["second"]
    assert (code, out) == (2, "")
    assert "in use by another run" in err


def test_kill_9_takes_the_worker_along_and_is_seen_as_interrupted(run):
    assert run["killed"].status is Status.INTERRUPTED
    assert "train" in run["killed"].reason


def test_finished_cells_are_kept(run):
    code, _, err = run["last"]
    assert code == 0, err
    assert run["finished_before"]
    assert run["changed"] == set()
    assert "finished before" in err
    assert len(run["store"].environment()["resumed"]) == 2


def test_nothing_is_run_again(run, here):
    folder = run["store"].path
    before = _times(folder)
    code, _, err = here("run", "--plan", run["plan"], "--out", folder, "--no-report")
    assert code == 0
    assert "0 cells to run, 2 finished before" in err
    assert _times(folder) == before


def test_the_numbers_are_those_of_a_run_that_was_not_stopped(run, nisbench):
    nisbench(run["folder"], "run", "--plan", run["plan"], "--out", "again", "--no-report")
    first, second = _numbers(run["store"]), _numbers(Store.open(run["folder"] / "again"))
    assert list(first) == list(second)
    for cell_id, (status, quantities, series) in first.items():
        assert (status, quantities) == second[cell_id][:2]
        assert len(quantities) > 5
        assert set(series) == set(second[cell_id][2])
        for name, values in series.items():
            np.testing.assert_array_equal(values, second[cell_id][2][name])


def test_a_damaged_file_is_named_and_nothing_is_lost(run, here):
    store = run["store"]
    path = store.path / "cells" / _cell(store, "tilted").cell_id / "cell.json"
    whole = path.read_bytes()
    before = {p for p in store.path.rglob("*") if p.is_file()}
    try:
        path.write_bytes(whole[:20])
        for command in (["run", "--plan", run["plan"], "--out", store.path], ["status", store.path]):
            code, out, err = here(*command)
            assert (code, out) == (2, "")
            assert err.count("\n") == 1
            assert str(path) in err
        assert {p for p in store.path.rglob("*") if p.is_file()} == before
    finally:
        path.write_bytes(whole)


def test_export_has_one_row_per_cell_and_quantity(run, here):
    code, out, _ = here("export", run["store"].path, "--format", "json")
    assert code == 0
    rows = json.loads(out)
    keys = "cell plugin kind plugin_version target L beta seed device status reason quantity value error n exact z"
    keys += " target_options run budget_steps budget_s draws dtype"
    assert all(list(row) == keys.split() for row in rows)
    for cell in run["store"].cells():
        named = {row["quantity"] for row in rows if row["cell"] == cell.cell_id}
        assert named >= set(run["store"].result(cell.cell_id).quantities)
    code, table, _ = here("export", run["store"].path, "--format", "csv")
    assert code == 0
    assert table.splitlines()[0] == ",".join(keys.split())


def test_status_shows_every_cell(run, here):
    code, out, _ = here("status", run["store"].path)
    assert code == 0
    assert len(out.splitlines()) == 3
    assert "tilted L=2" in out


@pytest.mark.slow
def test_training_continues_from_its_checkpoint(start, nisbench, write_plan, wait_for, tmp_path):
    plan = write_plan("tilted", step_sleep=0.15)
    command = ["run", "--plan", plan, "--out", tmp_path / "r", "--no-report"]
    process = start(tmp_path, *command)
    wait_for(lambda: list(tmp_path.glob("r/cells/tilted-*/checkpoint.safetensors")))
    worker = _worker(tmp_path / "r", "tilted")
    process.kill()
    process.communicate()
    wait_for(lambda: not _alive(worker))
    store = Store.open(tmp_path / "r")
    cell = _cell(store, "tilted")
    reached = store.history(cell.cell_id)
    assert 0 < reached[-1]["step"] < 200
    assert nisbench(tmp_path, *command)[0] == 0
    history = store.history(cell.cell_id)
    assert [line["step"] for line in history] == sorted({line["step"] for line in history})
    # what was trained before the kill was not trained again: its seconds are the same
    assert history[: len(reached) - 3] == reached[:-3]
    assert nisbench(tmp_path, "run", "--plan", plan, "--out", tmp_path / "whole", "--no-report")[0] == 0
    whole = Store.open(tmp_path / "whole")
    for name, values in store.series(cell.cell_id).items():
        np.testing.assert_array_equal(values, whole.series(cell.cell_id)[name])


def test_report_comes_last_and_fresh_starts_over(nisbench, write_plan, tmp_path):
    plan = write_plan("exact-draws")
    code, out, err = nisbench(tmp_path, "run", "--plan", plan, "--out", "r", "--workers", 2)
    assert code == 0, err
    assert out.splitlines()[-1] == "r/report.html"
    assert "exact-draws" in (tmp_path / "r" / "report.html").read_text()
    (tmp_path / "r" / "notes.txt").write_text("mine")
    first = _times(tmp_path / "r")
    code, out, err = nisbench(tmp_path, "run", "--plan", plan, "--out", "r", "--fresh", "--no-report", "--workers", 2)
    assert code == 0
    assert "1 cell to run" in err
    assert "finished before" not in err
    second = _times(tmp_path / "r")
    assert not (tmp_path / "r" / "report.html").exists()
    assert {p.name for p in second if p in first and first[p] == second[p]} == {"notes.txt"}


def test_report_prints_the_path_of_the_page(run, here, monkeypatch):
    """test_paper.py has the page that the command makes."""
    monkeypatch.setattr("nisbench.report.page.build_report", lambda stores, out, **_: out / "report.html")
    code, out, _ = here("report", run["store"].path, "--out", "elsewhere")
    assert (code, out.strip()) == (0, "elsewhere/report.html")
