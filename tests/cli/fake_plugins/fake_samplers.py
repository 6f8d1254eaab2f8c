"""The classes that fake_registration registers."""

import math
import os
import signal
import sys
import time
from functools import lru_cache
from pathlib import Path

import torch

from nisbench.api import ChainDraws, ChainSampler, Density, Model, ModelDraws


class Tilted(Model):
    """q(s) = product of Bernoulli(sigmoid(logit)), one logit for all spins."""

    batches = 0

    def __init__(self, target, options):
        super().__init__(target, options)
        self.logit = torch.nn.Parameter(torch.randn(()))

    def training_batch(self, n, *, beta, generator):
        slow_while, self.batches = self.options.slow_while, self.batches + 1
        if not slow_while or Path(slow_while).exists():
            time.sleep(self.options.step_sleep)
        if self.batches == self.options.stops_at:
            os.kill(os.getpid(), signal.SIGSTOP)
        return super().training_batch(n, beta=beta, generator=generator)

    def sample(self, n, *, beta, generator):
        up = torch.rand(n, self.target.L, self.target.L, generator=generator) < self.logit.sigmoid()
        spins = (2 * up - 1).to(torch.int8)
        return ModelDraws(spins=spins, log_prob=self.log_prob(spins, beta=beta).detach())

    def log_prob(self, spins, *, beta):
        return torch.nn.functional.logsigmoid(spins.double() * self.logit.double()).sum((-2, -1))


class Giant(Model):
    """More parameters than any machine has."""

    def __init__(self, target, options):
        super().__init__(target, options)
        self.weight = torch.nn.Parameter(torch.empty(options.width * 10**9))

    def sample(self, n, *, beta, generator):
        raise NotImplementedError

    def log_prob(self, spins, *, beta):
        raise NotImplementedError


@lru_cache
def _states(L):
    bits = torch.arange(2 ** (L * L)).unsqueeze(1).bitwise_right_shift(torch.arange(L * L)) & 1
    return (2 * bits - 1).to(torch.int8).reshape(-1, L, L)


class Perfect(ChainSampler):
    """Independent exact draws by enumeration, as chains."""

    @classmethod
    def unsupported(cls, target, options):
        return None if target.L <= 4 else f"enumerates 2^N states, L = {target.L} is too large"

    def prepare(self, *, beta, generator):
        if self.options.fails_while and Path(self.options.fails_while).exists():
            raise RuntimeError("the file is there")
        sys.stdout.write(f"prepared in process {os.getpid()}\n")
        self.states = _states(self.target.L)
        self.cumulative = torch.softmax(-beta * self.target.energy(self.states), 0).cumsum(0)

    def draw(self, n, *, generator):
        u = torch.rand(n, self.options.n_chains, generator=generator, dtype=torch.float64)
        index = torch.searchsorted(self.cumulative, u).clamp(max=len(self.states) - 1)
        return ChainDraws(spins=self.states[index])


class Coins(Density):
    """q(s) = 2^-N, without training."""

    def sample(self, n, *, beta, generator):
        up = torch.randint(2, (n, self.target.L, self.target.L), generator=generator)
        spins = (2 * up - 1).to(torch.int8)
        return ModelDraws(spins, self.log_prob(spins, beta=beta))

    def log_prob(self, spins, *, beta):
        return torch.full((len(spins),), -self.target.n_sites * math.log(2), dtype=torch.float64)


class Fitted(Perfect):
    """Exact draws after a training of 0.01 s a step."""

    def fit(self, *, beta, generator, budget, report):
        time.sleep(0.01 * budget.steps)


class _Failing(ChainSampler):
    def prepare(self, *, beta, generator):
        raise NotImplementedError

    def draw(self, n, *, generator):
        raise NotImplementedError


class Raises(_Failing):
    def prepare(self, *, beta, generator):
        raise ZeroDivisionError("a plugin's mistake")


class Exits(_Failing):
    def prepare(self, *, beta, generator):
        sys.stdout.write("leaving now\n")
        sys.stdout.flush()
        os._exit(7)


class Segfaults(_Failing):
    def prepare(self, *, beta, generator):
        os.kill(os.getpid(), signal.SIGSEGV)


class Sleeps(_Failing):
    def prepare(self, *, beta, generator):
        time.sleep(600)


class Hungry(_Failing):
    def prepare(self, *, beta, generator):
        torch.ones(2**40, dtype=torch.int8)


class Choosy(_Failing):
    @classmethod
    def unsupported(cls, target, options):
        return "does not like this target"
