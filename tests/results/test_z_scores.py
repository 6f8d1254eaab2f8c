"""The census of z-scores: the cells and observables that count, and the bins."""

from pathlib import Path

import numpy as np
import pytest
from fakes.verdicts import Made, made_store

from nisbench.contract.records import Estimate, Status
from nisbench.results.cells import load
from nisbench.results.z_scores import COUNTED, binned, normal_counts, z_scores


def made(plugin: str, status: Status = Status.OK) -> Made:
    more = {
        "energy": Estimate(-1.5, 0.1, exact=-1.4),
        "entropy": Estimate(0.5, 0.1, exact=0.9),
        "susceptibility": Estimate(3.0, 0.5),  # no exact value
    }
    return Made(plugin, 8, cost=1e-6, more=more, status=status)


def test_trusted_cells_alone_without_the_entropy(tmp_path: Path):
    found = load([made_store(tmp_path / "run", made("wolff"), made("other", Status.UNTRUSTED))])
    assert z_scores(found) == pytest.approx((-1.0,))
    assert "entropy" not in COUNTED
    assert {"energy", "abs_magnetisation"} <= set(COUNTED)


def test_every_z_is_in_a_bin_and_the_outer_bins_have_the_rest():
    edges, counts = binned([-99.0, -4.0, -0.1, 0.0, 0.4, 3.99, 4.0, 1e9], 1.0, 4.0)
    assert edges == [-4, -3, -2, -1, 0, 1, 2, 3, 4]
    assert counts == [2, 0, 0, 1, 2, 0, 0, 3]


def test_counts_of_normal_z_scores_agree_with_the_expected_ones():
    """chi^2 over 16 bins of 20000 normal z-scores; scores that are 10 % too wide must fail."""
    zs = np.random.default_rng(7).standard_normal(20_000)

    def chi_squared(values: np.ndarray) -> float:
        edges, counts = binned(values.tolist(), 0.5, 4.0)
        expected = normal_counts(len(values), edges)
        assert sum(expected) == pytest.approx(len(values))
        return sum((count - mean) ** 2 / mean for count, mean in zip(counts, expected, strict=True))

    assert chi_squared(zs) < 38  # 15 degrees of freedom: exceeded by chance once in a thousand
    assert chi_squared(1.1 * zs) > 200
