"""Exact properties of `swendsen-wang`: bookkeeping, clusters against SciPy, degenerate temperatures, refusals."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

import nisbench_plugins.swendsen_wang as module
from nisbench.physics.glasses import EdwardsAnderson, Villain
from nisbench.physics.ising import Ising
from nisbench.physics.options import EdwardsAndersonOptions, IsingOptions
from nisbench_plugins.clusters import BondTables
from nisbench_plugins.label_propagation import LabelPropagation, clusters
from nisbench_plugins.registration import SwendsenWangOptions
from nisbench_plugins.swendsen_wang import SwendsenWang

TARGETS = {
    "torus": Ising,
    "free": lambda L: Ising(L, IsingOptions(boundary="free")),
    "field": lambda L: Ising(L, IsingOptions(field=-0.2)),
    "pm1": EdwardsAnderson,
    "pm1 torus": lambda L: EdwardsAnderson(L, EdwardsAndersonOptions(boundary="torus")),
    "gaussian": lambda L: EdwardsAnderson(L, EdwardsAndersonOptions(disorder="gaussian")),
    "villain": Villain,
}


def source(seed=1):
    return torch.Generator().manual_seed(seed)


def prepared(size, beta=0.44, target="torus", seed=1, **options):
    sampler = SwendsenWang(TARGETS[target](size), SwendsenWangOptions(**options))
    sampler.prepare(beta=beta, generator=source(seed))
    return sampler


@pytest.mark.parametrize("size", [2, 3, 4, 7, 17])
@pytest.mark.parametrize("beta", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("target", TARGETS)
def test_totals_are_the_measured_ones(target, size, beta):
    measured, drawn = (prepared(size, beta, target, n_chains=2) for _ in range(2))
    series, spins = measured.draw_series(30, generator=source()), drawn.draw(30, generator=source()).spins
    assert np.array_equal(series.energy, drawn.target.energy(spins).numpy())
    assert np.array_equal(series.magnetisation, spins.sum((-2, -1)).numpy())
    assert np.array_equal(series.cluster_size[1:], (spins[1:] != spins[:-1]).sum((-2, -1)).numpy())


def labels_of(size, kept_right, kept_down):
    """Component of each site by SciPy: kept bonds (L, L) to the right and lower neighbour on the torus."""
    site = np.arange(size * size).reshape(size, size)
    pairs = [(site[kept_right], np.roll(site, -1, 1)[kept_right]), (site[kept_down], np.roll(site, -1, 0)[kept_down])]
    first, second = (np.concatenate(ends) for ends in zip(*pairs, strict=True))
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(size * size, size * size))
    return connected_components(graph, directed=False)[1]


def same_partition(a, b):
    return len(set(zip(a.tolist(), b.tolist(), strict=True))) == len(set(a.tolist())) == len(set(b.tolist()))


@pytest.mark.parametrize("size", [2, 3, 8, 33])
@pytest.mark.parametrize("density", [0.0, 0.3, 0.5, 0.7, 1.0])
def test_labels_in_torch_are_the_components_of_the_graph(size, density):
    right, down = torch.rand((2, 6, size, size), generator=source()) < density
    found = clusters(right, down)
    for labels, *kept in zip(found.numpy(), right.numpy(), down.numpy(), strict=True):
        assert same_partition(labels, labels_of(size, *kept))
        assert np.array_equal(np.flatnonzero(labels == np.arange(size * size)), np.unique(labels))


@pytest.mark.parametrize("size", [2, 3, 8, 33])
@pytest.mark.parametrize("seed", range(5))
def test_the_forest_is_the_components_of_the_satisfied_bonds_when_all_of_them_are_kept(size, seed):
    target = Ising(size)
    tables = BondTables.build(target, 50.0)
    rng = np.random.default_rng(seed)
    spins = (rng.random((size, size)) < 0.5).astype(np.uint8)
    parent, state = np.empty(size * size, dtype=np.int32), rng.integers(1, 2**63, 4).astype(np.uint64)
    arguments = spins.ravel(), parent, state, size, tables.codes, tables.thresholds
    module._connect(*arguments)
    module._close(*arguments)
    assert (parent <= np.arange(size * size)).all()
    for _ in range(size * size):
        parent = parent[parent]
    kept = [spins == np.roll(spins, -1, axis) for axis in (1, 0)]
    assert same_partition(parent, labels_of(size, *kept))


@pytest.mark.parametrize("target", TARGETS)
def test_the_form_in_torch_agrees_with_itself(target):
    measured, drawn = (LabelPropagation(TARGETS[target](5), 0.4, 3, torch.device("cpu")) for _ in range(2))
    series, spins = measured.draw_series(20, 2, source()), drawn.draw(20, 2, source())
    assert np.array_equal(series.energy, TARGETS[target](5).energy(spins).numpy())
    assert np.array_equal(series.magnetisation, spins.sum((-2, -1)).numpy())
    changed = (spins[1:] != spins[:-1]).sum((-2, -1)).numpy()
    assert (series.cluster_size[1:] >= changed).all()
    assert not ((series.cluster_size[1:] - changed) % 2).any()


def test_number_of_threads_and_of_calls_does_not_change_the_numbers():
    before, found = torch.get_num_threads(), []
    for count, parts in ((1, (6,)), (3, (2, 4))):
        torch.set_num_threads(count)
        sampler = prepared(8, n_chains=3)
        found.append(torch.cat([sampler.draw(n, generator=source()).spins for n in parts]))
    torch.set_num_threads(before)
    assert torch.equal(*found)


def test_several_sweeps_a_draw_are_the_same_chain_seen_less_often():
    every, third = (prepared(8, n_chains=2, sweeps_per_draw=n) for n in (1, 3))
    assert np.array_equal(
        third.draw_series(10, generator=source()).energy, every.draw_series(30, generator=source()).energy[2::3]
    )


def test_at_zero_temperature_the_lattice_is_one_cluster_and_no_burn_in_keeps_the_start():
    series = prepared(8, 50.0, burn_in_sweeps=0).draw_series(50, generator=source())
    assert set(np.unique(series.magnetisation)) == {-64.0, 64.0}
    assert (series.energy == -128).all()


def test_a_strong_field_aligns_all_spins():
    target = Ising(4, IsingOptions(field=-50.0))
    sampler = SwendsenWang(target, SwendsenWangOptions())
    sampler.prepare(beta=1.0, generator=source())
    assert (sampler.draw(20, generator=source()).spins == -1).all()


def test_kernels_are_compiled_once_and_for_all():
    for kernel in (module._root, module._connect, module._close, module._flip, module._flip_in_field, module._advance):
        assert len(kernel.signatures) == 1
        assert not kernel._can_compile


def test_misuse_is_refused():
    reason = SwendsenWang.unsupported(SimpleNamespace(name="plain", L=4), SwendsenWangOptions())
    assert "the target 'plain' has none" in reason
    for beta in ("-1.0", "nan", "inf"):
        with pytest.raises(ValueError, match=f"beta = {beta}: swendsen-wang"):
            prepared(4, float(beta))
    with pytest.raises(RuntimeError, match="swendsen-wang has no chains"):
        SwendsenWang(Ising(4), SwendsenWangOptions()).draw(1, generator=source())
    for bad in ({"n_chains": 0}, {"sweeps_per_draw": 0}, {"burn_in_sweeps": -1}):
        with pytest.raises(ValueError, match="at least"):
            SwendsenWangOptions(**bad)
