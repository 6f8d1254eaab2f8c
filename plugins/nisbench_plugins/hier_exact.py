"""Method card of `hier-exact`: hierarchical networks at large scales, exact blocks at small scales.

Samples     a normalised density q(s) of 2-D Ising configurations on an L x L torus, L = 2^m, m >= 2. A frame of full
            rows and columns is drawn first, then level by level the crosses inside the remaining blocks. Blocks of
            side `block` or less are drawn from their exact conditional by a transfer matrix (sections 1, 2 and 4).
Exactness   q is exactly normalised. Averages over p need importance weights or a Metropolis step.
Networks    one for each level, shared by all blocks of the level. They are odd, so q(s) = q(-s) holds without an
            average over s and -s. They start as the heat bath of the known neighbours, and pairs of sites with the same
            displacement along parallel lines share weights (section 3). The options `odd`, `skip` and `shared`
            switch these three properties off.
Training    only the upper spins u, those outside the exact blocks, are learned. The signal of the whole lattice is
            ln q(u) + beta E(u) - sum over the blocks of ln Z(border) (section 5). With `pairs`, each block below the
            frame has its own signal and is drawn twice with the same border: the other draw is the baseline, and the
            noise of the rest of the lattice drops out (section 6). With `rates`, the skip matrix and the last matrix
            of a network learn more slowly than the first matrix.
Loss        `draw_pairs` measures the nats of KL(q||p) that each level loses (section 7).
Cost        with 8 hidden units a spin and blocks of side 7: about (130 + 95 (log2 L - 4)) L^2 multiply-adds of the
            networks and 340 L^2 operations of the blocks per draw; 4 L to 6 L network calls in sequence (section 8).
Failure     the frame has no border to depend on. It is the hardest part and limits the quality at large L.
Reference   builds on P. Bialas, P. Korcyl, T. Stebel, "Hierarchical autoregressive neural networks for statistical
            systems", Comput. Phys. Commun. 281, 108502 (2022), arXiv:2203.10989.
Differences the paper ends at single spins, draws with dense networks with bias, averages over s and -s, and trains
            every network with the signal of the whole lattice.

Sections are those of docs/methods/hier-exact.md, which derives the method formula by formula.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Generator, Tensor

from nisbench.api import LevelModel, LocalPairs, ModelDraws, Target, TrainingBatch, other_than_uniform_torus
from nisbench.nn.bernoulli import configurations, spin_log_prob, thresholds
from nisbench.nn.exact_block import block_draw, block_energy, block_log_z
from nisbench.nn.hierarchy import displacements, exact_blocks, known_neighbours, levels
from nisbench.nn.modules import Stack
from nisbench.nn.odd import AutoregressiveOdd, OddRates, OddTrace, OddWeights
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
    tensor (sites, n), so that gathering a border copies whole rows. 0 marks a spin that is not drawn yet.
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
        """Reason why this target cannot be sampled, or None: J = 1 on the torus without a field, L = 2^m, m >= 2."""
        if reason := other_than_uniform_torus(target):
            return f"hier-exact {reason}"
        if target.L < 4 or target.L & (target.L - 1):
            return f"hier-exact needs L = 2^m with m >= 2; L = {target.L}"
        return None

    def sample(self, n: int, *, beta: float, generator: Generator) -> ModelDraws:
        """Draw n configurations with their ln q: first the levels, then the exact blocks; see the base class."""
        with torch.no_grad():
            lattice, weights = self._empty(n), self._weights(beta)
            log_prob = self._draw_levels(lattice, range(self.n_levels), weights, generator)
            return self._with_blocks(lattice, log_prob, beta, generator)

    def draw_pairs(self, n: int, *, level: int, beta: float, generator: Generator) -> tuple[ModelDraws, ModelDraws]:
        """Draw the levels before `level` once, the others and the blocks twice (section 7); see the base class."""
        with torch.no_grad():
            first, weights = self._empty(n), self._weights(beta)
            shared = self._draw_levels(first, range(level), weights, generator)
            second = first.clone()
            rest = range(level, self.n_levels)
            drawn = [(one, shared + self._draw_levels(one, rest, weights, generator)) for one in (first, second)]
            a, b = (self._with_blocks(lattice, log_prob, beta, generator) for lattice, log_prob in drawn)
        return a, b

    def log_prob(self, spins: Tensor, *, beta: float) -> Tensor:
        """Return ln q(s) = ln q(u) - beta E(inner bonds) - sum of ln Z(border), (n,) float64 (section 4)."""
        n = len(spins)
        lattice = spins.reshape(n, -1).T.to(self._like.dtype)  # (n, L, L) -> (sites, n)
        parts = [self._log_prob_of_level(lattice, i, beta) for i in range(self.n_levels)]
        border, inside = (self._gather(lattice, sites) for sites in (self.blocks.border, self.blocks.drawn))
        log_z = block_log_z(border, self.side, beta)
        # (n_blocks n,) energy of the bonds with an end in each block -> (n,)
        inner = self._per_lattice(block_energy(inside, border, self.side), n)
        return torch.stack(parts).sum(0) - beta * inner - self._per_lattice(log_z, n)

    def training_batch(self, n: int, *, beta: float, generator: Generator) -> TrainingBatch:
        """Draw n sets of upper spins; return ln q with gradient and the signals of sections 5 and 6.

        With `pairs`, only the frame is trained by the signal of the whole lattice; the levels below it are trained by
        the pairs. Without, all levels are trained by the signal of the whole lattice.
        """
        # the masked matrices are the same for all draws of a step, so they are built once
        lattice, weights = self._empty(n), self._weights(beta)
        traces = [self._draw_level(lattice, i, weights, generator) for i in range(self.n_levels)]
        signals = self._signals(lattice, traces, beta)
        paired = range(1 if self.options.pairs else self.n_levels, self.n_levels)
        log_prob = torch.stack([self._log_prob_of_trace(i, traces[i], weights, n).sum(0) for i in range(paired.start)])
        pairs = []
        for i in paired:
            # m lattices contain about PAIRS n blocks of this level, however large the lattice is
            m = max(1, min(n, PAIRS * n // self.levels[i].n_blocks))
            # the second draw keeps the spins before level i and overwrites level i and all levels after it
            again = lattice[:, :m].clone()
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
        """Return the operations and the sequential network calls of one draw.

        A multiply-add counts as two operations; masked zeros are left out. The transfer matrix of a block takes three
        operations for each state of a row: once at every site, and once more for every row to draw its spins.
        """
        scales = zip(self.networks, self.levels, strict=True)
        operations = sum(2 * net.multiply_adds() * level.n_blocks for net, level in scales)
        # side^2 steps for ln Z and side for drawing, each over the 2^side states of a row
        operations += 3 * 2**self.side * self.side * (self.side + 1) * self.blocks.n_blocks
        return {
            "flops_per_draw": float(operations),
            "network_calls_per_draw": float(sum(net.n_spins for net in self.networks)),
        }

    @property
    def _like(self) -> Tensor:
        """A parameter, for the dtype and device of new tensors."""
        return next(self.parameters())

    def _inputs(self, sites: Tensor) -> Tensor:
        """Put a column of zeros for the constant before a table (n_drawn, n_inputs), unless the networks are odd."""
        return sites if self.options.odd else torch.nn.functional.pad(sites, (1, 0))

    def _border(self, lattice: Tensor, level: int) -> Tensor:
        """Return the border of a level, (n_border, n_blocks n), after a row of ones unless the networks are odd."""
        border = self._gather(lattice, self.levels[level].border)
        return border if self.options.odd else torch.nn.functional.pad(border, (0, 0, 1, 0), value=1.0)

    def _empty(self, n: int) -> Tensor:
        """Return a batch of lattices (sites, n) with no spin drawn."""
        return self._like.new_zeros(self.target.n_sites, n)

    def _weights(self, beta: float) -> list[OddWeights]:
        """Return the masked matrices of each network at this beta."""
        return [net.weights(beta) for net in self.networks]

    def _draw_level(self, lattice: Tensor, level: int, weights: Sequence[OddWeights], generator: Generator) -> OddTrace:
        """Draw all blocks of a level into the lattice in place; return the trace of its network."""
        drawn = self.levels[level].drawn  # (n_drawn, n_blocks)
        # the network sees every block of every lattice as one sample: n_blocks n columns, the lattice index is fastest
        limits = thresholds(len(drawn), drawn.shape[1] * lattice.shape[1], like=lattice, generator=generator)
        trace: OddTrace = self.networks[level].sample(limits, self._border(lattice, level), weights[level])
        # (n_drawn, n_blocks n) -> (n_drawn, n_blocks, n) -> rows of (sites, n)
        lattice[drawn] = trace.spins.view(*drawn.shape, lattice.shape[1])
        return trace

    def _draw_levels(
        self, lattice: Tensor, which: Iterable[int], weights: Sequence[OddWeights], generator: Generator
    ) -> Tensor:
        """Draw the levels `which` into the lattice in place; return their ln q, (n,) float64."""
        n = lattice.shape[1]
        log_prob = lattice.new_zeros(n, dtype=torch.float64)
        for i in which:
            log_prob += self._per_lattice(self._draw_level(lattice, i, weights, generator).log_prob(), n)
        return log_prob

    def _signals(self, lattice: Tensor, traces: Sequence[OddTrace], beta: float) -> list[Tensor]:
        """Return the signal S of each block, (n_blocks, n) for each traced level (section 6).

        S(block) = ln q + beta E of the spins drawn in the block + sum of S over the blocks inside it. An exact block
        has S = -ln Z(border). `traces` belong to the last len(traces) levels.
        """
        n = lattice.shape[1]
        # from the smallest scale up; (n_exact_blocks n,) -> (n_exact_blocks, n)
        inside, result = -block_log_z(self._gather(lattice, self.blocks.border), self.side, beta).view(-1, n), []
        for i, trace in zip(reversed(range(self.n_levels)), reversed(traces), strict=False):
            # (n_blocks n,) -> (n_blocks, n)
            drawn = (trace.log_prob() + beta * self.networks[i].energy(trace)).view(-1, n)
            # the four blocks inside block b have the numbers 4 b to 4 b + 3; the frame contains all first blocks
            inside = drawn + inside.view(len(drawn), -1, n).sum(1)
            result.append(inside)
        return result[::-1]

    def _log_prob_of_trace(self, level: int, trace: OddTrace, weights: Sequence[OddWeights], n: int) -> Tensor:
        """Return ln q of each block of a level, (n_blocks, n) float64 with gradient, from a trace of these weights."""
        log_prob: Tensor = self.networks[level].log_prob(trace, weights[level])
        return log_prob.view(-1, n)

    @staticmethod
    def _of_first(trace: OddTrace, n: int, m: int) -> OddTrace:
        """Return the part of a trace that belongs to the first m of its n lattices."""
        # (rows, n_blocks n) -> (rows, n_blocks, n) -> (rows, n_blocks, m) -> (rows, n_blocks m)
        parts = (x.view(len(x), -1, n)[:, :, :m].reshape(len(x), -1) for x in vars(trace).values())
        return OddTrace(*parts)

    def _with_blocks(self, lattice: Tensor, log_upper: Tensor, beta: float, generator: Generator) -> ModelDraws:
        """Draw the exact blocks into a lattice of upper spins, in place; `log_upper` (n,) is ln q of these spins."""
        n, border = lattice.shape[1], self._gather(lattice, self.blocks.border)
        limits = thresholds(len(self.blocks.drawn), self.blocks.n_blocks * n, like=lattice, generator=generator)
        spins, log_z = block_draw(border, self.side, beta, limits)
        lattice[self.blocks.drawn] = spins.view(*self.blocks.drawn.shape, n)  # (side^2, n_blocks n) -> rows
        # (n_blocks n,) energy of the bonds with an end in each block -> (n,)
        inner = self._per_lattice(block_energy(spins, border, self.side), n)
        return ModelDraws(configurations(lattice), log_upper - beta * inner - self._per_lattice(log_z, n))

    def _log_prob_of_level(self, lattice: Tensor, level: int, beta: float) -> Tensor:
        """Return ln q of the spins of a level, (n,) float64, differentiable; evaluates the network once more."""
        spins, border = self._gather(lattice, self.levels[level].drawn), self._border(lattice, level)
        log_prob = spin_log_prob(spins, self.networks[level](spins, border, beta=beta))
        return self._per_lattice(log_prob, lattice.shape[1])

    @staticmethod
    def _gather(lattice: Tensor, sites: Tensor) -> Tensor:
        """Gather sites (k, n_blocks) of a lattice (sites, n) as (k, n_blocks n), the index of the lattice fastest."""
        return lattice[sites].view(len(sites), sites.shape[1] * lattice.shape[1])

    @staticmethod
    def _per_lattice(values: Tensor, n: int) -> Tensor:
        """Sum over the blocks: (n_blocks n,) -> (n,)."""
        return values.view(-1, n).sum(0)
