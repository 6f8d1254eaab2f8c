"""Method card of `wolff`: the single-cluster algorithm, compiled, with several independent chains.

Samples     exp(-beta E) / Z of the 2-D Ising ferromagnet on the periodic L x L torus, any L >= 2, beta >= 0.
Exactness   asymptotically exact: successive draws are correlated, and the start is forgotten by the burn-in.
Update      from a random site, an aligned neighbour joins the cluster with P_add = 1 - exp(-2 beta); the whole
            cluster is flipped. P_add is held to 2^-32.
One draw    `flips_per_draw` cluster flips. At beta_c a cluster has about 1.1 L^1.75 spins, far from it a few
            spins (hot) or nearly all of them (cold), so compare times in sweeps: tau_sweeps = tau <size> / N.
Cost        proportional to the spins flipped, energy and magnetisation included; about 1.1e8 spins per second
            and core on a 2024 server CPU from L = 16 to 256 (`benchmarks/peer_wolff.py` compares).
Start       every chain is ordered, all spins +1, and discards `burn_in_sweeps` x N flipped spins: flips until half
            of these are reached, then as many flips again. The second half has a length fixed beforehand, so
            that no chain is stopped because of the cluster that it has just flipped. Of the energy of 1000 fresh
            chains no bias is left after 16 sweeps (L = 16 and 24 at beta_c); the default is 100.
Randomness  xoshiro256++ in each chain, seeded by `prepare` from the generator. The chains keep their state: the
            draws depend neither on how they are split into calls nor on the number of threads.
Failure     none known in this model; at beta near 0 a sweep takes N flips and the cost a flip is overhead.
Reference   U. Wolff, Phys. Rev. Lett. 62, 361 (1989). Generator: Blackman and Vigna, ACM Trans. Math. Softw. 47,
            36 (2021).

Energy and magnetisation are counted while the cluster grows, as integers. A spin is marked 0 when it joins and takes
its new value when its neighbours are examined. Let K be the neighbours that have the new value at that moment, summed
over the cluster: each of the I bonds inside it counts once, from its later end, and each of the b bonds to an outside
spin that was opposed all along counts once. The cluster's 4 n bond ends are 2 I + b + a, with a the bonds to aligned
spins that stayed outside, so the flip changes the energy by 2 (a - b) = 8 n - 4 (I + b) = 8 n - 4 K.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numba import njit, uint64
from numpy.typing import NDArray
from torch import Generator

from nisbench.api import ChainDraws, ChainSampler, ChainSeries, Target

__all__ = ["Wolff"]

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


class Wolff(ChainSampler):
    """Single-cluster chains of the 2-D Ising ferromagnet."""

    def __init__(self, target: Target, options: Any) -> None:
        super().__init__(target, options)
        self._chains: list[_Chain] = []
        self._threshold = 0

    @classmethod
    def unsupported(cls, target: Target, options: Any) -> str | None:
        """Any target but the Ising ferromagnet, whose bonds are in the kernel."""
        if target.name != "ising":
            return f"wolff is written for the target 'ising', not for '{target.name}'"
        return None

    def prepare(self, *, beta: float, generator: Generator) -> None:
        """Seeds new chains, starts them ordered and burns them in. Raises ValueError for beta < 0."""
        if not beta >= 0:
            raise ValueError(f"beta = {beta}: clusters of aligned spins need beta >= 0")
        self._threshold = round(-math.expm1(-2 * beta) * 2**32)
        words = torch.randint(
            -(2**63), 2**63 - 1, (self.options.n_chains, 4), generator=generator, device=generator.device
        )
        seeds = words.cpu().numpy().view(np.uint64)
        self._chains = [_Chain.ordered(self.target.L, seed) for seed in seeds]
        spins = round(self.options.burn_in_sweeps * self.target.n_sites)
        self._for_each_chain(lambda c: self._chains[c].burn_in(self._threshold, spins))

    def draw(self, n: int, *, generator: Generator) -> ChainDraws:
        """Per chain n draws; `generator` is not used, the chains go on with the state that `prepare` gave them."""
        extent = self.target.L
        spins = np.empty((n, self.options.n_chains, extent, extent), dtype=np.int8)
        self._advance(n, spins)
        return ChainDraws(spins=torch.from_numpy(spins))

    def draw_series(self, n: int, *, generator: Generator) -> ChainSeries:
        """The scalars of the draws that `draw` would return, from the running totals of the kernel."""
        nothing = np.empty((0, self.options.n_chains, self.target.L, self.target.L), dtype=np.int8)
        energy, magnetisation, cluster_size = self._advance(n, nothing)
        return ChainSeries(energy=energy, magnetisation=magnetisation, cluster_size=cluster_size)

    def _advance(self, n: int, spins: NDArray[np.int8]) -> NDArray[np.float64]:
        """Per chain n draws -> (3, n, n_chains): energy, magnetisation, flipped spins; fills `spins` if not empty."""
        if not self._chains:
            raise RuntimeError("prepare(beta=..., generator=...) comes before the first draw")
        series = np.empty((len(self._chains), 3, n), dtype=np.int64)
        flips = self.options.flips_per_draw
        self._for_each_chain(lambda c: self._chains[c].advance(self._threshold, flips, series[c], spins[:, c]))
        return np.ascontiguousarray(series.transpose(1, 2, 0), dtype=np.float64)

    def _for_each_chain(self, work: Callable[[int], None]) -> None:
        """Chains share nothing, so threads change the speed and not the numbers; torch's thread count is the limit."""
        chains = range(len(self._chains))
        threads = min(torch.get_num_threads(), len(chains))
        if threads == 1:
            for chain in chains:
                work(chain)
            return
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, chains))


