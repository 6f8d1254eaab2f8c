"""Small weighted samplers: a correct sampler, and a wrong sampler for each clause of the contract."""

import math

import numpy as np
import torch

from nisbench.api import WeightedDraws, WeightedSampler


class Weighted(WeightedSampler):
    """Exact draws at 0.9 beta by enumeration for L <= 4, with weights for beta; E[w] = Z."""

    normalised = True

    @classmethod
    def unsupported(cls, target, options):
        return None if target.L <= 4 else f"only 2^16 states are enumerated, not those of L = {target.L}"

    def prepare(self, *, beta, generator):
        n = self.target.n_sites
        bits = (torch.arange(2**n)[:, None] >> torch.arange(n)) & 1
        self.states = (2 * bits - 1).to(torch.int8).view(-1, self.target.L, self.target.L)
        energy = self.target.energy(self.states)
        log_q = torch.log_softmax(-0.9 * beta * energy, 0)
        self.cumulative, self.log_weight = log_q.exp().cumsum(0), self.weights(beta, energy, log_q)

    def weights(self, beta, energy, log_q):
        return -beta * energy - log_q

    def uniform(self, n, generator):
        return torch.rand(n, generator=generator, dtype=torch.float64)

    def draw(self, n, *, generator):
        rows = torch.searchsorted(self.cumulative, self.uniform(n, generator) * self.cumulative[-1])
        return WeightedDraws(self.states[rows], self.log_weight[rows], normalised=self.normalised)


class Unnormalised(Weighted):
    """A correct sampler whose weights lack a constant factor, so ln Z cannot be estimated."""

    normalised = False

    def weights(self, beta, energy, log_q):
        return super().weights(beta, energy, log_q) + 1


class HalfWeights(Weighted):
    """Half of ln w. Fails `exact_means` among others."""

    def weights(self, beta, energy, log_q):
        return 0.5 * super().weights(beta, energy, log_q)


class NotASampler:
    """Fails `loads`."""


class DividesByBeta(Weighted):
    """Fails `builds`."""

    def prepare(self, *, beta, generator):
        self.temperature = 1 / beta
        super().prepare(beta=beta, generator=generator)


class WideSpins(Weighted):
    """Fails `draw_shapes`: a single draw has another type."""

    def draw(self, n, *, generator):
        draws = super().draw(n, generator=generator)
        return WeightedDraws(draws.spins.long(), draws.log_weight, normalised=True) if n == 1 else draws


class RemembersPreparation(Weighted):
    """Fails `same_seed`: after a second `prepare` the same seed draws other configurations."""

    prepared = 0

    def prepare(self, *, beta, generator):
        super().prepare(beta=beta, generator=generator)
        self.prepared += 1

    def uniform(self, n, generator):
        uniform = super().uniform(n, generator)
        return uniform if self.prepared == 1 else 1 - uniform


class FixedSeed(Weighted):
    """Fails `different_seed`."""

    def prepare(self, *, beta, generator):
        super().prepare(beta=beta, generator=generator)
        self.stream = torch.Generator().manual_seed(0)

    def uniform(self, n, generator):
        return super().uniform(n, self.stream)


class CappedBeta(Unnormalised):
    """Fails `exact_means`: 2 % too hot at beta = 0.44, correct at 0.3."""

    def prepare(self, *, beta, generator):
        super().prepare(beta=min(beta, 0.98 * 0.44), generator=generator)


class FirstBeta(Weighted):
    """Fails `prepare_beta`."""

    first = None

    def prepare(self, *, beta, generator):
        self.first = beta if self.first is None else self.first
        super().prepare(beta=self.first, generator=generator)


class WrongFactor(Weighted):
    """Fails `normalisation`: E[w] is 5 % too large."""

    def weights(self, beta, energy, log_q):
        return super().weights(beta, energy, log_q) + math.log(1.05)


class Twice(Weighted):
    """Fails `independent`: each configuration comes twice."""

    def uniform(self, n, generator):
        return super().uniform(n, generator)[: (n + 1) // 2].repeat_interleave(2)[:n]


class GlobalGenerator(Weighted):
    """Fails `no_global_state`."""

    def draw(self, n, *, generator):
        np.random.random()  # noqa: NPY002
        return super().draw(n, generator=generator)


class FalsePromise(Weighted):
    """Fails `unsupported_sizes`: it gives no reason and does not work."""

    def prepare(self, *, beta, generator):
        if self.target.L == 3:
            raise ValueError("three is odd")
        super().prepare(beta=beta, generator=generator)


class EndlessCost(Weighted):
    """Fails `costs`."""

    def costs(self):
        return {"flops_per_draw": math.inf}
