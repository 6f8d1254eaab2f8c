"""The kernels of local updates: their probabilities against the energy, their generator, and their bookkeeping."""

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from nisbench.physics.lattice import square_lattice
from nisbench_plugins.metropolis import Metropolis
from nisbench_plugins.registration import MetropolisOptions
from nisbench_plugins.sweeps import (
    HEAT_BATH,
    LANES,
    METROPOLIS,
    RUNG,
    Sites,
    _next_words,
    blocks_of_states,
    energy_ladder,
    measure,
    randomise,
    sweep,
    to_spins,
)
from tests.fakes.lattices import pairwise, states

MODELS = [
    pytest.param(pairwise(2, "ferromagnet", "torus"), id="2 torus"),
    pytest.param(pairwise(3, "ferromagnet", "torus"), id="3 torus"),
    pytest.param(pairwise(3, "pm1"), id="3 pm1"),
    pytest.param(pairwise(3, "gaussian", field=0.5), id="3 gaussian with field"),
    pytest.param(pairwise(2, "gaussian", "torus", field=0.5), id="2 gaussian with field, torus"),
]


def source(seed=1):
    return torch.Generator().manual_seed(seed)


def update_matrices(target, beta, width):
    """One matrix (2^N, 2^N) for each row of `Sites.visits`: the update of its site by the thresholds."""
    sites = Sites.of(target.lattice)
    table = sites.thresholds(np.array([beta]), width) / 2**32
    bits = (states(target) + 1) // 2
    number = bits @ (1 << np.arange(target.n_sites)[::-1])
    for site, *near, kind, negative in sites.visits:
        index = sum((bits[:, j] ^ (negative >> k & 1)) << k for k, j in enumerate(near))
        index = index + (16 * bits[:, site] if width == METROPOLIS else 0)
        up = table[kind, index]
        bit = 1 << (target.n_sites - 1 - site)
        matrix = np.zeros((len(bits), len(bits)))
        np.add.at(matrix, (number, number | bit), up)
        np.add.at(matrix, (number, number & ~bit), 1 - up)
        yield matrix


def boltzmann(target, beta):
    weight = -beta * target.energy(torch.from_numpy(states(target)).reshape(-1, target.L, target.L)).numpy()
    p = np.exp(weight - weight.max())
    return p / p.sum()


@pytest.mark.parametrize("width", [HEAT_BATH, METROPOLIS])
@pytest.mark.parametrize("beta", [-0.7, 0.3, 1.5])
@pytest.mark.parametrize("target", MODELS)
def test_every_update_is_in_detailed_balance_with_p(target, beta, width):
    p = boltzmann(target, beta)
    for matrix in update_matrices(target, beta, width):
        flow = p[:, None] * matrix
        assert np.abs(flow - flow.T).max() < 1e-9  # rounding to multiples of 2^-32


@pytest.mark.parametrize("width", [HEAT_BATH, METROPOLIS])
def test_another_temperature_breaks_detailed_balance(width):
    target = pairwise(3, "gaussian", field=0.5)
    p = boltzmann(target, 0.3)
    flows = [p[:, None] * matrix for matrix in update_matrices(target, 0.303, width)]
    assert max(np.abs(flow - flow.T).max() for flow in flows) > 1e-6


def p_value(target, beta, width, drawn_at):
    """Chi-square of 64 000 sweeps from random spins against the product of the update matrices."""
    expected = np.full(2**target.n_sites, 0.5**target.n_sites)
    for matrix in update_matrices(target, beta, width):
        expected = expected @ matrix
    sites, n = Sites.of(target.lattice), 64_000
    base = np.zeros(1 + LANES, dtype=np.uint64)
    base[0] = width
    thresholds = sites.thresholds(np.array([drawn_at]), width)
    counts = np.zeros(len(expected))
    for state in blocks_of_states(n, source()):
        bits = np.empty((target.n_sites, LANES), dtype=np.uint8)
        randomise(bits, state)
        sweep(bits, state, sites.visits, thresholds, base)
        counts += np.bincount((1 << np.arange(target.n_sites)[::-1]) @ bits, minlength=len(counts))
    many = expected * n > 10
    observed = np.append(counts[many], counts[~many].sum())
    expected = np.append(expected[many], expected[~many].sum()) * n
    observed, expected = observed[expected > 0], expected[expected > 0]
    return chi2.sf(((observed - expected) ** 2 / expected).sum(), len(expected) - 1)


