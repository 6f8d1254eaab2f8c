"""Tests of `status` and the live table: cells that run, wait or have ended."""

import sys
from pathlib import Path

import pytest

from nisbench import cli
from nisbench.contract.records import Budget, Cell, Status
from nisbench.harness.plan import Group, Plan
from nisbench.harness.store import Store
from nisbench.results.status import labels, row, span

COMMAND = "nisbench run --plugins hier --sizes 8"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    cells = tuple(
        Cell("hier", "model", "1.0", {}, "ising", 8, 0.44, seed, 100, budget=Budget(steps=100)) for seed in range(3)
    )
    group = Group("g", "", ("hier",), (8,), (0.44,), (0, 1, 2), tuple(cell.cell_id for cell in cells))
    plan = Plan(name="p", title="t", description="d", groups=(group,), cells=cells)
    return Store.create(tmp_path / "run", plan, {"command": COMMAND})


def status(store: Store, capsys, monkeypatch) -> str:
    monkeypatch.setattr(sys, "argv", ["nisbench", "status", str(store.path)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert not stopped.value.code
    return capsys.readouterr().out


def test_running_cell_shows_step_kl_ess_and_time_left(store: Store, capsys, monkeypatch):
    training, drawing, waiting = store.cells()
    files = store.files(training.cell_id)
    files.write_stage("train")
    files.append_history({"step": 25, "seconds": 200.0, "kl_nats": 1.25, "ess_fraction": 0.125})
    written = (files.folder / "history.jsonl").stat().st_mtime
    monkeypatch.setattr("nisbench.results.status.time.time", lambda: written + 2.0)
    store.files(drawing.cell_id).write_stage("draw")
    named = labels(store.cells())
    found = row(store, training, named[training.cell_id])
    assert (found.status, found.ess, found.kl) == ("train step 25/100", "0.125", "1.25")
    assert found.time == "9:58 left"  # 75 steps at 8 s, two seconds ago
    assert row(store, drawing, named[drawing.cell_id]).line.startswith("hier L=8 beta=0.44 seed=1: draw, for ")
    assert row(store, waiting, "hier").status == "not started"
    assert row(store, waiting, "hier", started=True).status == "starting"
    out = status(store, capsys, monkeypatch)
    assert "3 cells: 2 running, 1 not started" in out
    assert COMMAND not in out


def test_stopped_run_says_how_to_go_on(store: Store, capsys, monkeypatch):
    store.files(store.cells()[0].cell_id).write_status(Status.INTERRUPTED, "stopped by SIGINT")
    out = status(store, capsys, monkeypatch)
    assert "3 cells: 1 interrupted, 2 not started" in out
    assert f"to go on: {COMMAND}" in out


@pytest.mark.parametrize(("seconds", "text"), [(-3, "0 s"), (59.4, "59 s"), (59.6, "1:00"), (3725, "1:02:05")])
def test_spans(seconds, text):
    assert span(seconds) == text
