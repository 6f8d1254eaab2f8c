"""The interfaces of plugins: Target, the kinds of Sampler, Model, and the records of draws that they return.

    Sampler                 base of all kinds; a plugin inherits one of the four below
    |-- ChainSampler        correlated configurations of p from several chains
    |-- WeightedSampler     independent configurations with importance weights
    `-- Density             an exactly normalised density q(s) that can be sampled and evaluated
        `-- Model           a density with parameters that the core trains

p(s) = exp(-beta energy(s)) / Z is the distribution of the target. The class of a plugin decides how the core draws
from it and which quantities it estimates.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from nisbench.contract.records import Budget
from nisbench.contract.training import TrainingReport

__all__ = [
    "Bridges",
    "ChainDraws",
    "ChainSampler",
    "ChainSeries",
    "Density",
    "LossTerm",
    "Model",
    "ModelDraws",
    "Sampler",
    "Target",
    "TrainingBatch",
    "WeightedDraws",
    "WeightedSampler",
    "covariance",
]


class Target(Protocol):
    """A lattice model with density p(s) = exp(-beta energy(s)) / Z over spins in {-1, +1} on an L x L lattice.

    Two attributes are optional. A pairwise model has `lattice`, which `nisbench.api.lattice_of` returns.
    `order_parameters` is a tuple of "magnetisation" and "overlap", by default ("magnetisation",): quantities of the
    magnetisation are left out unless it is named, and those of the overlap of two draws are measured if it is named.
    """

    name: str
    L: int
    n_sites: int
    z2: bool
    """True if energy(s) = energy(-s)."""

    def energy(self, spins: Tensor) -> Tensor:
        """Total energy of full configurations: (..., L, L) of -1 and +1 -> (...,) float64 on the same device.

        The core and the plugins call it with whole lattices only. The energy of a block or of a part of the lattice
        is computed from the couplings in the code that needs it.
        """
        ...

    def exact(self, beta: float) -> Mapping[str, float]:
        """Exact values **per site** by quantity name; empty where no exact value is known.

        The names are those of the quantities: log_z_per_site, free_energy, energy, specific_heat, entropy.
        """
        ...


@dataclass(frozen=True)
class ModelDraws:
    """Independent configurations of a normalised density q."""

    spins: Tensor
    """(n, L, L) int8"""
    log_prob: Tensor
    """(n,) float64, ln q of each configuration"""


@dataclass(frozen=True)
class ChainDraws:
    """Correlated configurations of p from several chains."""

    spins: Tensor
    """(n, n_chains, L, L) int8"""


@dataclass(frozen=True)
class ChainSeries:
    """Energy and magnetisation of successive draws of several chains."""

    energy: NDArray[np.float64]
    """(n, n_chains), total"""
    magnetisation: NDArray[np.float64]
    """(n, n_chains), signed total"""
    cluster_size: NDArray[np.float64] | None = None
    """(n, n_chains), spins flipped by the draw; None if a draw is not a cluster flip"""


@dataclass(frozen=True)
class Bridges:
    """Terms of ln Z = start + sum_k [shift_k + ln(mean(above_k) / mean(below_k))] of a sampler with temperatures.

    Bridge k joins two temperatures, from a temperature whose ln Z is `start` to that of p. The means are over bins
    and chains. A bin is the mean of successive draws; all bins have the same number of draws.
    """

    start: float
    shift: NDArray[np.float64]
    """(n_bridges,) constants"""
    above: NDArray[np.float64]
    """(n_bins, n_chains, n_bridges), above the fraction bar; not negative"""
    below: NDArray[np.float64]
    """(n_bins, n_chains, n_bridges), below the fraction bar; not negative"""
    draws_per_bin: int = 1


@dataclass(frozen=True)
class WeightedDraws:
    """Independent configurations with importance weights w."""

    spins: Tensor
    """(n, L, L) int8"""
    log_weight: Tensor
    """(n,) float64, ln w"""
    normalised: bool
    """True if E[w] = Z, so that ln Z can be estimated"""


class LossTerm(Protocol):
    """A part of the training loss with its own estimator of the gradient."""

    def loss(self) -> Tensor:
        """() with gradient."""
        ...


@dataclass(frozen=True)
class TrainingBatch:
    """Input of one step of the reverse-KL training."""

    log_prob: Tensor
    """(n,) float64 with gradient: ln q of the drawn variables; variables trained by `terms` are left out"""
    signal: Tensor
    """(n,) float64 without gradient; its mean is E_q[ln q + beta E]"""
    terms: Sequence[LossTerm] = ()
    """Parts of the gradient that have their own estimator, for example `LocalPairs`"""

    def loss(self) -> Tensor:
        """() whose gradient is an unbiased estimate of the gradient of E_q[ln q + beta E].

        The value of the loss has no meaning.
        """
        loss = covariance(self.signal, self.log_prob)
        for term in self.terms:
            loss = loss + term.loss()
        return loss


def covariance(signal: Tensor, log_prob: Tensor) -> Tensor:
    """Unbiased covariance over the first axis: the mean signal of the draws is the baseline of each draw."""
    return ((signal - signal.mean(0)) * log_prob).sum(0) / (len(signal) - 1)


class Sampler(ABC):
    """Base class of all kinds: construction, refusal of a cell, training, preparation and cost counters.

    A plugin inherits ChainSampler, WeightedSampler, Density or Model. A class that inherits Sampler directly is
    refused. Each `generator` lives on the cell's device and is the only source of randomness.
    """

    def __init__(self, target: Target, options: Any) -> None:
        self.target = target
        self.options = options

    @classmethod
    def unsupported(cls, target: Target, options: Any) -> str | None:
        """The reason why a cell cannot run, or None. With a keyword argument `beta` it is told beta, too."""
        return None

    def fit(self, *, beta: float, generator: Generator, budget: Budget, report: TrainingReport) -> None:
        """Runs the training loop of a method that trains itself; the time is charged as training.

        The core calls `fit` before `prepare`, only if the plugin is registered with `trains=True`. The loop is
        `for step in report.steps()`; it ends at the budget, and a stopped training continues. A method without steps
        looks at `budget` itself. A budget of 0 leaves the method untrained: `fit` is then not called. To compile code
        before the clock starts, the core first calls `fit` with one step on an instance that it throws away. `prepare`
        is then called once, on the trained instance.
        """
        raise NotImplementedError(f"{type(self).__name__} has no training loop")

    @abstractmethod
    def prepare(self, *, beta: float, generator: Generator) -> None:
        """Sets beta and does the work that comes before the first draw, such as burn-in; timed as preparation.

        A second call starts anew at the beta of this call.
        """

    def costs(self) -> Mapping[str, float]:
        """Deterministic cost counters by quantity name, finite and not negative; empty where they are not known.

        flops_per_draw counts one configuration with its ln q or weight, a multiply-add as two. network_calls_per_draw
        and kernel_launches_per_draw count one batch of any size; on a GPU the latter is measured instead.
        """
        return {}


class ChainSampler(Sampler):
    """Markov chains with stationary distribution p."""

    @abstractmethod
    def draw(self, n: int, *, generator: Generator) -> ChainDraws:
        """n draws per chain.

        Every call has the same number of chains and continues them. The draws do not depend on how n is split into
        calls, if the generator starts in the same state.
        """

    def draw_series(self, n: int, *, generator: Generator) -> ChainSeries:
        """Energy and magnetisation of n draws per chain; continues the chains exactly as `draw` does.

        The default measures the configurations that `draw` returns. A sampler that keeps count of energy and
        magnetisation may override it; a conformance check compares the override with the default.
        """
        spins = self.draw(n, generator=generator).spins  # (n, n_chains, L, L)
        energy = self.target.energy(spins).cpu().numpy()
        magnetisation = spins.sum(dim=(-2, -1), dtype=torch.float64).cpu().numpy()
        return ChainSeries(energy=energy, magnetisation=magnetisation)

    def bridges(self) -> Bridges | None:
        """Terms of ln Z from all draws since `prepare`; None, the default, for a sampler that does not know ln Z.

        The chains of the terms must be independent of each other.
        """
        return None


class WeightedSampler(Sampler):
    """Independent configurations from a distribution other than p, with importance weights for p."""

    @abstractmethod
    def draw(self, n: int, *, generator: Generator) -> WeightedDraws:
        """n independent draws."""


class Density(Sampler):
    """An exactly normalised density q(s) over the configurations of one target, without parameters to train.

    A density gets the same estimates as a model. `beta` is explicit in each call. The core calls `prepare` with a
    beta before it calls `sample` or `log_prob` with this beta.
    """

    def prepare(self, *, beta: float, generator: Generator) -> None:
        """Builds what `sample` and `log_prob` need at this beta; the default does nothing."""

    @abstractmethod
    def sample(self, n: int, *, beta: float, generator: Generator) -> ModelDraws:
        """n independent configurations with their ln q, without gradient, on the generator's device."""

    @abstractmethod
    def log_prob(self, spins: Tensor, *, beta: float) -> Tensor:
        """(n, L, L) int8 -> (n,) float64 ln q(s). The sum of q over all 2^N states is one."""


