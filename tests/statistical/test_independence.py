"""Tests of independence, of draws against ln q and of the tail: they fire for their fault, and not for honest draws.

False alarms are counted over many seeds; each fault is seen with the stated number of draws.
"""

import math

import numpy as np
import pytest
from scipy.special import expit

from nisbench.statistics.flips import Flips, mirror_doubt, sample_exponent, site_scores
from nisbench.statistics.histograms import excess_distance
from nisbench.statistics.independence import correlated, repeated, repeated_beyond
from nisbench.statistics.tail import fit_shape, pareto_k, tail_quantities
from nisbench.statistics.weights import ess_fraction


def series(n, rng):
    """Energies of a few levels, a normal ln w, and a rare event."""
    return {
        "energy": 4.0 * rng.binomial(16, 0.2, n),
        "log_weight": rng.standard_normal(n),
        "rare": (rng.random(n) < 0.002).astype(float),
        "cauchy": rng.standard_cauchy(n),
    }


def test_independent_draws_are_not_accused():
    for seed in range(30):
        rng = np.random.default_rng([1, seed])
        assert correlated(series(int(rng.choice([50, 500, 5000, 20_000])), rng)) == []


@pytest.mark.slow
def test_independent_draws_are_not_accused_in_a_thousand_cells():
    for seed in range(1000):
        rng = np.random.default_rng([11, seed])
        assert correlated(series(5000, rng)) == []
        state, log_q = skewed(5000, rng)
        assert (repeated_beyond(state, log_q), repeated(state)) == (None, None)


