"""The sampler to use for a number of samples: winners, ties, leads, and places without a choice."""

import math
from pathlib import Path

import numpy as np
import pytest
from fakes.verdicts import Made, made_store

from nisbench.contract.records import Status
from nisbench.results.advice import Advice, advice
from nisbench.results.cells import load
from nisbench.results.choices import COUNTS, choice, choices, total_times

WOLFF = Made("wolff", 8, cost=6e-6)


def at(path: Path, *cells: Made) -> Advice:
    [[only]] = advice(load([made_store(path, *cells)]))
    return only


def test_winner_total_and_lead_on_both_sides_of_the_break_even(tmp_path: Path):
    """hier: 12 s + 1 us n; wolff: 6 us n. They cross at 2.4 million."""
    found = at(tmp_path / "run", WOLFF, Made("hier", 8, ess=1.0, train_s=12.0))
    by_n = {one.n: one for one in choices(found)}
    assert tuple(by_n) == COUNTS
    assert [by_n[10.0**k].labels for k in range(3, 10)] == [("wolff",)] * 4 + [("hier",)] * 3
    assert {one.kind for one in by_n.values()} == {"clear"}
    assert by_n[1e6].total_s.value == pytest.approx(6.0)
    assert by_n[1e6].lead.value == pytest.approx(13 / 6)
    assert by_n[1e9].total_s.value == pytest.approx(1012.0)
    assert by_n[1e9].lead.value == pytest.approx(6000 / 1012)


@pytest.mark.parametrize("seed", range(3))
def test_choice_is_the_smallest_total_by_brute_force(tmp_path: Path, seed: int):
    rng = np.random.default_rng(seed)
    cells = [
        Made(f"m{k}", 8, ess=0.5, cost=10.0 ** rng.uniform(-7, -5), train_s=rng.uniform(0.1, 99)) for k in range(5)
    ]
    found = at(tmp_path / "run", WOLFF, *cells)
    lines = {"wolff": (0.0, 6e-6)} | {one.plugin: (one.train_s, one.cost) for one in cells}
    for one in choices(found):
        totals = {name: once + one.n * cost for name, (once, cost) in lines.items()}
        best = min(totals, key=totals.get)
        assert one.labels[0] == best
        assert one.total_s.value == pytest.approx(totals[best])
        assert set(one.labels[1:]) == {n for n, t in totals.items() if n != best and t <= 1.2 * totals[best]}


def test_totals_within_a_fifth_or_within_two_errors_tie(tmp_path: Path):
    near = at(tmp_path / "near", WOLFF, Made("other", 8, cost=6.6e-6), Made("third", 8, cost=1e-5))
    one = choice(near, 1e6)
    assert (one.kind, one.labels) == ("tie", ("wolff", "other"))
    assert one.lead.value == pytest.approx(10 / 6)
    rough = at(tmp_path / "rough", Made("wolff", 8, cost=6e-6, error=1.5e-6), Made("other", 8, cost=9e-6, error=1.5e-6))
    assert choice(rough, 1e6).kind == "tie"
    assert choice(rough, 1e6).lead is None
    precise = at(tmp_path / "precise", Made("wolff", 8, cost=6e-6, error=1e-7), Made("other", 8, cost=9e-6, error=1e-7))
    assert choice(precise, 1e6).kind == "clear"
    # 10 % is the assumed spread between processes
    assert choice(precise, 1e6).lead.error == pytest.approx(1.5 * math.hypot(1 / 60, 0.1, 1 / 90, 0.1))


def test_equal_cost_ties_only_once_the_training_has_paid_off(tmp_path: Path):
    found = at(tmp_path / "run", WOLFF, Made("hier", 8, ess=0.2, cost=6e-6, train_s=12.0))
    kinds = {one.n: one.kind for one in choices(found)}
    assert kinds[1e5] == "clear"
    assert kinds[1e9] == "tie"


def test_one_sampler_alone_one_trusted_and_nobody(tmp_path: Path):
    bad = Made("hier", 8, ess=0.2, train_s=12.0, status=Status.UNTRUSTED)
    alone = choice(at(tmp_path / "alone", WOLFF), 1e6)
    assert (alone.kind, alone.labels, alone.lead) == ("alone", ("wolff",), None)
    left = choice(at(tmp_path / "left", WOLFF, bad), 1e6)
    assert (left.kind, left.labels) == ("alone trusted", ("wolff",))
    nobody = choice(at(tmp_path / "nobody", bad), 1e6)
    assert (nobody.kind, nobody.best, nobody.total_s) == ("nobody", (), None)


def test_line_of_totals_uses_the_best_stop_and_the_error_of_the_cost(tmp_path: Path):
    history = ((0.5, 0.1), (1.5, 0.4), (4.0, 0.8), (12.0, 0.99))
    found = at(tmp_path / "run", WOLFF, Made("hier", 8, ess=1.0, error=1e-8, train_s=12.0, history=history))
    hier = next(rival for rival in found.contenders if rival.group.label == "hier")
    line = dict(total_times(hier))
    assert [min(line), max(line)] == pytest.approx([1e3, 1e9])
    assert hier.total_time(1e3).value == pytest.approx(1.5 + 2.5e-3)
    assert hier.total_time(1e9).value == pytest.approx(1012.0)
    assert hier.total_time(1e9).error == pytest.approx(math.hypot(10.0, 0.1 * 1000, 0.1 * 12))
    values = [total.value for total in line.values()]
    assert values == sorted(values)
