"""Benchmarks of the compiled kernels of the networks, called through the network."""

import functools
from typing import Any

from benchmarks.suite import Timed, feature

SPINS, DRAWS, CALLS = 32, 16_384, 10
"""A small network and many draws, so that nearly all of the time is spent in the sampling kernel."""


@functools.cache
def network() -> tuple[Any, Any, Any]:
    """Return a network of 32 spins, random thresholds (32, 16384) and a generator."""
    dense = feature("nisbench.nn.dense:AutoregressiveDense")
    import torch

    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(1)
    return dense(SPINS), torch.randn(SPINS, DRAWS, generator=generator), generator


class Sampling(Timed):
    def setup(self):
        self.network, self.thresholds, _ = network()

    def time_draw(self):
        for _ in range(CALLS):
            self.network.draw(self.thresholds)


class Thresholds(Timed):
    def setup(self):
        self.thresholds = feature("nisbench.nn.bernoulli:thresholds")
        _, self.like, self.generator = network()

    def time_thresholds(self):
        self.thresholds(256, DRAWS, like=self.like, generator=self.generator)
