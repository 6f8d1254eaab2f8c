"""Small models: correct models, the exact distribution of tiny lattices, and a wrong model for each clause."""

import math
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn.functional import logsigmoid

from nisbench.api import LevelModel, LocalPairs, Model, ModelDraws, TrainingBatch, TrainingOptions


@dataclass(frozen=True)
class LogisticOptions(TrainingOptions):
    z2: bool = field(default=True, metadata={"help": "average q over s and -s"})


class Logistic(Model):
    """q(s_i = +1 | s_<i) = sigmoid(b_i + sum_{j<i} W_ij s_j), the simplest autoregressive model."""

    temper = 1.0

    def __init__(self, target, options):
        super().__init__(target, options)
        self.weight = nn.Parameter(0.1 * torch.randn(target.n_sites, target.n_sites))
        self.bias = nn.Parameter(0.1 * torch.randn(target.n_sites))

    def sample(self, n, *, beta, generator):
        with torch.no_grad():
            spins = self.draw(torch.rand(n, self.target.n_sites, generator=generator, dtype=torch.float64), beta)
            if self.options.z2:
                spins = spins * (2 * torch.randint(2, (n, 1), generator=generator) - 1)
            spins = spins.to(torch.int8).view(n, self.target.L, self.target.L)
            return ModelDraws(spins, self.log_prob(spins, beta=beta))

    def draw(self, uniform, beta):
        spins = torch.zeros(uniform.shape, dtype=self.bias.dtype)
        for i in range(spins.shape[1]):
            p = torch.sigmoid(self.temper * self.logits(spins[:, :i], i, beta))
            spins[:, i] = torch.where(uniform[:, i] < p, 1.0, -1.0)
        return spins

    def logits(self, earlier, i, beta):
        return earlier @ self.weight[i, :i] + self.bias[i]

    def log_prob(self, spins, *, beta):
        flat = spins.flatten(1).to(self.bias.dtype)
        if not self.options.z2:
            return self.one_sided(flat, beta)
        return torch.logaddexp(self.one_sided(flat, beta), self.one_sided(-flat, beta)) - math.log(2)

    def one_sided(self, flat, beta):
        return logsigmoid(flat * self.all_logits(flat, beta)).sum(1, dtype=torch.float64)

    def all_logits(self, flat, beta):
        return flat @ self.weight.tril(-1).T + self.bias


class OtherDraws(Logistic):
    """A correct fast path that draws other configurations than the default."""

    def training_batch(self, n, *, beta, generator):
        torch.rand(3, generator=generator)
        return super().training_batch(n, beta=beta, generator=generator)


class Marginal(Logistic):
    """A correct fast path whose log_prob lacks a term without gradient."""

    def training_batch(self, n, *, beta, generator):
        batch = super().training_batch(n, beta=beta, generator=generator)
        return TrainingBatch(batch.log_prob - 0.1 * batch.signal, batch.signal)


class Rows(Logistic, LevelModel):
    """A correct model whose levels are the rows."""

    def __init__(self, target, options):
        super().__init__(target, options)
        self.n_levels = target.L

    def draw_pairs(self, n, *, level, beta, generator):
        with torch.no_grad():
            uniform, other = torch.rand(2, n, self.target.n_sites, generator=generator, dtype=torch.float64)
            other[:, : level * self.target.L] = uniform[:, : level * self.target.L]
            signs = 2 * torch.randint(2, (n, 1), generator=generator) - 1 if self.options.z2 else 1
            pair = [self.draw(u, beta) * signs for u in (uniform, other)]
            spins = [s.to(torch.int8).view(n, self.target.L, self.target.L) for s in pair]
            return tuple(ModelDraws(s, self.log_prob(s, beta=beta)) for s in spins)


class RowPairs(Logistic):
    """A correct fast path: the first row has the signal of the lattice, the other rows are drawn in pairs."""

    forgotten = 0.0

    def __init__(self, target, options):
        super().__init__(target, options)
        del self.bias
        self.register_buffer("bias", torch.zeros(target.n_sites), persistent=False)  # q(s) = q(-s) without an average

    def log_prob(self, spins, *, beta):
        return self.one_sided(spins.flatten(1).to(self.bias.dtype), beta)

    def training_batch(self, n, *, beta, generator):
        L, first = self.target.L, torch.arange(self.target.n_sites) < self.target.L
        with torch.no_grad():
            uniform, other = torch.rand(2, n, self.target.n_sites, generator=generator, dtype=torch.float64)
            both = [self.draw(u, beta) for u in (uniform, torch.where(first, uniform, other))]
            energy = torch.stack([self.target.energy(s.view(n, L, L)) for s in both])
        terms = torch.stack([logsigmoid(s * self.all_logits(s, beta)).double() for s in both])  # (2, n, sites)
        signal = terms.detach().sum(2) + beta * energy
        pairs = LocalPairs(terms[:, :, L:].sum(2)[:, None], (signal - self.forgotten * beta * energy)[:, None])
        return TrainingBatch(terms[0, :, :L].sum(1), signal[0], (pairs,))