@dataclass(frozen=True)
class _Chain:
    """One lattice with its generator and its totals; all three are changed in place."""

    extent: int
    spins: NDArray[np.int8]
    """(L stride,), rows padded to a power of two so that a column is a mask of the index"""
    state: NDArray[np.uint64]
    """(4,) of xoshiro256++"""
    totals: NDArray[np.int64]
    """(2,) energy and magnetisation"""

    @classmethod
    def ordered(cls, extent: int, seed: NDArray[np.uint64]) -> "_Chain":
        """All spins +1. The state must not be all zero, which has probability 2^-256."""
        stride = 1 << (extent - 1).bit_length()
        totals = np.array([-2 * extent**2, extent**2], dtype=np.int64)
        return cls(extent, np.ones(extent * stride, dtype=np.int8), seed.copy(), totals)

    def burn_in(self, threshold: int, spins: int) -> None:
        """The rule of the method card: until spins / 2 are flipped, then as many flips again."""
        if not spins:
            return
        flips = _flip_until(self.spins, self.state, self.totals, self.extent, threshold, spins // 2)
        nothing = np.empty((0, self.extent, self.extent), dtype=np.int8)
        self.advance(threshold, flips, np.empty((3, 1), dtype=np.int64), nothing)

    def advance(self, threshold: int, flips: int, series: NDArray[np.int64], spins: NDArray[np.int8]) -> None:
        """Fills `series` (3, n) and, unless it is empty, `spins` (n, L, L) with draws `flips` clusters apart."""
        _advance(self.spins, self.state, self.totals, self.extent, threshold, flips, series, spins)


@njit("Tuple((u8, u8, u8, u8, u8))(u8, u8, u8, u8)", cache=True, nogil=True)
def _next_word(s0, s1, s2, s3):  # type: ignore[no-untyped-def]
    """xoshiro256++: a 64-bit word and the next state."""
    word = s0 + s3
    word = ((word << uint64(23)) | (word >> uint64(41))) + s0
    shifted = s1 << uint64(17)
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= shifted
    s3 = (s3 << uint64(45)) | (s3 >> uint64(19))
    return word, s0, s1, s2, s3


@njit("UniTuple(i8, 3)(i1[::1], i4[::1], u8[::1], i8, u8)", cache=True, nogil=True)
def _flip_cluster(spins, stack, state, extent, threshold):  # type: ignore[no-untyped-def]
    """Flips one cluster: its size and the changes of energy and magnetisation.

    Whether a neighbour joins is a coin toss that no branch predictor guesses, so it is arithmetic: every neighbour
    is written to the top of the stack, which moves up only if it joins. That is twice as fast as a branch.
    """
    stride = spins.size // extent
    last = extent - 1
    word, s0, s1, s2, s3 = _next_word(state[0], state[1], state[2], state[3])
    row = ((word >> _HALF) * uint64(extent)) >> _HALF
    column = ((word & _LOW) * uint64(extent)) >> _HALF
    site = np.int64(row) * stride + np.int64(column)
    old = spins[site]
    new = np.int8(-old)
    spins[site] = 0
    stack[0] = site
    top, size, settled = 1, 0, 0  # settled: K of the module docstring
    while top > 0:
        top -= 1
        size += 1
        site = np.int64(stack[top])
        spins[site] = new
        x = site & (stride - 1)
        word, s0, s1, s2, s3 = _next_word(s0, s1, s2, s3)
        other, s0, s1, s2, s3 = _next_word(s0, s1, s2, s3)
        for neighbour, toss in (
            (site + 1 if x < last else site - last, word >> _HALF),
            (site - 1 if x > 0 else site + last, word & _LOW),
            (site + stride if site + stride < spins.size else site + stride - spins.size, other >> _HALF),
            (site - stride if site >= stride else site - stride + spins.size, other & _LOW),
        ):
            spin = spins[neighbour]
            joins = (spin == old) & (toss < threshold)
            settled += spin == new
            stack[top] = neighbour
            top += joins
            spins[neighbour] = 0 if joins else spin
    state[0], state[1], state[2], state[3] = s0, s1, s2, s3
    return size, 8 * size - 4 * settled, 2 * np.int64(new) * size


@njit("i8(i1[::1], u8[::1], i8[::1], i8, u8, i8)", cache=True, nogil=True)
def _flip_until(spins, state, totals, extent, threshold, least):  # type: ignore[no-untyped-def]
    """Flips clusters until `least` spins are flipped in all; the number of clusters."""
    stack = np.empty(extent * extent + 1, dtype=np.int32)
    flips, flipped = 0, 0
    while flipped < least:
        size, energy, magnetisation = _flip_cluster(spins, stack, state, extent, threshold)
        totals[0] += energy
        totals[1] += magnetisation
        flipped += size
        flips += 1
    return flips


@njit("void(i1[::1], u8[::1], i8[::1], i8, u8, i8, i8[:, ::1], i1[:, :, :])", cache=True, nogil=True)
def _advance(spins, state, totals, extent, threshold, flips, series, configurations):  # type: ignore[no-untyped-def]
    """See _Chain.advance."""
    stack = np.empty(extent * extent + 1, dtype=np.int32)
    stride = spins.size // extent
    for draw in range(series.shape[1]):
        flipped = 0
        for _ in range(flips):
            size, energy, magnetisation = _flip_cluster(spins, stack, state, extent, threshold)
            totals[0] += energy
            totals[1] += magnetisation
            flipped += size
        series[0, draw], series[1, draw], series[2, draw] = totals[0], totals[1], flipped
        if configurations.size:
            for y in range(extent):
                for x in range(extent):
                    configurations[draw, y, x] = spins[y * stride + x]
