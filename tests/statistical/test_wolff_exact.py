"""`wolff` against exact values, with stated power: a sampler at a beta 2 % too large must fail each check.

A shift of beta by 2 % moves the energy by 0.02 sqrt(C N ESS) standard errors, C the specific heat. Every check first
asserts that the ESS is large enough for 8 of them, then that the deviation is below 5.
"""

import numpy as np
import pytest
import torch
from fakes.samplers import HeatBath, HeatBathOptions
from scipy.stats import chi2

from nisbench.physics import enumeration
from nisbench.physics.ising import Ising
from nisbench.physics.kaufman import BETA_CRITICAL, exact_values
from nisbench.statistics.autocorrelation import gamma_method
from nisbench.statistics.estimate import chain_observables
from nisbench_plugins.registration import WolffOptions
from nisbench_plugins.wolff import Wolff

DRAWS = {4: 40_000, 8: 20_000, 16: 15_000}
"""Per chain, of 8."""
BETAS = [0.3, 0.44, BETA_CRITICAL, 0.5]
SHIFT = 1.02


def series_of(size, beta, n, seed=1, **options):
    generator = torch.Generator().manual_seed(seed)
    wolff = Wolff(Ising(size), WolffOptions(**options))
    wolff.prepare(beta=beta, generator=generator)
    return wolff.draw_series(n, generator=generator)


def estimates(size, beta, sampled_at):
    """Estimates from draws at `sampled_at` beside the exact values at `beta`, and the ESS of the energy."""
    series = series_of(size, sampled_at, DRAWS[size])
    exact = exact_values(size, beta)
    if size == 4:
        exact = enumeration.exact_values(4, beta)
    found = chain_observables(series.energy, series.magnetisation, beta=beta, n_sites=size**2, exact=exact)
    ess = gamma_method(series.energy).ess
    needed = (8 / (SHIFT - 1)) ** 2 / (exact["specific_heat"] * size**2)
    assert ess > needed, f"ESS {ess:.0f}, {needed:.0f} are needed to see 2 % in beta with 8 standard errors"
    return found


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("size", DRAWS)
def test_observables_are_the_exact_ones(size, beta):
    found = estimates(size, beta, beta)
    names = ["energy", "specific_heat"]
    if size == 4:
        names += ["abs_magnetisation", "susceptibility", "binder_cumulant"]
    for name in names:
        assert abs(found[name].z) < 5, f"{name}: {found[name]}, z = {found[name].z}"


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("size", DRAWS)
def test_two_percent_in_beta_are_seen(size, beta):
    assert abs(estimates(size, beta, SHIFT * beta)["energy"].z) > 5


def compared_with_heat_bath(sampled_at, beta=0.44, size=8):
    """Deviation of <|m|> from an independent code, in combined standard errors; about 15 of them at 2 %."""
    series = series_of(size, sampled_at, 30_000)
    generator = torch.Generator().manual_seed(2)
    other = HeatBath(Ising(size), HeatBathOptions(n_chains=256))
    other.prepare(beta=beta, generator=generator)
    reference = other.draw_series(1000, generator=generator)
    (a, error_a), (b, error_b) = (
        (m.mean(), np.sqrt(2 * gamma_method(m).tau_int * m.var() / m.size))
        for m in (np.abs(series.magnetisation), np.abs(reference.magnetisation))
    )
    return (a - b) / np.hypot(error_a, error_b)


def test_magnetisation_is_that_of_single_spin_updates():
    assert abs(compared_with_heat_bath(0.44)) < 5


def test_magnetisation_of_another_temperature_is_seen():
    assert abs(compared_with_heat_bath(SHIFT * 0.44)) > 5


def p_of_levels(sampled_at, beta=BETA_CRITICAL):
    """Chi-square over the levels (E, M) of all 2^16 states at L = 4.

    40 000 draws, 20 flips apart (tau is below 2 flips): at 2 % in beta the expected statistic exceeds its mean by
    n Var(E) (0.02 beta)^2 = 200, with 50 to 60 degrees of freedom a p-value below 1e-10.
    """
    series = series_of(4, sampled_at, 5000, seed=3, flips_per_draw=20)
    spins = enumeration.all_spins(4)
    energy, magnetisation = enumeration.ising_energy(spins), spins.sum(axis=(-2, -1))
    weight = np.exp(-beta * (energy - energy.min()))
    levels, index = np.unique(np.stack([energy, magnetisation], axis=1), axis=0, return_inverse=True)
    expected = np.bincount(index.ravel(), weights=weight / weight.sum()) * series.energy.size
    drawn = np.stack([series.energy.ravel(), series.magnetisation.ravel()], axis=1)
    observed = (drawn[:, None] == levels).all(axis=2).sum(axis=0)
    assert observed.sum() == series.energy.size, "a level that no state has"
    rare = expected < 10
    observed, expected = (np.append(x[~rare], x[rare].sum()) for x in (observed, expected))
    return chi2.sf(((observed - expected) ** 2 / expected).sum(), len(expected) - 1)


def test_levels_have_the_exact_frequencies():
    assert p_of_levels(BETA_CRITICAL) > 1e-4


def test_levels_at_another_temperature_are_seen():
    assert p_of_levels(SHIFT * BETA_CRITICAL) < 1e-8


def improved_estimator(size, beta, measured_at):
    """z of <cluster size> - <M^2>/N, cluster sizes at `beta` and M at `measured_at`."""
    sizes = series_of(size, beta, 20_000, seed=4).cluster_size
    squares = series_of(size, measured_at, 20_000, seed=5).magnetisation ** 2 / size**2
    errors = [np.sqrt(2 * gamma_method(x).tau_int * x.var() / x.size) for x in (sizes, squares)]
    return (sizes.mean() - squares.mean()) / np.hypot(*errors)


@pytest.mark.parametrize("size", [5, 16])
def test_mean_cluster_size_is_the_mean_square_of_the_magnetisation(size):
    assert abs(improved_estimator(size, 0.42, 0.42)) < 5
    assert abs(improved_estimator(size, 0.42, SHIFT * 0.42)) > 5


def start_bias(size, beta, **options):
    """z of the energy of the very first draws of 1000 chains, which are independent of each other.

    The standard error is sqrt(C/(beta^2 N 1000)); the ordered start is off by dozens of them.
    """
    first = series_of(size, beta, 1, n_chains=1000, **options).energy[0] / size**2
    return (first.mean() - exact_values(size, beta)["energy"]) / (first.std(ddof=1) / np.sqrt(len(first)))


@pytest.mark.parametrize(("size", "beta"), [(4, 0.3), (16, 0.2), (16, BETA_CRITICAL), (16, 0.55), (24, BETA_CRITICAL)])
def test_burn_in_removes_the_bias_of_the_start(size, beta):
    assert abs(start_bias(size, beta)) < 5


@pytest.mark.parametrize(("size", "beta"), [(4, 0.3), (16, 0.2), (16, BETA_CRITICAL), (16, 0.55), (24, BETA_CRITICAL)])
def test_without_burn_in_the_bias_is_seen(size, beta):
    assert abs(start_bias(size, beta, burn_in_sweeps=0)) > 5