class ForgetfulPairs(RowPairs):
    """Fails `training_batch`: the signal of the pairs lacks half the energy."""

    forgotten = 0.5


class NothingShared(Rows):
    """Fails `level_pairs`: the draws of a pair share no spins."""

    def draw_pairs(self, n, *, level, beta, generator):
        return tuple(self.sample(n, beta=beta, generator=generator) for _ in range(2))


class AllShared(Rows):
    """Fails `level_pairs`: the two draws of a pair are the same."""

    def draw_pairs(self, n, *, level, beta, generator):
        return (self.sample(n, beta=beta, generator=generator),) * 2


class OtherLogProb(Rows):
    """Fails `level_pairs`: log_prob is off by 1e-6."""

    def draw_pairs(self, n, *, level, beta, generator):
        pair = super().draw_pairs(n, level=level, beta=beta, generator=generator)
        return tuple(ModelDraws(draws.spins, draws.log_prob + 1e-6) for draws in pair)


class Exact(Model):
    """q = p at (1 + theta) beta over all states of L <= 4; theta = 0 at the start is the perfect model."""

    def __init__(self, target, options):
        super().__init__(target, options)
        n = target.n_sites
        bits = (torch.arange(2**n)[:, None] >> torch.arange(n)) & 1
        self.register_buffer("states", (2 * bits - 1).to(torch.int8).view(-1, target.L, target.L), persistent=False)
        self.register_buffer("energies", target.energy(self.states), persistent=False)
        self.theta = nn.Parameter(torch.zeros(()))

    @classmethod
    def unsupported(cls, target, options):
        return None if target.L <= 4 else f"only 2^16 states are enumerated, not those of L = {target.L}"

    def log_prob(self, spins, *, beta):
        action = -beta * (1 + self.theta.double())
        return action * self.target.energy(spins) - torch.logsumexp(action * self.energies.double(), 0)

    def sample(self, n, *, beta, generator):
        with torch.no_grad():
            cumulative = self.log_prob(self.states, beta=beta).exp().cumsum(0)
            uniform = torch.rand(n, generator=generator, dtype=torch.float64) * cumulative[-1]
            spins = self.states[torch.searchsorted(cumulative, uniform)]
            return ModelDraws(spins, self.log_prob(spins, beta=beta))


class NotAModel:
    """Fails `loads`."""


class NoParametersAt8(Logistic):
    """Fails `builds`."""

    def __init__(self, target, options):
        super().__init__(target, options)
        if target.L == 8:
            tensors = self.weight.data, self.bias.data
            del self.weight, self.bias
            self.weight, self.bias = tensors


class WideSpinsAt8(Logistic):
    """Fails `sample_shapes`."""

    def sample(self, n, *, beta, generator):
        draws = super().sample(n, beta=beta, generator=generator)
        return ModelDraws(draws.spins.long(), draws.log_prob) if self.target.L == 8 else draws


class SloppyLogProb(Logistic):
    """Fails `sample_log_prob`."""

    def sample(self, n, *, beta, generator):
        draws = super().sample(n, beta=beta, generator=generator)
        return ModelDraws(draws.spins, draws.log_prob + 1e-8)


class Epsilon(Logistic):
    """Fails `normalised`, by the log(p + epsilon) of a published code."""

    def one_sided(self, flat, beta):
        if not self.options.z2:
            return super().one_sided(flat, beta)
        return torch.log(torch.sigmoid(flat * self.all_logits(flat, beta)) + 1e-7).sum(1, dtype=torch.float64)


class SelfSeeing(Logistic):
    """Not autoregressive: each logit sees its own spin. Fails `normalised` among others."""

    def all_logits(self, flat, beta):
        return flat @ self.weight.tril().T + self.bias


class Tempered(Logistic):
    """Fails `frequencies`: the probabilities of the draws are not those of log_prob."""

    temper = 0.8


class SlightlyTempered(Logistic):
    """Fails `pooled_fit`: the draws are 1 % colder than log_prob."""

    temper = 1.01