@pytest.mark.parametrize("n", [1000, 20_000])
def test_pairs_and_repeated_calls_are_seen(n):
    rng = np.random.default_rng(2)
    half = series(n // 2, rng)
    (reason, *_) = correlated({"energy": np.repeat(half["energy"], 2)})
    assert "draws are not independent: " in reason
    (reason,) = correlated({"log_weight": np.tile(half["log_weight"], 2)})
    assert f"at a distance of {n // 2} draws" in reason


def test_slow_correlations_are_seen(ar1):
    """rho(t) = 0.05 exp(-t/20): no lag exceeds 6 errors of 10 000 draws by much, tau_int does."""
    rng = np.random.default_rng(3)
    slow = ar1(math.exp(-1 / 20), 20_000, 1, rng)[:, 0]
    assert correlated({"energy": math.sqrt(0.1) * slow + math.sqrt(0.9) * rng.standard_normal(20_000)})


def skewed(n, rng):
    """n numbers of states with q ~ 1/k^1.5 over 10^6 states, and ln q of each draw."""
    weight = np.arange(1, 10**6 + 1) ** -1.5
    q = weight / weight.sum()
    state = np.searchsorted(np.cumsum(q), rng.random(n) * q.sum())
    return state.astype(np.int64), np.log(q[np.minimum(state, len(q) - 1)])


def test_chance_repetitions_are_not_accused():
    """Half of these draws are repeated by chance."""
    for seed in range(8):
        state, log_q = skewed(20_000, np.random.default_rng([4, seed]))
        assert repeated_beyond(state, log_q) is None
        assert repeated(state) is None


def test_few_repetitions_are_seen():
    rng = np.random.default_rng(5)
    state, log_q = skewed(20_000, rng)
    rare = np.flatnonzero(19_999 * np.exp(log_q) < 0.01)[:100]
    state[rare[50:]] = state[rare[:50]]
    log_q[rare[50:]] = log_q[rare[:50]]
    assert "equal pairs of improbable configurations" in repeated_beyond(state, log_q)


def test_shuffled_pairs_are_seen_without_ln_q():
    rng = np.random.default_rng(6)
    state, _ = skewed(10_000, rng)
    assert "occur 2 times" in repeated(rng.permutation(np.repeat(np.unique(state), 2)))
    assert "occur 5 times, 0 occur 4 times" in repeated(np.tile(rng.integers(2**62, size=4096), 5))


def flips(exponent, m, k, rng, bias=0.0):
    """Draws of k independent spins with random fields; `bias` moves the sign of the magnetisation."""
    field = 2 * rng.standard_normal((m, k))
    spin = np.where(rng.random((m, k)) < expit(exponent * field), 1.0, -1.0)
    sign = np.where(rng.random(m) < 0.5 + bias, 1.0, -1.0)
    return Flips(-spin * field, np.zeros(m), sign)


def test_exponent_of_the_draws(covers):
    rng = np.random.default_rng(7)
    scores = [sample_exponent(flips(1.0, 1000, 4, rng)).z for _ in range(400)]
    assert covers(scores)
    assert max(map(abs, scores)) < 5
    found = sample_exponent(flips(1.05, 40_000, 4, rng))
    assert found.value == pytest.approx(1.05, abs=4 * found.error + 0.003)
    assert found.z > 5, "5 % in beta are 12 errors of 160 000 flips"


def test_one_mode_of_two_is_seen():
    rng = np.random.default_rng(8)
    assert all(mirror_doubt(flips(1.0, 2000, 1, rng)) is None for _ in range(200))
    assert "positive magnetisation" in mirror_doubt(flips(1.0, 2000, 1, rng, bias=0.1))


def test_scores_of_sites_are_chi_square():
    rng = np.random.default_rng(9)
    honest = [site_scores(flips(1.0, 2000, 16, rng).single) for _ in range(50)]
    assert np.mean(honest) == pytest.approx(16, abs=5 * math.sqrt(32 / 50))
    one_site = np.ones(16)
    one_site[3] = 1.2
    assert site_scores(flips(one_site, 50_000, 16, rng).single) > 70  # p < 1e-8


PUBLISHED = {"normal": 0.21243790112939773, "heavy": 0.881954971224374, "wide": 1.0964192013568064}
"""k of `arviz.psislw` 0.19.0 for the weights below."""


def weights_of_arviz():
    rng = np.random.default_rng(5)
    normal = 0.5 * rng.standard_normal(5000)
    heavy = np.log1p(rng.pareto(1.2, 5000))
    return {"normal": normal, "heavy": heavy, "wide": 3 * rng.standard_normal(2000)}


@pytest.mark.parametrize("name", PUBLISHED)
def test_shape_of_the_tail_is_that_of_arviz(name):
    assert pareto_k(weights_of_arviz()[name]).value == pytest.approx(PUBLISHED[name], rel=1e-9)


@pytest.mark.parametrize("k", [0.1, 0.4, 0.8, 1.2])
def test_shape_of_exact_pareto_tails(k):
    """400 excesses of known shape: the mean over 200 samples is within the weak prior's pull and 5 errors."""
    rng = np.random.default_rng(10)
    found = [fit_shape(np.sort((rng.random(400) ** -k - 1) / k)) for _ in range(200)]
    pull = 10 / 410 * abs(0.5 - k)
    assert abs(np.mean(found) - k) < pull + 5 * np.std(found) / math.sqrt(200)
    assert np.std(found) == pytest.approx((1 + k) / 20, rel=0.25)


def test_the_tail_of_nearly_equal_weights_is_not_judged():
    """k = 1 at any scale. ESS >= mean w/max w, so weights that exceed their mean by less than 1 % are never judged."""
    excess = np.random.default_rng(1).pareto(1.0, 10_000)
    for scale, least, most in ((4e-7, 0.9999, 1.0), (3e-4, 0.993, 0.995), (5e-4, 0.98, 0.985), (1.0, 0.0, 0.1)):
        log_weight = np.log1p(scale * excess)
        assert least < ess_fraction(log_weight).value <= most
        k = pareto_k(log_weight)
        if least > 0.99:
            assert "ess_fraction is at least 0.99" in k.reason
        else:
            assert k.value > 0.7


def test_tails_without_a_fit_have_reasons():
    assert "ess_fraction is at least 0.99" in pareto_k(np.full(100, 3.0)).reason
    assert "weights lie in the tail" in pareto_k(np.r_[np.zeros(999), 5.0]).reason
    assert all(
        np.isfinite(pareto_k(np.round(np.random.default_rng(i).standard_normal(500), 1)).value) for i in range(50)
    )


def test_ess_of_the_first_draws():
    """The heavy weight of a sample comes late: the first draws look better than all."""
    log_weight = np.zeros(1000)
    log_weight[900] = 5.0
    found = tail_quantities(log_weight)
    assert found["ess_fraction_tenth"].value == found["ess_fraction_half"].value == 1.0


def test_distance_of_histograms():
    rng = np.random.default_rng(11)
    scores = []
    for seed in range(100):
        same = excess_distance(4.0 * rng.binomial(20, 0.3, 5000), 4.0 * rng.binomial(20, 0.3, 1000), seed)
        scores.append(same.value / same.error)
    assert abs(np.mean(scores)) < 0.6
    assert max(scores) < 5
    other = excess_distance(4.0 * rng.binomial(20, 0.33, 5000), 4.0 * rng.binomial(20, 0.3, 1000), 1)
    assert other.value / other.error > 5, "a shift of 0.3 of the standard deviation"
    assert excess_distance(np.ones(50), np.ones(60), 1).error is None
