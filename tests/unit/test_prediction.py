"""The start of the skip matrix: correlations of the critical torus and the linear prediction from them."""

import math

import pytest
import torch

from nisbench.nn.hierarchy import Level, known_neighbours, levels
from nisbench.nn.prediction import CRITICAL_BETA, RIDGE, critical_correlation, predicting_weights
from nisbench.physics.enumeration import all_spins
from nisbench.physics.ising import Ising
from nisbench.physics.kaufman import energy_per_site, log_z
from nisbench_plugins.hier_exact import HierExact
from nisbench_plugins.registration import HierExactOptions

SIZES = [8, 16, 64, 256]


def test_correlations_of_a_small_torus() -> None:
    """Sums over all states at L = 4."""
    spins = torch.from_numpy(all_spins(4)).double()  # (2^16, 4, 4)
    weight = torch.softmax(-CRITICAL_BETA * Ising(4).energy(spins), 0)
    exact = (weight[:, None, None] * spins * spins[:, :1, :1]).sum(0)
    torch.testing.assert_close(critical_correlation(4), exact, rtol=0.03, atol=0)


@pytest.mark.parametrize("L", SIZES)
def test_correlation_of_neighbours_is_the_exact_energy(L: int) -> None:
    neighbours = -energy_per_site(L, CRITICAL_BETA) / 2
    found = critical_correlation(L)
    assert float(found[0, 1]) == pytest.approx(neighbours, rel=0.02)
    torch.testing.assert_close(found, found.T)
    torch.testing.assert_close(found, found.roll(-1, 0).flip(0))  # r and -r


def _correlations(level: Level, L: int) -> torch.Tensor:
    """(N, N) of the border and the drawn sites of block 0, with the ridge."""
    sites = torch.cat([level.border[:, 0], level.drawn[:, 0]])
    row, column = sites // L, sites % L
    found = critical_correlation(L)[(row[:, None] - row) % L, (column[:, None] - column) % L]
    return found + RIDGE * torch.eye(len(found))


@pytest.mark.parametrize("lines", [1, 2])
def test_errors_of_the_prediction_are_uncorrelated_with_the_spins_before(lines: int) -> None:
    L = 16
    for level in levels(L, lines=lines, smallest=4):
        correlations, n_border = _correlations(level, L), len(level.border)
        weights = predicting_weights(level, L).double()
        for k in range(len(level.drawn)):
            before = slice(n_border + k)
            assert not weights[k, n_border + k :].any()
            if not n_border + k:
                continue
            best = torch.linalg.solve(correlations[before, before], correlations[before, n_border + k])
            rho = float(best @ correlations[before, n_border + k] / (1 + RIDGE)) ** 0.5
            expected = best * math.atanh(rho) / rho / CRITICAL_BETA
            torch.testing.assert_close(weights[k, before], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("L", [128])
def test_correlations_of_every_level_are_positive_definite(L: int) -> None:
    for level in levels(L, smallest=8):
        assert bool(torch.isfinite(predicting_weights(level, L)).all())


def _divergence(L: int, start: str) -> float:
    """KL(q||p) before training, with 2000 draws."""
    model = HierExact(Ising(L), HierExactOptions(start=start))  # type: ignore[arg-type]
    beta = CRITICAL_BETA
    draws = model.sample(2000, beta=beta, generator=torch.Generator().manual_seed(1))
    return log_z(L, beta) + float((beta * model.target.energy(draws.spins) + draws.log_prob).mean())


def test_the_prediction_is_the_better_start() -> None:
    assert 0 < _divergence(32, "prediction") < _divergence(32, "neighbours") / 2


def test_the_prediction_uses_more_than_the_neighbours() -> None:
    (frame,) = levels(8)[:1]
    assert (predicting_weights(frame, 8) != 0).sum() > 4 * (known_neighbours(frame, 8) != 0).sum()
