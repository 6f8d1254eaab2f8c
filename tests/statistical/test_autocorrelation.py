"""The Gamma method on AR(1) series, whose tau_int is (1 + a)/(2 (1 - a)), and against pyerrors and emcee."""

import warnings

import emcee
import numpy as np
import pytest

from nisbench.errors import TooShort
from nisbench.statistics.autocorrelation import gamma_method
from nisbench.statistics.estimate import chain_mean, chain_observables


def tau_of(a):
    return (1 + a) / (2 * (1 - a))


@pytest.mark.parametrize(
    ("a", "n", "n_chains"),
    [(0.0, 100_000, 1), (0.5, 100_000, 1), (0.9, 200_000, 1), (0.9, 25_000, 8), (0.99, 50_000, 8)],
)
def test_tau_of_ar1(a, n, n_chains, ar1):
    """Within 5 errors. The error is about 4 % at a = 0.9, so a factor of two (the other convention) is 20 of them."""
    found = gamma_method(ar1(a, n, n_chains, np.random.default_rng(11)))
    assert found.trusted
    assert found.error < 0.12 * found.tau_int
    assert abs(found.tau_int - tau_of(a)) < 5 * found.error
    assert abs(found.tau_int - 2 * tau_of(a)) > 5 * found.error  # negative control: 1 + 2 sum
    assert found.ess == pytest.approx(n * n_chains / (2 * found.tau_int))


def test_long_memory_is_found_or_refused(ar1):
    """tau = 999.5: found in 2e6 draws, refused in 2e4, where the window can see a fraction of it only."""
    found = gamma_method(ar1(0.999, 2_000_000, 1, np.random.default_rng(5))).checked()
    assert abs(found.tau_int - 999.5) < 5 * found.error
    with pytest.raises(TooShort, match=r"shorter than 50 tau_int; tau_int = \d+") as refusal:
        gamma_method(ar1(0.999, 20_000, 1, np.random.default_rng(5))).checked()
    assert refusal.value.estimate > 100


def test_error_of_tau_is_honest(ar1, covers):
    rng = np.random.default_rng(21)
    found = [gamma_method(ar1(0.8, 5_000, 4, rng)) for _ in range(800)]
    assert covers([(f.tau_int - tau_of(0.8)) / f.error for f in found], slack=0.03)
    assert not covers([(f.tau_int - tau_of(0.8)) / (f.error / 2) for f in found], slack=0.03)


@pytest.mark.parametrize(("a", "n", "n_chains"), [(0.0, 500, 1), (0.9, 1_000, 1), (0.9, 500, 4), (0.6, 300, 8)])
def test_error_of_the_mean_is_honest(a, n, n_chains, ar1, covers):
    """Short of 50 tau_int or just about: the bar may be a few per cent too small there, hence the slack."""
    rng = np.random.default_rng(31)
    series = [ar1(a, n, n_chains, rng) for _ in range(800)]
    assert covers([chain_mean(x).value / chain_mean(x).error for x in series], slack=0.02)
    if a > 0:  # negative control: draws taken for independent
        assert not covers([x.mean() / (x.std() / np.sqrt(x.size)) for x in series], slack=0.02)


def test_chains_share_the_common_mean(ar1):
    """Chains at levels of their own: about its own mean each looks fine, about the common one none is trusted."""
    rng = np.random.default_rng(41)
    series = ar1(0.5, 5_000, 8, rng) + 3 * rng.standard_normal(8)
    together = gamma_method(series)
    assert together.tau_int > 100
    assert not together.trusted
    apart = [gamma_method(x) for x in series.T]  # negative control: what the common mean is for
    assert all(x.trusted and x.tau_int < 3 for x in apart)


def test_stuck_chain_among_moving_ones(ar1):
    series = ar1(0.5, 2_000, 4, np.random.default_rng(42))
    assert gamma_method(series).trusted
    series[:, 2] = 1.3
    stuck = gamma_method(series)
    assert np.isinf(stuck.tau_int)
    assert stuck.ess == 0
    assert not stuck.trusted


def test_chain_that_freezes_half_way(ar1):
    series = ar1(0.5, 4_000, 1, np.random.default_rng(43))
    series[2_000:] = 1.5
    assert not gamma_method(series).trusted


@pytest.mark.parametrize("a", [0.0, 0.5, 0.9, 0.97])
def test_pyerrors_agrees(a, ar1):
    """The same method written by others: same window, tau_int and error of the mean to a percent."""
    series = ar1(a, 50_000, 1, np.random.default_rng(51))[:, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports scipy.odr, which is deprecated
        import pyerrors
    theirs = pyerrors.Obs([series], ["chain"])
    theirs.gamma_method(S=1.5)
    ours = gamma_method(series)
    assert ours.window == pytest.approx(theirs.e_windowsize["chain"], abs=1)
    assert ours.tau_int == pytest.approx(theirs.e_tauint["chain"], rel=0.01)
    assert chain_mean(series).error == pytest.approx(theirs.dvalue, rel=0.01)
    assert ours.error == pytest.approx(theirs.e_dtauint["chain"], rel=0.05)


def test_emcee_prints_twice_this(ar1):
    series = ar1(0.9, 50_000, 4, np.random.default_rng(52))
    theirs = float(emcee.autocorr.integrated_time(series[:, :, None], c=5)[0])
    ours = gamma_method(series)
    assert abs(theirs / 2 - ours.tau_int) < 3 * ours.error
    assert abs(theirs - ours.tau_int) > 5 * ours.error  # negative control: the factor of two is there


def test_anticorrelated_draws_count_as_independent(ar1):
    found = gamma_method(ar1(-0.9, 20_000, 1, np.random.default_rng(53)))
    assert found.tau_int == pytest.approx(0.5, rel=1e-3)


@pytest.mark.timeout(120)  # 0.3 s on one idle core; a sum over lags would take an hour
def test_a_million_draws_in_a_second(ar1):
    series = ar1(0.9, 1_000_000, 1, np.random.default_rng(54))
    assert gamma_method(series).tau_int == pytest.approx(9.5, rel=0.05)


def test_errors_of_observables_are_honest(ar1, covers):
    """Energies and magnetisations of known distribution: Gaussian, tau 4.5 draws and 1.5 draws."""
    rng, n_sites, beta = np.random.default_rng(61), 64, 0.4
    scores = {
        name: [] for name in ("energy", "abs_magnetisation", "specific_heat", "susceptibility", "binder_cumulant")
    }
    independent = []
    for _ in range(600):
        energy = 10 * ar1(0.8, 1_000, 4, rng) - 90
        magnetisation = 8 * ar1(0.5, 1_000, 4, rng)
        found = chain_observables(energy, magnetisation, beta=beta, n_sites=n_sites, exact={})
        truth = {
            "energy": -90 / 64,
            "abs_magnetisation": 8 / 64 * np.sqrt(2 / np.pi),
            "specific_heat": beta**2 * 100 / 64,
            "susceptibility": beta * 64 / 64 * (1 - 2 / np.pi),
            "binder_cumulant": 0.0,
        }
        for name, values in scores.items():
            values.append((found[name].value - truth[name]) / found[name].error)
        independent.append(
            (found["specific_heat"].value - truth["specific_heat"])
            / (beta**2 / 64 * energy.var() * np.sqrt(2 / energy.size))
        )
    for name, values in scores.items():
        assert covers(values, slack=0.02), name
    assert not covers(independent, slack=0.02)  # negative control: error of a variance of independent draws
