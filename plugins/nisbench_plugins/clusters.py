"""Parts that the cluster samplers share: the bonds as compact tables, random numbers, and chains in threads.

The tables describe every lattice as a torus. A bond that wraps around a lattice with free edges has J = 0, as in
`Lattice.right` and `Lattice.down`, and is marked as missing. The kernels therefore find neighbours by arithmetic.
"""

import math
from abc import abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numba import uint64
from numpy.typing import NDArray
from torch import Generator

from nisbench.api import ChainDraws, ChainSampler, ChainSeries, Target, lattice_of
from nisbench.nn.kernels.cache import kernel

__all__ = ["BondTables", "Chain", "ClusterSampler", "in_threads", "next_word", "random_words"]


@dataclass(frozen=True)
class BondTables:
    """Bonds of a pairwise lattice at one beta, row by row, as the kernels read them."""

    extent: int
    codes: NDArray[np.uint8]
    """(L stride,): bits 2 k and 2 k + 1 are those of bond k: 0 for J > 0, 1 for J < 0, 2 for a missing bond. The order
    is that of `Lattice.couplings`: right, lower, left, upper neighbour"""
    missing: NDArray[np.int64]
    """(2, n_missing): the two sites of each missing bond. The kernels count it as J = +1; `missing` corrects this"""
    thresholds: NDArray[np.uint64]
    """P_add = 1 - exp(-2 beta abs(J)) in units of 2^-32: (1,) if abs(J) is equal for all bonds, else (4 L stride,) with
    that of bond k of site i at 4 i + k"""
    signed: bool
    """True if a coupling is negative"""
    counts_energy: bool
    """True if all couplings are -1, 0 or +1 and there is no field, so that energies can be counted in integers"""
    ordered_energy: int
    """E of the start with all spins +1, missing bonds counted as J = +1; meaningless unless energies are counted"""

    @classmethod
    def build(cls, target: Target, beta: float, stride: int | None = None) -> "BondTables":
        """Tables of a target with a lattice; rows are `stride` entries apart, by default L."""
        lattice = lattice_of(target)
        assert lattice is not None, "unsupported() refuses targets without a lattice"
        stride = stride or lattice.L
        rows = np.zeros((lattice.L, stride, 4))
        rows[:, : lattice.L] = lattice.couplings.reshape(lattice.L, lattice.L, 4)
        couplings = rows.reshape(-1, 4)  # (L, stride, 4) -> (L stride, 4)
        strengths = np.abs(couplings)
        bits = ((couplings < 0) + 2 * (couplings == 0)) << 2 * np.arange(4)  # (L stride, 4)
        values = np.unique(strengths[strengths > 0])
        if len(values) <= 1:
            strengths = np.array([values.max(initial=0.0)])
        return cls(
            extent=lattice.L,
            codes=bits.sum(axis=1).astype(np.uint8),
            # expm1 keeps all digits at small beta
            thresholds=np.rint(-np.expm1(-2 * beta * strengths) * 2.0**32).astype(np.uint64).ravel(),
            signed=bool((couplings < 0).any()),
            counts_energy=lattice.z2 and bool((values == 1).all()),
            missing=_missing(lattice, stride),
            ordered_energy=-round(lattice.right.sum() + lattice.down.sum()) - _missing(lattice, stride).shape[1],
        )


def _missing(lattice: Any, stride: int) -> NDArray[np.int64]:
    """Return both sites of each bond of the torus with J = 0, (2, n_missing), as indices of rows `stride` apart."""
    site = np.arange(lattice.L)[:, None] * stride + np.arange(lattice.L)  # (L, L)
    ends = ((lattice.right == 0, np.roll(site, -1, 1)), (lattice.down == 0, np.roll(site, -1, 0)))
    return np.concatenate([np.stack([site[absent], other[absent]]) for absent, other in ends], axis=1)


class Chain(Protocol):
    """One chain of a compiled algorithm."""

    def burn_in(self, sweeps: float) -> None:
        """Discard the start."""
        ...

    def advance(self, series: NDArray[np.int64], spins: NDArray[np.int8]) -> None:
        """Make n draws; fill `series` (3, n) with energy, magnetisation, flipped spins, and `spins` (n, L, L).

        An empty `spins` is not filled.
        """
        ...


