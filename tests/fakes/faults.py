"""Samplers with one fault each, for the catalogue docs/known-faults.md, and the honest samplers that they spoil.

The honest density and the honest weighted sampler draw from all 2^16 states of L = 4, so that nothing but the fault can
accuse them.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from fakes.samplers import HeatBath
from fakes.weighted import Weighted

from nisbench.api import ChainSeries, Density, ModelDraws, WeightedDraws
from nisbench.physics.ising import Ising
from nisbench_plugins.hier import Hier


@dataclass(frozen=True)
class ChainOptions:
    n_chains: int = 16


class Boltzmann(Density):
    """q = p at 0.95 beta over all states of L <= 4."""

    drawn_at = 1.0
    """Factor of the beta of the draws, where ln q says 1."""

    @classmethod
    def unsupported(cls, target, options):
        return None if target.L <= 4 else f"only 2^16 states are enumerated, not those of L = {target.L}"

    def prepare(self, *, beta, generator):
        bits = (torch.arange(2**self.target.n_sites)[:, None] >> torch.arange(self.target.n_sites)) & 1
        self.states = (2 * bits - 1).to(torch.int8).view(-1, self.target.L, self.target.L)
        self.beta, action = 0.95 * beta, -0.95 * beta * self.target.energy(self.states)
        self.log_sum = torch.logsumexp(action, 0)
        self.cumulative = self.weight(torch.softmax(self.drawn_at * action, 0)).cumsum(0)

    def weight(self, probability):
        return probability

    def sample(self, n, *, beta, generator):
        uniform = torch.rand(n, generator=generator, dtype=torch.float64) * self.cumulative[-1]
        rows = torch.searchsorted(self.cumulative, uniform).clamp(max=len(self.states) - 1)
        spins = self.order(self.states[rows], generator)
        return ModelDraws(spins, self.log_prob(spins, beta=beta))

    def order(self, spins, generator):
        return spins

    def log_prob(self, spins, *, beta):
        return -self.beta * self.target.energy(spins) - self.log_sum


def twice(spins):
    """Each of the first half of the draws, twice."""
    return spins[: (len(spins) + 1) // 2].repeat_interleave(2, 0)[: len(spins)]


class Pairs(Boltzmann):
    """each configuration returned twice, one after the other"""

    def order(self, spins, generator):
        return twice(spins)


class ShuffledPairs(Boltzmann):
    """each configuration returned twice, in random order"""

    def order(self, spins, generator):
        return twice(spins)[torch.randperm(len(spins), generator=generator)]


class SameSeed(Boltzmann):
    """the same seed in every call"""

    def sample(self, n, *, beta, generator):
        return super().sample(n, beta=beta, generator=torch.Generator().manual_seed(0))


class OwnGenerator(Boltzmann):
    """the generator ignored for another one"""

    stream = torch.Generator().manual_seed(0)

    def sample(self, n, *, beta, generator):
        return super().sample(n, beta=beta, generator=self.stream)


class ShiftedLogProb(Boltzmann):
    """log_prob off by 0.01, sample right"""

    def sample(self, n, *, beta, generator):
        draws = super().sample(n, beta=beta, generator=generator)
        return ModelDraws(draws.spins, draws.log_prob - 0.01)


class ZeroOne(Boltzmann):
    """spins 0 and 1"""

    def order(self, spins, generator):
        return (spins + 1) // 2


class Hotter(Boltzmann):
    """draws at 0.9 beta, where ln q says beta"""

    drawn_at = 0.9


class SlightlyColder(Boltzmann):
    """draws at 1.01 beta, where ln q says beta"""

    drawn_at = 1.01


class Unnormalised(Boltzmann):
    """ln q too large by 0.05 in sample and log_prob"""

    def log_prob(self, spins, *, beta):
        return super().log_prob(spins, beta=beta) + 0.05


class Clamped(Boltzmann):
    """ln q clamped at -10 from below"""

    def log_prob(self, spins, *, beta):
        return super().log_prob(spins, beta=beta).clamp(min=-10.0)


class OneMode(Boltzmann):
    """only positive magnetisation, and ln q says so"""

    def weight(self, probability):
        return probability * (self.states.sum((1, 2), dtype=torch.int64) > 0)

    def log_prob(self, spins, *, beta):
        positive = spins.sum((-2, -1), dtype=torch.int64) > 0
        inside = self.weight(torch.softmax(-self.beta * self.target.energy(self.states), 0)).sum().log()
        return torch.where(positive, super().log_prob(spins, beta=beta) - inside, -math.inf)


class OneModeOfTwo(Boltzmann):
    """only positive magnetisation, where ln q says both signs"""

    def order(self, spins, generator):
        sign = torch.where(spins.sum((-2, -1), dtype=torch.int64) < 0, -1, 1)
        return (spins * sign[:, None, None]).to(torch.int8)


class NaNLogProb(Boltzmann):
    """NaN for one ln q in a hundred"""

    def log_prob(self, spins, *, beta):
        log_prob = super().log_prob(spins, beta=beta)
        log_prob[::100] = math.nan
        return log_prob


class WeightedPairs(Weighted):
    """each weighted configuration returned twice"""

    def draw(self, n, *, generator):
        draws = super().draw(n, generator=generator)
        return WeightedDraws(twice(draws.spins), twice(draws.log_weight), normalised=True)


class WeightedShuffledPairs(Weighted):
    """each weighted configuration returned twice, in random order"""

    def draw(self, n, *, generator):
        draws, order = super().draw(n, generator=generator), torch.randperm(n, generator=generator)
        return WeightedDraws(twice(draws.spins)[order], twice(draws.log_weight)[order], normalised=True)


class WeightedSameSeed(Weighted):
    """weighted draws with the same seed in every call"""

    def uniform(self, n, generator):
        return super().uniform(n, torch.Generator().manual_seed(0))


class WithoutStates(Weighted):
    """ln w without N ln 2, and normalised=True"""

    def weights(self, beta, energy, log_q):
        return super().weights(beta, energy, log_q) - self.target.n_sites * math.log(2)


class WeightedColder(Weighted):
    """annealed to 1.01 beta: draws and weights are those of another temperature"""

    def prepare(self, *, beta, generator):
        super().prepare(beta=1.01 * beta, generator=generator)


class HeavyTail(Weighted):
    """weights of infinite variance, with the right mean: each times a Pareto variable with exponent 1.2"""

    def draw(self, n, *, generator):
        draws = super().draw(n, generator=generator)
        noise = -torch.rand(n, generator=generator, dtype=torch.float64).log() / 1.2 + math.log(0.2 / 1.2)
        return WeightedDraws(draws.spins, draws.log_weight + noise, normalised=True)


class NaNWeights(Weighted):
    """NaN for one weight in a hundred"""

    def weights(self, beta, energy, log_q):
        log_weight = super().weights(beta, energy, log_q)
        log_weight[::100] = math.nan
        return log_weight


class DoubledBondSeries(HeatBath):
    """draw_series counts one bond twice"""

    def draw_series(self, n, *, generator):
        spins = self.draw(n, generator=generator).spins
        bond = (spins[..., 0, 0] * spins[..., 0, 1]).double().numpy()
        return ChainSeries(self.target.energy(spins).numpy() - bond, spins.sum((-2, -1), dtype=torch.float64).numpy())


class DoubledBond(HeatBath):
    """the sampler's Hamiltonian has one bond twice"""

    def field_of(self):
        field = super().field_of()
        field[:, 0, 0] += self.spins[:, 0, 1]
        field[:, 0, 1] += self.spins[:, 0, 0]
        return field


