"""Method card of `hier-exact`: hierarchical networks at large scales, exact blocks at small scales.

Samples     a normalised density q(s) of 2-D Ising configurations on an L x L torus, L = 2^m, m >= 2. A frame of full
            rows and columns is drawn first, then level by level the crosses inside the remaining blocks. Blocks of at
            most `strip` rows are divided by columns alone. What remains, `block` columns wide and up to `strip` rows
            long, is drawn from its exact conditional by a transfer matrix (sections 1, 2 and 4).
Exactness   q is exactly normalised. Averages over p need importance weights or a Metropolis step.
Networks    one for each level, shared by all blocks of the level. They are odd, so q(s) = q(-s) holds without an
            average over s and -s. They start as the heat bath of the known neighbours, and pairs of sites with the same
            displacement along parallel lines share weights (section 3). The options `odd`, `skip` and `shared`
            switch these three properties off. Weights between near sites learn faster (`locality`).
Training    only the upper spins u, those outside the exact blocks, are learned. The signal of the whole lattice is
            ln q(u) + beta E(u) - sum over the blocks of ln Z(border) (section 5). With `pairs`, each block below the
            frame has its own signal and is drawn twice with the same border: the other draw is the baseline, and the
            noise of the rest of the lattice drops out (section 6). With `rates`, the skip matrix and the last matrix
            of a network learn more slowly than the first matrix.
Loss        `draw_pairs` measures the nats of KL(q||p) that each level loses (section 7).
Cost        with the defaults, about (240 + 160 (log2 L - 2)) L^2 operations per draw, 336 to 372 L^2 of them for the
            exact blocks; 4 L to 6 L network calls in sequence (section 8).
Failure     the frame has no border to depend on and is the hardest part. The number of crosses grows with L^2, and with
            it the nats that they lose together.
Reference   builds on P. Bialas, P. Korcyl, T. Stebel, "Hierarchical autoregressive neural networks for statistical
            systems", Comput. Phys. Commun. 281, 108502 (2022), arXiv:2203.10989.
Differences the paper divides every block by a cross, ends at single spins, draws with dense networks with bias,
            averages over s and -s, and trains every network with the signal of the whole lattice.

Sections are those of docs/methods/hier-exact.md, which derives the method formula by formula.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Generator, Tensor

from nisbench.api import LevelModel, LocalPairs, ModelDraws, Target, TrainingBatch, other_than_uniform_torus
from nisbench.nn.bernoulli import configurations, odds, thresholds
from nisbench.nn.exact_block import block_draw, block_log_z, largest_beta
from nisbench.nn.formula import Matrices
from nisbench.nn.hierarchy import displacements, distances, exact_blocks, known_neighbours, levels
from nisbench.nn.ising import bond_energy
from nisbench.nn.modules import Stack
from nisbench.nn.network import draw, score
from nisbench.nn.odd import AutoregressiveOdd, OddRates
from nisbench_plugins.registration import HierExactOptions

__all__ = ["HierExact"]

PAIRS = 2
"""Pairs of blocks that a level trains on, for each configuration of a training batch (section 6)."""
RATES = OddRates(skip=0.3, first=3.0, last=0.2)
"""Factors of the learning rate, chosen by trial at L = 64. The plan hier-exact-ablation compares at L = 32 with one
rate for all three matrices."""


class HierExact(LevelModel):
    """Sampler of exactly normalised configurations, with the networks that `training_batch` trains.

    Upper spins are drawn by the networks, inner spins by the exact blocks. Inside this class a batch of lattices is a
    tensor (sites, n) int8, so that gathering a border copies whole rows.
    """

    capturable = True

    def __init__(self, target: Target, options: HierExactOptions) -> None:
        super().__init__(target, options)
        sizes = {"lines": options.lines, "largest": options.block, "strip": options.strip}
        scales = levels(target.L, **sizes, bisect=options.bisect)
        self.levels, self.n_levels = Stack(scales), len(scales)
        self.networks = Stack(
            AutoregressiveOdd(
                known_neighbours(level, target.L),
                width=options.width,
                classes=displacements(level, target.L) if options.shared else None,
                closeness=(1 + distances(level, target.L)) ** -options.locality,
                skip=options.skip,
                bias=not options.odd,
                rates=RATES if options.rates else None,
            )
            for level in scales
        )
        (self.rows, self.columns), self.blocks = exact_blocks(target.L, **sizes)

    @classmethod
    def unsupported(cls, target: Target, options: HierExactOptions, *, beta: float = 0.0) -> str | None:
        """Reason why this target cannot be sampled, or None.

        It must be J = 1 on the torus without a field, L = 2^m, m >= 2, at a beta at which the exact blocks work.
        """
        if reason := other_than_uniform_torus(target):
            return f"hier-exact {reason}"
        if target.L < 4 or target.L & (target.L - 1):
            return f"hier-exact needs L = 2^m with m >= 2; L = {target.L}"
        columns = min(options.block, target.L // options.lines - 1)
        if beta > largest_beta(columns):
            limit = f"exact blocks with {columns} columns work up to beta = {largest_beta(columns):.4g}"
            return f"beta = {beta:g} is too large for hier-exact: {limit}; give a smaller beta or a smaller `block`"
        return None

    def sample(self, n: int, *, beta: float, generator: Generator) -> ModelDraws:
        """Draw n configurations with their ln q: first the levels, then the exact blocks; see the base class."""
        with torch.no_grad():
            lattice, matrices = self._empty(n), self._matrices(beta)
            parts = self._draw_levels(lattice, range(self.n_levels), matrices, generator)
            return self._with_blocks(lattice, parts, beta, generator)

    def draw_pairs(self, n: int, *, level: int, beta: float, generator: Generator) -> tuple[ModelDraws, ModelDraws]:
        """Draw the levels before `level` once, the others and the blocks twice (section 7); see the base class."""
        with torch.no_grad():
            first, matrices = self._empty(n), self._matrices(beta)
            shared = self._draw_levels(first, range(level), matrices, generator)
            rest, lattices = range(level, self.n_levels), (first, first.clone())
            drawn = [shared + self._draw_levels(one, rest, matrices, generator) for one in lattices]
            pair = zip(lattices, drawn, strict=True)
            a, b = (self._with_blocks(lattice, parts, beta, generator) for lattice, parts in pair)
        return a, b

    def log_prob(self, spins: Tensor, *, beta: float) -> Tensor:
        """Return ln q(s) = ln q(u) - beta E(inner bonds) - sum of ln Z(border), (n,) float64 (section 4)."""
        lattice = spins.reshape(len(spins), -1).T.contiguous()  # (n, L, L) -> (sites, n)
        scales = zip(self._matrices(beta), self.levels, strict=True)
        parts = [score(net, lattice, level.drawn, level.border) for net, level in scales]
        log_z = block_log_z(lattice, self.blocks.border, self.columns, beta, self._like.dtype)
        return self._joined(lattice, parts, log_z, beta)

    def training_batch(self, n: int, *, beta: float, generator: Generator) -> TrainingBatch:
        """Draw n sets of upper spins; return ln q with gradient and the signals of sections 5 and 6.

        With `pairs`, only the frame is trained by the signal of the whole lattice; the levels below it are trained by
        the pairs. Without, all levels are trained by the signal of the whole lattice.
        """
        # the masked matrices are the same for all draws of a step, so they are built once
        lattice, matrices = self._empty(n), self._matrices(beta)
        paired = range(1 if self.options.pairs else self.n_levels, self.n_levels)
        whole = self._draw_levels(lattice, range(paired.start), matrices, generator)
        with torch.no_grad():
            drawn = whole + self._draw_levels(lattice, paired, matrices, generator)
            signals = self._signals(lattice, drawn, beta)
        pairs = []
        for i in paired:
            # m lattices contain about PAIRS n blocks of this level, however large the lattice is
            m = max(1, min(n, PAIRS * n // self.levels[i].n_blocks))
            first = lattice[:, :m].contiguous()
            level = self.levels[i].drawn, self.levels[i].border
            log_prob = score(matrices[i], first, *level, known=drawn[i][:, :m])
            # the second draw keeps the spins before level i and overwrites level i and all levels after it
            second = first.clone()
            again = self._draw_levels(second, range(i, i + 1), matrices, generator)
            with torch.no_grad():
                rest = self._draw_levels(second, range(i + 1, self.n_levels), matrices, generator)
                signal = self._signals(second, again + rest, beta)[0]
            pairs.append(LocalPairs(torch.stack([log_prob, *again]), torch.stack([signals[i][:, :m], signal])))
        log_prob = torch.stack([part.sum(0) for part in whole]).sum(0)
        return TrainingBatch(log_prob, signals[0].sum(0), pairs)

    def costs(self) -> Mapping[str, float]:
        """Return the operations and the sequential network calls of one draw.

        A multiply-add counts as two operations; masked zeros are left out. The transfer matrix of a block takes three
        operations for each state of a row: once at every site, and once more for every row to draw its spins.
        """
        scales = zip(self.networks, self.levels, strict=True)
        operations = sum(2 * net.multiply_adds() * level.n_blocks for net, level in scales)
        # for each row, `columns` steps for ln Z and one for drawing, each over the states of the row
        operations += 3 * 2**self.columns * self.rows * (self.columns + 1) * self.blocks.n_blocks
        return {
            "flops_per_draw": float(operations),
            "network_calls_per_draw": float(sum(net.n_spins for net in self.networks)),
        }

    @property
    def _like(self) -> Tensor:
        """A parameter, for the dtype and device of new tensors."""
        return next(self.parameters())

    def _empty(self, n: int) -> Tensor:
        """Return memory for a batch of lattices, (sites, n) int8."""
        return torch.empty(self.target.n_sites, n, dtype=torch.int8, device=self._like.device)

    def _matrices(self, beta: float) -> list[Matrices]:
        """Return the masked matrices of each network at this beta."""
        return [net.matrices(beta) for net in self.networks]

    def _draw_levels(
        self, lattice: Tensor, which: Iterable[int], matrices: Sequence[Matrices], generator: Generator
    ) -> list[Tensor]:
        """Draw the levels `which` into the lattice in place; return ln q of each block, (n_blocks, n) float64 each."""
        parts = []
        for i in which:
            level = self.levels[i]
            # the network sees every block of every lattice as one sample: n_blocks n columns
            columns = level.n_blocks * lattice.shape[1]
            limits = thresholds(len(level.drawn), columns, like=self._like, generator=generator)
            parts.append(draw(matrices[i], lattice, level.drawn, level.border, limits))
        return parts

    def _signals(self, lattice: Tensor, log_prob: Sequence[Tensor], beta: float) -> list[Tensor]:
        """Return the signal S of each block, (n_blocks, n) for each level (section 6).

        S(block) = ln q + beta E of the spins drawn in the block + sum of S over the blocks inside it. An exact block
        has S = -ln Z(border). `log_prob` (n_blocks, n) belong to the last levels.
        """
        # from the smallest scale up, (n_blocks, n)
        inside, result = -block_log_z(lattice, self.blocks.border, self.columns, beta, self._like.dtype), []
        for level, log_q in zip(reversed(self.levels), reversed(log_prob), strict=False):
            energy = bond_energy(lattice, level.bonds)
            # the blocks inside a block have successive numbers; the frame contains all first blocks
            inside = log_q + beta * energy + inside.view(len(log_q), -1, lattice.shape[1]).sum(1)
            result.append(inside)
        return result[::-1]

    def _with_blocks(self, lattice: Tensor, parts: Sequence[Tensor], beta: float, generator: Generator) -> ModelDraws:
        """Draw the exact blocks into a lattice of upper spins, in place; `parts` are ln q of the levels."""
        columns = self.blocks.n_blocks * lattice.shape[1]
        limits = odds(len(self.blocks.drawn), columns, like=self._like, generator=generator)
        log_z = block_draw(lattice, self.blocks.drawn, self.blocks.border, self.columns, beta, limits)
        return ModelDraws(configurations(lattice), self._joined(lattice, parts, log_z, beta))

    def _joined(self, lattice: Tensor, parts: Sequence[Tensor], log_z: Tensor, beta: float) -> Tensor:
        """Return ln q of whole lattices, (n,), from ln q of the levels and ln Z of the blocks, (n_blocks, n) each."""
        inner = log_z + beta * bond_energy(lattice, self.blocks.bonds)
        return torch.stack([*(part.sum(0) for part in parts), -inner.sum(0)]).sum(0)
