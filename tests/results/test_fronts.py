"""The Pareto front of training time and quality."""

from pathlib import Path

import numpy as np
from fakes.verdicts import Made, made_store

from nisbench.contract.records import Status
from nisbench.results.cells import load
from nisbench.results.fronts import front, measure_of, trained
from nisbench.results.groups import SeedGroup, grouped


def groups(path: Path, *cells: Made) -> tuple[SeedGroup, ...]:
    return grouped(load([made_store(path, *cells)]).contest)


def made(name: str, train_s: float, kl: float, **fields: object) -> Made:
    return Made(name, 8, ess=0.5, train_s=train_s, more={"kl_nats": kl}, **fields)


def labels(path: Path, *cells: Made) -> list[str]:
    found = groups(path, *cells)
    return [one.group.label for one in front(trained(found, measure_of(found)))]


def test_front_has_the_samplers_that_no_other_one_beats(tmp_path: Path):
    cells = [made("slow", 100.0, 0.01), made("fast", 1.0, 0.5), made("middle", 10.0, 0.1), made("beaten", 20.0, 0.2)]
    assert labels(tmp_path / "run", *cells) == ["fast", "middle", "slow"]


def test_front_by_brute_force(tmp_path: Path):
    rng = np.random.default_rng(5)
    cells = [made(f"m{k}", *(10.0 ** rng.uniform(-3, 3, 2))) for k in range(25)]
    losses = {one.plugin: (one.train_s, one.more["kl_nats"]) for one in cells}
    best = [n for n, (t, k) in losses.items() if not any(o < k and s <= 1.2 * t for s, o in losses.values())]
    assert labels(tmp_path / "run", *cells) == sorted(best, key=lambda n: losses[n][0])


def test_equal_budgets_are_compared_by_quality_alone(tmp_path: Path):
    """Negative control: by bare seconds, `worse` would be on the front, because its last step ended 0.1 ms earlier."""
    assert labels(tmp_path / "run", made("worse", 60.0, 0.5), made("better", 60.0001, 0.1)) == ["better"]


def test_untrusted_samplers_are_shown_but_beat_nobody(tmp_path: Path):
    found = groups(tmp_path / "run", made("good", 10.0, 0.1), made("bad", 1.0, 0.01, status=Status.UNTRUSTED))
    known = trained(found, measure_of(found))
    assert {one.group.label for one in known} == {"good", "bad"}
    assert [one.group.label for one in front(known)] == ["good"]


def test_without_a_kl_the_loss_is_one_minus_the_ess(tmp_path: Path):
    found = groups(tmp_path / "run", Made("hier", 8, ess=0.9, train_s=3.0), Made("wolff", 8, cost=1e-6))
    assert measure_of(found) == "ess_fraction"
    [only] = trained(found, "ess_fraction")
    assert (only.train_s, round(only.loss.value, 12), only.loss.error) == (3.0, 0.1, 1e-4)