@pytest.mark.parametrize("width", [HEAT_BATH, METROPOLIS])
@pytest.mark.parametrize("target", MODELS)
def test_a_sweep_has_the_probabilities_of_its_matrices(target, width):
    assert p_value(target, 0.6, width, 0.6) > 1e-5


@pytest.mark.parametrize("width", [HEAT_BATH, METROPOLIS])
def test_a_sweep_at_another_temperature_is_seen(width):
    """5 % in beta raise the expected chi-square by about 64 000 Var(E) (0.03)^2 = 300 or more."""
    assert p_value(pairwise(3, "pm1"), 0.6, width, 0.63) < 1e-8


def test_the_generator_is_xoshiro128_plus_plus():
    """Reference: the C code of Blackman and Vigna, in Python numbers."""
    (state,) = blocks_of_states(LANES, source())
    reference = [[int(x) for x in column] for column in state.T]
    word = np.empty((4, LANES), dtype=np.uint32)

    def rotl(x, k):
        return (x << k | x >> (32 - k)) & 0xFFFFFFFF

    for _ in range(3):
        _next_words(state, word)
        for lane, s in enumerate(reference):
            for k in range(4):
                assert word[k, lane] == (rotl(s[0] + s[3] & 0xFFFFFFFF, 7) + s[0]) & 0xFFFFFFFF
                t = s[1] << 9 & 0xFFFFFFFF
                s[2] ^= s[0]
                s[3] ^= s[1]
                s[1] ^= s[2]
                s[0] ^= s[3]
                s[2] ^= t
                s[3] = rotl(s[3], 11)


@pytest.mark.parametrize("boundary", ["free", "torus"])
@pytest.mark.parametrize(("kind", "field"), [("ferromagnet", 0.0), ("pm1", 0.0), ("gaussian", 0.0), ("pm1", 0.3)])
@pytest.mark.parametrize("size", [2, 3, 8, 17])
def test_energy_and_magnetisation_are_those_of_the_target(size, kind, field, boundary):
    target = pairwise(size, kind, boundary, field)
    sites, bits = Sites.of(target.lattice), np.empty((size * size, LANES), dtype=np.uint8)
    randomise(bits, blocks_of_states(LANES, source())[0])
    energy, magnetisation = np.empty(LANES), np.empty(LANES)
    measure(bits, sites.visits, sites.weights, sites.offset, sites.uniform, energy, magnetisation)
    assert sites.uniform == (kind != "gaussian" and not field)
    spins = to_spins(bits, size)
    assert np.array_equal(magnetisation, spins.sum(axis=(1, 2)))
    difference = np.abs(energy - target.energy(torch.from_numpy(spins)).numpy()).max()
    assert difference == 0 if kind != "gaussian" and not field else difference < 1e-10


def test_bytes_and_floats_count_the_same_energy():
    lattice = square_lattice(17, "free", right=-0.5, down=0.5, field=0.3)
    sites, bits = Sites.of(lattice), np.empty((289, LANES), dtype=np.uint8)
    assert sites.uniform
    randomise(bits, blocks_of_states(LANES, source())[0])
    found = np.empty((2, 2, LANES))
    for uniform in (0, 1):
        measure(bits, sites.visits, sites.weights, sites.offset, bool(uniform), found[uniform, 0], found[uniform, 1])
    assert np.allclose(*found, rtol=0, atol=1e-10)
    assert np.ptp(found[0, 0]) > 10


