"""Method card of `wolff`: the single-cluster algorithm, compiled, with several independent chains.

Samples     p(s) = exp(-beta E) / Z of the 2-D Ising ferromagnet on the periodic L x L torus, any L >= 2, beta >= 0.
Exactness   asymptotically exact. Successive draws are correlated; the burn-in removes the bias of the start.
Update      a cluster grows from a random site: each neighbour with the same sign joins with probability
            P_add = 1 - exp(-2 beta). Then the whole cluster is flipped. P_add is rounded to a multiple of 2^-32.
One draw    `flips_per_draw` cluster flips. The mean cluster size is about 1.1 L^1.75 spins at beta_c, a few spins
            at small beta and nearly N spins at large beta. Compare autocorrelation times in sweeps, therefore:
            tau_sweeps = tau x (mean cluster size) / N.
Cost        proportional to the number of flipped spins, energy and magnetisation included: about 1.1e8 spins per
            second and core on a 2024 server CPU, L = 16 to 256 (`benchmarks/peer_wolff.py` compares).
Start       every chain starts ordered, all spins +1, and discards `burn_in_sweeps` x N flipped spins. It first makes
            flips until half of this number is reached, and then the same number of flips again. The length of the
            second half is fixed before it starts; otherwise a chain would stop just after a large cluster more
            often than after a small one. The energy of 1000 new chains has no measurable bias after 16 sweeps
            (L = 16 and 24 at beta_c); the default is 100.
Randomness  each chain has its own xoshiro256++ generator, which `prepare` seeds. The chains keep their state, so the
            draws do not depend on how they are split into calls or on the number of threads.
Failure     none known in this model. At beta near 0 a sweep takes N flips, and the time of a flip is overhead.
Reference   U. Wolff, "Collective Monte Carlo Updating for Spin Systems", Phys. Rev. Lett. 62, 361 (1989).
            Generator: Blackman and Vigna, ACM Trans. Math. Softw. 47, 36 (2021).
Differences none in the algorithm; energy and magnetisation are updated while the cluster grows.

Energy change of a flip, counted in integers. Let the cluster have n spins. Its 4 n bond ends are 4 n = 2 I + a + b with
I bonds inside the cluster, a bonds to outside spins of the same sign and b bonds to outside spins of the opposite sign.
The flip turns the a bonds from -1 to +1 and the b bonds from +1 to -1, so

    change of E = 2 (a - b) = 8 n - 4 (I + b).

The kernel counts K = I + b. It marks a spin with 0 when the spin joins, and gives it its new value when it examines the
spin's neighbours. K is the number of examined neighbours that have the new value at this moment: a bond inside the
cluster counts once, when its later end is examined, and a bond to an opposite outside spin counts once. Hence the
change of E is 8 n - 4 K.
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

from nisbench.api import ChainDraws, ChainSampler, ChainSeries, Target, other_than_uniform_torus

__all__ = ["Wolff"]

# each random word of 64 bits serves two comparisons: its low and its high 32 bits
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


class Wolff(ChainSampler):
    """Sampler of p by several single-cluster chains of the 2-D Ising ferromagnet."""

    def __init__(self, target: Target, options: Any) -> None:
        super().__init__(target, options)
        self._chains: list[_Chain] = []
        self._threshold = 0

    @classmethod
    def unsupported(cls, target: Target, options: Any) -> str | None:
        """Reason why this target cannot be sampled, or None: the compiled kernel contains the bonds of J = 1."""
        if reason := other_than_uniform_torus(target):
            return f"wolff {reason}"
        return None

    def prepare(self, *, beta: float, generator: Generator) -> None:
        """Seed new chains, start them ordered and discard the burn-in. Raises ValueError for beta < 0."""
        if not beta >= 0:
            raise ValueError(f"beta = {beta}: wolff needs beta >= 0")
        # P_add in units of 2^-32; expm1 keeps all digits at small beta
        self._threshold = round(-math.expm1(-2 * beta) * 2**32)
        # four words of state per chain; torch has no random uint64, so the bits come as int64
        words = torch.randint(
            -(2**63), 2**63 - 1, (self.options.n_chains, 4), generator=generator, device=generator.device
        )
        seeds = words.cpu().numpy().view(np.uint64)
        self._chains = [_Chain.ordered(self.target.L, seed) for seed in seeds]
        spins = round(self.options.burn_in_sweeps * self.target.n_sites)
        self._for_each_chain(lambda c: self._chains[c].burn_in(self._threshold, spins))

    def draw(self, n: int, *, generator: Generator) -> ChainDraws:
        """Return n draws of each chain as spins (n, n_chains, L, L) int8.

        The chains continue from their last state with their own random numbers; `generator` is not used.
        """
        extent = self.target.L
        spins = np.empty((n, self.options.n_chains, extent, extent), dtype=np.int8)
        self._advance(n, spins)
        return ChainDraws(spins=torch.from_numpy(spins))

    def draw_series(self, n: int, *, generator: Generator) -> ChainSeries:
        """Return energy, magnetisation and flipped spins of the draws that `draw` would return, (n, n_chains) each.

        The values are the running totals of the kernel, so no configuration is copied.
        """
        nothing = np.empty((0, self.options.n_chains, self.target.L, self.target.L), dtype=np.int8)
        energy, magnetisation, cluster_size = self._advance(n, nothing)
        return ChainSeries(energy=energy, magnetisation=magnetisation, cluster_size=cluster_size)

    def _advance(self, n: int, spins: NDArray[np.int8]) -> NDArray[np.float64]:
        """Make n draws of each chain; return (3, n, n_chains): energy, magnetisation, flipped spins.

        Writes the configurations to `spins` (n, n_chains, L, L), unless it is empty. Raises RuntimeError if `prepare`
        was not called.
        """
        if not self._chains:
            raise RuntimeError("wolff has no chains; call prepare(beta=..., generator=...) before the first draw")
        series = np.empty((len(self._chains), 3, n), dtype=np.int64)
        flips = self.options.flips_per_draw
        self._for_each_chain(lambda c: self._chains[c].advance(self._threshold, flips, series[c], spins[:, c]))
        # (n_chains, 3, n) -> (3, n, n_chains)
        return np.ascontiguousarray(series.transpose(1, 2, 0), dtype=np.float64)

    def _for_each_chain(self, work: Callable[[int], None]) -> None:
        """Call `work` with the number of each chain, in as many threads as torch may use.

        Chains share no data, so the number of threads changes the speed and not the draws.
        """
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
    """One chain: its lattice, the state of its generator and its totals. All three arrays change in place."""

    extent: int
    spins: NDArray[np.int8]
    """(L stride,) spins row by row; stride is L rounded up to a power of two, so that column = index & (stride - 1)"""
    state: NDArray[np.uint64]
    """(4,) state of xoshiro256++"""
    totals: NDArray[np.int64]
    """(2,) total energy and total magnetisation"""

    @classmethod
    def ordered(cls, extent: int, seed: NDArray[np.uint64]) -> "_Chain":
        """Create a chain with all spins +1 and the generator state `seed` (4,), which must not be all zero.

        A random seed is all zero with probability 2^-256.
        """
        stride = 1 << (extent - 1).bit_length()
        # 2 L^2 bonds of energy -1 each
        totals = np.array([-2 * extent**2, extent**2], dtype=np.int64)
        return cls(extent, np.ones(extent * stride, dtype=np.int8), seed.copy(), totals)

    def burn_in(self, threshold: int, spins: int) -> None:
        """Flip clusters until `spins` / 2 spins are flipped, then make the same number of flips again (method card)."""
        if not spins:
            return
        flips = _flip_until(self.spins, self.state, self.totals, self.extent, threshold, spins // 2)
        nothing = np.empty((0, self.extent, self.extent), dtype=np.int8)
        self.advance(threshold, flips, np.empty((3, 1), dtype=np.int64), nothing)

    def advance(self, threshold: int, flips: int, series: NDArray[np.int64], spins: NDArray[np.int8]) -> None:
        """Make n draws, `flips` clusters apart; fill `series` (3, n) and, unless it is empty, `spins` (n, L, L)."""
        _advance(self.spins, self.state, self.totals, self.extent, threshold, flips, series, spins)


@njit("Tuple((u8, u8, u8, u8, u8))(u8, u8, u8, u8)", cache=True, nogil=True)
def _next_word(s0, s1, s2, s3):  # type: ignore[no-untyped-def]
    """Return a random 64-bit word and the next four words of state (xoshiro256++)."""
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
    """Flip one cluster in place; return its size and the changes of energy and magnetisation.

    A branch predictor cannot guess whether a neighbour joins, so the kernel does not branch: it writes every neighbour
    to the top of the stack and moves the top up only if the neighbour joins. This is twice as fast as a branch.
    """
    stride = spins.size // extent
    last = extent - 1
    # high and low half of one word, times L and shifted: a row and a column with a bias below L 2^-32
    word, s0, s1, s2, s3 = _next_word(state[0], state[1], state[2], state[3])
    row = ((word >> _HALF) * uint64(extent)) >> _HALF
    column = ((word & _LOW) * uint64(extent)) >> _HALF
    site = np.int64(row) * stride + np.int64(column)
    old = spins[site]
    new = np.int8(-old)
    spins[site] = 0  # 0: in the cluster, neighbours not examined yet; equals neither `old` nor `new`
    stack[0] = site
    top, size, settled = 1, 0, 0  # settled is K of the module docstring
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
    """Flip clusters until at least `least` spins are flipped in all; return the number of clusters."""
    # one entry more than sites, because a neighbour that does not join is written above the top as well
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
    """Make the draws of `_Chain.advance`."""
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
