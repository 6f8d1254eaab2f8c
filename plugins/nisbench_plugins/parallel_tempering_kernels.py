"""Compiled kernels of `parallel-tempering`: sweeps, Houdayer moves and exchanges of one system.

A system has T temperatures and one or two replicas at each. Every replica is a lane of a block (see `sweeps`). An
exchange of two temperatures moves no spins: it changes the columns of the thresholds that the two lanes read.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nisbench.nn.kernels.cache import kernel
from nisbench_plugins.sweeps import HEAT_BATH, LANES, measure, randomise, sweep

__all__ = ["BINS", "Ladder", "System", "advance", "burn_in"]

BINS = 256
"""Bins of successive draws in which the terms of ln Z are summed. When all are full, neighbours are joined."""

# SplitMix64: G. L. Steele, D. Lea, C. H. Flood, OOPSLA 2014
_GOLDEN, _MIX_1, _MIX_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S11, _S27, _S30, _S31 = np.uint64(11), np.uint64(27), np.uint64(30), np.uint64(31)


class System(NamedTuple):
    """One system. All arrays change in place."""

    bits: NDArray[np.uint8]
    """(blocks, n_sites, LANES) spins, 0 for -1"""
    states: NDArray[np.uint32]
    """(blocks, 4, LANES) generators of the lanes"""
    base: NDArray[np.uint64]
    """(blocks, 1 + LANES) argument `base` of `sweep`"""
    lane: NDArray[np.int64]
    """(replicas, T) lane of each replica at each temperature, counted over all blocks"""
    energy: NDArray[np.float64]
    """(blocks LANES,) total energy of each lane after the last sweep"""
    magnetisation: NDArray[np.float64]
    """(blocks LANES,)"""
    stream: NDArray[np.uint64]
    """(1,) state of the generator of exchanges and Houdayer moves"""
    counts: NDArray[np.int64]
    """(3,) sweeps made, draws summed, draws in a bin"""
    bins: NDArray[np.float64]
    """(2, BINS, T - 1) sums of the terms of ln Z, above and below the fraction bar"""


class Ladder(NamedTuple):
    """Tables that all systems share."""

    visits: NDArray[np.int32]
    weights: NDArray[np.float64]
    offset: float
    uniform: bool
    neighbours: NDArray[np.int64]
    """(n_sites, 4) of the lattice"""
    thresholds: NDArray[np.uint32]
    """(n_classes, 16 T)"""
    betas: NDArray[np.float64]
    """(T,) from 0 to beta"""
    houdayer_every: int
    """sweeps between two Houdayer moves; 0: none"""


@kernel(nogil=True)
def burn_in(system: Any, ladder: Any, n: Any) -> Any:
    """Start with random spins, make n sweeps, and return the mean energy (T,) of the second half."""
    for block in range(len(system.bits)):
        randomise(system.bits[block], system.states[block])
    mean = np.zeros(len(ladder.betas))
    for k in range(n):
        _round(system, ladder)
        if k >= n // 2:
            for t in range(len(mean)):
                mean[t] += system.energy[system.lane[0, t]]
    return mean / max(1, n - n // 2)


@kernel(nogil=True)
def advance(system: Any, ladder: Any, shift: Any, sweeps_per_draw: Any, series: Any, spins: Any) -> None:
    """Make the draws of replica 0 at the last temperature.

    Parameters
    ----------
    shift : (T - 1,) float64, approximate ln(Z_(t+1) / Z_t)
    series : (2, n) float64, the result: total energy and magnetisation
    spins : (n, n_sites) int8, the result; empty if the configurations are not needed
    """
    for draw in range(series.shape[1]):
        for _ in range(sweeps_per_draw):
            _round(system, ladder)
        lane = system.lane[0, len(ladder.betas) - 1]
        series[0, draw], series[1, draw] = system.energy[lane], system.magnetisation[lane]
        _add_terms(system, ladder.betas, shift)
        if spins.size:
            bits = system.bits[lane // LANES]
            for i in range(len(bits)):
                spins[draw, i] = np.int8(2 * bits[i, lane % LANES]) - np.int8(1)


@kernel(nogil=True)
def _round(system: Any, ladder: Any) -> None:
    """One sweep of all lanes, Houdayer moves if it is their turn, and exchanges of every second pair of temperatures.

    Houdayer moves are made at the colder half of the temperatures. At the hotter ones the clusters percolate, and a
    move would only exchange the replicas.
    """
    for block in range(len(system.bits)):
        sweep(system.bits[block], system.states[block], ladder.visits, ladder.thresholds, system.base[block])
    n = len(ladder.betas)
    if ladder.houdayer_every and system.counts[0] % ladder.houdayer_every == 0:
        stack = np.empty(len(ladder.neighbours), dtype=np.int64)
        for t in range(n // 2, n):
            houdayer(system.bits, system.lane[0, t], system.lane[1, t], ladder.neighbours, system.stream, stack)
    for block in range(len(system.bits)):
        lanes = slice(block * LANES, (block + 1) * LANES)
        measure(
            *(system.bits[block], ladder.visits, ladder.weights, ladder.offset, ladder.uniform),
            *(system.energy[lanes], system.magnetisation[lanes]),
        )
    _exchange(system, ladder.betas, system.counts[0] % 2)
    system.counts[0] += 1


@kernel(nogil=True)
def _exchange(system: Any, betas: Any, first: Any) -> None:
    """Exchange the temperatures of lanes at t and t + 1, t = first, first + 2, ..., by the rule of Metropolis."""
    for replica in range(len(system.lane)):
        for t in range(first, len(betas) - 1, 2):
            a, b = system.lane[replica, t], system.lane[replica, t + 1]
            gain = (betas[t + 1] - betas[t]) * (system.energy[b] - system.energy[a])
            if gain >= 0 or _uniform(system.stream) < math.exp(gain):
                system.lane[replica, t], system.lane[replica, t + 1] = b, a
                system.base[b // LANES, 1 + b % LANES] = t * HEAT_BATH
                system.base[a // LANES, 1 + a % LANES] = (t + 1) * HEAT_BATH


@kernel(nogil=True)
def houdayer(bits: Any, a: Any, b: Any, neighbours: Any, stream: Any, stack: Any) -> None:
    """Exchange one cluster of sites, at which the lanes a and b differ, between the two lanes.

    The cluster is connected by neighbouring sites. The two energies change by opposite amounts. The cluster is that of
    the first differing site from a random site on, so that the reverse move has the same probability.
    """
    block_a, block_b, e, f = bits[a // LANES], bits[b // LANES], a % LANES, b % LANES
    n_sites = len(neighbours)
    site = min(n_sites - 1, int(_uniform(stream) * n_sites))
    for _ in range(n_sites):
        if block_a[site, e] != block_b[site, f]:
            break
        site = site + 1 if site + 1 < n_sites else 0
    else:
        return
    # a site is exchanged when it joins; it differs afterwards as well, so its mark is a second array
    joined = np.zeros(n_sites, dtype=np.bool_)
    stack[0], top, joined[site] = site, 1, True
    while top:
        top -= 1
        site = stack[top]
        block_a[site, e], block_b[site, f] = block_b[site, f], block_a[site, e]
        for k in range(4):
            near = neighbours[site, k]
            if not joined[near] and block_a[near, e] != block_b[near, f]:
                joined[near] = True
                stack[top] = near
                top += 1


@kernel(nogil=True)
def _add_terms(system: Any, betas: Any, shift: Any) -> None:
    """Add the terms of Bennett's acceptance ratio for each pair of neighbouring temperatures to the current bin."""
    if system.counts[1] == BINS * system.counts[2]:
        for side in range(2):
            for i in range(BINS // 2):
                system.bins[side, i] = system.bins[side, 2 * i] + system.bins[side, 2 * i + 1]
            system.bins[side, BINS // 2 :] = 0.0
        system.counts[2] *= 2
    i = system.counts[1] // system.counts[2]
    replicas = len(system.lane)
    for t in range(len(betas) - 1):
        step = betas[t + 1] - betas[t]
        for replica in range(replicas):
            hot, cold = system.energy[system.lane[replica, t]], system.energy[system.lane[replica, t + 1]]
            system.bins[0, i, t] += 1 / (1 + math.exp(min(700.0, step * hot + shift[t]))) / replicas
            system.bins[1, i, t] += 1 / (1 + math.exp(min(700.0, -step * cold - shift[t]))) / replicas
    system.counts[1] += 1


@kernel(nogil=True)
def _uniform(stream: Any) -> Any:
    """Random multiple of 2^-53 in [0, 1) (SplitMix64)."""
    stream[0] += _GOLDEN
    word = stream[0]
    word = (word ^ (word >> _S30)) * _MIX_1
    word = (word ^ (word >> _S27)) * _MIX_2
    return np.float64((word ^ (word >> _S31)) >> _S11) * 2.0**-53
