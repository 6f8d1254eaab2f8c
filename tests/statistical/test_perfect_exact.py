"""`perfect` has the exact distribution over all states; chi-square with negative controls that must fail.

Power: P 2 % too large shifts beta by 0.01 P / (1 - P). With 100 000 draws at L = 3 and beta = 0.4, the expected
chi-square over the energies exceeds its mean by n Var(E) times the square of this shift, 80 or more with at most 20
degrees of freedom. The upper chain after one sweep, whether or not the chains have met, must fail too. (Stopping
forwards at the first meeting is wrong as well, but its bias is below the resolution of such a test.)
"""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.stats import chi2

import nisbench_plugins.perfect as module
from nisbench.physics import enumeration
from nisbench.physics.ising import Ising
from nisbench.physics.lattice import square_lattice
from nisbench.physics.options import IsingOptions
from nisbench.physics.pairwise import PairwiseTarget
from nisbench_plugins.perfect import Perfect
from nisbench_plugins.registration import PerfectOptions

DRAWS = 30_000


def unequal(L):
    """Couplings and fields of different strengths, some of them 0."""
    rng = np.random.default_rng(L)
    right, down, field = rng.choice([0.0, 0.5, 1.0, 1.5], (3, L, L))
    target = PairwiseTarget(square_lattice(L, right=right, down=down, field=-0.3 * field))
    target.name = "unequal"
    return target


TARGETS = {
    "torus": Ising,
    "free": lambda L: Ising(L, IsingOptions(boundary="free")),
    "field": lambda L: Ising(L, IsingOptions(field=0.15)),
    "free, negative field": lambda L: Ising(L, IsingOptions(boundary="free", field=-0.3)),
    "unequal": unequal,
}


def prepared(target, beta, **options):
    sampler = Perfect(target, PerfectOptions(**options))
    sampler.prepare(beta=beta, generator=torch.Generator())
    return sampler


def source(seed=1):
    return torch.Generator().manual_seed(seed)


def p_values(spins, target, beta):
    """Chi-square over all states and over all energies."""
    energies = enumeration.lattice_energies(target.lattice)
    weight = np.exp(-beta * (energies - energies.min()))
    # the last bit of the index is the last site
    index = (np.asarray(spins).reshape(len(spins), -1) > 0) @ (1 << np.arange(target.n_sites)[::-1])
    observed = np.bincount(index, minlength=len(energies))
    expected = weight / weight.sum() * len(spins)
    levels = np.unique(energies.round(9), return_inverse=True)[1]
    by_energy = (np.bincount(levels, weights=counts) for counts in (observed, expected))
    return chi_square(observed, expected), chi_square(*by_energy)


def chi_square(observed, expected):
    """p-value; outcomes that are expected fewer than 10 times are taken together."""
    rare = expected < 10
    if rare.any():
        observed, expected = (np.append(x[~rare], x[rare].sum()) for x in (observed, expected))
    return chi2.sf(((observed - expected) ** 2 / expected).sum(), len(expected) - 1)


@pytest.mark.parametrize("beta", [0.15, 0.4, 0.8])
@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("target", TARGETS)
def test_every_state_has_its_probability(target, size, beta):
    target = TARGETS[target](size)
    spins = prepared(target, beta).draw(DRAWS, generator=source()).spins
    assert min(p_values(spins, target, beta)) > 1e-4


@pytest.mark.parametrize("target", ["torus", "free", "field"])
def test_bonds_open_too_often_are_seen(target):
    target = TARGETS[target](3)
    sampler = prepared(target, 0.4)
    tables = sampler._tables
    high = 1.02 * tables.high
    sampler._tables = dataclasses.replace(tables, high=high, low=high / (2 - high))
    assert p_values(sampler.draw(100_000, generator=source()).spins, target, 0.4)[1] < 1e-6


