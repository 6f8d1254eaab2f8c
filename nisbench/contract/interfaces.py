"""The two plugin interfaces, Model and Sampler, the Target they work on and what their draws look like."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

__all__ = [
    "ChainDraws",
    "ChainSeries",
    "LocalPairs",
    "Model",
    "ModelDraws",
    "Sampler",
    "Target",
    "TrainingBatch",
    "WeightedDraws",
]


class Target(Protocol):
    """A lattice model with density p(s) = exp(-beta energy(s)) / Z over spins in {-1, +1} on an L x L torus."""

    name: str
    L: int
    n_sites: int
    z2: bool
    """Whether energy(s) = energy(-s)."""

    def energy(self, spins: Tensor) -> Tensor:
        """(..., L, L) any dtype -> (...,) float64 on the same device: the total energy of each configuration."""
        ...

    def exact(self, beta: float) -> Mapping[str, float]:
        """Exact values **per site** by quantity name; empty where none is known.

        The names are those of the quantities: log_z_per_site, free_energy, energy, specific_heat, entropy.
        """
        ...


@dataclass(frozen=True)
class ModelDraws:
    """Independent configurations of a normalised density q."""

    spins: Tensor
    """(n, L, L) int8"""
    log_prob: Tensor
    """(n,) float64, ln q of each"""


@dataclass(frozen=True)
class LocalPairs:
    """Two draws of the inside of each block of a scale, given the same border.

    By the Markov property what one network drew in a block changes ln q + beta E inside this block only. The other
    draw of the pair is its baseline (W. Kool, H. van Hoof, M. Welling, 2019), and the noise of the rest of the
    lattice is gone.
    """

    log_prob: Tensor
    """(2, n_blocks, m) float64 with gradient: ln q of what the network of this scale drew, in m lattices"""
    signal: Tensor
    """(2, n_blocks, m) float64 without gradient: ln q + beta E of all that was drawn inside the block, or its mean"""


@dataclass(frozen=True)
class TrainingBatch:
    """What one step of the reverse-KL training needs."""

    log_prob: Tensor
    """(n,) float64 with gradient: ln q, or that of a marginal; without the scales that have `pairs`"""
    signal: Tensor
    """(n,) float64 without gradient; its mean is E_q[ln q + beta E]"""
    pairs: Sequence[LocalPairs] = ()
    """The scales whose gradient is estimated block by block"""

    def loss(self) -> Tensor:
        """() whose gradient is an unbiased estimate of that of E_q[ln q + beta E]; its value means nothing."""
        loss = _covariance(self.signal, self.log_prob)
        for pair in self.pairs:
            loss = loss + _covariance(pair.signal, pair.log_prob).sum(0).mean()  # blocks added up, lattices averaged
        return loss


def _covariance(signal: Tensor, log_prob: Tensor) -> Tensor:
    """Over the first axis, unbiased: the mean of the draws is the baseline of each."""
    return ((signal - signal.mean(0)) * log_prob).sum(0) / (len(signal) - 1)


@dataclass(frozen=True)
class ChainDraws:
    """Correlated configurations of p from several chains."""

    spins: Tensor
    """(n, n_chains, L, L) int8"""


@dataclass(frozen=True)
class ChainSeries:
    """The scalars of a stretch of chain, one value a draw."""

    energy: NDArray[np.float64]
    """(n, n_chains), total"""
    magnetisation: NDArray[np.float64]
    """(n, n_chains), signed total"""
    cluster_size: NDArray[np.float64] | None = None
    """(n, n_chains), spins flipped by the draw; None where a draw is no cluster flip"""


@dataclass(frozen=True)
class WeightedDraws:
    """Independent configurations with importance weights, from a sampler whose density is not tractable."""

    spins: Tensor
    """(n, L, L) int8"""
    log_weight: Tensor
    """(n,) float64"""
    normalised: bool
    """Whether E[w] = Z, so that ln Z can be estimated"""


class Model(nn.Module, ABC):
    """A trainable, exactly normalised density q(s) over the configurations of one target.

    Networks are float32 by default and move by `.to()`; ln q is summed in float64. `beta` and `generator` are
    always explicit: beta is the annealed one while training and the target's afterwards, and `generator` lives
    on the model's device and is the only source of randomness.
    """

    def __init__(self, target: Target, options: Any) -> None:
        super().__init__()
        self.target = target
        self.options = options

    @classmethod
    def unsupported(cls, target: Target, options: Any) -> str | None:
        """The reason why a cell cannot run, or None."""
        return None

    @abstractmethod
    def sample(self, n: int, *, beta: float, generator: Generator) -> ModelDraws:
        """n independent configurations with their ln q, in one pass and without gradient."""

    @abstractmethod
    def log_prob(self, spins: Tensor, *, beta: float) -> Tensor:
        """(n, L, L) int8 -> (n,) float64 ln q(s), differentiable; sums to one over all 2^N states."""

    def training_batch(self, n: int, *, beta: float, generator: Generator) -> TrainingBatch:
        """Draws n configurations and returns ln q with gradient and the signal ln q + beta E.

        The default evaluates the network twice. A model may override it with something faster; the
        conformance check pins the override to this default.
        """
        with torch.no_grad():
            draws = self.sample(n, beta=beta, generator=generator)
            signal = draws.log_prob + beta * self.target.energy(draws.spins)
        return TrainingBatch(log_prob=self.log_prob(draws.spins, beta=beta), signal=signal)

    n_levels: int = 0
    """How many networks draw a configuration one after the other, if `draw_pairs` is to tell what each loses."""

    def draw_pairs(self, n: int, *, level: int, beta: float, generator: Generator) -> tuple[ModelDraws, ModelDraws]:
        """n pairs of draws that share the spins of the levels before `level` and are independent given these.

        Each of the two is distributed as what `sample` returns. Optional, for 0 < level < n_levels: half the variance
        of ln w within pairs tells how many nats the levels from `level` on lose.
        """
        raise NotImplementedError(f"{type(self).__name__} has no levels")

    def costs(self) -> Mapping[str, float]:
        """Deterministic cost counters by quantity name, finite and not negative; empty where they are not known.

        flops_per_draw: of one configuration with its ln q, a multiply-add counting as two. network_calls_per_draw and
        kernel_launches_per_draw: of a batch, whatever its size; on a GPU the latter is measured instead.
        """
        return {}


class Sampler(ABC):
    """Configurations of p at (target, beta), without a tractable density."""

    def __init__(self, target: Target, options: Any) -> None:
        self.target = target
        self.options = options

    @classmethod
    def unsupported(cls, target: Target, options: Any) -> str | None:
        """The reason why a cell cannot run, or None."""
        return None

    @abstractmethod
    def prepare(self, *, beta: float, generator: Generator) -> None:
        """Burn-in, timed apart; fixes beta for the draws that follow."""

    @abstractmethod
    def draw(self, n: int, *, generator: Generator) -> ChainDraws | WeightedDraws:
        """n draws per chain as `ChainDraws`, or n independent `WeightedDraws`.

        Every call has the same number of chains and continues them: however n is split into calls, a generator in
        the same state gives the same draws, weighted ones too. `generator` lives on the cell's device.
        """

    def draw_series(self, n: int, *, generator: Generator) -> ChainSeries:
        """n draws per chain of which only the scalars are kept; continues the chain just as `draw` does.

        The default measures what `draw` returns. A sampler that keeps count of energy and magnetisation
        overrides it; the conformance check pins the override to this default. Raises TypeError for a sampler
        of weighted draws.
        """
        draws = self.draw(n, generator=generator)
        if not isinstance(draws, ChainDraws):
            raise TypeError("draw_series is for chains; these draws are weighted")
        spins = draws.spins  # (n, n_chains, L, L)
        energy = self.target.energy(spins).cpu().numpy()
        magnetisation = spins.sum(dim=(-2, -1), dtype=torch.float64).cpu().numpy()
        return ChainSeries(energy=energy, magnetisation=magnetisation)
