"""A run starts the cells that are not finished, and those that lacked something which is there now."""

import time

import numpy as np
import pytest

from nisbench.contract.records import Budget, Cell, CellResult, CellState, ReferenceState, Status
from nisbench.harness import execute, resume
from nisbench.harness.cell_files import Reference
from nisbench.harness.claims import driver
from nisbench.harness.engines.local import LocalEngine
from nisbench.harness.plan import Plan
from nisbench.harness.store import Store

REFERENCE = Cell("s", "sampler", "1", {}, "ising", 2, 0.3, 0, 10, reference_draws=5)
MODEL = Cell("m", "model", "1", {}, "ising", 2, 0.3, 1, 10, Budget(steps=1), reference=REFERENCE.cell_id)
SPINS = Reference(np.ones((5, 2, 2), np.int8), np.zeros(5, np.int64), 0.5, 0)


@pytest.fixture
def store(tmp_path):
    return Store.create(tmp_path / "r", Plan("p", "t", "d", groups=(), cells=(REFERENCE, MODEL)), {})


def _end(store, cell, status, **fields):
    reason = None if status is Status.OK else "why"
    store.files(cell.cell_id).write_result(CellResult(cell.cell_id, status, reason, **fields))


def _run(store, cells, *, workers=1, watch=None):
    with driver(store) as lease:
        LocalEngine(workers).run(store, cells, execute.Settings(), lease, watch)


def _due(store, **limits):
    return [cell.plugin for cell in resume.unfinished(store, **limits)]


@pytest.mark.parametrize("status", list(Status))
def test_finished_cells_are_kept(store, status):
    assert _due(store) == ["s", "m"]
    _end(store, MODEL, status)
    assert ("m" in _due(store)) is (status in (Status.FAILED, Status.TIMEOUT, Status.INTERRUPTED))


def test_a_raised_memory_limit_runs_the_cell_again(store):
    _end(store, REFERENCE, Status.OK)
    _end(store, MODEL, Status.UNAVAILABLE, memory_needed_bytes=1000)
    assert _due(store, memory_limit=999) == []
    assert _due(store, memory_limit=1000) == ["m"]
    assert _due(store) == ["m"]


def test_a_model_without_reference_is_measured_again_once_there_is_one(store):
    _end(store, MODEL, Status.OK, reference=ReferenceState.MISSING)
    _end(store, REFERENCE, Status.FAILED)
    assert _due(store) == ["s", "m"]
    _end(store, REFERENCE, Status.UNAVAILABLE)
    assert _due(store) == []
    store.files(REFERENCE.cell_id).write_reference(SPINS)
    _end(store, REFERENCE, Status.OK)
    assert _due(store) == ["m"]
    _end(store, MODEL, Status.OK)
    assert _due(store) == []


def test_a_lost_reference_is_made_again(store):
    _end(store, MODEL, Status.OK)
    store.files(REFERENCE.cell_id).write_reference(SPINS)
    _end(store, REFERENCE, Status.OK, reference=ReferenceState.LEFT)
    assert _due(store) == []
    (store.path / "reference" / f"{REFERENCE.cell_id}.npz").unlink()
    assert _due(store) == ["s"]
    _end(store, MODEL, Status.UNTRUSTED, reference=ReferenceState.MISSING)
    assert _due(store) == ["s", "m"]


def test_a_reference_that_fails_again_leaves_its_models_alone(store, monkeypatch):
    _end(store, MODEL, Status.OK, reference=ReferenceState.MISSING)
    _end(store, REFERENCE, Status.FAILED)
    started = []

    class Ended:
        """A worker that fails at once."""

        pid = 2**22 + 1  # above any pid

        def __init__(self, command, **_):
            started.append(command[command.index("--cell") + 1])

        def poll(self):
            return 1

        def wait(self, timeout=None):
            return 1

        def send_signal(self, number):
            pass

        kill = poll

    monkeypatch.setattr(execute.subprocess, "Popen", Ended)
    _run(store, resume.unfinished(store))
    assert started == [REFERENCE.cell_id]
    assert store.result(MODEL.cell_id).status is Status.OK
    assert store.state(REFERENCE.cell_id) == CellState(Status.FAILED, "the worker ended with exit code 1 and no result")


def test_models_wait_for_their_reference_and_workers_are_bounded(store, monkeypatch):
    ended, most = [], []

    class Slow:
        pid = 2**22 + 1
        running = 0

        def __init__(self, command, **_):
            self.cell = command[command.index("--cell") + 1]
            self.polls = 3
            Slow.running += 1
            most.append(Slow.running)

        def poll(self):
            self.polls -= 1
            if self.polls > 0:
                time.sleep(0.01)
                return None
            if self.cell not in ended:
                Slow.running -= 1
                ended.append(self.cell)
            return 0

        def wait(self, timeout=None):
            return 0

        def send_signal(self, number):
            pass

        kill = wait

    monkeypatch.setattr(execute.subprocess, "Popen", Slow)
    seen = []
    _run(store, (MODEL, REFERENCE), workers=4, watch=execute.Watch(seen.append, 0.01))
    assert ended == [REFERENCE.cell_id, MODEL.cell_id]
    assert max(most) == 1
    assert seen[-1].ended == (REFERENCE.cell_id, MODEL.cell_id)
    assert seen[-1].running == ()


def test_the_last_exception_of_the_log_is_the_reason(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("from before\n")
    start = log.stat().st_size
    with log.open("a") as file:
        file.write("Traceback\n  File\nnumba.core.errors.TypingError: no match\n\nDuring: typing\n  x\n")
    assert execute._tail(log, start) == "numba.core.errors.TypingError: no match"
    assert execute._tail(log, log.stat().st_size) == ""


def test_a_log_without_a_line_end_gives_a_short_reason(tmp_path):
    log = tmp_path / "log.txt"
    log.write_bytes(b"\x1b[2J" + b"x" * 2**22)
    assert execute._tail(log, 0) == "x" * 496 + " ..."
    log.write_bytes(b"\x1b[31mValueError\x07: no\n")
    assert execute._tail(log, 0) == " [31mValueError : no"
