"""Exact properties of the cluster kernel: bookkeeping, independence of threads, degenerate temperatures, refusals."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

import nisbench_plugins.wolff as module
from nisbench.physics.enumeration import ising_energy
from nisbench.physics.glasses import EdwardsAnderson, Villain
from nisbench.physics.ising import Ising
from nisbench.physics.kaufman import BETA_CRITICAL
from nisbench.physics.options import EdwardsAndersonOptions, IsingOptions
from nisbench_plugins import clusters
from nisbench_plugins.registration import WolffOptions
from nisbench_plugins.wolff import Wolff

TARGETS = {
    "free": lambda L: Ising(L, IsingOptions(boundary="free")),
    "pm1": EdwardsAnderson,
    "pm1 torus": lambda L: EdwardsAnderson(L, EdwardsAndersonOptions(boundary="torus")),
    "gaussian": lambda L: EdwardsAnderson(L, EdwardsAndersonOptions(disorder="gaussian")),
    "villain": Villain,
}


def prepared(size, beta=BETA_CRITICAL, seed=1, target=Ising, **options):
    wolff = Wolff(target(size), WolffOptions(**options))
    wolff.prepare(beta=beta, generator=torch.Generator().manual_seed(seed))
    return wolff


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("flips", [1, 3])
@pytest.mark.parametrize("beta", [0.0, 0.2, BETA_CRITICAL, 0.7])
@pytest.mark.parametrize("size", [2, 3, 4, 5, 8, 12, 17, 32])
def test_running_totals_are_the_measured_ones(size, beta, flips):
    options = {"n_chains": 3, "flips_per_draw": flips}
    generator = torch.Generator()
    series = prepared(size, beta, **options).draw_series(60, generator=generator)
    spins = prepared(size, beta, **options).draw(60, generator=generator).spins.numpy()
    assert np.array_equal(series.energy, ising_energy(spins))
    assert np.array_equal(series.magnetisation, spins.sum(axis=(-2, -1)))
    if flips == 1:
        changed = (spins[1:] != spins[:-1]).sum(axis=(-2, -1))
        assert np.array_equal(series.cluster_size[1:], changed)


def test_several_flips_a_draw_are_the_same_chain_seen_less_often():
    generator = torch.Generator()
    every = prepared(8, n_chains=2).draw_series(60, generator=generator)
    third = prepared(8, n_chains=2, flips_per_draw=3).draw_series(20, generator=generator)
    assert np.array_equal(third.energy, every.energy[2::3])
    assert np.array_equal(third.cluster_size, every.cluster_size.reshape(20, 3, 2).sum(axis=1))


def test_clusters_are_connected_and_of_one_sign():
    spins = prepared(16, n_chains=1).draw(200, generator=torch.Generator()).spins.numpy()[:, 0]
    for before, after in pairwise(spins):
        cluster = before != after
        assert len(set(before[cluster])) == 1
        reached = np.zeros_like(cluster)
        reached[tuple(np.argwhere(cluster)[0])] = True
        for _ in range(cluster.sum()):
            near = [np.roll(reached, step, axis) for step in (1, -1) for axis in (0, 1)]
            reached |= np.logical_or.reduce(near) & cluster
        assert np.array_equal(reached, cluster)


def test_number_of_threads_does_not_change_the_numbers(threads):
    found = []
    for count in (1, 2, 5):
        threads(count)
        wolff = prepared(16, n_chains=5)
        draws = [wolff.draw(7, generator=torch.Generator()).spins.numpy() for _ in range(2)]
        found.append(np.concatenate(draws))
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_chains_differ_from_each_other():
    spins = prepared(8, n_chains=6).draw(1, generator=torch.Generator()).spins[0]
    assert len({tuple(chain.flatten().tolist()) for chain in spins}) == 6


def test_at_infinite_temperature_every_cluster_is_one_spin():
    assert (prepared(8, 0.0).draw_series(100, generator=torch.Generator()).cluster_size == 1).all()


def test_at_zero_temperature_every_cluster_is_the_lattice():
    series = prepared(8, 50.0).draw_series(100, generator=torch.Generator())
    assert (series.cluster_size == 64).all()
    assert (series.energy == -128).all()


def test_no_burn_in_keeps_the_ordered_start():
    series = prepared(8, 50.0, n_chains=2, burn_in_sweeps=0).draw_series(1, generator=torch.Generator())
    assert (series.magnetisation == -64).all()  # one flip after all spins up


def test_kernels_are_compiled_once_and_for_all():
    prepared(4).draw(2, generator=torch.Generator())
    for kernel in (clusters.next_word, module._flip_cluster, module._flip_until, module._advance):
        assert len(kernel.signatures) == 1
        assert not kernel._can_compile


@pytest.mark.parametrize("size", [2, 3, 4, 7, 16])
@pytest.mark.parametrize("beta", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("target", TARGETS)
def test_totals_of_other_couplings_are_the_measured_ones(target, size, beta):
    generator = torch.Generator()
    measured, drawn = (prepared(size, beta, target=TARGETS[target], n_chains=2) for _ in range(2))
    series, spins = measured.draw_series(60, generator=generator), drawn.draw(60, generator=generator).spins
    assert np.array_equal(series.energy, drawn.target.energy(spins).numpy())
    assert np.array_equal(series.magnetisation, spins.sum((-2, -1)).numpy())
    changed = (spins[1:] != spins[:-1]).sum((-2, -1)).numpy()
    assert np.array_equal(series.cluster_size[1:], changed)


@pytest.mark.parametrize("target", ["free", "pm1", "gaussian"])
def test_clusters_contain_satisfied_bonds_only_and_never_leave_free_edges(target):
    """At high beta every satisfied bond joins: a cluster is a component of the graph of satisfied bonds."""
    wolff = prepared(8, 60.0, target=TARGETS[target], n_chains=1)
    first, second, coupling = wolff.target.lattice.bonds
    strong = np.abs(coupling) > 0.3  # bonds that join with certainty
    spins = wolff.draw(100, generator=torch.Generator()).spins.numpy().reshape(100, -1)
    for before, after in pairwise(spins.astype(int)):
        cluster = before != after
        satisfied = before[first] * before[second] * coupling > 0
        assert (cluster[first] == cluster[second])[satisfied & strong].all()
        bonds = satisfied & cluster[first] & cluster[second]
        graph = coo_array((bonds[bonds], (first[bonds], second[bonds])), shape=(64, 64))
        assert len(set(connected_components(graph, directed=False)[1][cluster])) == 1


def test_other_targets_are_refused_with_the_reason():
    assert "the target 'ising' has a field" in Wolff.unsupported(Ising(4, IsingOptions(field=0.1)), WolffOptions())
    assert "the target 'plain' has none" in Wolff.unsupported(SimpleNamespace(name="plain", L=4), WolffOptions())
    assert Wolff.unsupported(Villain(7), WolffOptions()) is None


def test_misuse_is_refused():
    with pytest.raises(ValueError, match="beta = -1"):
        prepared(4, -1)
    for beta in ("nan", "inf"):
        with pytest.raises(ValueError, match=f"beta = {beta}"):
            prepared(4, float(beta))
    with pytest.raises(RuntimeError, match="prepare"):
        Wolff(Ising(4), WolffOptions()).draw(1, generator=torch.Generator())
    for bad in ({"n_chains": 0}, {"flips_per_draw": 0}, {"burn_in_sweeps": -1.0}, {"burn_in_sweeps": float("inf")}):
        with pytest.raises(ValueError, match=r"at least|from 0 to 1e9"):
            WolffOptions(**bad)