class Bounds:
    """The two chains of one draw, sweep by sweep."""

    def __init__(self, sampler, key):
        self.tables, self.key = sampler._tables, np.uint64(key)
        n_sites = sampler.target.n_sites
        self.states, self.queues = np.empty((2, n_sites), dtype=np.uint8), np.empty((2, n_sites), dtype=np.int32)
        self.marks, self.ends, self.mark = np.zeros(n_sites, dtype=np.int64), np.empty((2, 2), dtype=np.int64), 1
        module._bounds(self.states, self.tables.neighbours, self.tables.high)

    def sweep(self, time):
        tables = self.tables.neighbours, self.tables.low, self.tables.high
        memory = self.marks, self.mark, self.queues, self.ends
        self.mark = module._sweep(self.states, 2, *tables, self.key, time, *memory)

    def spins_above(self):
        spins = np.empty(self.states.shape[1], dtype=np.int8)
        module._colour(self.states[0], self.tables.neighbours, self.key, self.tables.sign, self.queues, spins)
        return spins


@pytest.mark.parametrize("size", [2, 3])
def test_the_upper_chain_before_the_chains_meet_is_seen(size):
    target = TARGETS["torus"](size)
    sampler, spins = prepared(target, 0.4), []
    for key in np.random.default_rng(1).integers(0, 2**63, 10_000):
        bounds = Bounds(sampler, key)
        bounds.sweep(1)
        spins.append(bounds.spins_above())
    assert max(p_values(np.array(spins), target, 0.4)) < 1e-6


def test_the_two_bounds_stay_ordered():
    sampler = prepared(TARGETS["unequal"](6), 0.5)
    for key in range(50):
        bounds = Bounds(sampler, key)
        for time in range(1, 6):
            bounds.sweep(time)
            upper, lower = bounds.states
            assert not (lower & ~upper).any()


@pytest.mark.parametrize(("boundary", "beta"), [("torus", 0.44), ("free", 0.44), ("torus", 0.7), ("free", 0.2)])
def test_larger_lattices_have_the_exact_energy(boundary, beta):
    """4000 draws at L = 10: 2 % in P are 10 errors of the energy at beta = 0.44."""
    target = Ising(10, IsingOptions(boundary=boundary))
    energy = target.energy(prepared(target, beta).draw(4000, generator=source()).spins).numpy()
    exact = target.exact(beta)
    z = (energy.mean() / 100 - exact["energy"]) / (energy.std() / 100 / np.sqrt(4000))
    variance = exact["specific_heat"] * 100 / beta**2
    spread = ((energy - energy.mean()) ** 2).std() / np.sqrt(4000)
    assert abs(z) < 4
    assert abs(energy.var() - variance) < 4 * spread


def test_draws_do_not_depend_on_calls_and_threads():
    before, found = torch.get_num_threads(), []
    sampler = prepared(Ising(6), 0.44)
    for threads, parts in ((1, (100,)), (3, (1, 16, 40, 43))):
        torch.set_num_threads(threads)
        generator = source()
        found.append(torch.cat([sampler.draw(n, generator=generator).spins for n in parts]))
    torch.set_num_threads(before)
    assert torch.equal(*found)


def test_infinite_temperature_and_zero_temperature():
    free = prepared(Ising(4), 0.0).draw_with_sweeps(100, source())
    assert (free[1] == 1).all()
    assert abs(free[0].mean()) < 0.1
    cold = prepared(Ising(8), 30.0).draw(100, generator=source()).spins
    totals = cold.sum((-2, -1))
    assert set(totals.tolist()) == {-64, 64}


def test_a_draw_that_does_not_coalesce_is_an_error():
    with pytest.raises(RuntimeError, match=r"L = 16, beta = 0.44 has not coalesced after 2\^1 sweeps; give a larger"):
        prepared(Ising(16), 0.44, max_doublings=1).draw(20, generator=source())


def test_misuse_is_refused():
    glass = PairwiseTarget(square_lattice(3, right=-1.0))
    glass.name = "glass"
    mixed = PairwiseTarget(square_lattice(3, field=np.linspace(-1, 1, 9)))
    mixed.name = "mixed"
    assert "'glass' has negative couplings" in Perfect.unsupported(glass, PerfectOptions())
    assert "'mixed' has both signs" in Perfect.unsupported(mixed, PerfectOptions())
    with pytest.raises(ValueError, match="beta = -1"):
        prepared(Ising(4), -1.0)
    with pytest.raises(RuntimeError, match="prepare"):
        Perfect(Ising(4), PerfectOptions()).draw(1, generator=source())
    with pytest.raises(ValueError, match="max_doublings = -1"):
        PerfectOptions(max_doublings=-1)
