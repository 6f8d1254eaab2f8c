"""The timed work, shared by asv (bench_*.py) and pytest-benchmark (tests/performance), with its seeded inputs.

asv times this work at every commit; pytest-benchmark times it beside a naive form and compares the numbers of both.
A function that returns a `Work` prepares everything, so that only the call of the work is timed. It is cached, because
asv calls `setup` before every call.
"""

import functools
from collections.abc import Callable
from typing import Any

from benchmarks.suite import BETA, feature

__all__ = [
    "Work",
    "configurations",
    "dense",
    "dense_draw",
    "draw",
    "energies",
    "flips",
    "gamma_method",
    "series",
    "thresholds",
    "training_step",
]

Work = Callable[[], Any]


@functools.cache
def configurations(extent: int, n: int) -> Any:
    """Return n random configurations, (n, L, L) int8."""
    import torch

    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 2, (n, extent, extent), dtype=torch.int8, generator=generator) * 2 - 1


@functools.cache
def series(n: int, n_chains: int) -> Any:
    """Return AR(1) series (n, n_chains) with coefficient 0.9, so tau_int = 9.5."""
    import numpy as np

    values = np.random.default_rng(1).normal(size=(n, n_chains))
    for i in range(1, n):
        values[i] += 0.9 * values[i - 1]
    return values


@functools.cache
def dense(n_spins: int, n_draws: int) -> tuple[Any, Any]:
    """Return a dense network and random thresholds (n_spins, n_draws)."""
    network = feature("nisbench.nn.dense:AutoregressiveDense")
    import torch

    torch.manual_seed(1)
    return network(n_spins), torch.randn(n_spins, n_draws, generator=torch.Generator().manual_seed(1))


@functools.cache
def energies(extent: int, n: int) -> Work:
    """Return the energies of n configurations of the Ising model, (n,)."""
    energy = feature("nisbench.physics.ising:Ising")(extent).energy
    return functools.partial(energy, configurations(extent, n))


@functools.cache
def gamma_method(n: int, n_chains: int) -> Work:
    """Return tau_int of the series with its error."""
    return functools.partial(feature("nisbench.statistics.autocorrelation:gamma_method"), series(n, n_chains))


@functools.cache
def dense_draw(n_spins: int, n_draws: int) -> Work:
    """Return spins and ln q of a dense network: one call of its sampling kernel."""
    network, limits = dense(n_spins, n_draws)
    return functools.partial(network.draw, limits)


@functools.cache
def thresholds(n_spins: int, n_draws: int) -> Work:
    """Return new logistic thresholds (n_spins, n_draws)."""
    drawn = feature("nisbench.nn.bernoulli:thresholds")
    import torch

    return functools.partial(drawn, n_spins, n_draws, like=torch.zeros(()), generator=torch.Generator().manual_seed(1))


def draw(model: Any, generator: Any, n: int) -> Any:
    """Return n configurations of a model with their ln q."""
    return model.sample(n, beta=BETA, generator=generator)


def training_step(model: Any, generator: Any, n: int) -> None:
    """Draw a batch of n configurations and compute the gradient of the loss, without the optimiser."""
    batch = model.training_batch(n, beta=BETA, generator=generator)
    model.zero_grad()
    batch.loss().backward()


def flips(sampler: Any, generator: Any, n: int) -> Any:
    """Return the series of n draws of a prepared cluster sampler, with energies and magnetisations."""
    return sampler.draw_series(n, generator=generator)