class Stuck(HeatBath):
    """a chain that never moves"""

    def sweep(self, generator):
        torch.rand(1, generator=generator)


class AcceptsEverything(HeatBath):
    """a Metropolis chain that accepts every proposal"""

    def sweep(self, generator):
        flips = torch.rand(self.spins.shape, generator=generator) < 0.5
        self.spins = torch.where(flips, -self.spins, self.spins)


class OrderedStart(HeatBath):
    """no burn-in from the ordered start, and one spin in 500 updated between draws"""

    burn_in = 0

    def start(self, generator):
        return torch.ones(self.options.n_chains, self.target.L, self.target.L)

    def sweep(self, generator):
        before = self.spins
        super().sweep(generator)
        kept = torch.rand(before.shape, generator=generator) > 0.002
        self.spins = torch.where(kept, before, self.spins)


class MoreDrawsThanMade(HeatBath):
    """draw_series reports each draw twice and makes half of them"""

    def draw_series(self, n, *, generator):
        made = super().draw_series((n + 1) // 2, generator=generator)
        return ChainSeries(*(np.repeat(values, 2, axis=0)[:n] for values in (made.energy, made.magnetisation)))


class SeedSpinStays(HeatBath):
    """Wolff that never flips its seed spin"""

    burn_in = 500

    def sweep(self, generator):
        """One cluster in all chains at once: sites join along satisfied bonds until no cluster grows."""
        n, extent, _ = self.spins.shape
        seed = torch.zeros(n, extent**2, dtype=torch.bool)
        seed[torch.arange(n), torch.randint(extent**2, (n,), generator=generator)] = True
        seed = cluster = seed.view_as(self.spins)
        p = 1 - math.exp(-2 * self.beta)
        right, down = torch.rand(2, *self.spins.shape, generator=generator) < p
        right, down = right & (self.spins == self.spins.roll(-1, 2)), down & (self.spins == self.spins.roll(-1, 1))
        for _ in range(2 * extent):
            joined = (cluster & right).roll(1, 2) | (cluster.roll(-1, 2) & right)
            joined |= (cluster & down).roll(1, 1) | (cluster.roll(-1, 1) & down)
            cluster = cluster | joined
        self.spins = torch.where(cluster & ~self.kept(seed), -self.spins, self.spins)

    def kept(self, seed):
        return seed


class WholeClusters(SeedSpinStays):
    """Wolff, correct: the seed spin flips with its cluster."""

    def kept(self, seed):
        return torch.zeros_like(seed)


class DoubledBondTarget(Ising):
    """a target whose energy counts one bond twice, unlike its lattice"""

    def energy(self, spins):
        """Spins (..., L, L) of -1 and +1."""
        return super().energy(spins) - spins[..., 0, 0].double() * spins[..., 0, 1].double()


class HotHeatBath(Hier):
    """the last level, a heat bath, drawn at 1.01 beta, where ln q says beta"""

    def sample(self, n, *, beta, generator):
        draws = super().sample(n, beta=1.01 * beta, generator=generator)
        with torch.no_grad():
            return ModelDraws(draws.spins, self.log_prob(draws.spins, beta=beta))
