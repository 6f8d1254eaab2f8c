"""`metropolis`, `parallel-tempering` and `annealed` against exact values, with stated power.

A shift of beta by 3 % moves the energy by 0.03 sqrt(C N ESS) standard errors, C the specific heat. Every check first
asserts that the ESS is large enough for 8 of them, then that energy and specific heat deviate by less than 4 errors.
The same sampler at the shifted beta must deviate by more than 4 errors in the energy.
"""

import math
from functools import cache

import pytest
import torch

from nisbench.physics.glasses import EdwardsAnderson, Villain
from nisbench.physics.ising import Ising
from nisbench.physics.options import EdwardsAndersonOptions, IsingOptions
from nisbench.statistics.autocorrelation import gamma_method
from nisbench.statistics.estimate import chain_observables
from nisbench.statistics.quantities import weighted_quantities
from nisbench_plugins.annealed import Annealed
from nisbench_plugins.metropolis import Metropolis
from nisbench_plugins.parallel_tempering import ParallelTempering
from nisbench_plugins.registration import AnnealedOptions, MetropolisOptions, ParallelTemperingOptions
from tests.fakes.lattices import exact_values, pairwise

SHIFT = 1.03

SAMPLERS = {
    "metropolis": lambda target: Metropolis(target, MetropolisOptions(sweeps_per_draw=5)),
    "heat-bath": lambda target: Metropolis(target, MetropolisOptions(update="heat-bath", sweeps_per_draw=5)),
    "parallel-tempering": lambda target: ParallelTempering(
        target, ParallelTemperingOptions(sweeps_per_draw=5, houdayer_every=5)
    ),
    "annealed": lambda target: Annealed(target, AnnealedOptions(n_steps=400)),
}

TARGETS = {
    "ising": Ising,
    "ising, free": lambda L: Ising(L, IsingOptions(boundary="free")),
    "pm1, free": EdwardsAnderson,
    "gaussian, free": lambda L: EdwardsAnderson(L, EdwardsAndersonOptions(disorder="gaussian")),
    "villain, free": Villain,
}
SMALL = {
    "ising, field": lambda L: Ising(L, IsingOptions(field=0.1)),
    "pm1, torus": lambda L: EdwardsAnderson(L, EdwardsAndersonOptions(boundary="torus")),
    "gaussian, torus, fields": lambda L: pairwise(L, "gaussian", "torus", field=0.5),
}


@cache
def exact_of(target, beta):
    """Exact values per site: from the target, or by enumeration at L = 4."""
    return target.exact(beta) or exact_values(target, beta)


def estimates(sampler, target, beta, sampled_at, seed=1):
    """Estimates from draws at `sampled_at` beside the exact values at `beta`."""
    generator = torch.Generator().manual_seed(seed)
    sampler.prepare(beta=sampled_at, generator=generator)
    exact = exact_of(target, beta)
    needed = (8 / (SHIFT - 1)) ** 2 / (exact["specific_heat"] * target.n_sites)
    if isinstance(sampler, Annealed):
        draws = sampler.draw(math.ceil(needed * 3), generator=generator)
        found = weighted_quantities(
            log_weight=draws.log_weight.numpy(),
            energy=target.energy(draws.spins).numpy(),
            magnetisation=draws.spins.sum((1, 2)).double().numpy(),
            normalised=True, beta=beta, n_sites=target.n_sites, exact=exact,
        )  # fmt: skip
        ess = found["ess_fraction"].value * len(draws.spins)
        assert abs(found["log_z_per_site"].z) < 4 or sampled_at != beta, found["log_z_per_site"]
    else:
        draws = math.ceil(needed * 4 / sampler.options.n_chains) + 100
        series = sampler.draw_series(draws, generator=generator)
        found = chain_observables(series.energy, series.magnetisation, beta=beta, n_sites=target.n_sites, exact=exact)
        ess = gamma_method(series.energy).ess
    assert ess > needed, f"ESS {ess:.0f}, {needed:.0f} are needed to see 3 % in beta with 8 standard errors"
    return found


def check(name, target, beta, **kwargs):
    found = estimates(SAMPLERS[name](target), target, beta, beta, **kwargs)
    for quantity in ("energy", "specific_heat"):
        assert abs(found[quantity].z) < 4, f"{quantity}: {found[quantity]}, z = {found[quantity].z}"


def check_control(name, target, beta):
    assert abs(estimates(SAMPLERS[name](target), target, beta, SHIFT * beta)["energy"].z) > 4


CASES = [
    *((label, 8, beta) for label in TARGETS for beta in (0.3, 0.6)),
    *(("ising, field", 4, beta) for beta in (0.2, 0.35)),
    *((label, 4, beta) for label in ("pm1, torus", "gaussian, torus, fields") for beta in (0.3, 0.8)),
]
QUICK = [("ising", 8, 0.3), ("gaussian, free", 8, 0.6), ("ising, field", 4, 0.35), ("pm1, torus", 4, 0.8)]


@pytest.mark.parametrize(
    ("label", "size", "beta"),
    [case if case in QUICK else pytest.param(*case, marks=pytest.mark.slow) for case in CASES],
)
@pytest.mark.parametrize("name", SAMPLERS)
def test_observables_are_the_exact_ones(name, label, size, beta):
    check(name, (TARGETS | SMALL)[label](size), beta)


@pytest.mark.parametrize(("label", "size", "beta"), [QUICK[1], QUICK[2]])
@pytest.mark.parametrize("name", SAMPLERS)
def test_three_percent_in_beta_are_seen(name, label, size, beta):
    check_control(name, (TARGETS | SMALL)[label](size), beta)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("beta", [0.3, 0.44, 1.0])
@pytest.mark.parametrize("label", TARGETS)
@pytest.mark.parametrize("name", ["heat-bath", "parallel-tempering", "annealed"])
def test_observables_at_l_16(name, label, beta, seed):
    if label == "ising" and beta == 1.0 and name == "heat-bath":
        pytest.skip("local updates do not change the sign of the magnetisation; domains may freeze")
    check(name, TARGETS[label](16), beta, seed=seed)


@pytest.mark.slow
@pytest.mark.parametrize("disorder", ["pm1", "gaussian"])
def test_parallel_tempering_agrees_with_peapods(disorder):
    """Energy at every temperature of one ladder on the torus; errors of the peer from eight independent runs."""
    peapods = pytest.importorskip("peapods", reason="the peer is not installed (extra `peers`)")
    from tests.performance.local_updates import peer_energies

    assert peapods
    target = EdwardsAnderson(8, EdwardsAndersonOptions(disorder=disorder, boundary="torus"))
    for factor, expected in ((1.0, True), (SHIFT, False)):
        means, errors = peer_energies(target, [0.5, factor * 1.0], runs=8, sweeps=20_000)
        sampler = ParallelTempering(target, ParallelTemperingOptions())
        generator = torch.Generator().manual_seed(1)
        sampler.prepare(beta=1.0, generator=generator)
        series = sampler.draw_series(5000, generator=generator).energy / 64
        error = math.hypot(errors[-1], math.sqrt(2 * gamma_method(series).tau_int * series.var() / series.size))
        assert (abs(series.mean() - means[-1]) < 4.5 * error) == expected
