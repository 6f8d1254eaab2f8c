"""Method card of `wolff`: the single-cluster algorithm, compiled, with several independent chains.

Samples     p(s) = exp(-beta E) / Z of a pairwise model on the square lattice without a field: couplings of either sign,
            torus or free edges, any L >= 2, beta >= 0.
Exactness   asymptotically exact. Successive draws are correlated; the burn-in removes the bias of the start.
Update      a cluster grows from a random site: a neighbour joins with probability P_add = 1 - exp(-2 beta abs(J)) if
            the bond is satisfied, J s_i s_j > 0. Then the whole cluster is flipped. P_add is rounded to a multiple of
            2^-32.
One draw    `flips_per_draw` cluster flips. On the ferromagnet, the mean cluster size is about 1.1 L^1.75 spins at
            beta_c, a few spins at small beta and nearly N spins at large beta. Compare autocorrelation times in sweeps,
            therefore: tau_sweeps = tau x (mean cluster size) / N.
Cost        proportional to the number of flipped spins, energy and magnetisation included: about 9e7 spins per second
            and core on a 2024 server CPU, L = 16 to 256 (`benchmarks/peer_wolff.py` compares). If couplings other than
            -1, 0 and +1 occur, each draw also measures its energy on the configuration, N spins.
Start       every chain starts ordered, all spins +1, and discards `burn_in_sweeps` x N flipped spins. It first makes
            flips until half of this number is reached, and then the same number of flips again. The length of the
            second half is fixed before it starts; otherwise a chain would stop just after a large cluster more
            often than after a small one. The energy of 1000 new chains has no measurable bias after 16 sweeps
            (ferromagnet, L = 16 and 24 at beta_c); the default is 100.
Randomness  each chain has its own xoshiro256++ generator, which `prepare` seeds. The chains keep their state, so the
            draws do not depend on how they are split into calls or on the number of threads.
Failure     frustrated couplings at low temperature: the clusters percolate although the spins are disordered, a flip
            turns nearly the whole lattice, and the chains hardly move. At beta near 0 a sweep takes N flips, and the
            time of a flip is overhead.
Reference   U. Wolff, "Collective Monte Carlo Updating for Spin Systems", Phys. Rev. Lett. 62, 361 (1989).
            Generator: Blackman and Vigna, ACM Trans. Math. Softw. 47, 36 (2021).
Differences none in the algorithm; energy and magnetisation are updated while the cluster grows.

Energy change of a flip, counted in integers for J = -1, 0, +1. The kernel flips the spins of the cluster one by one.
A spin with u of its four bonds not satisfied at this moment changes E by 2 (4 - u) - 2 u = 8 - 4 u. Bonds with J = 0
count as J = +1 in the running total; each draw subtracts them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from nisbench.api import Target, lattice_of
from nisbench.nn.kernels.cache import kernel
from nisbench_plugins.clusters import BondTables, ClusterSampler, next_word

__all__ = ["Wolff"]

# each random word of 64 bits serves two comparisons: its low and its high 32 bits
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


class Wolff(ClusterSampler):
    """Sampler of p by several single-cluster chains."""

    @classmethod
    def unsupported(cls, target: Target, options: Any) -> str | None:
        """Return the reason why this target cannot be sampled, or None: it needs couplings and no field."""
        lattice = lattice_of(target)
        if lattice is None:
            return f"wolff needs the couplings of a square lattice; the target '{target.name}' has none"
        if not lattice.z2:
            return f"wolff needs couplings without a field; the target '{target.name}' has a field"
        return None

    def _tables(self, beta: float) -> BondTables:
        """Return tables whose rows have a power of two of entries, so that column = index & (stride - 1)."""
        return BondTables.build(self.target, beta, 1 << (self.target.L - 1).bit_length())

    def _start(self, tables: BondTables, beta: float, seed: NDArray[np.uint64]) -> "_Chain":
        return _Chain.ordered(tables, self.options.flips_per_draw, seed)


@dataclass(frozen=True)
class _Chain:
    """One chain: its lattice, the state of its generator and its totals. These three arrays change in place."""

    tables: BondTables
    flips_per_draw: int
    spins: NDArray[np.uint8]
    """(L stride,) row by row; bit 0 is 1 for spin -1"""
    state: NDArray[np.uint64]
    """(4,) state of xoshiro256++"""
    totals: NDArray[np.int64]
    """(2,) total energy with missing bonds as J = +1, if it is counted, and total magnetisation"""

    @classmethod
    def ordered(cls, tables: BondTables, flips_per_draw: int, seed: NDArray[np.uint64]) -> "_Chain":
        """Create a chain with all spins +1 and the generator state `seed` (4,), which must not be all zero.

        A random seed is all zero with probability 2^-256.
        """
        totals = np.array([tables.ordered_energy, tables.extent**2], dtype=np.int64)
        return cls(tables, flips_per_draw, np.zeros(tables.codes.size, dtype=np.uint8), seed.copy(), totals)

    def burn_in(self, sweeps: float) -> None:
        """Flip clusters until half of the spins are flipped, then make the same number of flips again (method card)."""
        spins = round(sweeps * self.tables.extent**2)
        if not spins:
            return
        flips = _flip_until(self.spins, self.state, self.totals, *self._lattice, spins // 2)
        nothing = np.empty((0, self.tables.extent, self.tables.extent), dtype=np.int8)
        self._advance(flips, np.empty((3, 1), dtype=np.int64), nothing)

    def advance(self, series: NDArray[np.int64], spins: NDArray[np.int8]) -> None:
        """Make n draws, `flips_per_draw` clusters apart; fill `series` (3, n) and, unless empty, `spins` (n, L, L)."""
        self._advance(self.flips_per_draw, series, spins)

    def _advance(self, flips: int, series: NDArray[np.int64], spins: NDArray[np.int8]) -> None:
        """Make n draws, `flips` clusters apart."""
        arrays = self.spins, self.state, self.totals
        _advance(*arrays, *self._lattice, flips, series, spins, self.tables.missing)

    @property
    def _lattice(self) -> tuple[int, NDArray[np.uint8], NDArray[np.uint64], bool]:
        """Arguments of the kernels."""
        return self.tables.extent, self.tables.codes, self.tables.thresholds, self.tables.signed


@kernel("UniTuple(i8, 3)(u1[::1], i4[:, ::1], u8[::1], i8, u1[::1], u8[::1], b1)", nogil=True)
def _flip_cluster(spins, room, state, extent, codes, thresholds, signed):  # type: ignore[no-untyped-def]
    """Flip one cluster in place; return its size and the changes of energy and magnetisation.

    A branch predictor cannot guess whether a neighbour joins, so the kernel does not branch: it writes every neighbour
    to the top of the stack and moves the top up only if the neighbour joins. This is twice as fast as a branch.
    """
    stack, members = room[0], room[1]
    stride = spins.size // extent
    last = extent - 1
    # high and low half of one word, times L and shifted: a row and a column with a bias below L 2^-32
    word, s0, s1, s2, s3 = next_word(state[0], state[1], state[2], state[3])
    row = ((word >> _HALF) * uint64(extent)) >> _HALF
    column = ((word & _LOW) * uint64(extent)) >> _HALF
    site = np.int64(row) * stride + np.int64(column)
    spins[site] |= 4  # bit 2: in the cluster
    stack[0] = site
    # With couplings of one sign, a flipped spin cannot look like one that may join, and needs no mark any more.
    mark = 4 if signed else 0
    top, size, opposed, down = 1, 0, np.int64(0), np.int64(0)
    threshold, various = thresholds[0], thresholds.size > 1  # one threshold stays in a register
    while top > 0:
        top -= 1
        site = np.int64(stack[top])
        members[size] = site
        size += 1
        old = np.int64(spins[site]) & 1
        spins[site] = 1 - old + mark
        # two bits for each bond: spin of a neighbour that may join, or 2 and 3 if the bond is missing
        code = np.int64(codes[site]) ^ (old * 0b01010101)
        down += old
        x = site & (stride - 1)
        word, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
        other, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
        for neighbour, toss, k in (
            (site + 1 if x < last else site - last, word >> _HALF, 0),
            (site - 1 if x > 0 else site + last, word & _LOW, 2),
            (site + stride if site + stride < spins.size else site + stride - spins.size, other >> _HALF, 1),
            (site - stride if site >= stride else site - stride + spins.size, other & _LOW, 3),
        ):
            spin = np.int64(spins[neighbour])
            # bit 0: not satisfied, bit 1: missing, bit 2: in the cluster already
            obstacle = spin ^ ((code >> (2 * k)) & 3)
            joins = (obstacle == 0) & (toss < (thresholds[4 * site + k] if various else threshold))
            opposed += obstacle & 1
            stack[top] = neighbour
            top += joins
            spins[neighbour] = spin + 4 * joins
    if signed:
        for i in range(size):
            spins[members[i]] &= 1
    state[0], state[1], state[2], state[3] = s0, s1, s2, s3
    return size, 8 * size - 4 * opposed, 4 * down - 2 * size


@kernel("i8(u1[::1], u8[::1], i8[::1], i8, u1[::1], u8[::1], b1, i8)", nogil=True)
def _flip_until(spins, state, totals, extent, codes, thresholds, signed, least):  # type: ignore[no-untyped-def]
    """Flip clusters until at least `least` spins are flipped in all; return the number of clusters."""
    # one entry more than sites, because a neighbour that does not join is written above the top as well
    room = np.empty((2, extent * extent + 1), dtype=np.int32)
    flips, flipped = 0, 0
    while flipped < least:
        size, energy, magnetisation = _flip_cluster(spins, room, state, extent, codes, thresholds, signed)
        totals[0] += energy
        totals[1] += magnetisation
        flipped += size
        flips += 1
    return flips


@kernel(
    "void(u1[::1], u8[::1], i8[::1], i8, u1[::1], u8[::1], b1, i8, i8[:, ::1], i1[:, :, :], i8[:, ::1])",
    nogil=True,
)
def _advance(spins, state, totals, extent, codes, thresholds, signed, flips, series, configurations, missing):  # type: ignore[no-untyped-def]
    """Make the draws of `_Chain.advance`."""
    room = np.empty((2, extent * extent + 1), dtype=np.int32)
    stride = spins.size // extent
    for draw in range(series.shape[1]):
        flipped = 0
        for _ in range(flips):
            size, energy, magnetisation = _flip_cluster(spins, room, state, extent, codes, thresholds, signed)
            totals[0] += energy
            totals[1] += magnetisation
            flipped += size
        fictitious = missing.shape[1]
        for bond in range(missing.shape[1]):
            fictitious -= 2 * np.int64((spins[missing[0, bond]] ^ spins[missing[1, bond]]) & 1)
        series[0, draw], series[1, draw], series[2, draw] = totals[0] + fictitious, totals[1], flipped
        if configurations.size:
            for y in range(extent):
                for x in range(extent):
                    configurations[draw, y, x] = 1 - 2 * np.int8(spins[y * stride + x])
