"""Samplers whose work is easily missed by a clock: each does SECONDS of it at another place."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from nisbench.api import ChainDraws, ChainSampler, Density, ModelDraws

SECONDS = 0.6
"""CPU seconds of hidden work."""


def work(seconds: float | None = None) -> None:
    """Use CPU time of this thread, however busy the machine is; SECONDS by default."""
    end = time.thread_time() + (SECONDS if seconds is None else seconds)
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
    """work of seconds in every constructor"""

    def __init__(self, target, options):
        super().__init__(target, options)
        work()


class InFirstConstructor(FairDensity):
    """work of seconds in the first constructor, which keeps the result for the others"""

    known = False

    def __init__(self, target, options):
        super().__init__(target, options)
        if not InFirstConstructor.known:
            work()
            InFirstConstructor.known = True


class InUnsupported(Fair):
    """work of seconds while it is asked whether it runs"""

    @classmethod
    def unsupported(cls, target, options):
        work()


class InFirstPrepare(Fair):
    """work of seconds in the first `prepare`, before the clock starts, which keeps the result"""

    known = False

    def prepare(self, *, beta, generator):
        if not InFirstPrepare.known:
            work()
            InFirstPrepare.known = True


class InBackground(Fair):
    """a thread that works on between the calls"""

    over = threading.Event()

    def prepare(self, *, beta, generator):
        if not any(thread.name == "hidden" for thread in threading.enumerate()):
            threading.Thread(target=self.run, name="hidden", daemon=True).start()

    @classmethod
    def run(cls):
        while not cls.over.is_set():
            work(0.02)


@contextmanager
def renewed(plugin: type | str) -> Iterator[None]:
    """Let a class or module forget that it has worked before, and end its thread afterwards."""
    if hasattr(plugin, "known"):
        plugin.known = False
    if isinstance(plugin, str):
        sys.modules.pop(plugin.partition(":")[0], None)
    InBackground.over.clear()
    try:
        yield
    finally:
        InBackground.over.set()
        for thread in threading.enumerate():
            if thread.name == "hidden":
                thread.join()


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
