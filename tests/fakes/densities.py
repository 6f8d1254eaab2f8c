"""Small densities without training by the core: correct densities, and a wrong density for each clause."""

import math

import torch
from torch.nn.functional import logsigmoid

from nisbench.api import Density, ModelDraws


class OpenRows(Density):
    """Independent rows, each an open Ising chain: q(s) = prod over rows of 1/2 prod_i sigmoid(2 beta s_i s_(i+1))."""

    temper = 1.0

    def prepare(self, *, beta, generator):
        self.coupling = 2 * beta

    def sample(self, n, *, beta, generator):
        uniform = torch.rand(n, self.target.L, self.target.L, generator=generator, dtype=torch.float64)
        probability = torch.full_like(uniform, torch.tensor(self.temper * self.coupling).sigmoid())
        probability[..., 0] = 0.5
        spins = torch.where(uniform < probability, 1, -1).cumprod(-1).to(torch.int8)
        return ModelDraws(spins, self.log_prob(spins, beta=beta))

    def log_prob(self, spins, *, beta):
        bonds = spins[..., 1:].double() * spins[..., :-1]
        return self.log_bonds(bonds).sum((-2, -1)) - self.target.L * math.log(2)

    def log_bonds(self, bonds):
        return logsigmoid(self.coupling * bonds)


class FittedRows(OpenRows):
    """Registered with trains=True: each step of `fit` moves a factor of the coupling towards 1."""

    factor = 0.5

    def fit(self, *, beta, generator, budget, report):
        for _ in range(budget.steps):
            self.factor += 0.1 * (1 - self.factor)

    def prepare(self, *, beta, generator):
        self.coupling = 2 * beta * self.factor


class NotADensity:
    """Fails `loads`."""


class DividesByBeta(OpenRows):
    """Fails `builds`."""

    def prepare(self, *, beta, generator):
        self.temperature = 1 / beta
        super().prepare(beta=beta, generator=generator)


class WideSpinsAt8(OpenRows):
    """Fails `sample_shapes`."""

    def sample(self, n, *, beta, generator):
        draws = super().sample(n, beta=beta, generator=generator)
        return ModelDraws(draws.spins.long(), draws.log_prob) if self.target.L == 8 else draws


class SloppyLogProb(OpenRows):
    """Fails `sample_log_prob`."""

    def sample(self, n, *, beta, generator):
        draws = super().sample(n, beta=beta, generator=generator)
        return ModelDraws(draws.spins, draws.log_prob + 1e-8)


class Epsilon(OpenRows):
    """Fails `normalised`: log(p + epsilon)."""

    def log_bonds(self, bonds):
        return torch.log(torch.sigmoid(self.coupling * bonds) + 1e-7)


class Tempered(OpenRows):
    """Fails `frequencies`: the probabilities of the draws are not those of log_prob."""

    temper = 0.8


class SlightlyTempered(OpenRows):
    """Fails `pooled_fit`: the draws are 2 % colder than log_prob."""

    temper = 1.02


class Twice(OpenRows):
    """Fails `independent`: each configuration comes twice."""

    def sample(self, n, *, beta, generator):
        spins = super().sample((n + 1) // 2, beta=beta, generator=generator).spins.repeat_interleave(2, 0)[:n]
        return ModelDraws(spins, self.log_prob(spins, beta=beta))


class OwnGenerator(OpenRows):
    """Fails `same_seed`: it ignores the generator and uses its own."""

    stream = torch.Generator().manual_seed(0)

    def sample(self, n, *, beta, generator):
        return super().sample(n, beta=beta, generator=self.stream)


class FixedSeed(OpenRows):
    """Fails `different_seed`."""

    def sample(self, n, *, beta, generator):
        return super().sample(n, beta=beta, generator=torch.Generator().manual_seed(0))


class FirstBeta(OpenRows):
    """Fails `explicit_beta`: a second `prepare` has no effect."""

    def prepare(self, *, beta, generator):
        if not hasattr(self, "coupling"):
            super().prepare(beta=beta, generator=generator)


class Squeezing(OpenRows):
    """Fails `odd_batches`: a batch of one loses its dimension."""

    def sample(self, n, *, beta, generator):
        draws = super().sample(n, beta=beta, generator=generator)
        return ModelDraws(draws.spins, draws.log_prob.squeeze())


class DefaultDtype(OpenRows):
    """Fails `no_global_state`."""

    def sample(self, n, *, beta, generator):
        torch.set_default_dtype(torch.float64)
        return super().sample(n, beta=beta, generator=generator)


class FalsePromise(OpenRows):
    """Fails `unsupported_sizes`: it gives no reason and does not work."""

    def prepare(self, *, beta, generator):
        if self.target.L == 12:
            raise ValueError("12 is too many")
        super().prepare(beta=beta, generator=generator)


class UnknownCost(OpenRows):
    """Fails `costs`."""

    def costs(self):
        return {"flops": 1.0}
