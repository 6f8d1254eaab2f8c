"""A run grows: finished cells are kept, a longer training continues, and another plan is still refused."""

import pytest
from fakes.runs import cell_of, run_here

from nisbench.contract.records import Budget
from nisbench.errors import StoreError
from nisbench.harness.grow import extend, predecessor
from nisbench.harness.selection import select_plan
from nisbench.harness.store import Store


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """A run of 20 steps, then of 30 steps with another seed; the results of the first cell before and after."""
    folder = tmp_path_factory.mktemp("grow") / "r"
    store = run_here(folder, plugins="van", train_steps=20, draws=1000)
    first = cell_of(store)
    file = store.files(first.cell_id).folder / "result.json"
    before = file.read_bytes()
    run_here(folder, plugins="van", train_steps=30, seeds="1,2", draws=1000)
    return store, first, before, file.read_bytes()


def test_finished_cells_are_kept(grown):
    store, _, before, after = grown
    assert before == after
    budgets = sorted((cell.seed, cell.budget.steps) for cell in store.cells())
    assert budgets == [(1, 20), (1, 30), (2, 30)]
    (group,) = store.plan()["groups"]
    assert set(group["cells"]) == {cell.cell_id for cell in store.cells()}
    assert group["seeds"] == [1, 2]


def test_a_longer_budget_continues_the_checkpoint(grown):
    store, first, _, _ = grown
    longer = cell_of(store, seed=1, budget=Budget(steps=30))
    history = store.history(longer.cell_id)
    assert history[: len(store.history(first.cell_id))] == store.history(first.cell_id)
    assert history[-1]["step"] == 30
    assert f"continued from cell {first.cell_id} (20 steps)" in store.result(longer.cell_id).notes["training"]
    other = cell_of(store, seed=2)
    assert "training" not in store.result(other.cell_id).notes


def test_more_draws_train_no_second_time(grown):
    store, *_ = grown
    run_here(store.path, plugins="van", train_steps=20, draws=1500)
    more = cell_of(store, draws=1500)
    first = cell_of(store, draws=1000, budget=Budget(steps=20))
    seconds = [store.result(cell.cell_id).quantities["train_s"].value for cell in (first, more)]
    assert seconds[0] == seconds[1]  # of the checkpoint
    assert store.result(more.cell_id).quantities["train_steps"].value == 20


def test_only_a_shorter_training_of_the_same_settings_is_continued(grown):
    _, first, _, _ = grown
    plan = select_plan(None, device="cpu", plugins="van", sizes=4, beta=0.3, reference="none", train_steps=10)
    assert predecessor(cell_of_plan(plan), [first]) is None  # a shorter budget
    plan = select_plan(None, device="cpu", plugins="van", sizes=4, beta=0.4, reference="none", train_steps=30)
    assert predecessor(cell_of_plan(plan), [first]) is None  # another beta
    plan = select_plan(None, device="cpu", plugins="van", sizes=4, beta=0.3, reference="none", train_seconds=30)
    assert predecessor(cell_of_plan(plan), [first]) is None  # another unit
    plan = select_plan(None, device="cpu", plugins="van", sizes=4, beta=0.3, reference="none", train_steps=30)
    assert predecessor(cell_of_plan(plan), [first]) == first


def cell_of_plan(plan):
    (cell,) = plan.cells
    return cell


def test_a_plan_of_another_name_is_refused(grown):
    store, *_ = grown
    before = store.plan()
    with pytest.raises(StoreError, match="holds another plan"):
        extend(store, select_plan("quick", device="cpu"), "test")
    assert Store.open(store.path).plan() == before
