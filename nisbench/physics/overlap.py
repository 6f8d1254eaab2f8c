"""Overlaps of two configurations s and t of one lattice: q = sum_i s_i t_i / N, and the link overlap.

link overlap = mean over bonds of s_i s_j t_i t_j; bonds whose coupling is 0 do not count. S. F. Edwards and
P. W. Anderson, J. Phys. F 5, 965 (1975); for the link overlap see H. G. Katzgraber, M. Palassini, A. P. Young, Phys.
Rev. B 63, 184422 (2001).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nisbench.physics.lattice import Lattice

__all__ = ["link_overlap", "overlap"]

_Spins = NDArray[Any]


def overlap(first: _Spins, second: _Spins) -> NDArray[np.float64]:
    """Return q between -1 and 1 of each pair: two arrays of spins (..., L, L) -> (...,)."""
    products = (first * second).reshape(*first.shape[:-2], -1)  # (..., N) int8
    q: NDArray[np.float64] = products.mean(axis=-1, dtype=np.float64)
    return q


def link_overlap(first: _Spins, second: _Spins, lattice: Lattice) -> NDArray[np.float64]:
    """Return the link overlap of each pair: two arrays of spins (..., L, L) -> (...,)."""
    products = (first * second).reshape(*first.shape[:-2], -1)  # (..., N) int8
    exists = lattice.bonds.coupling != 0
    links = products[..., lattice.bonds.first[exists]] * products[..., lattice.bonds.second[exists]]
    mean: NDArray[np.float64] = links.mean(axis=-1, dtype=np.float64)
    return mean
