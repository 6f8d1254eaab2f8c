"""Energies and the heat bath of Ising spins in a batch of lattices, compiled for the CPU."""

from typing import Any

import numpy as np
from numba import prange

from nisbench.nn.kernels.jit import FAST, U, kernel

__all__ = ["bond_energies", "draw_isolated"]

TILE = 512
"""Configurations that one thread takes at a time. Longer than the tile of a network, because the kernels do little
arithmetic and are limited by reading the rows of the lattice, which is faster in long stretches."""
_TILE = U(TILE)
_FEW = U(31)
"""Sites whose sums of four neighbours, up to 4 each, fit into an int8."""


@kernel(error_model="numpy", fastmath=FAST)
def _heat_bath(lattice: Any, sites: Any, neighbours: Any, coupling: Any, thresholds: Any, begin: Any, m: Any) -> Any:
    """Draw the sites in the configurations begin ... begin + m - 1; return three sums over the sites, (3, TILE).

    With n = the sum of the four neighbours of a spin s: the sum of s n, the number of |n| = 2 and that of |n| = 4.
    """
    total, part = np.zeros((3, TILE), dtype=np.int32), np.zeros((3, TILE), dtype=np.int8)
    around, spin = np.zeros(TILE, dtype=np.int8), np.zeros(TILE, dtype=np.int8)
    for k in range(U(sites.shape[0])):
        site = U(sites[k])
        a, b, c, d = U(neighbours[0, k]), U(neighbours[1, k]), U(neighbours[2, k]), U(neighbours[3, k])
        for e in range(m):
            i = begin + e
            half = np.int8(lattice[a, i] + lattice[b, i])  # int8 throughout: 64 spins in one 512-bit vector
            around[e] = np.int8(half + np.int8(lattice[c, i] + lattice[d, i]))
        for e in range(m):
            spin[e] = 1 if coupling * around[e] > thresholds[k, begin + e] else -1
        for e in range(m):
            lattice[site, begin + e] = spin[e]
        for e in range(_TILE):
            size = np.int8(abs(around[e]))
            part[0, e] += np.int8(spin[e] * around[e])
            part[1, e] += np.int8(size == 2)
            part[2, e] += np.int8(size == 4)
        if k % _FEW == _FEW - U(1) or k == U(sites.shape[0]) - U(1):
            for r in range(3):
                for e in range(_TILE):
                    total[r, e] += part[r, e]
                    part[r, e] = 0
    return total


@kernel(parallel=True)
def draw_isolated(lattice: Any, sites: Any, neighbours: Any, coupling: Any, thresholds: Any, log_prob: Any) -> None:
    """Draw spins that are not neighbours of each other from q(+1) = sigmoid(coupling * sum of the four neighbours).

    ln sigmoid(a) = a/2 - ln(2 cosh(a/2)) with a = coupling s n, and the second term depends on |n| = 0, 2 or 4 alone.

    Parameters
    ----------
    lattice : (all sites, n) int8, changed in place
    sites, neighbours : (k,), (4, k) rows of the lattice
    coupling : 2 beta, of the type of the thresholds
    thresholds : (k, n); spin j is +1 where its logit > thresholds[j], else -1
    log_prob : (n,) float64, the result
    """
    n, half = U(lattice.shape[1]), np.float64(coupling) / 2
    zero, two, four = np.log(2.0), 2 * half + np.log1p(np.exp(-4 * half)), 4 * half + np.log1p(np.exp(-8 * half))
    for index in prange((lattice.shape[1] + TILE - 1) // TILE):
        begin = U(index) * _TILE
        m = min(_TILE, n - begin)
        total = _heat_bath(lattice, sites, neighbours, coupling, thresholds, begin, m)
        for e in range(m):
            larger = total[1, e] * (two - zero) + total[2, e] * (four - zero)
            log_prob[begin + e] = half * total[0, e] - sites.shape[0] * zero - larger


@kernel(parallel=True)
def bond_energies(lattice: Any, bonds: Any, energy: Any) -> None:
    """energy[block, c] = - the sum of s s' over the bonds of a block in lattice c.

    Parameters
    ----------
    lattice : (all sites, n) int8
    bonds : (2, n_bonds, n_blocks) the sites at the ends
    energy : (n_blocks, n) float64, the result
    """
    n, tiles = U(lattice.shape[1]), (lattice.shape[1] + TILE - 1) // TILE
    for index in prange(bonds.shape[2] * tiles):
        block, begin = U(index // tiles), U(index % tiles) * _TILE
        m = min(_TILE, n - begin)
        total = np.zeros(TILE, dtype=np.int32)
        for k in range(U(bonds.shape[1])):
            a, b = U(bonds[0, k, block]), U(bonds[1, k, block])
            for e in range(m):
                total[e] -= np.int8(lattice[a, begin + e] * lattice[b, begin + e])
        for e in range(m):
            energy[block, begin + e] = total[e]