class ClusterSampler(ChainSampler):
    """Independent chains of a compiled cluster algorithm, one thread each; the options have n_chains and burn-in.

    Each chain has its own xoshiro256++ generator, which `prepare` seeds, and keeps its state. The draws therefore do
    not depend on how they are split into calls or on the number of threads.
    """

    def __init__(self, target: Target, options: Any) -> None:
        super().__init__(target, options)
        self._chains: list[Chain] = []
        self._counts_energy = False

    @abstractmethod
    def _start(self, tables: BondTables, beta: float, seed: NDArray[np.uint64]) -> Chain:
        """Return a chain that starts ordered, with the generator state `seed` (4,)."""

    def _tables(self, beta: float) -> BondTables:
        """Return the tables that the kernels read."""
        return BondTables.build(self.target, beta)

    def prepare(self, *, beta: float, generator: Generator) -> None:
        """Seed new chains, start them ordered and discard the burn-in. Raises ValueError for beta < 0 or infinity."""
        self._check(beta)
        tables = self._tables(beta)
        self._counts_energy = tables.counts_energy
        seeds = random_words(generator, self.options.n_chains, 4)
        self._chains = [self._start(tables, beta, seed) for seed in seeds]
        in_threads(lambda c: self._chains[c].burn_in(self.options.burn_in_sweeps), len(self._chains))

    def draw(self, n: int, *, generator: Generator) -> ChainDraws:
        """Return n draws of each chain as spins (n, n_chains, L, L) int8.

        The chains continue from their last state with their own random numbers; `generator` is not used.
        """
        spins = self._room(n)
        self._advance(n, spins)
        return ChainDraws(spins=torch.from_numpy(spins))

    def draw_series(self, n: int, *, generator: Generator) -> ChainSeries:
        """Return energy, magnetisation and flipped spins of the draws that `draw` would return, (n, n_chains) each.

        The values are those that the kernel counts, so no configuration is copied. Energies with other couplings than
        -1, 0 and +1 or with a field are measured on the configurations.
        """
        spins = self._room(0 if self._counts_energy else n)
        energy, magnetisation, cluster_size = self._advance(n, spins)
        if not self._counts_energy:
            energy = self.target.energy(torch.from_numpy(spins)).numpy()
        return ChainSeries(energy=energy, magnetisation=magnetisation, cluster_size=cluster_size)

    def _check(self, beta: float) -> None:
        if not 0 <= beta < math.inf:
            raise ValueError(f"beta = {beta}: {self._name} needs a finite beta >= 0")

    @property
    def _name(self) -> str:
        """The registered name, for messages."""
        return type(self).__module__.rpartition(".")[2].replace("_", "-")

    def _room(self, n: int) -> NDArray[np.int8]:
        """Return an array for n draws of each chain, (n, n_chains, L, L)."""
        return np.empty((n, self.options.n_chains, self.target.L, self.target.L), dtype=np.int8)

    def _advance(self, n: int, spins: NDArray[np.int8]) -> NDArray[np.float64]:
        """Make n draws of each chain; return (3, n, n_chains): energy, magnetisation, flipped spins.

        Writes the configurations to `spins` (n, n_chains, L, L), unless it is empty. Raises RuntimeError if `prepare`
        was not called.
        """
        if not self._chains:
            raise RuntimeError(
                f"{self._name} has no chains; call prepare(beta=..., generator=...) before the first draw"
            )
        series = np.empty((len(self._chains), 3, n), dtype=np.int64)
        in_threads(lambda c: self._chains[c].advance(series[c], spins[:, c]), len(self._chains))
        # (n_chains, 3, n) -> (3, n, n_chains)
        return np.ascontiguousarray(series.transpose(1, 2, 0), dtype=np.float64)


def random_words(generator: Generator, *shape: int) -> NDArray[np.uint64]:
    """Return random 64-bit numbers of the generator."""
    # torch has no random uint64, so the bits come as int64
    words = torch.randint(-(2**63), 2**63 - 1, shape, generator=generator, device=generator.device)
    return words.cpu().numpy().view(np.uint64)


def in_threads(work: Callable[[int], None], n: int) -> None:
    """Call `work` with 0 ... n - 1, in as many threads as torch may use. The calls must not share data."""
    threads = min(torch.get_num_threads(), n)
    if threads <= 1:
        for i in range(n):
            work(i)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(n)))


@kernel("Tuple((u8, u8, u8, u8, u8))(u8, u8, u8, u8)", nogil=True)
def next_word(s0, s1, s2, s3):  # type: ignore[no-untyped-def]
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
