"""Micro-benchmarks of the toolkit and the estimators: `pytest tests/performance --benchmark-enable`.

Each fast path stands beside the naive form of the same numbers, and is held against it.
"""

import numba
import numpy as np
import pytest
import torch

from nisbench.nn.bernoulli import spin_log_prob
from nisbench.nn.dense import AutoregressiveDense
from nisbench.physics.ising import Ising
from nisbench.statistics.autocorrelation import gamma_method

SPINS, DRAWS = 64, 256


@pytest.fixture(autouse=True)
def _one_thread():
    """Where the cores are busy, two threads wait for each other: 0.1 ms of work then took 88 ms."""
    before = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    yield
    torch.set_num_threads(before[0])
    numba.set_num_threads(before[1])


@pytest.fixture
def network():
    torch.manual_seed(1)
    return AutoregressiveDense(SPINS)


@pytest.fixture
def thresholds():
    return torch.randn(SPINS, DRAWS, generator=torch.Generator().manual_seed(1))


def naive_draw(network, thresholds):
    """One full pass a spin."""
    spins = torch.zeros_like(thresholds)
    with torch.no_grad():
        for k in range(len(spins)):
            spins[k] = torch.where(network(spins)[k] > thresholds[k], 1.0, -1.0)
        return spins, spin_log_prob(spins, network(spins))


def naive_energy(spins):
    """Both neighbours by rolled copies in float64."""
    s = spins.double()
    return -(s * (s.roll(1, -1) + s.roll(1, -2))).sum((-2, -1))


def naive_gamma_method(series, window):
    """tau_int with the sums over t written out."""
    deviation = series - series.mean()
    n = len(series)
    rho = np.array([deviation[: n - t] @ deviation[t:] / (n - t) for t in range(window + 1)]) / deviation.var()
    return 0.5 + rho[1:].sum()


@pytest.mark.benchmark(group="draw")
def test_draw(benchmark, network, thresholds):
    spins, log_prob = benchmark(network.draw, thresholds)
    expected, expected_log_prob = naive_draw(network, thresholds)
    assert (spins != expected).sum() <= 2, "sums in another order may turn a spin whose logit meets its threshold"
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


@pytest.fixture
def configurations():
    return torch.randint(0, 2, (256, 32, 32), dtype=torch.int8, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.benchmark(group="energy")
def test_energy(benchmark, configurations):
    assert torch.equal(benchmark(Ising(32).energy, configurations), naive_energy(configurations))


@pytest.mark.benchmark(group="energy")
def test_energy_naive(benchmark, configurations):
    benchmark(naive_energy, configurations)


@pytest.fixture
def series():
    values = np.random.default_rng(1).normal(size=20_000)
    for i in range(1, len(values)):
        values[i] += 0.9 * values[i - 1]
    return values


@pytest.mark.benchmark(group="gamma_method")
def test_gamma_method(benchmark, series):
    found = benchmark(gamma_method, series)
    assert abs(found.tau_int - 9.5) < 5 * found.error
    bias = 1 + (2 * found.window + 1) / len(series)  # the correction of the mean that gamma_method makes
    assert found.tau_int == pytest.approx(bias * naive_gamma_method(series, found.window), rel=1e-9)


@pytest.mark.benchmark(group="gamma_method")
def test_gamma_method_naive(benchmark, series):
    benchmark(naive_gamma_method, series, 40)
