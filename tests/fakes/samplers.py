"""Small chain samplers: correct samplers, and a wrong sampler for each clause of the contract."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from nisbench.api import Bridges, ChainDraws, ChainSampler, ChainSeries
from nisbench.physics.enumeration import all_spins


@lru_cache
def colours(L):
    """The two colours of the checkerboard, (L, L) bool each."""
    site = torch.arange(L)
    return tuple((site[:, None] + site) % 2 == colour for colour in (0, 1))


@lru_cache
def neighbours(L):
    """The number of bonds between two sites of the torus, (N, N)."""
    sites = torch.eye(L * L).view(-1, L, L)
    return sum(sites.roll(step, axis) for step in (1, -1) for axis in (1, 2)).flatten(1)


@dataclass(frozen=True)
class HeatBathOptions:
    n_chains: int = 256


class HeatBath(ChainSampler):
    """Checkerboard heat bath from a random start, 60 sweeps of burn-in; one draw is one sweep."""

    burn_in = 60

    @classmethod
    def unsupported(cls, target, options):
        return None if target.L % 2 == 0 else f"a checkerboard needs an even L; L = {target.L}"

    def prepare(self, *, beta, generator):
        self.beta = beta
        self.spins = self.start(generator)
        for _ in range(self.burn_in):
            self.sweep(generator)

    def start(self, generator):
        shape = (self.options.n_chains, self.target.L, self.target.L)
        return (2 * torch.randint(2, shape, generator=generator) - 1).float()

    def sweep(self, generator):
        for chosen in colours(self.target.L):
            up = torch.rand(self.spins.shape, generator=generator) < torch.sigmoid(2 * self.beta * self.field_of())
            self.spins = torch.where(chosen, up * 2.0 - 1.0, self.spins)

    def field_of(self):
        return (self.spins.flatten(1) @ neighbours(self.target.L)).view(self.spins.shape)

    def draw(self, n, *, generator):
        draws = []
        for _ in range(n):
            self.sweep(generator)
            draws.append(self.spins.to(torch.int8))
        return ChainDraws(torch.stack(draws))


class FittedHeatBath(HeatBath):
    """Registered with trains=True: `fit` chooses the length of the burn-in."""

    def fit(self, *, beta, generator, budget, report):
        self.burn_in = 40 + budget.steps


class Bridged(HeatBath):
    """ln Z(beta) = ln Z(b) - ln <exp((beta - b) E)>, where ln Z at b = 0.9 beta is a sum over all states."""

    stated = 0.9

    def prepare(self, *, beta, generator):
        self.energies = []
        super().prepare(beta=beta, generator=generator)

    def draw(self, n, *, generator):
        draws = super().draw(n, generator=generator)
        self.energies.append(self.target.energy(draws.spins))
        return draws

    def bridges(self):
        states = self.target.energy(torch.from_numpy(all_spins(self.target.L)))
        start = float(torch.logsumexp(-self.stated * self.beta * states, 0))
        below = (0.1 * self.beta * torch.cat(self.energies)).exp().numpy()[..., None]  # (n, n_chains, 1)
        return Bridges(start, np.zeros(1), np.ones_like(below), below)


class ShiftedBridges(Bridged):
    """Fails `log_z`: the temperature at which ln Z starts is 1 % off."""

    stated = 0.909


class NotASampler:
    """Fails `loads`."""


class DividesByBeta(HeatBath):
    """Fails `builds`."""

    def prepare(self, *, beta, generator):
        self.temperature = 1 / beta
        super().prepare(beta=beta, generator=generator)


class WideSpinsAt8(HeatBath):
    """Fails `draw_shapes`."""

    def draw(self, n, *, generator):
        draws = super().draw(n, generator=generator)
        return ChainDraws(draws.spins.long()) if self.target.L == 8 else draws


class SkipsAtEachCall(HeatBath):
    """Fails `continuing`."""

    def draw(self, n, *, generator):
        self.sweep(generator)
        return super().draw(n, generator=generator)


class WrongSeries(HeatBath):
    """Fails `series`: the energy lacks one bond."""

    def draw_series(self, n, *, generator):
        series = super().draw_series(n, generator=generator)
        return ChainSeries(series.energy + 2, series.magnetisation)


class WrongClusters(HeatBath):
    """Fails `series`: the number of flipped spins is off by one."""

    def draw_series(self, n, *, generator):
        spins = self.draw(n, generator=generator).spins
        changed = (spins[1:] != spins[:-1]).sum((-2, -1)).double().numpy()
        size = np.concatenate([np.zeros((1, self.options.n_chains)), changed + 1])
        magnetisation = spins.sum((-2, -1), dtype=torch.float64).numpy()
        return ChainSeries(self.target.energy(spins).numpy(), magnetisation, size)


class ForgetsTheSeries(HeatBath):
    """Fails `series`: the chain does not move on."""

    def draw_series(self, n, *, generator):
        before = self.spins
        series = super().draw_series(n, generator=generator)
        self.spins = before
        return series


class KeepsLattice(HeatBath):
    """Fails `same_seed`: a second `prepare` continues from the last configuration."""

    spins = None

    def start(self, generator):
        fresh = super().start(generator)
        return fresh if self.spins is None else self.spins


class FixedSeed(HeatBath):
    """Fails `different_seed`."""

    def prepare(self, *, beta, generator):
        self.stream = torch.Generator().manual_seed(0)
        super().prepare(beta=beta, generator=self.stream)

    def draw(self, n, *, generator):
        return super().draw(n, generator=self.stream)


class CappedBeta(HeatBath):
    """Fails `exact_means`: 2 % too hot at beta = 0.44, right at 0.3."""

    def prepare(self, *, beta, generator):
        super().prepare(beta=min(beta, 0.98 * 0.44), generator=generator)


class FirstBeta(HeatBath):
    """Fails `prepare_beta`."""

    first = None

    def prepare(self, *, beta, generator):
        self.first = beta if self.first is None else self.first
        super().prepare(beta=self.first, generator=generator)


class Frozen(HeatBath):
    """A chain that never moves. Fails `exact_means` among others."""

    def sweep(self, generator):
        torch.rand(1, generator=generator)


class GlobalGenerator(HeatBath):
    """Fails `no_global_state`."""

    def draw(self, n, *, generator):
        np.random.random()  # noqa: NPY002
        return super().draw(n, generator=generator)


class EmptyReason(HeatBath):
    """Fails `unsupported_sizes`."""

    @classmethod
    def unsupported(cls, target, options):
        return super().unsupported(target, options) if target.L != 5 else ""


class FalsePromise(HeatBath):
    """Fails `unsupported_sizes`: it gives no reason and does not work."""

    def prepare(self, *, beta, generator):
        if self.target.L == 6:
            raise ValueError("six is not a power of two")
        super().prepare(beta=beta, generator=generator)


class EndlessCost(HeatBath):
    """Fails `costs`."""

    def costs(self):
        return {"flops_per_draw": np.inf}
