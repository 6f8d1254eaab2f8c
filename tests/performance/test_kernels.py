"""Micro-benchmarks of the network toolkit and the estimators: `pytest tests/performance --benchmark-enable`.

Each fast implementation is timed beside a naive one, and the numbers of both are compared. The work that asv times too
stands in benchmarks/work.py.
"""

import math

import numba
import numpy as np
import pytest
import torch

from benchmarks import work
from nisbench.nn.bernoulli import spin_log_prob
from nisbench.nn.exact_block import block_draw, block_log_z
from nisbench.nn.hierarchy import heat_bath_sites, known_neighbours, levels
from nisbench.nn.ising import heat_bath
from nisbench.nn.network import draw, score
from nisbench.nn.odd import AutoregressiveOdd

SPINS, DRAWS = 64, 256


@pytest.fixture(autouse=True)
def _one_thread():
    """One thread only. On busy cores two threads wait for each other: 0.1 ms of work then took 88 ms."""
    before = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    yield
    torch.set_num_threads(before[0])
    numba.set_num_threads(before[1])


@pytest.fixture
def network():
    return work.dense(SPINS, DRAWS)[0]


@pytest.fixture
def thresholds():
    return work.dense(SPINS, DRAWS)[1]


def naive_draw(network, thresholds):
    """Return spins and ln q, drawn with one full forward pass per spin."""
    spins = torch.zeros_like(thresholds)
    with torch.no_grad():
        for k in range(len(spins)):
            spins[k] = torch.where(network(spins)[k] > thresholds[k], 1.0, -1.0)
        return spins, spin_log_prob(spins, network(spins))


def naive_energy(spins):
    """Return the energies from rolled copies of the spins in float64."""
    s = spins.double()
    return -(s * (s.roll(1, -1) + s.roll(1, -2))).sum((-2, -1))


def naive_gamma_method(series, window):
    """Return tau_int with one sum for each lag t."""
    deviation = series - series.mean()
    n = len(series)
    rho = np.array([deviation[: n - t] @ deviation[t:] / (n - t) for t in range(window + 1)]) / deviation.var()
    return 0.5 + rho[1:].sum()


@pytest.mark.benchmark(group="draw")
def test_draw(benchmark, network, thresholds):
    spins, log_prob = benchmark(work.dense_draw(SPINS, DRAWS))
    expected, expected_log_prob = naive_draw(network, thresholds)
    assert (spins != expected).sum() <= 2, "another order of sums may flip a spin whose logit is close to its threshold"
    same = (spins == expected).all(0)
    assert same.float().mean() > 0.98
    torch.testing.assert_close(log_prob[same], expected_log_prob[same], rtol=1e-5, atol=1e-4)


@pytest.mark.benchmark(group="draw")
def test_draw_naive(benchmark, network, thresholds):
    benchmark(naive_draw, network, thresholds)


@pytest.mark.benchmark(group="score")
def test_score(benchmark, network, thresholds):
    spins, log_prob = network.draw(thresholds)
    with torch.no_grad():
        torch.testing.assert_close(benchmark(network.score, spins), log_prob, rtol=1e-5, atol=1e-4)


@pytest.mark.benchmark(group="score")
def test_score_naive(benchmark, network, thresholds):
    spins, log_prob = network.draw(thresholds)
    with torch.no_grad():
        naive = benchmark(lambda: spin_log_prob(spins, network(spins)))
    torch.testing.assert_close(naive, log_prob, rtol=1e-5, atol=1e-4)


def gradient(log_prob, network):
    """Return the gradient of the sum of ln q over the draws with respect to the parameters."""
    return torch.autograd.grad(log_prob.sum(), list(network.parameters()), retain_graph=True)


@pytest.mark.benchmark(group="gradient")
def test_gradient(benchmark, network, thresholds):
    spins, log_prob = network.draw(thresholds)
    found = benchmark(lambda: gradient(log_prob, network))
    for a, b in zip(found, gradient(spin_log_prob(spins, network(spins)), network), strict=True):
        torch.testing.assert_close(a, b, rtol=2e-3, atol=2e-3)


