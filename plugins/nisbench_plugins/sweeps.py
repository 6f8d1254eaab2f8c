"""Compiled sweeps of single-spin updates over many replicas of a pairwise model; helper of several plugins.

LANES replicas form a block, whose spins are stored site by site: (n_sites, LANES) uint8 with 0 for -1 and 1 for +1.
A kernel visits the sites one after the other and updates all lanes of the block. Each lane has a xoshiro128++
generator of its own (Blackman and Vigna, ACM Trans. Math. Softw. 47, 36, 2021), so that a replica depends neither on
its block nor on the number of threads.

The new spin is +1 if a random number of 32 bits is below a threshold. The thresholds are a table over the classes of
sites, the temperatures and the spins of the four neighbours. Probabilities are therefore rounded to multiples of
2^-32, and the largest is 1 - 2^-32.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator

from nisbench.nn.kernels.cache import kernel

__all__ = [
    "HEAT_BATH",
    "LANES",
    "METROPOLIS",
    "RUNG",
    "Sites",
    "blocks_of_states",
    "energy_ladder",
    "fill_thresholds",
    "in_threads",
    "measure",
    "missing_lattice",
    "randomise",
    "sweep",
    "to_spins",
]

LANES = 32
"""Replicas that advance together."""
RUNG = 1.5
"""Distance of neighbouring temperatures, in standard deviations of the energy; 0.29 of the exchanges are accepted."""
HEAT_BATH, METROPOLIS = 16, 32
"""Thresholds of one site and temperature: 16 patterns of neighbours, and for Metropolis 2 values of the own spin."""

_U = np.uintp
_LANES = _U(LANES)
_0, _1, _2, _3, _4, _5, _6 = _U(0), _U(1), _U(2), _U(3), _U(4), _U(5), _U(6)
_W = np.uint32
_B = np.uint8
_JIT: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


@dataclass(frozen=True)
class Sites:
    """Everything about a lattice that the kernels read."""

    visits: NDArray[np.int32]
    """(n_sites, 7), one row a site in the order of a sweep: site; right, lower, left and upper neighbour; class; bits
    of the bonds with J < 0"""
    strength: NDArray[np.float64]
    """(n_classes, 5): abs(J) of the four bonds and the field"""
    weights: NDArray[np.float64]
    """(n_sites, 3), in the order of `visits`: what the energy gains if the right bond is violated, if the lower bond is
    violated, and if the spin is +1"""
    offset: float
    """energy of the (possibly impossible) state with all bonds satisfied and all spins -1"""
    uniform: bool
    """True if all bonds have the same abs(J) and all sites the same field: `measure` then counts in bytes"""

    @classmethod
    def of(cls, lattice: Any) -> "Sites":
        """Build the tables of a `Lattice`.

        A lattice whose bonds join even with odd sites is visited as a checkerboard: first all even sites, then all odd
        ones. Another lattice, a torus of odd extent, is visited row by row.
        """
        couplings, field = lattice.couplings, lattice.field
        kinds = np.column_stack([np.abs(couplings), field])  # (n_sites, 5)
        negative = (couplings < 0) @ (1 << np.arange(4))
        row, column = np.divmod(np.arange(lattice.n_sites), lattice.L)
        bipartite = lattice.boundary == "free" or lattice.L % 2 == 0
        order = np.argsort((row + column) % 2 if bipartite else np.zeros(lattice.n_sites), kind="stable")
        _, first, classes = np.unique(kinds[order], axis=0, return_index=True, return_inverse=True)
        # numbered in the order of the visits, so that a sweep reads its thresholds from one end to the other
        strength, number = kinds[order][np.sort(first)], np.argsort(np.argsort(first))
        class_of_site = np.empty(lattice.n_sites, dtype=np.int64)
        class_of_site[order] = number[classes.ravel()]
        rows = np.column_stack([np.arange(lattice.n_sites), lattice.neighbours, class_of_site, negative])
        weights = 2 * np.column_stack([kinds[:, :2], -field])
        offset = field.sum() - kinds[:, :2].sum()
        exists = lattice.neighbours != np.arange(lattice.n_sites)[:, None]
        uniform = bool(np.ptp(np.abs(couplings[exists])) == 0 and np.ptp(field) == 0)
        return cls(rows[order].astype(np.int32), strength, weights[order], float(offset), uniform)

    def thresholds(self, betas: NDArray[np.float64], width: int = HEAT_BATH) -> NDArray[np.uint32]:
        """Return the thresholds (n_classes, len(betas) width) of heat-bath or Metropolis updates."""
        table = np.empty((len(self.strength), len(betas), width), dtype=np.uint32)
        for t, beta in enumerate(betas):
            fill_thresholds(table[:, t], self.strength, float(beta))
        return table.reshape(len(table), -1)


def missing_lattice(name: str, target: Any, lattice: Any) -> str | None:
    """Return the reason of a plugin for a target without a lattice, or None."""
    if lattice is None:
        return f"{name} needs the couplings of a square lattice; the target '{target.name}' has none"
    return None


def energy_ladder(lattice: Any, beta: float, n: int = 0) -> NDArray[np.float64]:
    """Return inverse temperatures from 0 to beta at equal distances in standard deviations of the energy.

    The distance is the integral of sigma(b) db. sigma(b)^2 = sum of J^2 / cosh(b J)^2 over the bonds, and in the same
    way over the fields, is the variance of E on a tree with these couplings, which stands for that of the lattice.

    Parameters
    ----------
    n
        Number of temperatures, at least 2; 0 chooses it such that neighbours are at most RUNG apart.
    """
    strength = np.concatenate([lattice.right.ravel(), lattice.down.ravel(), lattice.field])
    grid = np.linspace(0.0, beta, 513)
    products = np.minimum(np.abs(np.multiply.outer(grid, strength)), 300.0)  # cosh(300) is a large number, not infinity
    sigma = np.sqrt(np.sum((strength / np.cosh(products)) ** 2, axis=1)) + 1e-300
    distance = np.concatenate([[0.0], np.cumsum((sigma[1:] + sigma[:-1]) / 2)]) * abs(beta) / 512
    n = n or 1 + max(1, math.ceil(distance[-1] / RUNG))
    ladder = np.interp(np.linspace(0.0, distance[-1], n), distance, grid)
    ladder[-1] = beta
    return ladder


def blocks_of_states(n: int, generator: Generator) -> NDArray[np.uint32]:
    """Return the states (n_blocks, 4, LANES) of the generators of n replicas, 128 random bits each.

    The last block is filled up with zeros: a generator in this state always returns 0.
    """
    # torch has no random uint64, so the bits come as int64
    words = torch.randint(-(2**63), 2**63 - 1, (n, 2), generator=generator, device=generator.device)
    states = np.zeros((-(-n // LANES) * LANES, 4), dtype=np.uint32)
    states[:n] = words.cpu().numpy().view(np.uint32)  # (n, 2) -> (n, 4)
    return np.ascontiguousarray(states.reshape(-1, LANES, 4).transpose(0, 2, 1))


def to_spins(bits: NDArray[np.uint8], L: int) -> NDArray[np.int8]:
    """Return the configurations of a block: bits (n_sites, LANES) -> spins (LANES, L, L) of -1 and +1."""
    return (2 * bits.T.astype(np.int8) - 1).reshape(-1, L, L)


def in_threads(n: int, work: Callable[[int], object]) -> None:
    """Call work(0), ..., work(n - 1) in as many threads as torch may use.

    The calls share no data, so the number of threads changes the speed and not the draws.
    """
    threads = min(torch.get_num_threads(), n)
    if threads == 1:
        for i in range(n):
            work(i)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(n)))


@kernel(**_JIT)
def fill_thresholds(table: Any, strength: Any, beta: Any) -> None:
    """Fill the table (n_classes, 16) of heat-bath or (n_classes, 32) of Metropolis updates at one temperature.

    Bit k of the column is 1 if neighbour k favours +1: its spin, inverted if J < 0. Bit 4 is the own spin. The local
    field is h = field + sum of abs(J_k) (2 bit_k - 1). The probability of +1 is 1 / (1 + exp(-2 beta h)) for the heat
    bath. Metropolis flips the spin with probability min(1, exp(-2 beta h s)).
    """
    for c in range(table.shape[0]):
        for index in range(table.shape[1]):
            h = strength[c, 4]
            for k in range(4):
                h += strength[c, k] * (2 * ((index >> k) & 1) - 1)
            if table.shape[1] == HEAT_BATH:
                p = 1 / (1 + math.exp(-2 * beta * h))
            elif index & 16:
                p = 1 - math.exp(min(0.0, -2 * beta * h))
            else:
                p = math.exp(min(0.0, 2 * beta * h))
            table[c, index] = _W(min(np.rint(p * 4294967296.0), 4294967295.0))


@kernel(**_JIT)
def randomise(bits: Any, state: Any) -> None:
    """Set all spins of a block (n_sites, LANES) to random values."""
    word = np.empty((4, LANES), dtype=np.uint32)
    for i in range(len(bits)):
        if i % 4 == 0:
            _next_words(state, word)
        for e in range(_LANES):
            bits[i, e] = word[i % 4, e] >> _W(31)


@kernel(**_JIT)
def sweep(bits: Any, state: Any, visits: Any, thresholds: Any, base: Any) -> None:
    """Update every spin of a block once.

    Parameters
    ----------
    bits : (n_sites, LANES) uint8, changed in place
    state : (4, LANES) uint32 generators, changed in place
    visits : `Sites.visits`
    thresholds : (n_classes, n_temperatures * width) uint32, width HEAT_BATH or METROPOLIS
    base : (1 + LANES,) uint64: the width, then the first column of the temperature of each lane
    """
    word, index = np.empty((4, LANES), dtype=np.uint32), np.empty(LANES, dtype=np.uint8)
    keep = _B(16) if base[0] == METROPOLIS else _B(0)
    for j in range(_U(len(visits))):
        if j % _4 == _0:
            _next_words(state, word)
        i, row = _U(visits[j, _0]), _U(visits[j, _5])
        right, down = bits[_U(visits[j, _1])], bits[_U(visits[j, _2])]
        left, up = bits[_U(visits[j, _3])], bits[_U(visits[j, _4])]
        _pattern(bits[i], right, down, left, up, keep, _B(visits[j, _6]), index)
        _decide(index, base[1:], thresholds[row], word[j % _4], bits[i])


@kernel(**_JIT)
def _next_words(state: Any, word: Any) -> None:
    """Four random words (4, LANES) of each lane (xoshiro128++); four at a time keep the state in registers."""
    for e in range(_LANES):
        s0, s1, s2, s3 = state[_0, e], state[_1, e], state[_2, e], state[_3, e]
        for k in range(_4):
            total = _W(s0 + s3)
            word[k, e] = _W(_W(_W(total << _W(7)) | _W(total >> _W(25))) + s0)
            shifted = _W(s1 << _W(9))
            s2 = _W(s2 ^ s0)
            s3 = _W(s3 ^ s1)
            s1 = _W(s1 ^ s2)
            s0 = _W(s0 ^ s3)
            s2 = _W(s2 ^ shifted)
            s3 = _W(_W(s3 << _W(11)) | _W(s3 >> _W(21)))
        state[_0, e], state[_1, e], state[_2, e], state[_3, e] = s0, s1, s2, s3


@kernel(**_JIT)
def _pattern(own: Any, right: Any, down: Any, left: Any, up: Any, keep: Any, negative: Any, index: Any) -> None:
    """Column of the thresholds for each lane."""
    for e in range(_LANES):
        near = right[e] | (down[e] << _B(1)) | (left[e] << _B(2)) | (up[e] << _B(3))
        index[e] = (near ^ negative) | ((own[e] << _B(4)) & keep)


@kernel(**_JIT)
def _decide(index: Any, base: Any, thresholds: Any, word: Any, own: Any) -> None:
    """Set the new spin of each lane."""
    for e in range(_LANES):
        own[e] = word[e] < thresholds[base[e] + _U(index[e])]


@kernel(**_JIT)
def measure(bits: Any, visits: Any, weights: Any, offset: Any, uniform: Any, energy: Any, magnetisation: Any) -> None:
    """Total energy and magnetisation of each lane, (LANES,) float64 each, exact if all couplings are whole numbers."""
    energy[:] = offset
    magnetisation[:] = -len(visits)
    if uniform:
        _count(bits, visits, weights[0], energy, magnetisation)
        return
    for j in range(_U(len(visits))):
        own = bits[_U(visits[j, _0])]
        right, down = bits[_U(visits[j, _1])], bits[_U(visits[j, _2])]
        negative = _B(visits[j, _6])
        _add_site(own, right, down, negative & _B(1), (negative >> _B(1)) & _B(1), weights[j], energy, magnetisation)


@kernel(**_JIT)
def _count(bits: Any, visits: Any, weight: Any, energy: Any, magnetisation: Any) -> None:
    """`measure` for a uniform lattice: violated bonds and spins +1 are counted in bytes, at most 2 x 100 at a time."""
    violated, ups = np.zeros(LANES, dtype=np.uint8), np.zeros(LANES, dtype=np.uint8)
    n = _U(len(visits))
    for j in range(n):
        own = bits[_U(visits[j, _0])]
        right, down = bits[_U(visits[j, _1])], bits[_U(visits[j, _2])]
        negative = _B(visits[j, _6])
        no_right, no_down = negative & _B(1), (negative >> _B(1)) & _B(1)
        for e in range(_LANES):
            violated[e] = _B(violated[e] + _B(own[e] ^ right[e] ^ no_right) + _B(own[e] ^ down[e] ^ no_down))
            ups[e] = _B(ups[e] + own[e])
        if (j + _1) % _U(100) == _0 or j + _1 == n:
            for e in range(_LANES):
                energy[e] += weight[_0] * violated[e] + weight[_2] * ups[e]
                magnetisation[e] += 2.0 * ups[e]
            violated[:] = 0
            ups[:] = 0


@kernel(**_JIT)
def _add_site(
    own: Any, right: Any, down: Any, no_right: Any, no_down: Any, weight: Any, energy: Any, magnetisation: Any
) -> None:
    """Add the right bond, the lower bond and the field of one site."""
    to_right, to_down, field = weight[_0], weight[_1], weight[_2]
    for e in range(_LANES):
        violated, below = _B(own[e] ^ right[e] ^ no_right), _B(own[e] ^ down[e] ^ no_down)
        energy[e] += to_right * violated + to_down * below + field * own[e]
        magnetisation[e] += 2.0 * own[e]