def test_a_lattice_with_a_missing_bond_is_not_uniform():
    right = np.ones((4, 4))
    right[1, 1] = 0.0
    assert not Sites.of(square_lattice(4, "torus", right=right)).uniform
    assert Sites.of(square_lattice(4, "free")).uniform


def test_a_bipartite_lattice_is_visited_as_a_checkerboard():
    for size, boundary, checkerboard in ((4, "torus", True), (3, "free", True), (3, "torus", False)):
        lattice = pairwise(size, "pm1", boundary).lattice
        site = Sites.of(lattice).visits[:, 0]
        colour = site // size % 2 ^ site % size % 2
        assert sorted(site) == list(range(size * size))
        assert (np.diff(colour) >= 0).all() == checkerboard
        assert np.array_equal(site, np.arange(size * size)) == (not checkerboard)


def test_the_ladder_ends_at_both_temperatures_and_is_even():
    lattice = pairwise(8, "gaussian").lattice
    for beta in (-1.0, 0.5, 2.0):
        ladder = energy_ladder(lattice, beta, 9)
        assert (ladder[0], ladder[-1], len(ladder)) == (0.0, beta, 9)
        assert (np.diff(ladder) * np.sign(beta) > 0).all()
    strength = np.concatenate([lattice.right.ravel(), lattice.down.ravel()])
    ladder = energy_ladder(lattice, 2.0)
    middle = (ladder[1:] + ladder[:-1]) / 2
    sigma = np.sqrt((strength**2 / np.cosh(np.multiply.outer(middle, strength)) ** 2).sum(axis=1))
    distances = sigma * np.diff(ladder)
    assert distances.max() < 1.05 * RUNG
    assert np.ptp(distances) < 0.1 * RUNG
    assert np.array_equal(energy_ladder(lattice, 0.0, 3), np.zeros(3))


def series(n_chains, draws=5, **options):
    sampler = Metropolis(pairwise(8, "pm1"), MetropolisOptions(n_chains=n_chains, burn_in_sweeps=20, **options))
    sampler.prepare(beta=0.8, generator=source())
    return sampler.draw_series(draws, generator=source())


def test_a_chain_depends_neither_on_the_number_of_chains_nor_on_that_of_threads():
    before = torch.get_num_threads()
    found = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        found.append(series(70).energy)
    torch.set_num_threads(before)
    assert np.array_equal(*found)
    assert np.array_equal(found[0][:, :33], series(33).energy)
    assert len(np.unique(found[0], axis=1).T) == 70


def test_several_sweeps_a_draw_are_the_same_chain_seen_less_often():
    every, third = series(3, 6, sweeps_per_draw=1), series(3, 2, sweeps_per_draw=3)
    assert np.array_equal(third.energy, every.energy[2::3])


def test_metropolis_at_infinite_temperature_draws_independent_spins():
    sampler = Metropolis(pairwise(8, "pm1"), MetropolisOptions(burn_in_sweeps=0))
    sampler.prepare(beta=0.0, generator=source())
    spins = sampler.draw(2, generator=source()).spins
    changed = (spins[0] != spins[1]).float().mean()
    assert abs(float(changed) - 0.5) < 5 * 0.5 / np.sqrt(spins[0].numel())


def test_misuse_is_refused():
    with pytest.raises(RuntimeError, match="prepare"):
        Metropolis(pairwise(4, "pm1"), MetropolisOptions()).draw(1, generator=source())
    with pytest.raises(ValueError, match="finite beta"):
        Metropolis(pairwise(4, "pm1"), MetropolisOptions()).prepare(beta=float("nan"), generator=source())
    for bad in ({"n_chains": 0}, {"sweeps_per_draw": 0}, {"burn_in_sweeps": -1}):
        with pytest.raises(ValueError, match="at least"):
            MetropolisOptions(**bad)