@pytest.mark.benchmark(group="gradient")
def test_gradient_naive(benchmark, network, thresholds):
    spins, _ = network.draw(thresholds)
    benchmark(lambda: gradient(spin_log_prob(spins, network(spins)), network))


@pytest.fixture
def odd():
    """A network, lattices of one block, its sites, and thresholds."""
    torch.manual_seed(1)
    network = AutoregressiveOdd(known_neighbours(levels(32)[1], 32), width=8)
    network.last.data += torch.randn_like(network.last) / 8
    sites = torch.arange(network.n_border + network.n_spins).unsqueeze(1)
    lattice = torch.randint(0, 2, (len(sites), DRAWS), dtype=torch.int8) * 2 - 1
    at = sites[network.n_border :], sites[: network.n_border]
    return network, lattice, at, torch.randn(network.n_spins, DRAWS)


def naive_odd_draw(network, lattice, at, thresholds):
    """Return spins, drawn with one full forward pass per spin."""
    spins, border = torch.zeros_like(thresholds), lattice[: network.n_border]
    with torch.no_grad():
        for k in range(len(spins)):
            spins[k] = torch.where(network(spins, border, beta=0.44)[k] > thresholds[k], 1.0, -1.0)
    return spins


def naive_odd_log_prob(network, lattice):
    """Return ln q by one full forward pass."""
    spins = lattice[network.n_border :].float()
    return spin_log_prob(spins, network(spins, lattice[: network.n_border], beta=0.44))


@pytest.mark.benchmark(group="odd draw")
def test_odd_draw(benchmark, odd):
    network, lattice, at, thresholds = odd
    with torch.no_grad():
        benchmark(lambda: draw(network.matrices(0.44), lattice, *at, thresholds))
    assert (lattice[network.n_border :] == naive_odd_draw(*odd)).all(0).float().mean() > 0.98


@pytest.mark.benchmark(group="odd draw")
def test_odd_draw_naive(benchmark, odd):
    benchmark(naive_odd_draw, *odd)


@pytest.mark.benchmark(group="odd gradient")
def test_odd_gradient(benchmark, odd):
    network, lattice, at, _ = odd
    found = benchmark(lambda: gradient(score(network.matrices(0.44), lattice, *at), network))
    for a, b in zip(found, gradient(naive_odd_log_prob(network, lattice), network), strict=True):
        torch.testing.assert_close(a, b, rtol=2e-3, atol=2e-3)


@pytest.mark.benchmark(group="odd gradient")
def test_odd_gradient_naive(benchmark, odd):
    network, lattice, _, _ = odd
    benchmark(lambda: gradient(naive_odd_log_prob(network, lattice), network))


@pytest.fixture
def block_border():
    return torch.randint(0, 2, (12, 64), generator=torch.Generator().manual_seed(1), dtype=torch.int8) * 2 - 1


def naive_block_log_z(border, beta):
    """Return ln Z of a block of side 3 as a sum over its 512 states."""
    bits = torch.arange(512).unsqueeze(1) >> torch.arange(9) & 1
    spins = (2 * bits - 1).double().view(512, 3, 3)
    inside = (spins[:, 1:] * spins[:, :-1]).sum((1, 2)) + (spins[:, :, 1:] * spins[:, :, :-1]).sum((1, 2))
    above, right, below, left = border.double().view(4, 3, -1)
    outside = spins[:, 0] @ above + spins[:, :, 2] @ right + spins[:, 2] @ below + spins[:, :, 0] @ left
    return torch.logsumexp(beta * (inside.unsqueeze(1) + outside), 0)


@pytest.mark.benchmark(group="block ln Z")
def test_block_log_z(benchmark, block_border):
    found = benchmark(block_log_z, block_border, torch.arange(12).unsqueeze(1), 3, 0.44, torch.float32)[0]
    torch.testing.assert_close(found, naive_block_log_z(block_border, 0.44), rtol=0, atol=1e-5)


