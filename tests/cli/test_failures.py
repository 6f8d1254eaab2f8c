"""Whatever a plugin does, it costs its own row: the run ends, every cell has a status with a reason."""

import pytest

from nisbench.contract.records import CellState, Status
from nisbench.harness.store import Store

FAILING = ("raises", "exits", "segfaults", "hungry", "choosy", "unloadable", "rotten", "giant")


@pytest.fixture(scope="module")
def run(nisbench, write_plan, tmp_path_factory):
    folder = tmp_path_factory.mktemp("failures")
    plan = write_plan(*FAILING, "exact-draws")
    answer = nisbench(folder, "run", "--plan", plan, "--out", "r", "--no-report", "--workers", 2)
    return *answer, Store.open(folder / "r")


def _cell(store, plugin):
    (cell,) = [c for c in store.cells() if c.plugin == plugin and not c.reference_draws]
    return cell


@pytest.mark.parametrize(
    ("plugin", "status", "reason"),
    [
        ("raises", Status.FAILED, "ZeroDivisionError: a plugin's mistake"),
        ("exits", Status.FAILED, "the worker ended with exit code 7 and no result: leaving now"),
        ("segfaults", Status.FAILED, "killed by SIGSEGV"),
        ("hungry", Status.FAILED, "out of memory; no memory limit was given"),
        ("choosy", Status.UNAVAILABLE, "does not like this target"),
        ("unloadable", Status.FAILED, "cannot be loaded from no_such_module:Sampler: ModuleNotFoundError"),
        ("rotten", Status.FAILED, "plugin 'rotten' is broken: RuntimeError: this plugin fails at import"),
        ("giant", Status.UNAVAILABLE, "training 1,000,000,000 parameters with Adam needs at least 14.90 GiB"),
    ],
)
def test_each_failure_is_a_row_with_its_reason(run, plugin, status, reason):
    store = run[-1]
    cell = _cell(store, plugin)
    if plugin == "giant" and store.environment()["memory_bytes"] > 16e9:
        pytest.skip("the machine has the memory")
    assert store.state(cell.cell_id).status is status
    assert reason in store.state(cell.cell_id).reason
    assert store.result(cell.cell_id).status is status


def test_the_others_are_measured_and_the_run_says_how_many_failed(run):
    code, out, err, store = run
    assert code == 0
    assert store.state(_cell(store, "exact-draws").cell_id) == CellState(Status.OK)
    assert "failed" in out.splitlines()[-1]
    assert "2 ok" in out.splitlines()[-1]
    assert "Traceback" not in out + err


def test_the_log_holds_the_traceback(run):
    store = run[-1]
    log = store.files(_cell(store, "raises").cell_id).log.read_text()
    assert "Traceback" in log
    assert "a plugin's mistake" in log


def test_timeout(nisbench, write_plan, tmp_path):
    command = ["run", "--plan", write_plan("sleeps"), "--out", "r", "--no-report", "--timeout", 3]
    assert nisbench(tmp_path, *command)[0] == 0
    store = Store.open(tmp_path / "r")
    state = store.state(_cell(store, "sleeps").cell_id)
    assert state.status is Status.TIMEOUT
    assert state.reason.startswith("not done after 3 s; it was at: ")


def test_memory_limit(nisbench, write_plan, tmp_path):
    plan = write_plan("giant", "hungry")
    limits = ["--memory-limit", "4G", "--workers", 2]
    code, _, _ = nisbench(tmp_path, "run", "--plan", plan, "--out", "r", "--no-report", *limits)
    store = Store.open(tmp_path / "r")
    assert code == 0
    found = {name: store.state(_cell(store, name).cell_id) for name in ("giant", "hungry")}
    assert found["giant"] == CellState(
        Status.UNAVAILABLE,
        "training 1,000,000,000 parameters with Adam needs at least 14.90 GiB; the memory limit is 4.00 GiB",
    )
    assert found["hungry"].status is Status.FAILED
    assert found["hungry"].reason.startswith("out of memory; the memory limit is 4.00 GiB: ")


def test_a_size_that_one_plugin_cannot_do(nisbench, tmp_path):
    options = ["--sizes", "12", "--plugins", "hier,wolff", "--draws", "4000", "--no-report"]
    code, out, _ = nisbench(tmp_path, "run", *options, "--reference", "none")
    (folder,) = (tmp_path / "runs").iterdir()
    store = Store.open(folder)
    assert code == 0
    assert store.state(_cell(store, "wolff").cell_id) == CellState(Status.OK)
    state = store.state(_cell(store, "hier").cell_id)
    assert state.status is Status.UNAVAILABLE
    assert "12" in state.reason
    assert state.reason in out
