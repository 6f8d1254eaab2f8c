"""Log-normal weights, where all is known: ln w = sigma x - sigma^2/2 with x normal has Z = 1, ess = exp(-sigma^2).

Under p the same x is normal about sigma, so KL(p||q) = sigma^2/2 and the p side can be drawn exactly.
"""

import math

import numpy as np
import pytest

from nisbench.statistics.autocorrelation import gamma_method
from nisbench.statistics.estimate import blocked_error
from nisbench.statistics.weights import ess_fraction, ess_fraction_p, kl_forward, log_z, log_z_p, nmcmc, self_normalised


def log_weights(ess, n, rng):
    """x and ln w of n draws of q."""
    sigma = math.sqrt(-math.log(ess))
    x = rng.standard_normal(n)
    return x, sigma * x - sigma**2 / 2, sigma


@pytest.mark.parametrize(("ess", "n"), [(0.95, 2_000), (0.5, 2_000), (0.2, 20_000)])
def test_errors_of_the_q_side_are_honest(ess, n, covers):
    """ln Z, ess and a self-normalised mean. The bar of ess rests on fourth moments of w, hence more slack for it."""
    rng = np.random.default_rng(71)
    z, ratio, mean, naive = [], [], [], []
    for _ in range(500):
        x, log_weight, sigma = log_weights(ess, n, rng)
        ln_z, fraction = log_z(log_weight, 1), ess_fraction(log_weight)
        energy = self_normalised(log_weight, x, np.ones(n), beta=1.0, n_sites=1, exact={"energy": sigma})["energy"]
        z.append(ln_z.value / ln_z.error)
        ratio.append((fraction.value - ess) / fraction.error)
        mean.append(energy.z)
        naive.append((energy.value - sigma) / (x.std() / math.sqrt(n)))
    assert covers(z)
    assert covers(mean, slack=0.02)
    assert covers(ratio, slack=0.0 if ess > 0.9 else 0.1)
    if ess < 0.9:
        assert not covers(naive, slack=0.02)  # negative control: weighted draws taken for n independent ones


def test_ess_with_its_error_sees_two_per_cent():
    """Power: at ess = 0.9 and n = 1e5 the error is 0.3 %, so 2 % in ess is seen at an expected z above 5."""
    _, log_weight, _ = log_weights(0.9, 100_000, np.random.default_rng(72))
    found = ess_fraction(log_weight)
    assert abs(found.value - 0.9) < 5 * found.error
    assert found.error < 0.02 * 0.9 / 5
    wrong = ess_fraction(log_weight * 1.15)  # sigma 15 % too large
    assert abs(wrong.value - 0.9) > 5 * wrong.error


def correlated_reference(ess, n_chains, length, a, ar1, rng):
    """ln w of configurations of p: chains with autocorrelation a."""
    sigma = math.sqrt(-math.log(ess))
    x = ar1(a, length, n_chains, rng) + sigma
    return (sigma * x - sigma**2 / 2).T.ravel(), np.repeat(np.arange(n_chains), length)


@pytest.mark.parametrize(("ess", "n_chains", "length"), [(0.9, 8, 125), (0.5, 4, 500), (0.7, 3, 333)])
def test_errors_of_the_p_side_are_honest(ess, n_chains, length, ar1, covers):
    """Thinned chains keep a correlation of e^-1 or so between neighbours; blocks of ten take it up but for 5 %."""
    rng, scores, plain = np.random.default_rng(73), {"z": [], "ess": [], "ess without Z": [], "kl": []}, []
    for _ in range(600):
        log_weight, chain = correlated_reference(ess, n_chains, length, 0.37, ar1, rng)
        ln_z = log_z_p(log_weight, chain, 1)
        exact, blind = ess_fraction_p(log_weight, chain, 0.0), ess_fraction_p(log_weight, chain, None)
        kl = kl_forward(log_weight, chain, 0.0, 1)
        scores["z"].append(ln_z.value / ln_z.error)
        scores["ess"].append((exact.value - ess) / exact.error)
        scores["ess without Z"].append((blind.value - ess) / blind.error)
        scores["kl"].append((kl.value + math.log(ess) / 2) / kl.error)
        plain.append((kl.value + math.log(ess) / 2) / (log_weight.std() / math.sqrt(len(log_weight))))
    for name, values in scores.items():
        assert covers(values, slack=0.05), name
    assert not covers(plain, slack=0.05)  # negative control: configurations taken for independent


def test_blocks_never_span_two_chains():
    """Chains that differ by a constant: the whole variance is between chains, and the blocks must see all of it."""
    level = np.repeat([0.0, 1.0, 2.0, 3.0], 250)
    chain = np.repeat(np.arange(4), 250)
    assert blocked_error(level, chain) == pytest.approx(level.std() / math.sqrt(len(level) / 10), rel=0.01)
    assert blocked_error(level, np.zeros(1000, dtype=int)) == pytest.approx(blocked_error(level, chain), rel=0.01)


def test_blocks_follow_the_chains_in_whatever_order_they_are_stored(ar1):
    """References are kept draw by draw, all chains in turn."""
    rng = np.random.default_rng(76)
    series = ar1(0.6, 500, 8, rng)  # (draw, chain)
    number = np.arange(8)
    by_chain = blocked_error(series.T.ravel(), np.repeat(number, 500))
    in_turn = blocked_error(series.ravel(), np.tile(number, 500))
    assert in_turn == pytest.approx(by_chain, rel=1e-12)
    assert by_chain > 1.5 * series.std() / math.sqrt(series.size)  # sqrt((1 + 0.6)/(1 - 0.6)) = 2 without end


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.0])
def test_nmcmc_samples_p(sigma):
    """acceptance = erfc(sigma/2); the chain's <x> is sigma, which accepting everything misses by 100 errors."""
    rng = np.random.default_rng(74)
    x = rng.standard_normal(200_000)
    chain = nmcmc(sigma * x, rng)
    visited = x[chain.state_index]
    tau = gamma_method(visited)
    error = math.sqrt(2 * tau.tau_int / tau.n)
    rate, tau_rate = chain.acceptance_rate, gamma_method(chain.accepted.astype(float))
    assert abs(rate - math.erfc(sigma / 2)) < 5 * math.sqrt(2 * tau_rate.tau_int * rate * (1 - rate) / len(x))
    assert abs(visited.mean() - sigma) < 5 * error
    assert abs(x.mean() - sigma) > 5 * error  # negative control: every proposal accepted
    wrong = nmcmc(1.05 * sigma * x, rng)  # negative control: weights 5 % off, 0.05 sigma in <x>
    if sigma == 1.0:
        assert abs(x[wrong.state_index].mean() - sigma) > 5 * error