@pytest.mark.benchmark(group="block ln Z")
def test_block_log_z_naive(benchmark, block_border):
    benchmark(naive_block_log_z, block_border, 0.44)


@pytest.mark.benchmark(group="block draw")
def test_block_draw(benchmark, block_border):
    odds = torch.randn(9, 64, generator=torch.Generator().manual_seed(2)).exp()
    lattice, sites = torch.cat([block_border, block_border[:9]]), torch.arange(21).unsqueeze(1)
    log_z = benchmark(block_draw, lattice, sites[12:], sites[:12], 3, 0.44, odds)[0]
    assert torch.equal(lattice[:12], block_border)
    torch.testing.assert_close(log_z, naive_block_log_z(block_border, 0.44), rtol=0, atol=1e-5)


@pytest.mark.benchmark(group="heat bath")
def test_heat_bath(benchmark):
    sites, neighbours = heat_bath_sites(32)
    lattice = torch.randint(0, 2, (1024, DRAWS), dtype=torch.int8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    limits = torch.randn(len(sites), DRAWS, generator=torch.Generator().manual_seed(2))
    expected, expected_log_prob = naive_heat_bath(lattice, sites, neighbours, limits)
    log_prob = benchmark(heat_bath, lattice, sites, neighbours, beta=0.44, thresholds=limits)
    assert torch.equal(lattice[sites].float(), expected)
    torch.testing.assert_close(log_prob, expected_log_prob, rtol=1e-5, atol=1e-4)


def naive_heat_bath(lattice, sites, neighbours, limits):
    """Return spins and ln q of all isolated sites at once, with torch operations."""
    logits = 0.88 * lattice[neighbours].sum(0).float()
    spins = torch.where(logits > limits, 1.0, -1.0)
    return spins, spin_log_prob(spins, logits)


@pytest.mark.benchmark(group="heat bath")
def test_heat_bath_naive(benchmark):
    sites, neighbours = heat_bath_sites(32)
    lattice = torch.randint(0, 2, (1024, DRAWS), dtype=torch.int8) * 2 - 1
    benchmark(naive_heat_bath, lattice, sites, neighbours, torch.randn(len(sites), DRAWS))


@pytest.mark.benchmark(group="thresholds")
def test_thresholds(benchmark):
    """The thresholds are logistic: their variance is pi^2/3, here within 5 standard errors."""
    drawn = benchmark(work.thresholds(SPINS, 4096))
    assert abs(drawn.square().mean().item() - math.pi**2 / 3) < 5 * (16 * math.pi**4 / 45 / drawn.numel()) ** 0.5


@pytest.mark.benchmark(group="thresholds")
def test_thresholds_naive(benchmark):
    benchmark(lambda: torch.rand(SPINS, 4096).logit_())


@pytest.fixture
def configurations():
    return work.configurations(32, 256)


@pytest.mark.benchmark(group="energy")
def test_energy(benchmark, configurations):
    assert torch.equal(benchmark(work.energies(32, 256)), naive_energy(configurations))


@pytest.mark.benchmark(group="energy")
def test_energy_naive(benchmark, configurations):
    benchmark(naive_energy, configurations)


@pytest.fixture
def series():
    return work.series(20_000, 1)[:, 0]


@pytest.mark.benchmark(group="gamma_method")
def test_gamma_method(benchmark, series):
    found = benchmark(work.gamma_method(20_000, 1))
    assert abs(found.tau_int - 9.5) < 5 * found.error
    bias = 1 + (2 * found.window + 1) / len(series)  # gamma_method corrects for the subtracted mean, the naive form not
    assert found.tau_int == pytest.approx(bias * naive_gamma_method(series, found.window), rel=1e-9)


@pytest.mark.benchmark(group="gamma_method")
def test_gamma_method_naive(benchmark, series):
    benchmark(naive_gamma_method, series, 40)
