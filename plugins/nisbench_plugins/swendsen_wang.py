"""Method card of `swendsen-wang`: all clusters of the lattice at once, compiled on the CPU, in torch on a GPU.

Samples     p(s) = exp(-beta E) / Z of a pairwise model on the square lattice: couplings of either sign, any field,
            torus or free edges, any L >= 2, beta >= 0.
Exactness   asymptotically exact. Successive draws are correlated; the burn-in removes the bias of the start.
Update      every satisfied bond, J s_i s_j > 0, is kept with probability 1 - exp(-2 beta abs(J)). The kept bonds
            connect the sites to clusters. Each cluster is flipped with probability 1/2; with a field, with probability
            1 / (1 + exp(2 beta S)), S = sum of h_i s_i over the cluster.
One draw    `sweeps_per_draw` updates of the whole lattice. Without a field half of the spins are flipped in an update,
            so that tau in sweeps of N flipped spins is half of tau in updates.
Cost        proportional to N: about 1.2e8 spins per second and core at beta_c on a 2024 server CPU, L = 64 to 256
            (`benchmarks/peer_wolff.py` compares). Energy and magnetisation are counted in the kernel if all couplings
            are -1, 0 or +1 and there is no field, else measured on the configurations.
CPU         compiled; each site joins the clusters of its left and upper neighbour (Hoshen and Kopelman) in a forest
            whose parents have smaller numbers than their children. One more pass over the sites then gives every site
            the decision of its root, without a search. Each chain has a xoshiro256++ generator and a thread.
GPU         `label_propagation.py`: all chains in one batch. Sites take the smallest label of their neighbours, roots
            that of their sites, and labels are replaced by the labels of their roots, until nothing changes. It draws
            from the cell's generator. Choose many chains. With a field, the sums S are rounded in any order.
Start       every chain starts ordered, all spins +1, and discards `burn_in_sweeps` updates.
Failure     frustrated couplings at low temperature: the largest cluster takes nearly all spins although they are
            disordered, and the chains hardly move. A strong field against random couplings has the same effect.
Reference   R. H. Swendsen and J.-S. Wang, "Nonuniversal critical dynamics in Monte Carlo simulations", Phys. Rev. Lett.
            58, 86 (1987). J. Hoshen and R. Kopelman, Phys. Rev. B 14, 3438 (1976).
Differences none in the algorithm.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import uint64
from numpy.typing import NDArray
from torch import Generator

from nisbench.api import ChainDraws, ChainSeries, Target, lattice_of
from nisbench.nn.kernels.cache import kernel
from nisbench_plugins.clusters import BondTables, ClusterSampler, next_word
from nisbench_plugins.label_propagation import LabelPropagation

__all__ = ["SwendsenWang"]

# each random word of 64 bits serves two comparisons: its low and its high 32 bits
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


class SwendsenWang(ClusterSampler):
    """Sampler of p that updates all clusters of the lattice at once."""

    def __init__(self, target: Target, options: Any) -> None:
        super().__init__(target, options)
        self._on_device: LabelPropagation | None = None

    @classmethod
    def unsupported(cls, target: Target, options: Any) -> str | None:
        """Return the reason why this target cannot be sampled, or None: it needs couplings."""
        if lattice_of(target) is None:
            return f"swendsen-wang needs the couplings of a square lattice; the target '{target.name}' has none"
        return None

    def prepare(self, *, beta: float, generator: Generator) -> None:
        """Start new chains and discard the burn-in. Raises ValueError for beta < 0 or infinity."""
        self._on_device = None
        if not self._batched(generator):
            super().prepare(beta=beta, generator=generator)
            return
        self._check(beta)
        self._on_device = LabelPropagation(self.target, beta, self.options.n_chains, generator.device)
        for _ in range(self.options.burn_in_sweeps):
            self._on_device.update(generator)

    @staticmethod
    def _batched(generator: Generator) -> bool:
        """Return True if all chains are updated together in torch."""
        return generator.device.type != "cpu"

    def draw(self, n: int, *, generator: Generator) -> ChainDraws:
        """Return n draws of each chain as spins (n, n_chains, L, L) int8; see `ClusterSampler.draw`."""
        if self._on_device is None:
            return super().draw(n, generator=generator)
        return ChainDraws(spins=self._on_device.draw(n, self.options.sweeps_per_draw, generator))

    def draw_series(self, n: int, *, generator: Generator) -> ChainSeries:
        """Return energy, magnetisation and flipped spins of the draws that `draw` would return, (n, n_chains) each."""
        if self._on_device is None:
            return super().draw_series(n, generator=generator)
        return self._on_device.draw_series(n, self.options.sweeps_per_draw, generator)

    def _start(self, tables: BondTables, beta: float, seed: NDArray[np.uint64]) -> "_Chain":
        lattice = lattice_of(self.target)
        assert lattice is not None
        field = np.empty(0) if lattice.z2 else 2 * beta * lattice.field
        spins = np.zeros(lattice.n_sites, dtype=np.uint8)
        return _Chain(tables, field, self.options.sweeps_per_draw, spins, seed.copy())


@dataclass(frozen=True)
class _Chain:
    """One chain. The spins and the state of the generator change in place."""

    tables: BondTables
    field: NDArray[np.float64]
    """(n_sites,) 2 beta h, or empty without a field"""
    sweeps_per_draw: int
    spins: NDArray[np.uint8]
    """(n_sites,) row by row; 1 for spin -1"""
    state: NDArray[np.uint64]
    """(4,) state of xoshiro256++"""

    def burn_in(self, sweeps: float) -> None:
        """Discard this number of updates."""
        if sweeps:
            nothing = np.empty((0, self.tables.extent, self.tables.extent), dtype=np.int8)
            self._advance(int(sweeps), np.empty((3, 1), dtype=np.int64), nothing)

    def advance(self, series: NDArray[np.int64], spins: NDArray[np.int8]) -> None:
        """Make n draws, `sweeps_per_draw` updates apart; fill `series` (3, n) and, unless empty, `spins` (n, L, L)."""
        self._advance(self.sweeps_per_draw, series, spins)

    def _advance(self, sweeps: int, series: NDArray[np.int64], spins: NDArray[np.int8]) -> None:
        tables = self.tables
        lattice = tables.extent, tables.codes, tables.thresholds, self.field
        _advance(self.spins, self.state, *lattice, sweeps, series, spins, tables.missing)


@kernel("i8(i4[::1], i8)", nogil=True, inline="always")
def _root(parent, site):  # type: ignore[no-untyped-def]
    """Return the root of a site in the forest."""
    above = np.int64(parent[site])
    while above != site:
        site = above
        above = np.int64(parent[site])
    return site


@kernel("void(u1[::1], i4[::1], u8[::1], i8, u1[::1], u8[::1])", nogil=True)
def _connect(spins, parent, state, extent, codes, thresholds):  # type: ignore[no-untyped-def]
    """Keep bonds at random and join the sites that they connect: the parent of a site has a smaller number, or is it.

    The bonds that wrap around are left to `_close`, because their neighbours come later.
    """
    threshold, various = thresholds[0], thresholds.size > 1  # one threshold stays in a register
    s0, s1, s2, s3 = state[0], state[1], state[2], state[3]
    for y in range(extent):
        last = 0  # root of the left neighbour
        for x in range(extent):
            site = y * extent + x
            parent[site] = site
            upper = site - extent if y > 0 else site
            # two bits for each bond: spin of a neighbour that may join, or 2 and 3 if the bond is missing
            code = np.int64(codes[site]) ^ (np.int64(spins[site]) * 0b01010101)
            word, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
            left = site - 1 if x > 0 else site
            from_left = (
                (x > 0)
                & (np.int64(spins[left]) == ((code >> 4) & 3))
                & ((word >> _HALF) < (thresholds[4 * site + 2] if various else threshold))
            )
            from_above = (
                (y > 0)
                & (np.int64(spins[upper]) == ((code >> 6) & 3))
                & ((word & _LOW) < (thresholds[4 * site + 3] if various else threshold))
            )
            # no branch on the random bits: a bond that is not kept connects the site to itself
            a = last if from_left else site
            b = _root(parent, np.int64(parent[upper]))
            b = b if from_above else site
            last = min(a, b)
            parent[a] = last
            parent[b] = last
            parent[site] = last
    state[0], state[1], state[2], state[3] = s0, s1, s2, s3


@kernel("void(u1[::1], i4[::1], u8[::1], i8, u1[::1], u8[::1])", nogil=True)
def _close(spins, parent, state, extent, codes, thresholds):  # type: ignore[no-untyped-def]
    """Keep bonds that wrap around at random: left bonds of the first column and upper bonds of the first row."""
    s0, s1, s2, s3 = state[0], state[1], state[2], state[3]
    for i in range(extent):
        word, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
        for site, neighbour, toss, k in (
            (i * extent, i * extent + extent - 1, word >> _HALF, 2),
            (i, i + spins.size - extent, word & _LOW, 3),
        ):
            obstacle = np.int64(spins[site] ^ spins[neighbour]) ^ ((np.int64(codes[site]) >> (2 * k)) & 3)
            if obstacle == 0 and toss < thresholds[4 * site + k if thresholds.size > 1 else 0]:
                a, b = _root(parent, site), _root(parent, neighbour)
                parent[max(a, b)] = min(a, b)
    state[0], state[1], state[2], state[3] = s0, s1, s2, s3


@kernel("i8(u1[::1], u1[::1], i4[::1], u8[::1])", nogil=True)
def _flip(spins, flips, parent, state):  # type: ignore[no-untyped-def]
    """Flip each cluster with probability 1/2; return the number of flipped spins."""
    s0, s1, s2, s3 = state[0], state[1], state[2], state[3]
    word = uint64(0)
    flipped = 0
    for site in range(parent.size):
        if site & 63 == 0:
            word, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
        above = np.int64(parent[site])
        flips[site] = word & uint64(1)
        word >>= uint64(1)
        flip = flips[above]  # its own bit, if the site is a root
        flips[site] = flip
        spins[site] ^= flip
        flipped += flip
    state[0], state[1], state[2], state[3] = s0, s1, s2, s3
    return flipped


@kernel("i8(u1[::1], u1[::1], i4[::1], u8[::1], f8[::1], f8[::1])", nogil=True)
def _flip_in_field(spins, flips, parent, state, field, sums):  # type: ignore[no-untyped-def]
    """Flip each cluster with the heat bath of its field; return the number of flipped spins."""
    s0, s1, s2, s3 = state[0], state[1], state[2], state[3]
    for site in range(parent.size):
        parent[site] = parent[parent[site]]
        sums[site] = 0.0
        sums[parent[site]] += field[site] * (1 - 2 * np.int64(spins[site]))
    flipped = 0
    for site in range(parent.size):
        if parent[site] == site:
            word, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
            flips[site] = np.float64(word >> uint64(11)) * 2.0**-53 * (1.0 + np.exp(sums[site])) < 1.0
        flips[site] = flips[parent[site]]
        spins[site] ^= flips[site]
        flipped += flips[site]
    state[0], state[1], state[2], state[3] = s0, s1, s2, s3
    return flipped


@kernel("i8(u1[::1], i8, u1[::1], i8[:, ::1])", nogil=True)
def _energy(spins, extent, codes, missing):  # type: ignore[no-untyped-def]
    """Return E for couplings of -1, 0 and +1."""
    opposed = 0  # bonds that are not satisfied; those with J = 0 count as J = +1
    for y in range(extent):
        start = y * extent
        above = start - extent if y > 0 else spins.size - extent
        # slices, whose indices start at 0: the compiler then counts 16 bonds at a time
        code, row, upper = codes[start : start + extent], spins[start : start + extent], spins[above : above + extent]
        right, its_code = row[1:], code[1:]
        opposed += (row[0] ^ row[extent - 1] ^ (code[0] >> 4)) & 1
        for x in range(extent - 1):
            opposed += (right[x] ^ row[x] ^ (its_code[x] >> 4)) & 1
        for x in range(extent):
            opposed += (row[x] ^ upper[x] ^ (code[x] >> 6)) & 1
    energy = 2 * opposed - 2 * spins.size + missing.shape[1]
    for bond in range(missing.shape[1]):
        energy -= 2 * np.int64(spins[missing[0, bond]] ^ spins[missing[1, bond]])
    return energy


@kernel(
    "void(u1[::1], u8[::1], i8, u1[::1], u8[::1], f8[::1], i8, i8[:, ::1], i1[:, :, :], i8[:, ::1])",
    nogil=True,
)
def _advance(spins, state, extent, codes, thresholds, field, sweeps, series, configurations, missing):  # type: ignore[no-untyped-def]
    """Make the draws of `_Chain.advance`."""
    parent, flips = np.empty(spins.size, dtype=np.int32), np.empty(spins.size, dtype=np.uint8)
    sums = np.empty(field.size, dtype=np.float64)
    for draw in range(series.shape[1]):
        flipped = 0
        for _ in range(sweeps):
            _connect(spins, parent, state, extent, codes, thresholds)
            _close(spins, parent, state, extent, codes, thresholds)
            if field.size:
                flipped += _flip_in_field(spins, flips, parent, state, field, sums)
            else:
                flipped += _flip(spins, flips, parent, state)
        down = 0
        for site in range(spins.size):
            down += spins[site]
        series[0, draw] = _energy(spins, extent, codes, missing)
        series[1, draw], series[2, draw] = spins.size - 2 * down, flipped
        if configurations.size:
            for y in range(extent):
                for x in range(extent):
                    configurations[draw, y, x] = 1 - 2 * np.int8(spins[y * extent + x])
