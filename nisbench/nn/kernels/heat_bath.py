"""Heat bath of isolated Ising spins, compiled for the CPU."""

from typing import Any

import numpy as np
from numba import prange

from nisbench.nn.kernels.functions import exp, log1p
from nisbench.nn.kernels.jit import FAST, U, kernel

__all__ = ["draw_isolated"]

TILE = 512
"""Configurations that one thread takes at a time. Longer than the tile of a network, because the kernel does little
arithmetic and is limited by reading the rows of the lattice, which is faster in long stretches."""
_TILE = U(TILE)


@kernel(error_model="numpy", fastmath=FAST)
def _heat_bath(lattice: Any, sites: Any, neighbours: Any, coupling: Any, thresholds: Any, begin: Any, m: Any) -> Any:
    """Draw the sites in the configurations begin ... begin + m - 1; return their ln q, (TILE,) float64."""
    total, logit = np.zeros(TILE, dtype=np.float64), np.zeros(TILE, dtype=thresholds.dtype)
    spin = np.zeros_like(logit)
    for k in range(U(sites.shape[0])):
        site = U(sites[k])
        a, b, c, d = U(neighbours[0, k]), U(neighbours[1, k]), U(neighbours[2, k]), U(neighbours[3, k])
        for e in range(m):
            i = begin + e
            around = np.int8(lattice[a, i] + lattice[b, i])  # int8 throughout: 64 spins in one 512-bit vector
            logit[e] = coupling * np.int8(around + np.int8(lattice[c, i] + lattice[d, i]))
        for e in range(m):
            spin[e] = 1.0 if logit[e] > thresholds[k, begin + e] else -1.0
        for e in range(m):
            lattice[site, begin + e] = np.int8(spin[e])
        for e in range(_TILE):  # a constant number of turns; what lies beyond m is ignored
            a = spin[e] * logit[e]
            logit[e] = min(a, 0) - log1p(exp(-abs(a)))
        for e in range(_TILE):
            total[e] += logit[e]
    return total


@kernel(parallel=True)
def draw_isolated(lattice: Any, sites: Any, neighbours: Any, coupling: Any, thresholds: Any, log_prob: Any) -> None:
    """Draw spins that are not neighbours of each other from q(+1) = sigmoid(coupling * sum of the four neighbours).

    Parameters
    ----------
    lattice : (all sites, n) int8, changed in place
    sites, neighbours : (k,), (4, k) rows of the lattice
    coupling : 2 beta, of the dtype of the thresholds
    thresholds : (k, n); spin j is +1 where its logit > thresholds[j], else -1
    log_prob : (n,) float64, the result
    """
    n = U(lattice.shape[1])
    for index in prange((lattice.shape[1] + TILE - 1) // TILE):
        begin = U(index) * _TILE
        m = min(_TILE, n - begin)
        total = _heat_bath(lattice, sites, neighbours, coupling, thresholds, begin, m)
        for e in range(m):
            log_prob[begin + e] = total[e]
