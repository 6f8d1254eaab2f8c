"""Times to reach a goal from training histories: noise, seeds, and goals that are never reached."""

import math
from pathlib import Path

import pytest
from fakes.verdicts import Made, made_store

from nisbench.contract.records import Status
from nisbench.results.cells import load
from nisbench.results.groups import SeedGroup, grouped
from nisbench.results.histories import GOALS, Goal, mean_history, reach

HALF = Goal("ess_fraction", 0.5)


def group(path: Path, *histories: tuple[tuple[float, float], ...], **fields: object) -> SeedGroup:
    cells = [
        Made("hier", 8, **{"ess": 0.9, "train_s": 8.0, "history": history, "seed": seed} | fields)
        for seed, history in enumerate(histories, 1)
    ]
    [only] = grouped(load([made_store(path, *cells)]).contest)
    return only


def test_goals_are_met_from_the_better_side():
    assert [(goal.quantity, goal.value, goal.sign) for goal in GOALS] == [
        ("kl_nats", 0.1, "≤"),
        ("kl_nats", 0.01, "≤"),
        ("ess_fraction", 0.5, "≥"),
        ("ess_fraction", 0.9, "≥"),
    ]
    assert GOALS[0].met(0.1)
    assert not GOALS[0].met(0.11)
    assert HALF.met(0.5)
    assert not HALF.met(0.49)


def test_one_lucky_evaluation_does_not_count(tmp_path: Path):
    """Negative control: the first evaluation that meets the goal is at 1 s, and the training gets there at 4 s."""
    history = ((1.0, 0.6), (2.0, 0.3), (4.0, 0.55), (8.0, 0.7))
    found = reach(group(tmp_path / "run", history), HALF)
    assert found is not None
    assert (found.time_s.value, found.time_s.error, found.open) == (4.0, None, False)


def test_time_is_the_mean_over_seeds_with_its_spread(tmp_path: Path):
    one = ((1.0, 0.1), (2.0, 0.6), (4.0, 0.7))
    two = ((1.5, 0.1), (3.0, 0.2), (6.0, 0.7), (8.0, 0.8))
    found = reach(group(tmp_path / "run", one, two), HALF)
    assert found is not None
    assert found.time_s.value == pytest.approx(4.0)
    assert found.time_s.error == pytest.approx(2.0)  # 2 s and 6 s: sd 2.83/sqrt(2)
    assert (found.reached, found.seeds, found.open) == (2, 2, False)


def test_a_seed_that_never_reaches_the_goal_leaves_the_end_open(tmp_path: Path):
    one = ((1.0, 0.1), (2.0, 0.6), (4.0, 0.7), (5.0, 0.6))
    never = ((1.0, 0.1), (2.0, 0.1), (7.5, 0.6))  # the last evaluation alone meets it, and the cell's own draws do not
    found = reach(group(tmp_path / "run", one, never, ess=0.45), HALF)
    assert found is not None
    assert (found.time_s.value, found.time_s.error) == (7.5, None)
    assert (found.reached, found.seeds, found.open) == (1, 2, True)


def test_the_draws_of_the_cell_replace_the_last_evaluation(tmp_path: Path):
    """They decide alone. Where the cell has no number, the last evaluation still needs a second one."""
    history = ((1.0, 0.1), (2.0, 0.6), (4.0, 0.1))
    late = reach(group(tmp_path / "late", ((1.0, 0.6), (2.0, 0.1), (4.0, 0.1))), HALF)
    both = reach(group(tmp_path / "both", history), HALF)
    lucky = reach(group(tmp_path / "lucky", ((1.0, 0.1), (4.0, 0.9)), ess=0.1), HALF)
    unknown = reach(group(tmp_path / "unknown", history, kl=True), Goal("kl_nats", -math.log(0.5)))
    at_end = reach(group(tmp_path / "end", ((1.0, 0.1), (4.0, 0.9)), kl=True), Goal("kl_nats", -math.log(0.5)))
    found = [one and (one.time_s.value, one.open) for one in (late, both, lucky, unknown, at_end)]
    assert found == [(4.0, False), (2.0, False), (4.0, True), (4.0, True), (4.0, True)]


def test_no_history_no_quantity_no_cell(tmp_path: Path):
    assert reach(group(tmp_path / "none", ()), HALF) is None
    assert reach(group(tmp_path / "other", ((1.0, 0.9),)), GOALS[0]) is None
    assert reach(group(tmp_path / "failed", ((1.0, 0.9),), status=Status.FAILED), HALF) is None


def test_history_is_the_mean_at_common_steps(tmp_path: Path):
    found = group(tmp_path / "run", ((1.0, 0.2), (2.0, 0.4), (4.0, 0.6)), ((2.0, 0.4), (3.0, 0.8)))
    first, second = mean_history(found, "ess_fraction")
    assert first == pytest.approx((1.5, 0.3))
    assert second == pytest.approx((2.5, 0.6))
    assert mean_history(found, "kl_nats") == ()
