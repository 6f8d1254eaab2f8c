"""Benchmarks of the compiled kernels of the networks, called through the network."""

from benchmarks import work
from benchmarks.suite import Timed

SPINS, DRAWS, CALLS = 32, 16_384, 10
"""A small network and many draws, so that nearly all of the time is spent in the sampling kernel."""


class Sampling(Timed):
    def setup(self):
        self.draw = work.dense_draw(SPINS, DRAWS)

    def time_draw(self):
        for _ in range(CALLS):
            self.draw()


class Thresholds(Timed):
    def setup(self):
        self.thresholds = work.thresholds(256, DRAWS)

    def time_thresholds(self):
        self.thresholds()