class Model(nn.Module, Density):
    """A density with parameters, which the core trains on the reverse Kullback-Leibler divergence KL(q||p).

    The parameters are float32 by default and move by `.to()`; ln q is summed in float64. During training beta is the
    annealed one, later the target's. `log_prob` is differentiable. The core does not call `prepare`. A model with a
    training loop of its own registers with `trains=True` and implements `fit`.
    """

    capturable: ClassVar[bool] = False
    """True if a CUDA graph can record a training step on a device: `training_batch` and the gradient of its loss never
    wait for the device or copy from the host to it, and they call the same kernels in every step at one n and beta."""

    def __init__(self, target: Target, options: Any) -> None:
        nn.Module.__init__(self)  # does not call the constructor of Density
        Density.__init__(self, target, options)

    def training_batch(self, n: int, *, beta: float, generator: Generator) -> TrainingBatch:
        """Draws n configurations and returns ln q with gradient and the signal ln q + beta E.

        The default evaluates the network twice. A model may override it with a faster method; a conformance check
        compares the override with this default.
        """
        with torch.no_grad():
            draws = self.sample(n, beta=beta, generator=generator)
            signal = draws.log_prob + beta * self.target.energy(draws.spins)
        return TrainingBatch(log_prob=self.log_prob(draws.spins, beta=beta), signal=signal)
