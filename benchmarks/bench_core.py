"""Benchmarks of energies, exact values and estimators."""

from benchmarks import work
from benchmarks.suite import BETA, Timed, feature


class Energy(Timed):
    params = [16, 128]
    param_names = ["L"]

    def setup(self, extent):
        self.energies = work.energies(extent, 2**22 // extent**2)

    def time_energy(self, extent):
        for _ in range(8):
            self.energies()


class Exact(Timed):
    def setup(self):
        self.exact_values = feature("nisbench.physics.kaufman:exact_values")

    def time_kaufman(self):
        for extent in (8, 32, 128, 512):
            for step in range(3):
                self.exact_values(extent, BETA + 0.001 * step)


class Estimators(Timed):
    def setup(self):
        self.gamma_method = work.gamma_method(40_000, 4)

    def time_gamma_method(self):
        self.gamma_method()
