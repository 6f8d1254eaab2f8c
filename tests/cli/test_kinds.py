"""A density without training and a sampler with its own training loop, through the command line."""

import pytest

from nisbench.contract.records import Budget, Status
from nisbench.harness.store import Store


@pytest.fixture(scope="module")
def run(tmp_path_factory, nisbench, write_plan):
    folder = tmp_path_factory.mktemp("kinds")
    code, _, err = nisbench(folder, "run", "--plan", str(write_plan("coins", "fitted")), "--out", "r")
    assert code == 0, err
    return Store.open(folder / "r")


def results(run, plugin):
    return [(cell, run.result(cell.cell_id)) for cell in run.cells() if cell.plugin == plugin]


def test_a_density_has_a_reference_and_no_budget(run):
    ((cell, result),) = results(run, "coins")
    assert (cell.kind, cell.budget) == ("density", None)
    ((reference, _),) = results(run, "exact-draws")
    assert cell.reference == reference.cell_id
    assert result.status is Status.OK, result.reason
    assert result.quantities["ess_fraction_p"].value is not None
    assert result.quantities["tau_int_energy"].value is not None
    assert "train_s" not in result.quantities


def test_a_sampler_that_trains_has_the_budget_of_the_plan(run):
    ((cell, result),) = results(run, "fitted")
    assert (cell.kind, cell.budget) == ("sampler", Budget(steps=200))
    ((reference, _),) = results(run, "exact-draws")
    assert cell.reference == reference.cell_id  # it may be trained on configurations of p
    assert result.status is Status.OK, result.reason
    assert result.quantities["train_s"].value >= 2  # 200 steps of 10 ms
    assert result.quantities["prepare_s"].value is not None  # test_worker.py has its value


def test_the_report_is_made(run):
    page = (run.path / "report.html").read_text()
    assert "coins" in page
    assert "fitted" in page
