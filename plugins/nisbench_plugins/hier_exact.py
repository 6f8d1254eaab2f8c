"""Hierarchical sampler with odd networks at large scales and exact blocks at small ones.

What it samples: a normalised density q(s) of 2-D Ising configurations on an L x L torus, L = 2^m, m >= 2. As in `hier`
a frame of full rows and columns is drawn first and then, scale by scale, the crosses of the blocks that are left, one
network for all blocks of a scale. The recursion ends at blocks of side `block` instead of single spins: given its
border a block is drawn from the exact conditional by a transfer matrix, and its exact ln Z(border) is part of ln q.
The networks are odd, so that q(s) = q(-s) without an average over the two, start as the known neighbours' field and
share weights between equal displacements along parallel lines; `odd`, `skip` and `shared` switch these off.
Exact, asymptotic or biased: q is exactly normalised; averages need importance weights or a Metropolis step.
Training: only the spins outside the blocks are learned. With u these spins, signal = ln q(u) + beta E(u) - sum over the
blocks of ln Z(border), whose mean is that of ln q + beta E over the whole lattice; no inner spin is drawn. Below the
frame each block has a signal of its own, the same sum over what is inside it, and is drawn twice given its border, so
that the other draw is its baseline and the noise of the rest of the lattice is gone (`pairs`). The linear part and the
last matrix of a network learn slower than its first one (`rates`).
Cost per draw: with 8 hidden units a spin and blocks of side 7 about (130 + 95 (log2 L - 4)) L^2 multiply-adds of the
networks and 340 L^2 operations of the blocks; 4 to 6 L network calls in sequence.
Known failure: the unconditioned frame is the hardest part and limits the quality at large L.
Not offered: blocks of side 15, at 180 times the operations of the cross and four blocks of side 7 in their place, to
save what the last of the three networks of L = 64 loses, 0.005 of 0.025 nats (`reports/hier-exact`).
Reference: builds on P. Bialas, P. Korcyl, T. Stebel, Comput. Phys. Commun. 281, 108502 (2022).
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Generator, Tensor

from nisbench.api import (
    AutoregressiveOdd,
    LocalPairs,
    Model,
    ModelDraws,
    OddRates,
    OddTrace,
    OddWeights,
    Stack,
    Target,
    TrainingBatch,
    block_draw,
    block_log_z,
    configurations,
    displacements,
    exact_blocks,
    known_neighbours,
    levels,
    spin_log_prob,
    thresholds,
)
from nisbench_plugins.registration import HierExactOptions

__all__ = ["HierExact"]

PAIRS = 2
"""Pairs of blocks of a scale for each configuration of a training batch."""
RATES = OddRates(skip=0.3, first=3.0, last=0.2)
"""Found by trial at L = 64; the plan hier-exact-ablation holds what one rate for all gives at L = 32."""


class HierExact(Model):
    """The sampler; lattices are (sites, n) inside, so that gathering a border copies whole rows.

    The upper spins are those that the networks draw, the inner ones those of the exact blocks.
    """

    def __init__(self, target: Target, options: HierExactOptions) -> None:
        super().__init__(target, options)
        scales = levels(target.L, lines=options.lines, smallest=options.block + 1, bisect=options.bisect)
        self.levels, self.n_levels = Stack(scales), len(scales)
        self.networks = Stack(
            AutoregressiveOdd(
                self._inputs(known_neighbours(level, target.L)),
                width=options.width,
                classes=self._inputs(displacements(level, target.L)) if options.shared else None,
                skip=options.skip,
                rates=RATES if options.rates else None,
            )
            for level in scales
        )
        self.side, self.blocks = exact_blocks(target.L, lines=options.lines, largest=options.block)

    @classmethod
    def unsupported(cls, target: Target, options: HierExactOptions) -> str | None:
        """L = 2^m, m >= 2, and a nearest-neighbour target."""
        if target.name != "ising":
            return f"hier-exact sums over Ising blocks; the target is {target.name}"
        if target.L < 4 or target.L & (target.L - 1):
            return f"hier-exact needs L = 2^m with m >= 2; L = {target.L}"
        return None

    def sample(self, n: int, *, beta: float, generator: Generator) -> ModelDraws:
        """Draws level by level, then the blocks; see the base class."""
        with torch.no_grad():
            lattice, weights = self._empty(n), self._weights(beta)
            log_prob = self._draw_levels(lattice, range(self.n_levels), weights, generator)
            return self._with_blocks(lattice, log_prob, beta, generator)

    def draw_pairs(self, n: int, *, level: int, beta: float, generator: Generator) -> tuple[ModelDraws, ModelDraws]:
        """The levels before `level` once, the others and the blocks twice; see the base class."""
        with torch.no_grad():
            first, weights = self._empty(n), self._weights(beta)
            shared = self._draw_levels(first, range(level), weights, generator)
            second = first.clone()
            rest = range(level, self.n_levels)
            drawn = [(one, shared + self._draw_levels(one, rest, weights, generator)) for one in (first, second)]
            a, b = (self._with_blocks(lattice, log_prob, beta, generator) for lattice, log_prob in drawn)
        return a, b

    def log_prob(self, spins: Tensor, *, beta: float) -> Tensor:
        """ln q(s) = ln q(upper spins) - beta E(inner bonds) - sum of ln Z(border); see the base class."""
        n = len(spins)
        lattice = spins.reshape(n, -1).T.to(self._like.dtype)  # (n, L, L) -> (sites, n)
        parts = [self._log_prob_of_level(lattice, i, beta) for i in range(self.n_levels)]
        upper = lattice.clone()
        upper[self.blocks.drawn] = 0
        inner = self._energy(lattice) - self._energy(upper)
        log_z = block_log_z(self._gather(lattice, self.blocks.border), self.side, beta)
        return torch.stack(parts).sum(0) - beta * inner - self._per_lattice(log_z, n)

    def training_batch(self, n: int, *, beta: float, generator: Generator) -> TrainingBatch:
        """ln q of the upper spins with gradient; the signals have the blocks summed over instead of drawn."""
        lattice, weights = self._empty(n), self._weights(beta)
        traces = [self._draw_level(lattice, i, weights, generator) for i in range(self.n_levels)]
        signals = self._signals(lattice, traces, beta)
        paired = range(1 if self.options.pairs else self.n_levels, self.n_levels)
        log_prob = torch.stack([self._log_prob_of_trace(i, traces[i], weights, n).sum(0) for i in range(paired.start)])
        pairs = []
        for i in paired:
            m = max(1, min(n, PAIRS * n // self.levels[i].n_blocks))
            again = lattice[:, :m].clone()  # what is drawn from this level on is drawn anew
            others = [self._draw_level(again, j, weights, generator) for j in range(i, self.n_levels)]
            both = self._of_first(traces[i], n, m), others[0]
            pairs.append(
                LocalPairs(
                    torch.stack([self._log_prob_of_trace(i, trace, weights, m) for trace in both]),
                    torch.stack([signals[i][:, :m], self._signals(again, others, beta)[0]]),
                )
            )
        return TrainingBatch(log_prob.sum(0), signals[0].sum(0), pairs)

    def costs(self) -> Mapping[str, float]:
        """Multiply-adds count as two operations; masked zeros are left out.

        In a block each state of the strip takes three operations for every site, and three for every row to draw.
        """
        scales = zip(self.networks, self.levels, strict=True)
        operations = sum(2 * net.multiply_adds() * level.n_blocks for net, level in scales)
        operations += 3 * 2**self.side * self.side * (self.side + 1) * self.blocks.n_blocks
        return {
            "flops_per_draw": float(operations),
            "network_calls_per_draw": float(sum(net.n_spins for net in self.networks)),
        }

    @property
    def _like(self) -> Tensor:
        return next(self.parameters())

    def _inputs(self, sites: Tensor) -> Tensor:
        """Numbers of the sites that a network is given, with a zero for the constant where not odd."""
        return sites if self.options.odd else torch.nn.functional.pad(sites, (1, 0))

    def _border(self, lattice: Tensor, level: int) -> Tensor:
        """(n_border, n_blocks * n) what the network of a level is given: the border, and a constant where not odd."""
        border = self._gather(lattice, self.levels[level].border)
        return border if self.options.odd else torch.nn.functional.pad(border, (0, 0, 1, 0), value=1.0)

    def _empty(self, n: int) -> Tensor:
        """(sites, n) of no spins yet"""
        return self._like.new_zeros(self.target.n_sites, n)

    def _weights(self, beta: float) -> list[OddWeights]:
        """Of each network."""
        return [net.weights(beta) for net in self.networks]

    def _draw_level(self, lattice: Tensor, level: int, weights: Sequence[OddWeights], generator: Generator) -> OddTrace:
        """Writes the spins of a level into the lattice; what its network computed."""
        drawn = self.levels[level].drawn
        limits = thresholds(len(drawn), drawn.shape[1] * lattice.shape[1], like=lattice, generator=generator)
        trace: OddTrace = self.networks[level].sample(limits, self._border(lattice, level), weights[level])
        lattice[drawn] = trace.spins.view(*drawn.shape, lattice.shape[1])
        return trace

    def _draw_levels(
        self, lattice: Tensor, which: Iterable[int], weights: Sequence[OddWeights], generator: Generator
    ) -> Tensor:
        """(n,) float64 ln q of these levels, drawn into the lattice."""
        n = lattice.shape[1]
        log_prob = lattice.new_zeros(n, dtype=torch.float64)
        for i in which:
            log_prob += self._per_lattice(self._draw_level(lattice, i, weights, generator).log_prob(), n)
        return log_prob

    def _signals(self, lattice: Tensor, traces: Sequence[OddTrace], beta: float) -> list[Tensor]:
        """(n_blocks, n) for each of the last levels, whose traces are given: ln q + beta E of what is inside a block.

        The exact blocks enter by their mean, - ln Z(border). A block holds the next four blocks in turn (a frame all
        of the first ones).
        """
        n = lattice.shape[1]
        inside, result = -block_log_z(self._gather(lattice, self.blocks.border), self.side, beta).view(-1, n), []
        for i, trace in zip(reversed(range(self.n_levels)), reversed(traces), strict=False):
            drawn = (trace.log_prob() + beta * self.networks[i].energy(trace)).view(-1, n)
            inside = drawn + inside.view(len(drawn), -1, n).sum(1)
            result.append(inside)
        return result[::-1]

    def _log_prob_of_trace(self, level: int, trace: OddTrace, weights: Sequence[OddWeights], n: int) -> Tensor:
        """(n_blocks, n) with gradient."""
        log_prob: Tensor = self.networks[level].log_prob(trace, weights[level])
        return log_prob.view(-1, n)

    @staticmethod
    def _of_first(trace: OddTrace, n: int, m: int) -> OddTrace:
        """The trace of the first m of n lattices."""
        parts = (x.view(len(x), -1, n)[:, :, :m].reshape(len(x), -1) for x in vars(trace).values())
        return OddTrace(*parts)

    def _with_blocks(self, lattice: Tensor, log_upper: Tensor, beta: float, generator: Generator) -> ModelDraws:
        """Draws the blocks into a lattice of upper spins, whose ln q is given."""
        n, upper = lattice.shape[1], self._energy(lattice)
        limits = thresholds(len(self.blocks.drawn), self.blocks.n_blocks * n, like=lattice, generator=generator)
        spins, log_z = block_draw(self._gather(lattice, self.blocks.border), self.side, beta, limits)
        lattice[self.blocks.drawn] = spins.view(*self.blocks.drawn.shape, n)
        inner = self._energy(lattice) - upper
        return ModelDraws(configurations(lattice), log_upper - beta * inner - self._per_lattice(log_z, n))

    def _log_prob_of_level(self, lattice: Tensor, level: int, beta: float) -> Tensor:
        """(n,), differentiable."""
        spins, border = self._gather(lattice, self.levels[level].drawn), self._border(lattice, level)
        log_prob = spin_log_prob(spins, self.networks[level](spins, border, beta=beta))
        return self._per_lattice(log_prob, lattice.shape[1])

    @staticmethod
    def _gather(lattice: Tensor, sites: Tensor) -> Tensor:
        """(sites, n), (k, n_blocks) -> (k, n_blocks * n)"""
        return lattice[sites].view(len(sites), sites.shape[1] * lattice.shape[1])

    @staticmethod
    def _per_lattice(values: Tensor, n: int) -> Tensor:
        """Adds up the blocks: (n_blocks * n,) -> (n,)"""
        return values.view(-1, n).sum(0)

    def _energy(self, lattice: Tensor) -> Tensor:
        """(n,) float64 of the bonds between spins that are not zero."""
        return self.target.energy(configurations(lattice))
