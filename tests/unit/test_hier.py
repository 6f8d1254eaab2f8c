"""The hierarchical network: published counts, a geometry that covers the torus, fast paths equal to plain ones."""

from functools import partial

import pytest
import torch

from nisbench.nn.bernoulli import spin_log_prob, thresholds
from nisbench.nn.hierarchy import exact_blocks, heat_bath_sites, levels
from nisbench.nn.ising import forcing, heat_bath
from nisbench.physics.ising import Ising
from nisbench_plugins.hier import Hier
from nisbench_plugins.registration import HierOptions


@pytest.mark.parametrize(("L", "count"), [(8, 2_065), (16, 10_102), (32, 44_555), (64, 187_136), (128, 767_157)])
def test_published_parameter_counts(L: int, count: int) -> None:
    assert sum(p.numel() for p in Hier(Ising(L), HierOptions()).parameters()) == count


@pytest.mark.parametrize(("L", "calls"), [(16, 78), (128, 741)])
def test_sequential_network_calls(L: int, calls: int) -> None:
    assert Hier(Ising(L), HierOptions()).costs()["network_calls_per_draw"] == calls


@pytest.mark.parametrize("L", [4, 8, 16, 64])
def test_every_site_is_drawn_once_and_all_around_it_is_known(L: int) -> None:
    """The drawn spins and the inside of a block must touch known spins only through the border: Markov."""
    known: set[int] = set()
    for level in levels(L):
        for block in range(level.drawn.shape[1]):
            assert set(level.border[:, block].tolist()) <= known
        drawn = level.drawn.flatten().tolist()
        assert len(set(drawn)) == len(drawn)
        assert not known & set(drawn)
        known |= set(drawn)
    isolated, neighbours = heat_bath_sites(L)
    assert set(neighbours.flatten().tolist()) <= known
    assert known | set(isolated.tolist()) == set(range(L * L))
    assert len(known) == L * L - len(isolated) == 3 * L * L // 4


@pytest.mark.parametrize("L", [8, 16, 64])
def test_a_border_closes_around_its_block(L: int) -> None:
    """Every neighbour of a drawn spin is drawn in the same block, on its border, or not yet known."""
    known: set[int] = set()
    for level in levels(L):
        for block in range(level.drawn.shape[1]):
            own = set(level.drawn[:, block].tolist()) | set(level.border[:, block].tolist())
            for site in level.drawn[:, block].tolist():
                r, c = divmod(site, L)
                around = {((r + i) % L) * L + (c + j) % L for i, j in ((1, 0), (-1, 0), (0, 1), (0, -1))}
                assert not (around & known) - own
        known |= set(level.drawn.flatten().tolist())


def test_l16_draws_60_then_4_times_13_then_16_times_5_spins() -> None:
    assert [tuple(level.drawn.shape) for level in levels(16)] == [(60, 1), (13, 4), (5, 16)]
    assert [tuple(level.border.shape) for level in levels(16)] == [(0, 1), (28, 4), (12, 16)]
    assert len(heat_bath_sites(16)[0]) == 64


@pytest.mark.parametrize("L", [3, 2, 6, 12, 1])
def test_other_extents_are_unsupported_with_the_reason(L: int) -> None:
    target = Ising(4)
    target.L = L
    assert Hier.unsupported(target, HierOptions()) == f"hier needs L = 2^m with m >= 2; L = {L}"
    for scales in (levels, heat_bath_sites, partial(exact_blocks, largest=3)):
        with pytest.raises(ValueError, match=rf"L = 2\^m with m >= 2; L = {L}"):
            scales(L)


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("z2", [True, False])
@pytest.mark.parametrize(("L", "n"), [(4, 33), (8, 1), (16, 7), (32, 3)])
def test_log_prob_of_a_draw_is_the_log_prob_of_its_spins(L: int, n: int, z2: bool, width: int) -> None:
    torch.manual_seed(0)
    model = Hier(Ising(L), HierOptions(z2=z2, width=width)).double()
    draws = model.sample(n, beta=0.4, generator=torch.Generator().manual_seed(n))
    torch.testing.assert_close(draws.log_prob, model.log_prob(draws.spins, beta=0.4), rtol=0, atol=1e-10)


def test_the_heat_bath_follows_the_beta_that_it_is_given() -> None:
    model = Hier(Ising(8), HierOptions()).double()
    spins = model.sample(5, beta=0.4, generator=torch.Generator().manual_seed(1)).spins
    assert (model.log_prob(spins, beta=0.4) - model.log_prob(spins, beta=0.41)).abs().min() > 1e-4


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("n", [1, 300])
def test_the_compiled_heat_bath_equals_its_formula(n: int, dtype: torch.dtype) -> None:
    L, beta = 8, 0.37
    sites, neighbours = heat_bath_sites(L)
    generator = torch.Generator().manual_seed(n)
    lattice = torch.randint(0, 2, (L * L, n), generator=generator, dtype=torch.int8) * 2 - 1
    limits = thresholds(len(sites), n, like=torch.zeros((), dtype=dtype), generator=generator)
    logits = 2 * beta * lattice[neighbours].sum(0).to(dtype)
    expected = lattice.clone()
    expected[sites] = torch.where(logits > limits, 1, -1).to(torch.int8)
    log_prob = heat_bath(lattice, sites, neighbours, beta=beta, thresholds=limits)
    assert torch.equal(lattice, expected)
    exact = spin_log_prob(expected[sites].double(), logits.double())
    torch.testing.assert_close(log_prob, exact, rtol=0, atol=1e-10 if dtype == torch.float64 else 2e-6)
    again = heat_bath(lattice, sites, neighbours, beta=beta, thresholds=forcing(lattice[sites].to(dtype)))
    assert torch.equal(lattice, expected)
    assert torch.equal(again, log_prob)


@pytest.mark.parametrize("n_spins", [1, 31, 70])
def test_the_heat_bath_counts_many_sites(n_spins: int) -> None:
    """All neighbours up: sums of four neighbours beyond the range of int8."""
    lattice = torch.ones(n_spins + 4, 600, dtype=torch.int8)
    sites, neighbours = torch.arange(n_spins), (n_spins + torch.arange(4)).unsqueeze(1).repeat(1, n_spins)
    limits = torch.full((n_spins, 600), -torch.inf)
    log_prob = heat_bath(lattice, sites, neighbours, beta=0.4, thresholds=limits)
    expected = n_spins * torch.nn.functional.logsigmoid(torch.tensor(3.2, dtype=torch.float64))
    torch.testing.assert_close(log_prob, expected.expand(600), rtol=1e-6, atol=0)
