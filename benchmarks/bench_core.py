"""Benchmarks of energies, exact values and estimators."""

import functools
from typing import Any

from benchmarks.suite import BETA, Timed, feature


@functools.cache
def configurations(extent: int) -> Any:
    """Return 2^22 random spins as configurations (2^22 / L^2, L, L) int8."""
    import torch

    shape = (2**22 // extent**2, extent, extent)
    return torch.randint(0, 2, shape, dtype=torch.int8, generator=torch.Generator().manual_seed(1)) * 2 - 1


@functools.cache
def series(n: int, n_chains: int) -> Any:
    """Return AR(1) series (n, n_chains) with coefficient 0.9, so tau_int = 9.5."""
    import numpy as np

    values = np.random.default_rng(1).normal(size=(n, n_chains))
    for i in range(1, n):
        values[i] += 0.9 * values[i - 1]
    return values


class Energy(Timed):
    params = [16, 128]
    param_names = ["L"]

    def setup(self, extent):
        self.energy = feature("nisbench.physics.ising:Ising")(extent).energy
        self.spins = configurations(extent)

    def time_energy(self, extent):
        for _ in range(8):
            self.energy(self.spins)


class Exact(Timed):
    def setup(self):
        self.exact_values = feature("nisbench.physics.kaufman:exact_values")

    def time_kaufman(self):
        for extent in (8, 32, 128, 512):
            for step in range(3):
                self.exact_values(extent, BETA + 0.001 * step)


class Estimators(Timed):
    def setup(self):
        self.gamma_method = feature("nisbench.statistics.autocorrelation:gamma_method")
        self.series = series(40_000, 4)

    def time_gamma_method(self):
        self.gamma_method(self.series)
