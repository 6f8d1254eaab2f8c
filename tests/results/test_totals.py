"""Total times with training, and the sampler with the smallest total for each number of samples."""

import math
from pathlib import Path

import numpy as np
import pytest
from fakes.verdicts import Made, made_store

from nisbench.results.break_even import best_break_even, break_even_of
from nisbench.results.cells import Results, load
from nisbench.results.groups import SeedGroup, grouped
from nisbench.results.totals import FEWEST, contenders, spans, stops_of
from nisbench.statistics.effective import history_error


def results(path: Path, *cells: Made) -> Results:
    return load([made_store(path, *cells)])


def groups(found: Results) -> dict[str, SeedGroup]:
    return {group.label: group for group in grouped(found.contest)}


@pytest.mark.parametrize("seed", range(5))
def test_winner_has_the_smallest_total_for_every_number_of_samples(tmp_path: Path, seed: int):
    """Against brute force on a grid. The costs differ by more than 20 %, so that no two of them tie."""
    rng = np.random.default_rng(seed)
    costs = 1e-6 * 1.5 ** rng.permutation(5)
    cells = [Made("chain", 8, cost=1e-5)]
    cells += [Made(f"m{k}", 8, ess=0.5, cost=c, train_s=float(rng.uniform(1, 100))) for k, c in enumerate(costs)]
    rivals = contenders(groups(results(tmp_path / "run", *cells)).values())
    found = spans(rivals)
    assert [found[0].first.value, found[-1].last.value] == [FEWEST, math.inf]
    for n in np.geomspace(2 * FEWEST, 1e12, 300):
        span = next(span for span in found if (span.first.value or 0.0) <= n <= (span.last.value or 0.0))
        assert span.winner.total(n) == pytest.approx(min(rival.total(n) for rival in rivals))
        assert span.tied == ()


def test_crossing_of_the_baseline_is_the_break_even(tmp_path: Path):
    found = results(tmp_path / "run", Made("wolff", 8, cost=6e-6), Made("hier", 8, ess=0.5, train_s=12.0))
    first, second = spans(contenders(groups(found).values()))
    assert (first.winner.group.label, second.winner.group.label) == ("wolff", "hier")
    assert first.last == second.first
    assert first.last.value == pytest.approx(12 / 4e-6)
    known = break_even_of(found, groups(found)["hier"])
    assert known is not None
    assert [known.value, known.error] == pytest.approx([first.last.value, first.last.error])


def test_preparation_counts_in_the_total(tmp_path: Path):
    slow = Made("slow", 8, cost=2e-6, more={"prepare_s": 8.0})
    found = spans(contenders(groups(results(tmp_path / "run", Made("wolff", 8, cost=6e-6), slow)).values()))
    assert [span.winner.group.label for span in found] == ["wolff", "slow"]
    assert found[0].last.value == pytest.approx(8 / 4e-6)


def test_best_stop_needs_the_fewest_samples(tmp_path: Path):
    """min over stops of t/(6 us - 1 us/ESS): 1.5/(6 - 2.5) us, 4/(6 - 1.25) us, 12/(6 - 1) us."""
    history = ((0.5, 0.1), (1.5, 0.4), (4.0, 0.8), (12.0, 0.99))
    hier = Made("hier", 8, ess=1.0, train_s=12.0, history=history)
    found = results(tmp_path / "run", Made("wolff", 8, cost=6e-6), hier)
    group = groups(found)["hier"]
    assert [stop.train_s for stop in stops_of(group)] == [1.5, 4.0, 12.0]  # ESS 0.1 from 512 draws is not usable
    best = best_break_even(found, group)
    assert best is not None
    assert best[1].train_s == 1.5
    assert best[0].value == pytest.approx(1.5 / 3.5e-6)
    whole = break_even_of(found, group)
    assert whole is not None
    assert whole.value == pytest.approx(12 / 5e-6)
    assert spans(contenders(groups(found).values()))[0].last.value == pytest.approx(best[0].value)


def test_stops_are_means_over_the_seeds_at_a_common_step(tmp_path: Path):
    one = Made("hier", 8, ess=0.9, train_s=9.0, history=((1.0, 0.5), (2.0, 0.8), (4.0, 0.9)))
    two = Made("hier", 8, ess=0.9, train_s=9.0, history=((3.0, 0.4), (4.0, 0.8)), seed=2)
    stops = stops_of(groups(results(tmp_path / "run", one, two))["hier"])
    assert [stop.train_s for stop in stops] == [2.0, 3.0, 9.0]
    assert stops[0].cost.value == pytest.approx((2.0e-6 + 2.5e-6) / 2)
    assert [stop.whole for stop in stops] == [False, False, True]


@pytest.mark.parametrize(
    "changed",
    [{"basis": "ess_fraction_p", "ess_p": 0.9}, {"ess_p": 0.5}, {"basis": "tau_int", "cost": 2e-6}],
    ids=str,
)
def test_history_of_doubtful_sides_is_not_used(tmp_path: Path, changed: dict):
    hier = Made("hier", 8, ess=0.9, train_s=9.0, history=((1.0, 0.8),), **changed)
    assert len(stops_of(groups(results(tmp_path / "run", hier))["hier"])) == 1


def test_history_is_used_where_two_tau_int_gives_the_same_cost(tmp_path: Path):
    hier = Made("hier", 8, ess=0.9, train_s=9.0, history=((1.0, 0.8),), basis="tau_int", cost=1.2e-6)
    assert [stop.train_s for stop in stops_of(groups(results(tmp_path / "run", hier))["hier"])] == [1.0, 9.0]


def test_error_of_the_ess_of_a_history_by_simulation():
    """Gaussian ln w with ESS 0.7: the spread of the ESS of 2000 evaluations with 512 draws each."""
    rng, n = np.random.default_rng(3), 512
    weights = np.exp(math.sqrt(-math.log(0.7)) * rng.standard_normal((2000, n)))
    ess = weights.sum(axis=1) ** 2 / (n * (weights**2).sum(axis=1))
    assert np.std(ess) / np.mean(ess) == pytest.approx(history_error(0.7, n), rel=0.1)
    assert history_error(0.0, n) == history_error(1e-300, n) == math.inf
    assert history_error(1.0, n) == 0.0
