"""Method card of `perfect`: coupling from the past in the random-cluster model, exact draws of ferromagnets.

Samples     p(s) = exp(-beta E(s)) / Z of a pairwise model on the square lattice with couplings J >= 0 and a field of
            one sign (or none), torus or free edges, any L >= 2, beta >= 0.
Exactness   exact: every draw has the distribution p, whatever the number of sweeps. Draws are independent, and all
            weights are 1. ln Z is not estimated.
Method      spins and bonds have a joint distribution (Fortuin and Kasteleyn): given open bonds, each cluster of sites
            has a random sign; the bonds alone are a random-cluster model with q = 2. A heat bath of single bonds opens
            a bond with probability P = 1 - exp(-2 beta J) if its ends are connected by other open bonds, and with
            P / (2 - P) if not. With one random number for each bond and time, more open bonds before a step give more
            open bonds after it. Two chains therefore bound all others: from all bonds open and from all bonds closed.
            Both start at time -T and use the random numbers of their times. If they agree at time 0, their state is
            the draw (Propp and Wilson). Otherwise T is doubled, and the random numbers of the late times are used
            again. A field is a bond of each site to one additional site, the ghost.
Cost        a random number decides most updates alone; only those between P / (2 - P) and P, 17 % at beta_c, need to
            know whether two sites are connected: two breadth-first searches take turns and stop when one of them ends
            or they meet. One core of a 2024 server CPU needs 0.8, 6, 50 and 400 ms for a draw at L = 16, 32, 64 and 128
            on the torus at beta = 0.44, with T = 8 to 32 sweeps; other temperatures are cheaper. The heat bath of
            spins would need about L^2.2 sweeps at beta_c.
Randomness  one 64-bit number of the generator for each draw, which numbers a SplitMix64 stream with one number for each
            bond and time. Draws depend neither on the number of threads nor on how n is split into calls.
Failure     a draw that has not coalesced after 2^max_doublings sweeps ends the cell with an error. Leaving such draws
            out would bias the others.
Reference   J. G. Propp and D. B. Wilson, "Exact sampling with coupled Markov chains and applications to statistical
            mechanics", Random Struct. Algorithms 9, 223 (1996). C. M. Fortuin and P. W. Kasteleyn, Physica 57, 536
            (1972). Searches in turns: Y. Deng, T. M. Garoni, A. D. Sokal, Phys. Rev. Lett. 98, 230602 (2007).
Differences bonds are visited in the order of the sites; searches take turns.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numba import uint64
from numpy.typing import NDArray
from torch import Generator

from nisbench.api import Target, WeightedDraws, WeightedSampler, lattice_of
from nisbench.nn.kernels.cache import kernel
from nisbench_plugins.clusters import in_threads, random_words
from nisbench_plugins.registration import PerfectOptions

__all__ = ["Perfect"]

_GROUP = 16
"""Draws that one call of the kernel makes; the threads share the groups."""


class Perfect(WeightedSampler):
    """Independent exact draws of p by coupling from the past; all weights are 1."""

    options: PerfectOptions

    def __init__(self, target: Target, options: PerfectOptions) -> None:
        super().__init__(target, options)
        self._tables: _Tables | None = None
        self._beta = math.nan

    @classmethod
    def unsupported(cls, target: Target, options: Any) -> str | None:
        """Return the reason why this target cannot be sampled, or None: it needs a ferromagnet."""
        lattice = lattice_of(target)
        if lattice is None:
            return f"perfect needs the couplings of a square lattice; the target '{target.name}' has none"
        if (lattice.right < 0).any() or (lattice.down < 0).any():
            return (
                f"perfect needs couplings J >= 0, because two chains bound all others for ferromagnets only; "
                f"the target '{target.name}' has negative couplings"
            )
        if lattice.field.min() < 0 < lattice.field.max():
            return f"perfect needs a field of one sign; the field of the target '{target.name}' has both signs"
        return None

    def prepare(self, *, beta: float, generator: Generator) -> None:
        """Compute the probabilities of the bonds. Raises ValueError for beta < 0 or infinity."""
        if not 0 <= beta < math.inf:
            raise ValueError(f"beta = {beta}: perfect needs a finite beta >= 0")
        self._tables, self._beta = _Tables.build(lattice_of(self.target), beta), beta

    def draw(self, n: int, *, generator: Generator) -> WeightedDraws:
        """Return n independent draws of p with ln w = 0.

        Raises RuntimeError if `prepare` was not called, or if a draw has not coalesced after 2^max_doublings sweeps.
        """
        spins, _ = self.draw_with_sweeps(n, generator)
        return WeightedDraws(torch.from_numpy(spins), torch.zeros(n, dtype=torch.float64), normalised=False)

    def draw_with_sweeps(self, n: int, generator: Generator) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
        """Return spins (n, L, L) and the T of each draw (n,), a power of two; otherwise as `draw`."""
        if self._tables is None:
            raise RuntimeError("perfect has no tables; call prepare(beta=..., generator=...) before the first draw")
        tables, extent = self._tables, self.target.L
        keys = random_words(generator, n)
        spins, sweeps = np.empty((n, extent * extent), dtype=np.int8), np.empty(n, dtype=np.int64)
        limit = self.options.max_doublings

        def work(group: int) -> None:
            part = slice(group * _GROUP, (group + 1) * _GROUP)
            _draw(tables.neighbours, tables.low, tables.high, tables.sign, keys[part], limit, spins[part], sweeps[part])

        in_threads(work, math.ceil(n / _GROUP))
        if (sweeps == 0).any():
            raise RuntimeError(
                f"perfect: a draw at L = {extent}, beta = {self._beta:.6g} has not coalesced after 2^{limit} sweeps; "
                f"give a larger perfect.max_doublings"
            )
        return spins.reshape(n, extent, extent), sweeps


@dataclass(frozen=True)
class _Tables:
    """Everything that the kernel reads, at one beta. Bond 0 of a site leads right, 1 down, 2 to the ghost."""

    neighbours: NDArray[np.int64]
    """(n_sites, 4): right, lower, left, upper neighbour"""
    low: NDArray[np.float64]
    """(n_sites, 3): P / (2 - P)"""
    high: NDArray[np.float64]
    """(n_sites, 3): P; 0 for a missing bond"""
    sign: int
    """sign of the spins that the ghost is connected to"""

    @classmethod
    def build(cls, lattice: Any, beta: float) -> "_Tables":
        """Tables of a lattice."""
        strengths = np.column_stack([lattice.couplings[:, :2], np.abs(lattice.field)])  # (n_sites, 3)
        high = -np.expm1(-2 * beta * strengths)
        return cls(lattice.neighbours.copy(), np.tanh(beta * strengths), high, -1 if lattice.field.min() < 0 else 1)


# Bits of a state (n_sites,): 1, 2, 4, 8 for an open bond to the right, lower, left, upper neighbour, 16 to the ghost.


@kernel("f8(u8, u8)", nogil=True, inline="always")
def _uniform(key, number):  # type: ignore[no-untyped-def]
    """Return number `number` of the stream `key`, uniform in [0, 1): SplitMix64."""
    z = key + (number + uint64(1)) * uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> uint64(27))) * uint64(0x94D049BB133111EB)
    return np.float64((z ^ (z >> uint64(31))) >> uint64(11)) * 2.0**-53


@kernel("b1(u1[::1], i8[:, ::1], i8, i8, i8[::1], i8, i4[:, ::1], i8[:, ::1])", nogil=True)
def _connected(state, neighbours, first, second, marks, mark, queues, ends):  # type: ignore[no-untyped-def]
    """Return True if open bonds connect two sites, or the first site and the ghost if `second` is -1.

    Two breadth-first searches take turns. They mark the sites with `mark` and `mark + 1`, which must be new numbers.
    `ends` (2, 2) is memory for the numbers of examined and of found sites.
    """
    marks[first], queues[0, 0] = mark, first
    ends[:, 0], ends[:, 1] = 0, 1
    if second < 0:
        ends[1, 1] = 0  # nothing to search: the ghost is there
    else:
        marks[second], queues[1, 0] = mark + 1, second
    reached = 2 if second < 0 else 0  # bit 0: the first search has reached the ghost, bit 1: the second search
    side = 1
    while True:
        side = 1 - side
        done, end = ends[side, 0], ends[side, 1]
        if done == end:  # the cluster is complete: the other site can only be connected through the ghost
            if not (reached >> side) & 1 or ends[1 - side, 0] == ends[1 - side, 1]:
                return False
            continue
        site = queues[side, done]
        ends[side, 0] = done + 1
        bonds = state[site]
        if bonds & 16:
            reached |= 1 << side
            if reached == 3:
                return True
        for k in range(4):
            if (bonds >> k) & 1:
                other = neighbours[site, k]
                if marks[other] == mark + 1 - side:
                    return True
                if marks[other] != mark + side:
                    marks[other] = mark + side
                    queues[side, end] = other
                    end += 1
        ends[side, 1] = end


@kernel("void(u1[::1], i8[:, ::1], i8, i8, b1)", nogil=True, inline="always")
def _set(state, neighbours, site, k, is_open):  # type: ignore[no-untyped-def]
    """Open or close bond k of a site: 0 right, 1 down, 2 ghost."""
    bit = 16 if k == 2 else 1 << k
    if is_open:
        state[site] |= bit
    else:
        state[site] &= 255 - bit
    if k < 2:
        other = neighbours[site, k]
        if is_open:
            state[other] |= 4 << k
        else:
            state[other] &= 255 - (4 << k)


@kernel(
    "i8(u1[:, ::1], i8, i8[:, ::1], f8[:, ::1], f8[:, ::1], u8, i8, i8[::1], i8, i4[:, ::1], i8[:, ::1])",
    nogil=True,
)
def _sweep(states, n_states, neighbours, low, high, key, time, marks, mark, queues, ends):  # type: ignore[no-untyped-def]
    """Update every bond of states (n_states, n_sites) with the random numbers of `time`; return the next free mark.

    The first state bounds the second from above.
    """
    n_sites = states.shape[1]
    number = uint64(time) * uint64(3 * n_sites)
    for site in range(n_sites):
        for k in range(3):
            if high[site, k] == 0.0:
                continue
            u = _uniform(key, number + uint64(3 * site + k))
            is_open = u < high[site, k]
            asked = is_open and u >= low[site, k]
            for i in range(n_states):
                if asked and is_open:  # ends not connected above are not connected below
                    _set(states[i], neighbours, site, k, False)
                    end = neighbours[site, k] if k < 2 else -1
                    is_open = _connected(states[i], neighbours, site, end, marks, mark, queues, ends)
                    mark += 2
                _set(states[i], neighbours, site, k, is_open)
    return mark


@kernel("void(u1[::1], i8[:, ::1], u8, i8, i4[:, ::1], i1[::1])", nogil=True)
def _colour(state, neighbours, key, sign, queues, spins):  # type: ignore[no-untyped-def]
    """Give the spins of each cluster a random sign, or `sign` if it is connected to the ghost."""
    queue = queues[0]
    spins[:] = 0
    for start in range(spins.size):
        if spins[start] != 0:
            continue
        spin = 1 if _uniform(key, uint64(start)) < 0.5 else -1  # time 0 is not used by the sweeps
        queue[0], done, end, ghost = start, 0, 1, False
        spins[start] = spin
        while done < end:
            site = queue[done]
            done += 1
            ghost |= (state[site] & 16) != 0
            for k in range(4):
                other = neighbours[site, k]
                if (state[site] >> k) & 1 and spins[other] == 0:
                    spins[other] = spin
                    queue[end] = other
                    end += 1
        if ghost:
            for i in range(end):
                spins[queue[i]] = sign


@kernel("void(u1[:, ::1], i8[:, ::1], f8[:, ::1])", nogil=True)
def _bounds(states, neighbours, high):  # type: ignore[no-untyped-def]
    """Open all bonds of the first state and close all bonds of the second."""
    states[:] = 0
    for site in range(states.shape[1]):
        for k in range(3):
            if high[site, k] > 0.0:
                _set(states[0], neighbours, site, k, True)


@kernel(
    "void(i8[:, ::1], f8[:, ::1], f8[:, ::1], i8, u8[::1], i8, i1[:, ::1], i8[::1])",
    nogil=True,
)
def _draw(neighbours, low, high, sign, keys, max_doublings, spins, sweeps):  # type: ignore[no-untyped-def]
    """Make one draw for each key; fill spins (n, n_sites) and sweeps (n,), T or 0 if a draw has not coalesced."""
    n_sites = len(neighbours)
    states, queues = np.empty((2, n_sites), dtype=np.uint8), np.empty((2, n_sites), dtype=np.int32)
    marks, mark, ends = np.zeros(n_sites, dtype=np.int64), 1, np.empty((2, 2), dtype=np.int64)
    for i in range(len(keys)):
        sweeps[i] = 0
        for doubling in range(max_doublings + 1):
            _bounds(states, neighbours, high)
            n_states = 2
            for time in range(1 << doubling, 0, -1):  # the time is -time
                mark = _sweep(states, n_states, neighbours, low, high, keys[i], time, marks, mark, queues, ends)
                if n_states == 2 and np.array_equal(states[0], states[1]):
                    n_states = 1  # all chains have met: one of them is enough
            if n_states == 1:
                sweeps[i] = 1 << doubling
                break
        if sweeps[i] == 0:
            return
        _colour(states[0], neighbours, keys[i], sign, queues, spins[i])
