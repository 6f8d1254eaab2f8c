"""`parallel-tempering` and `annealed`: exact properties of their moves, and ln Z against enumeration."""

import math

import numpy as np
import pytest
import torch

from nisbench.api import Bridges
from nisbench.statistics.bridges import log_z_from_bridges
from nisbench_plugins import parallel_tempering_kernels as kernels
from nisbench_plugins.annealed import Annealed
from nisbench_plugins.parallel_tempering import ParallelTempering
from nisbench_plugins.registration import AnnealedOptions, ParallelTemperingOptions
from nisbench_plugins.sweeps import LANES, blocks_of_states, randomise, to_spins
from tests.fakes.lattices import exact_values, pairwise


def source(seed=1):
    return torch.Generator().manual_seed(seed)


def tempering(target, beta, seed=1, **options):
    sampler = ParallelTempering(target, ParallelTemperingOptions(**{"burn_in_sweeps": 200, **options}))
    sampler.prepare(beta=beta, generator=source(seed))
    return sampler


def total_energies(target, bits):
    """(LANES,) energies of a block."""
    return target.energy(torch.from_numpy(to_spins(bits, target.L))).numpy()


@pytest.mark.parametrize("boundary", ["free", "torus"])
@pytest.mark.parametrize(("kind", "field"), [("pm1", 0.0), ("gaussian", 0.0), ("gaussian", 0.7)])
def test_houdayer_moves_keep_the_sum_of_two_energies(kind, field, boundary):
    target = pairwise(7, kind, boundary, field)
    bits = np.empty((49, LANES), dtype=np.uint8)
    randomise(bits, blocks_of_states(LANES, source())[0])
    neighbours, stream, stack = target.lattice.neighbours.copy(), np.ones(1, dtype=np.uint64), np.empty(49, np.int64)
    before, energy = bits.copy(), total_energies(target, bits)
    for lane in range(0, LANES, 2):
        kernels.houdayer(bits[None], lane, lane + 1, neighbours, stream, stack)
    after = total_energies(target, bits)
    assert np.abs(after - energy).max() > 0.5  # the moves change the energies of single replicas
    assert np.abs((after - energy).reshape(-1, 2).sum(axis=1)).max() < 1e-9
    # at each site the pair of spins is kept or exchanged, and where it is exchanged the two spins differ
    pairs, earlier = bits.reshape(49, -1, 2), before.reshape(49, -1, 2)
    changed = (pairs != earlier).any(axis=2)
    assert np.array_equal(pairs, np.where(changed[..., None], earlier[..., ::-1], earlier))
    assert changed.any(axis=0).all()


def test_an_incomplete_cluster_does_not_keep_the_sum():
    """Negative control: without the last site of a cluster the sum of the energies changes."""
    target = pairwise(7, "gaussian")
    bits = np.empty((49, LANES), dtype=np.uint8)
    randomise(bits, blocks_of_states(LANES, source())[0])
    before, energy = bits.copy(), total_energies(target, bits)
    kernels.houdayer(
        bits[None], 0, 1, target.lattice.neighbours.copy(), np.ones(1, dtype=np.uint64), np.empty(49, np.int64)
    )
    changed = np.flatnonzero((bits != before).any(axis=1))
    assert len(changed) > 1
    bits[changed[-1]] = before[changed[-1]]
    assert abs((total_energies(target, bits) - energy)[:2].sum()) > 1e-3


def test_houdayer_moves_are_their_own_inverse():
    """Equal random numbers choose the same cluster again, because the differing sites stay the same."""
    target = pairwise(7, "pm1")
    bits = np.empty((49, LANES), dtype=np.uint8)
    randomise(bits, blocks_of_states(LANES, source())[0])
    before = bits.copy()
    for _ in range(2):
        kernels.houdayer(
            bits[None], 0, 1, target.lattice.neighbours.copy(), np.ones(1, dtype=np.uint64), np.empty(49, np.int64)
        )
    assert np.array_equal(bits, before)


def exchange_rate(energies, betas, rule=1.0, n=20_000):
    """Fraction of accepted exchanges of two replicas with fixed energies."""
    accepted = 0
    stream = np.ones(1, dtype=np.uint64)
    for _ in range(n):
        system = tempering_state(np.asarray(energies) * rule, stream)
        kernels._exchange(system, np.asarray(betas), 0)
        accepted += system.lane[0, 0] == 1
        assert sorted(system.lane[0]) == [0, 1]
        assert [system.base[0, 1 + lane] for lane in system.lane[0]] == [0, 16]
    return accepted / n


