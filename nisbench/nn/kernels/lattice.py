"""Blocks of spins in a batch of lattices, and the memory that a kernel copies them to."""

from typing import Any, NamedTuple

import numpy as np

from nisbench.nn.kernels.jit import U0, U1, U, kernel

__all__ = ["PARTS", "Sites", "aligned", "gather", "scatter"]

PARTS = 64
"""Largest number of parts of the samples. Threads share the parts; each part keeps its memory from tile to tile."""


class Sites(NamedTuple):
    """The blocks that a network draws in a batch of lattices. Sample `block n + c` is one block of lattice c."""

    lattice: Any
    """(all sites, n) int8"""
    drawn: Any
    """(K, n_blocks) sites of the lattice"""
    border: Any
    """(B, n_blocks)"""


@kernel()
def aligned(numbers: Any, like: Any) -> Any:
    """(numbers,) array of the type of `like`, not initialised, that begins at a cache line."""
    spare = U(64 // like.itemsize)
    whole = np.empty(numbers + spare, dtype=like.dtype)
    skipped = (U(64) - U(whole.ctypes.data) % U(64)) % U(64) // U(like.itemsize)
    return whole[skipped : skipped + numbers]


@kernel()
def gather(x: Any, at: Any, tile: Any, lattice: Any, sites: Any, begin: Any, m: Any) -> None:
    """x[at + r, e] = lattice[sites[r, block], c] for the samples begin + e = block n + c with e < m.

    The rows of x have `tile` numbers.
    """
    n = U(lattice.shape[1])
    for r in range(U(sites.shape[0])):
        o, e, block, c = (at + r) * tile, U0, begin // n, begin % n
        while e < m:
            # the samples of one block are contiguous in the lattice; a tile may end inside a block or span several
            site, count = U(sites[r, block]), min(m - e, n - c)
            for k in range(count):
                x[o + e + k] = lattice[site, c + k]
            e, block, c = e + count, block + U1, U0


@kernel()
def scatter(x: Any, at: Any, tile: Any, lattice: Any, sites: Any, begin: Any, m: Any) -> None:
    """lattice[sites[r, block], c] = x[at + r, e], the inverse of `gather`."""
    n = U(lattice.shape[1])
    for r in range(U(sites.shape[0])):
        o, e, block, c = (at + r) * tile, U0, begin // n, begin % n
        while e < m:
            site, count = U(sites[r, block]), min(m - e, n - c)
            for k in range(count):
                lattice[site, c + k] = np.int8(x[o + e + k])
            e, block, c = e + count, block + U1, U0