class Twice(Logistic):
    """Fails `independent`: each configuration comes twice."""

    def draw(self, uniform, beta):
        half = super().draw(uniform[: (len(uniform) + 1) // 2], beta)
        return half.repeat_interleave(2, 0)[: len(uniform)]


class OwnGenerator(Logistic):
    """Fails `same_seed`: it ignores the generator and uses its own."""

    stream = torch.Generator().manual_seed(0)

    def sample(self, n, *, beta, generator):
        return super().sample(n, beta=beta, generator=self.stream)


class FixedSeed(Logistic):
    """Fails `different_seed`."""

    def sample(self, n, *, beta, generator):
        return super().sample(n, beta=beta, generator=torch.Generator().manual_seed(0))


class WrongSignal(Logistic):
    """Fails `training_batch`: the signal has another beta."""

    def training_batch(self, n, *, beta, generator):
        return super().training_batch(n, beta=1.05 * beta, generator=generator)


class WeakGradient(Logistic):
    """Fails `training_batch`: correct values, 0.9999 of the gradient."""

    def training_batch(self, n, *, beta, generator):
        batch = super().training_batch(n, beta=beta, generator=generator)
        log_prob = 0.9999 * batch.log_prob + 0.0001 * batch.log_prob.detach()
        return TrainingBatch(log_prob, batch.signal)


class OtherDrawsHalfGradient(OtherDraws):
    """Fails `training_batch` in the mean: half the gradient."""

    def training_batch(self, n, *, beta, generator):
        batch = super().training_batch(n, beta=beta, generator=generator)
        return TrainingBatch(0.5 * batch.log_prob + 0.5 * batch.log_prob.detach(), batch.signal)


class DeadParameter(Logistic):
    """Fails `gradient`."""

    def __init__(self, target, options):
        super().__init__(target, options)
        self.unused = nn.Parameter(torch.ones(3))


class CountsItsSteps(Logistic):
    """Fails `recorded_step`: from its fifth step on, one seed gives another gradient."""

    capturable = True
    steps = 0

    def training_batch(self, n, *, beta, generator):
        batch = super().training_batch(n, beta=beta, generator=generator)
        self.steps += 1
        return TrainingBatch(batch.log_prob * (1 if self.steps < 5 else 1 + 1e-6), batch.signal)


class RemembersBeta(Logistic):
    """Fails `explicit_beta`: it keeps the first beta."""

    first = None

    def logits(self, earlier, i, beta):
        return super().logits(earlier, i, beta) * (1 + self.kept(beta))

    def all_logits(self, flat, beta):
        return super().all_logits(flat, beta) * (1 + self.kept(beta))

    def kept(self, beta):
        self.first = self.first or beta
        return self.first


class OneSided(Logistic):
    """Fails `z2_symmetry`: the option has no effect."""

    def __init__(self, target, options):
        super().__init__(target, LogisticOptions(z2=False))


class Squeezing(Logistic):
    """Fails `odd_batches`: a batch of one loses its dimension."""

    def sample(self, n, *, beta, generator):
        draws = super().sample(n, beta=beta, generator=generator)
        return ModelDraws(draws.spins, draws.log_prob.squeeze())


class BatchNormal(Logistic):
    """Fails `odd_batches`: ln q depends on the size of the batch."""

    def one_sided(self, flat, beta):
        return super().one_sided(flat, beta) * (1 if len(flat) > 1 else 1 + 1e-6)


class HiddenParameter(Logistic):
    """Fails `state_dict`: a part of the model is neither a parameter nor a buffer."""

    def __init__(self, target, options):
        super().__init__(target, options)
        self.hidden = torch.randn(target.n_sites)

    def logits(self, earlier, i, beta):
        return super().logits(earlier, i, beta) + self.hidden[i]

    def all_logits(self, flat, beta):
        return super().all_logits(flat, beta) + self.hidden


class GlobalGenerator(Logistic):
    """Fails `no_global_state`."""

    def log_prob(self, spins, *, beta):
        torch.rand(1)
        return super().log_prob(spins, beta=beta)


class DefaultDtype(Logistic):
    """Fails `no_global_state`."""

    def sample(self, n, *, beta, generator):
        torch.set_default_dtype(torch.float64)
        return super().sample(n, beta=beta, generator=generator)


class EmptyReason(Logistic):
    """Fails `unsupported_sizes`."""

    @classmethod
    def unsupported(cls, target, options):
        return "" if target.L == 5 else None


class FalsePromise(Logistic):
    """Fails `unsupported_sizes`: it gives no reason and does not build."""

    def __init__(self, target, options):
        if target.L == 12:
            raise ValueError("12 is too many")
        super().__init__(target, options)


class UnknownCost(Logistic):
    """Fails `costs`."""

    def costs(self):
        return {"flops": 1.0}


class EndlessCost(Logistic):
    """Fails `costs`."""

    def costs(self):
        return {"flops_per_draw": math.inf}