def tempering_state(energies, stream):
    """A system of two temperatures with these energies."""
    base = np.zeros((1, 1 + LANES), dtype=np.uint64)
    base[0, 2] = 16
    energy = np.zeros(LANES)
    energy[:2] = energies
    nothing = np.zeros((0, 0, LANES), dtype=np.uint8)
    states, counts, bins = np.zeros((0, 4, LANES), np.uint32), np.zeros(3, np.int64), np.zeros((2, 4, 1))
    return kernels.System(nothing, states, base, np.array([[0, 1]]), energy, np.zeros(LANES), stream, counts, bins)


def test_exchanges_have_the_probability_of_metropolis():
    betas = (0.2, 0.5)
    for energies in ([0.0, -3.0], [-1.0, -6.0]):
        expected = math.exp((betas[1] - betas[0]) * (energies[1] - energies[0]))
        assert abs(exchange_rate(energies, betas) - expected) < 5 * 0.5 / math.sqrt(20_000)
        assert abs(exchange_rate(energies, betas, rule=1.2) - expected) > 0.03  # negative control: other energies
    assert exchange_rate([-3.0, 0.0], betas, n=50) == 1  # the lower energy moves to the colder temperature


def test_every_lane_has_the_thresholds_of_its_temperature_and_the_energy_of_its_spins():
    target = pairwise(5, "gaussian", field=0.3)
    sampler = tempering(target, 1.5, n_chains=1)
    sampler.draw_series(3, generator=source())
    (system,) = sampler._systems
    n = len(sampler._ladder.betas)
    assert sorted(system.lane.ravel()) == list(range(2 * n))
    for t in range(n):
        for lane in system.lane[:, t]:
            assert system.base[lane // LANES, 1 + lane % LANES] == 16 * t
    assert not np.array_equal(system.lane, np.arange(2 * n).reshape(2, n))  # exchanges were accepted
    measured = np.concatenate([total_energies(target, bits) for bits in system.bits])
    assert np.abs(measured - system.energy)[: 2 * n].max() < 1e-10


def test_terms_of_ln_z_do_not_depend_on_the_calls():
    split, whole = (tempering(pairwise(3, "pm1"), 1.0, n_chains=3, sweeps_per_draw=1) for _ in range(2))
    for n in (1, 300, 7, 500):
        split.draw_series(n, generator=source())
    whole.draw(808, generator=source())
    a, b = split.bridges(), whole.bridges()
    assert np.array_equal(a.above, b.above)
    assert np.array_equal(a.below, b.below)
    assert (a.above.shape, a.draws_per_bin) == ((202, 3, 15), 4)


def test_there_are_no_terms_before_the_first_draw():
    target = pairwise(3, "pm1")
    assert ParallelTempering(target, ParallelTemperingOptions()).bridges() is None
    assert tempering(target, 1.0).bridges() is None


TARGETS = [
    pytest.param(pairwise(4, "ferromagnet", "torus"), id="ferromagnet"),
    pytest.param(pairwise(4, "pm1", "torus"), id="pm1"),
    pytest.param(pairwise(4, "gaussian", field=0.5), id="gaussian with field"),
    pytest.param(pairwise(3, "gaussian", "torus"), id="odd torus"),
]


def tempering_z(target, beta, claimed_at, **options):
    """Deviation of ln Z from the exact value at another beta, in standard errors."""
    sampler = tempering(target, beta, n_chains=8, **options)
    sampler.draw_series(1000, generator=source())
    exact = exact_values(target, claimed_at)["log_z_per_site"]
    return log_z_from_bridges(sampler.bridges(), target.n_sites, exact).z


@pytest.mark.parametrize("beta", [-0.5, 0.4, 1.5])
@pytest.mark.parametrize("target", TARGETS)
def test_ln_z_of_the_ladder_is_exact(target, beta):
    """A shift of beta by 2 % is seen with more than 5 standard errors (next test)."""
    assert abs(tempering_z(target, beta, beta)) < 4
    assert abs(tempering_z(target, beta, beta, n_temperatures=3, houdayer_every=0)) < 4


@pytest.mark.parametrize("target", TARGETS)
def test_ln_z_at_another_temperature_is_seen(target):
    assert abs(tempering_z(target, 0.4, 0.408)) > 5


def bridges(seed, factor=1.0):
    """Terms with <above> = 0.5 and <below> = 0.25 in two bridges, `factor` times too large above the bar."""
    rng = np.random.default_rng(seed)
    above, below = 0.5 + 0.1 * rng.normal(size=(100, 4, 2)), 0.25 + 0.05 * rng.normal(size=(100, 4, 2))
    return Bridges(start=1.0, shift=np.array([0.5, -0.25]), above=factor * above, below=below)


def test_the_error_of_ln_z_is_the_spread_over_repeats():
    exact = (1.25 + 2 * math.log(2)) / 10
    scores = np.array([log_z_from_bridges(bridges(seed), 10, exact).z for seed in range(300)])
    assert abs(scores.mean()) < 5 / math.sqrt(300)
    assert abs(scores.std() - 1) < 5 / math.sqrt(600)
    assert abs(np.mean([log_z_from_bridges(bridges(seed, 1.05), 10, exact).z for seed in range(20)])) > 3


def test_temperatures_without_overlap_have_no_ln_z():
    given = bridges(1)
    empty = Bridges(given.start, given.shift, given.above, np.zeros_like(given.below))
    for found in (log_z_from_bridges(empty, 10), log_z_from_bridges(bridges(1, 0.0), 10)):
        assert found.value is None
        assert "two neighbouring temperatures" in found.reason


def annealed(target, beta, n=4000, **options):
    sampler = Annealed(target, AnnealedOptions(**options))
    sampler.prepare(beta=beta, generator=source())
    return sampler.draw(n, generator=source())


def annealed_z(target, beta, claimed_at, **options):
    """(mean of w / Z - 1) / error with Z at another beta."""
    exact = exact_values(target, claimed_at)["log_z_per_site"] * target.n_sites
    ratio = (annealed(target, beta, **options).log_weight - exact).exp().numpy()
    return (ratio.mean() - 1) / (ratio.std(ddof=1) / math.sqrt(len(ratio)))


@pytest.mark.parametrize("options", [{"n_steps": 30}, {"n_steps": 5, "sweeps_per_step": 3}])
@pytest.mark.parametrize("beta", [-0.3, 0.4, 0.8])
@pytest.mark.parametrize("target", TARGETS)
def test_the_mean_weight_is_z(target, beta, options):
    assert abs(annealed_z(target, beta, beta, **options)) < 4.5


@pytest.mark.parametrize("target", TARGETS)
def test_the_mean_weight_is_not_z_of_another_temperature(target):
    assert abs(annealed_z(target, 0.4, 0.42, n_steps=30)) > 5


def test_one_step_weights_are_those_of_random_spins():
    """One step: the weight is exp(-beta E) 2^N of the random start, whose energy the sweep then changes."""
    target = pairwise(4, "pm1")
    draws = annealed(target, 0.0, n_steps=1)
    assert np.allclose(draws.log_weight, 16 * math.log(2), rtol=0, atol=1e-12)
    (state,) = blocks_of_states(LANES, source())
    bits = np.empty((16, LANES), dtype=np.uint8)
    randomise(bits, state)
    weight = 16 * math.log(2) - 0.7 * total_energies(target, bits)
    assert np.allclose(annealed(target, 0.7, n=LANES, n_steps=1).log_weight, weight, rtol=0, atol=1e-12)


def test_misuse_is_refused():
    target = pairwise(4, "pm1")
    for sampler in (ParallelTempering(target, ParallelTemperingOptions()), Annealed(target, AnnealedOptions())):
        with pytest.raises(RuntimeError, match="prepare"):
            sampler.draw(1, generator=source())
        with pytest.raises(ValueError, match="finite beta"):
            sampler.prepare(beta=float("inf"), generator=source())
    for bad in ({"n_chains": 0}, {"n_temperatures": 1}, {"houdayer_every": -1}):
        with pytest.raises(ValueError, match=r"at least|give 0"):
            ParallelTemperingOptions(**bad)
    with pytest.raises(ValueError, match="at least 1"):
        AnnealedOptions(n_steps=0)
