"""Samplers whose work is easily missed by a clock: each does SECONDS of it at another place."""

import threading
import time

import torch

from nisbench.api import ChainDraws, ChainSampler, Density, ModelDraws

SECONDS = 0.6
"""CPU seconds of hidden work."""


def work(seconds: float = SECONDS) -> None:
    """Use CPU time of this thread, however busy the machine is."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(10_000))


class Fair(ChainSampler):
    """Independent spins: draws of p at beta = 0."""

    def prepare(self, *, beta, generator):
        pass

    def draw(self, n, *, generator):
        shape = (n, 2, self.target.L, self.target.L)
        return ChainDraws((2 * torch.randint(2, shape, generator=generator) - 1).to(torch.int8))


class FairDensity(Density):
    """The same draws with their ln q."""

    def sample(self, n, *, beta, generator):
        spins = (2 * torch.randint(2, (n, self.target.L, self.target.L), generator=generator) - 1).to(torch.int8)
        return ModelDraws(spins, self.log_prob(spins, beta=beta))

    def log_prob(self, spins, *, beta):
        return torch.full((len(spins),), -self.target.n_sites * 0.6931471805599453, dtype=torch.float64)


class InConstructor(Fair):
    """Works in every constructor."""

    def __init__(self, target, options):
        super().__init__(target, options)
        work()


class InFirstConstructor(FairDensity):
    """Works in the first constructor and keeps the result for the others."""

    known = False

    def __init__(self, target, options):
        super().__init__(target, options)
        if not InFirstConstructor.known:
            work()
            InFirstConstructor.known = True


class InUnsupported(Fair):
    """Works while it is asked whether it runs."""

    @classmethod
    def unsupported(cls, target, options):
        work()


class InFirstPrepare(Fair):
    """Works in the first `prepare`, which belongs to the warm-up, and keeps the result."""

    known = False

    def prepare(self, *, beta, generator):
        if not InFirstPrepare.known:
            work()
            InFirstPrepare.known = True


class InBackground(Fair):
    """Works in a thread that goes on until the sampler is gone."""

    over = threading.Event()

    def prepare(self, *, beta, generator):
        if not any(thread.name == "hidden" for thread in threading.enumerate()):
            threading.Thread(target=self.run, name="hidden", daemon=True).start()

    @classmethod
    def run(cls):
        while not cls.over.is_set():
            work(0.02)


AT_IMPORT = f"""
import time
from fakes.hidden import Fair
end = time.thread_time() + {SECONDS}
while time.thread_time() < end:
    sum(range(10_000))
class AtImport(Fair):
    pass
"""
"""Source of a module that works while it is imported."""
