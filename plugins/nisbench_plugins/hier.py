"""Hierarchical autoregressive network (HAN): the lattice is drawn scale by scale, each block given its border.

What it samples: a normalised density q(s) of 2-D Ising configurations on an L x L torus, L = 2^m, m >= 2. By the
Markov property the spins inside a closed loop depend on that loop alone, so one small network per scale suffices:
level 0 draws two full rows and two full columns, level i the cross of each of the 4^i blocks left, one network for
all blocks of a level, and the last L^2/4 isolated spins are drawn by exact heat bath, whose probabilities are part
of ln q.
Exact, asymptotic or biased: q is exactly normalised; averages need importance weights or a Metropolis step.
Cost per draw: to leading order (16 + 36 (log2 L - 2)) L^2 multiply-adds for the published width (`costs` counts them),
twice that with the Z2 average; about 6 L network calls in sequence.
Known failure: the unconditioned level 0 is the hardest part and limits the quality at large L.
Reference: P. Bialas, P. Korcyl, T. Stebel, Comput. Phys. Commun. 281, 108502 (2022).
Differences from the paper: logits instead of probabilities clipped by an epsilon. The paper leaves the learning rate
open; the default was measured with `nisbench run --plan learning-rate` (reports/learning-rate): at L = 16 after 4000
steps of batch 512, cosine decay and annealing over half the budget, ess_fraction is 0.89 at a third of the default
rate, 0.95 at the default and 0.91 at three times it (means of three seeds).
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Generator, Tensor

from nisbench.api import (
    AutoregressiveDense,
    Level,
    Model,
    ModelDraws,
    Stack,
    Target,
    TrainingBatch,
    configurations,
    forcing,
    heat_bath,
    heat_bath_sites,
    levels,
    thresholds,
    z2_average,
    z2_flip,
)
from nisbench_plugins.registration import HierOptions

__all__ = ["Hier"]


class Hier(Model):
    """The hierarchical network; lattices are (sites, n) int8 inside, so that a border is a few whole rows."""

    neighbours: Tensor
    isolated: Tensor

    def __init__(self, target: Target, options: HierOptions) -> None:
        super().__init__(target, options)
        self.levels = Stack(levels(target.L))
        self.networks = Stack(
            AutoregressiveDense(len(level.drawn), len(level.border), width=options.width) for level in self.levels
        )
        isolated, neighbours = heat_bath_sites(target.L)
        self.register_buffer("isolated", isolated, persistent=False)
        self.register_buffer("neighbours", neighbours, persistent=False)

    @classmethod
    def unsupported(cls, target: Target, options: HierOptions) -> str | None:
        """L = 2^m, m >= 2, and a nearest-neighbour target."""
        if target.name != "ising":
            return f"hier draws its last spins by the Ising heat bath; the target is {target.name}"
        if target.L < 4 or target.L & (target.L - 1):
            return f"hier needs L = 2^m with m >= 2; L = {target.L}"
        return None

    def sample(self, n: int, *, beta: float, generator: Generator) -> ModelDraws:
        """Draws level by level; see the base class."""
        with torch.no_grad():
            lattice, log_prob, inner = self._draw(n, beta, generator)
            spins = configurations(lattice)
            if self.options.z2:
                log_prob = z2_average(log_prob, self._score(-lattice, inner))
                spins = z2_flip(spins, generator)
        return ModelDraws(spins, log_prob)

    def log_prob(self, spins: Tensor, *, beta: float) -> Tensor:
        """ln q(s); see the base class."""
        lattice = spins.reshape(len(spins), -1).T.contiguous()  # (n, L, L) -> (sites, n)
        forced = forcing(lattice[self.isolated].to(self._like.dtype))
        inner = heat_bath(lattice, self.isolated, self.neighbours, beta=beta, thresholds=forced)
        log_prob = self._score(lattice, inner)
        return z2_average(log_prob, self._score(-lattice, inner)) if self.options.z2 else log_prob

    def training_batch(self, n: int, *, beta: float, generator: Generator) -> TrainingBatch:
        """As the default, but ln q of the drawn lattices is not evaluated a second time."""
        lattice, log_prob, inner = self._draw(n, beta, generator)
        if self.options.z2:
            log_prob = z2_average(log_prob, self._score(-lattice, inner))
        energy = self.target.energy(configurations(lattice))
        return TrainingBatch(log_prob, log_prob.detach() + beta * energy)

    def costs(self) -> Mapping[str, float]:
        """Multiply-adds count as two operations; masked zeros are left out, the Z2 average is counted."""
        passes = 2 if self.options.z2 else 1
        operations = sum(2 * net.multiply_adds() * level.n_blocks for net, level in self._scales())
        return {
            "flops_per_draw": float(passes * operations),
            "network_calls_per_draw": float(sum(net.n_spins for net in self.networks)),
        }

    @property
    def _like(self) -> Tensor:
        return next(self.parameters())

    def _scales(self) -> Iterator[tuple[AutoregressiveDense, Level]]:
        return zip(self.networks, self.levels, strict=True)

    def _draw(self, n: int, beta: float, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Lattices (sites, n) before the Z2 flip, their ln q (n,), differentiable, and that of the isolated spins."""
        like = self._like
        lattice = torch.empty(self.target.n_sites, n, dtype=torch.int8, device=like.device)
        parts = []
        for net, level in self._scales():
            limits = thresholds(net.n_spins, level.n_blocks * n, like=like, generator=generator)
            parts.append(net.draw_blocks(lattice, level.drawn, level.border, limits))
        limits = thresholds(len(self.isolated), n, like=like, generator=generator)
        inner = heat_bath(lattice, self.isolated, self.neighbours, beta=beta, thresholds=limits)
        return lattice, torch.stack(parts).sum(0) + inner, inner

    def _score(self, lattice: Tensor, inner: Tensor) -> Tensor:
        """ln q of given lattices before the Z2 average, differentiable."""
        parts = [net.score_blocks(lattice, level.drawn, level.border) for net, level in self._scales()]
        return torch.stack(parts).sum(0) + inner
