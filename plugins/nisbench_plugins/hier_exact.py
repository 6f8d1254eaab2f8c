"""Hierarchical sampler with odd networks at large scales and exact blocks at small ones.

What it samples: a normalised density q(s) of 2-D Ising configurations on an L x L torus, L = 2^m, m >= 2. As in `hier`
a frame of full rows and columns is drawn first and then, scale by scale, the crosses of the blocks that are left, one
network for all blocks of a scale. The recursion ends at blocks of side `block` instead of single spins: given its
border a block is drawn from the exact conditional by a transfer matrix, and its exact ln Z(border) is part of ln q.
The networks are odd, so that q(s) = q(-s) without an average over the two, and start as the known neighbours' field;
`odd` and `skip` switch either off, for comparison.
Exact, asymptotic or biased: q is exactly normalised; averages need importance weights or a Metropolis step.
Training: only the spins outside the blocks are learned. With u these spins, signal = ln q(u) + beta E(u) - sum over the
blocks of ln Z(border), whose mean is that of ln q + beta E over the whole lattice; no inner spin is drawn.
Cost per draw: with 8 hidden units a spin and blocks of side 7 about (130 + 95 (log2 L - 4)) L^2 multiply-adds of the
networks and 340 L^2 operations of the blocks; 4 to 6 L network calls in sequence.
Known failure: the unconditioned frame is the hardest part and limits the quality at large L.
Reference: builds on P. Bialas, P. Korcyl, T. Stebel, Comput. Phys. Commun. 281, 108502 (2022).
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Generator, Tensor

from nisbench.api import (
    AutoregressiveOdd,
    Level,
    Model,
    ModelDraws,
    OddTrace,
    Stack,
    Target,
    TrainingBatch,
    block_draw,
    block_log_z,
    configurations,
    exact_blocks,
    known_neighbours,
    levels,
    spin_log_prob,
    thresholds,
)
from nisbench_plugins.registration import HierExactOptions

__all__ = ["HierExact"]


class HierExact(Model):
    """The sampler; lattices are (sites, n) inside, so that gathering a border copies whole rows.

    The upper spins are those that the networks draw, the inner ones those of the exact blocks.
    """

    def __init__(self, target: Target, options: HierExactOptions) -> None:
        super().__init__(target, options)
        scales = levels(target.L, lines=options.lines, smallest=options.block + 1, bisect=options.bisect)
        self.levels, self.n_levels = Stack(scales), len(scales)
        self.networks = Stack(
            AutoregressiveOdd(self._known(level), width=options.width, skip=options.skip) for level in scales
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
            lattice = self._empty(n)
            log_prob = self._draw_levels(lattice, range(self.n_levels), beta, generator)
            return self._with_blocks(lattice, log_prob, beta, generator)

    def draw_pairs(self, n: int, *, level: int, beta: float, generator: Generator) -> tuple[ModelDraws, ModelDraws]:
        """The levels before `level` once, the others and the blocks twice; see the base class."""
        with torch.no_grad():
            first = self._empty(n)
            shared = self._draw_levels(first, range(level), beta, generator)
            second = first.clone()
            rest = range(level, self.n_levels)
            drawn = [(one, shared + self._draw_levels(one, rest, beta, generator)) for one in (first, second)]
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
        """ln q of the upper spins with gradient; the signal has the blocks summed over instead of drawn."""
        lattice = self._empty(n)
        traces = [self._draw_level(lattice, i, beta, generator) for i in range(self.n_levels)]
        parts = [net.log_prob(trace, beta=beta) for net, trace in zip(self.networks, traces, strict=True)]
        log_prob = torch.stack([self._per_lattice(part, n) for part in parts]).sum(0)
        log_z = block_log_z(self._gather(lattice, self.blocks.border), self.side, beta)
        action = beta * self._energy(lattice) - self._per_lattice(log_z, n)
        return TrainingBatch(log_prob, log_prob.detach() + action)

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

    def _known(self, level: Level) -> Tensor:
        """(n_drawn, n_inputs) the known neighbours of each drawn spin among the inputs of its network."""
        known = known_neighbours(level, self.target.L)
        return known if self.options.odd else torch.nn.functional.pad(known, (1, 0))

    def _border(self, lattice: Tensor, level: int) -> Tensor:
        """(n_border, n_blocks * n) what the network of a level is given: the border, and a constant where not odd."""
        border = self._gather(lattice, self.levels[level].border)
        return border if self.options.odd else torch.nn.functional.pad(border, (0, 0, 1, 0), value=1.0)

    def _empty(self, n: int) -> Tensor:
        """(sites, n) of no spins yet"""
        return self._like.new_zeros(self.target.n_sites, n)

    def _draw_level(self, lattice: Tensor, level: int, beta: float, generator: Generator) -> OddTrace:
        """Writes the spins of a level into the lattice; what its network computed."""
        drawn = self.levels[level].drawn
        uniform = thresholds(len(drawn), drawn.shape[1] * lattice.shape[1], like=lattice, generator=generator)
        trace: OddTrace = self.networks[level].sample(uniform, self._border(lattice, level), beta=beta)
        lattice[drawn] = trace.spins.view(*drawn.shape, lattice.shape[1])
        return trace

    def _draw_levels(self, lattice: Tensor, which: Iterable[int], beta: float, generator: Generator) -> Tensor:
        """(n,) float64 ln q of these levels, drawn into the lattice."""
        n = lattice.shape[1]
        log_prob = lattice.new_zeros(n, dtype=torch.float64)
        for i in which:
            log_prob += self._per_lattice(self._draw_level(lattice, i, beta, generator).log_prob(), n)
        return log_prob

    def _with_blocks(self, lattice: Tensor, log_upper: Tensor, beta: float, generator: Generator) -> ModelDraws:
        """Draws the blocks into a lattice of upper spins, whose ln q is given."""
        n, upper = lattice.shape[1], self._energy(lattice)
        uniform = thresholds(len(self.blocks.drawn), self.blocks.n_blocks * n, like=lattice, generator=generator)
        spins, log_z = block_draw(self._gather(lattice, self.blocks.border), self.side, beta, uniform)
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
