"""`plan --estimate`: time and memory of planned cells, from operation counts or from the finished cells of a run."""

from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner
from fakes.stores import quick

from nisbench.cli import cli
from nisbench.contract.catalog import load_catalog
from nisbench.contract.records import Budget
from nisbench.earlier_costs import earlier_costs
from nisbench.errors import StoreError
from nisbench.harness import rough_costs as rough
from nisbench.harness.build import build_target
from nisbench.harness.selection import select_plan
from nisbench.results.cells import load

RATE = 1e6
"""Operations per second that the machine is said to have."""


@pytest.fixture
def slow_machine(monkeypatch):
    monkeypatch.setattr(rough, "matmul_rate", lambda clock: RATE)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """hier, van and wolff at L = 4 and 8 with two seeds: 2000 draws, 2000 steps."""
    return quick(sizes=(4, 8), seeds=(1, 2)).write(tmp_path_factory.mktemp("earlier") / "run")


def planned(**given):
    usual = {"sizes": 4, "beta": 0.3, "draws": 1000, "device": "cpu", "train_steps": 50}
    return select_plan(None, **{**usual, **given})


def invoke(*words):
    given = ["plan", "--sizes", "4", "--beta", "0.3", "--train-steps", "50", "--draws", "1000", "--device", "cpu"]
    result = CliRunner().invoke(cli, [*given, *map(str, words)])
    return result.exception if result.exit_code else result.output.splitlines()


def test_rough_times_follow_from_operations_steps_and_draws(slow_machine):
    """time = (draws + 4 steps batch) x operations per draw / rate; a training in seconds takes these seconds."""
    plan = planned(plugins="hier", options={"hier.batch_size": 64})
    (cell,) = [cell for cell in plan.cells if cell.kind == "model"]
    catalog = load_catalog()
    entry, target = catalog.plugin("hier"), build_target(cell, catalog)
    operations = entry.load()(target, entry.options(**cell.options)).costs()["flops_per_draw"]
    costs = rough.rough_costs(plan.cells, None)
    assert list(costs) == [cell.cell_id]  # the reference counts no operations
    assert costs[cell.cell_id].seconds == pytest.approx((1000 + 4 * 50 * 64) * operations / RATE)
    timed = planned(plugins="hier", train_steps=None, train_seconds=30)
    (found,) = rough.rough_costs(timed.cells, None).values()
    assert found.seconds == pytest.approx(30 + 1000 * operations / RATE)


def test_the_estimate_leaves_random_numbers_alone(slow_machine):
    before = torch.random.get_rng_state()
    rough.rough_costs(planned(plugins="hier,van").cells, None)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_what_does_not_fit_is_named(slow_machine):
    fits = rough.rough_costs(planned(plugins="van").cells, 2**30)
    assert [cost.too_large for cost in fits.values()] == [""]
    (cost,) = rough.rough_costs(planned(plugins="van", sizes=64).cells, 2**20).values()
    assert cost.seconds is None
    assert cost.memory > 4 * 4 * 64**4  # weight, gradient and two moments of at least one weight for each pair of sites
    assert "the memory limit is 1 MiB" in cost.too_large
    lines = invoke("--plugins", "van", "--sizes", "64", "--memory-limit", "1M", "--estimate")
    assert any(line.startswith("does not fit: van-L64-") for line in lines)
    assert "estimated: 0 s for 0 of 2 cells, one after another" in lines


def test_earlier_times_grow_with_steps_and_draws(run):
    """The mean over the cells of the same kind, in proportion; another temperature and seed is the same kind."""
    rows = load([run]).rows
    (known, *_) = [row.cell for row in rows if (row.cell.plugin, row.cell.L) == ("hier", 4)]
    model = replace(known, seed=9, beta=0.3, draws=1000, budget=Budget(steps=50))
    same = [row.quantities for row in rows if (row.cell.plugin, row.cell.L) == ("hier", 4)]
    mean = {
        name: sum(each[name].value for each in same) / 2 for name in ("draw_s_per_1000", "compile_s", "train_step_s")
    }
    found = earlier_costs([model], rows)[model.cell_id]
    assert found.seconds == pytest.approx(mean["draw_s_per_1000"] + mean["compile_s"] + 50 * mean["train_step_s"])
    assert found.memory == round(max(each["peak_host_train_bytes"].value for each in same))
    assert found.too_large == ""
    assert "took" in earlier_costs([model], rows, memory_limit=1000)[model.cell_id].too_large
    other = replace(model, options={**known.options, "width": 7})
    assert earlier_costs([other], rows) == {}  # another kind


def test_the_command_shows_each_cell_and_the_sum(slow_machine, run):
    lines = invoke("--plugins", "hier,wolff", "--estimate")
    (of_model,) = [line for line in lines if line.startswith("hier-L4-")]
    assert "; about " in of_model
    assert "at least" in of_model
    assert sum("; time not known" in line for line in lines) == 2  # wolff as itself and as the reference
    assert any(line.startswith("estimated: ") and "for 1 of 3 cells" in line for line in lines)
    assert any(line.startswith("estimate rough: from operation counts") for line in lines)
    lines = invoke("--plugins", "hier,wolff", "--estimate", run.path)
    assert any(line.startswith("estimate from finished cells of the same kind") for line in lines)


def test_a_run_that_does_not_exist_gives_one_line(tmp_path):
    error = invoke("--plugins", "hier", "--estimate", tmp_path / "nowhere")
    assert isinstance(error, StoreError)
    assert "does not exist" in str(error)
