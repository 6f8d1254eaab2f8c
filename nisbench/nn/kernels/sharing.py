"""Matrices whose entries share numbers, and their gradient, compiled for the CPU.

Row k of the classes and of the closeness belongs to a spin, column j to a site. Each pair has `width` entries, one for
channel c. With f(k, j) = factor closeness(k, j):

    entry(k, c, j)  = f(k, j) (own(k, c, j) + shared(c, class(k, j)))    for j < seen(k), else 0
    d_own(k, c, j)  = f(k, j) d_entry(k, c, j)                           for j < seen(k), else 0
    d_shared(c, i) += f(k, j) d_entry(k, c, j)                           where class(k, j) = i

The channels are in the rows of a matrix (K width, J), or in its columns (K, J width).
"""

from typing import Any, NamedTuple

from numba import prange

from nisbench.nn.kernels.jit import FAST, U0, U1, U, kernel
from nisbench.nn.kernels.vectors import address

__all__ = ["Pairs", "differentiate_shared", "fill_shared"]

PARTS = 8
"""Parts of the rows. Successive rows belong to different parts, because a later row sees more sites."""


class Pairs(NamedTuple):
    """The pairs of spins and sites of a matrix."""

    classes: Any
    """(K, all sites) int32; class 0 shares nothing"""
    closeness: Any
    """(K, all sites) of the type of the matrix"""
    begin: Any
    """the first of the J sites, which are the last ones"""
    seen: Any
    """sites that the first spin sees; each later spin sees one more"""


@kernel(error_model="numpy", fastmath=FAST)
def _fill_row(
    out: Any, own: Any, step: Any, shared: Any, classes: Any, closeness: Any, seen: Any, sites: Any, factor: Any
) -> None:
    for j in range(seen):
        out[j * step] = factor * closeness[j] * (own[j * step] + shared[classes[j]])
    for j in range(seen, sites):
        out[j * step] = factor - factor


@kernel(error_model="numpy", fastmath=FAST)
def _differentiate_row(
    d_own: Any, d_shared: Any, step: Any, d_out: Any, classes: Any, closeness: Any, seen: Any, sites: Any, factor: Any
) -> None:
    for j in range(seen):
        d = factor * closeness[j] * d_out[j * step]
        d_own[j * step] = d
        d_shared[classes[j]] += d
    for j in range(seen, sites):
        d_own[j * step] = factor - factor


@kernel()
def _place(matrix: Any, n_spins: Any, sites: Any, k: Any, c: Any) -> Any:
    """Return where the entries of spin k and channel c begin in a matrix, and the distance between them."""
    rows, step = U(matrix.shape[0]) // n_spins, U(matrix.shape[1]) // sites
    return (k * rows + (c if rows > U1 else U0)) * U(matrix.shape[1]) + (c if step > U1 else U0), step


@kernel(parallel=True)
def fill_shared(own: Any, shared: Any, pairs: Any, factor: Any, out: Any) -> None:
    """Fill a matrix with own and shared numbers, see the formula above.

    Parameters
    ----------
    own, out : (K width, J) or (K, J width)
    shared : (width, 1 + number of classes); class 0 has the number 0
    pairs : `Pairs`
    factor : a number of the type of the matrices
    """
    n_spins, sites = U(pairs.classes.shape[0]), U(pairs.classes.shape[1] - pairs.begin)
    for part in prange(PARTS):
        for k in range(U(part), n_spins, U(PARTS)):
            begin, seen = k * U(pairs.classes.shape[1]) + U(pairs.begin), U(pairs.seen) + k
            row, closeness = address(pairs.classes, begin), address(pairs.closeness, begin)
            for c in range(U(shared.shape[0])):
                at, step = _place(own, n_spins, sites, k, c)
                numbers = address(shared, c * U(shared.shape[1]))
                _fill_row(address(out, at), address(own, at), step, numbers, row, closeness, seen, sites, factor)


@kernel(parallel=True)
def differentiate_shared(d_out: Any, pairs: Any, factor: Any, d_own: Any, d_shared: Any) -> None:
    """Fill the gradient by own and by shared numbers.

    Parameters
    ----------
    d_out, d_own : as `own` in `fill_shared`
    d_shared : (PARTS, width, 1 + number of classes) zeros, the result is the sum of the parts. Class 0 has no gradient
    """
    n_spins, sites = U(pairs.classes.shape[0]), U(pairs.classes.shape[1] - pairs.begin)
    width, length = U(d_shared.shape[1]), U(d_shared.shape[2])
    for part in prange(PARTS):
        for k in range(U(part), n_spins, U(PARTS)):
            begin, seen = k * U(pairs.classes.shape[1]) + U(pairs.begin), U(pairs.seen) + k
            row, closeness = address(pairs.classes, begin), address(pairs.closeness, begin)
            for c in range(width):
                at, step = _place(d_own, n_spins, sites, k, c)
                numbers = address(d_shared, (U(part) * width + c) * length)
                _differentiate_row(
                    address(d_own, at), numbers, step, address(d_out, at), row, closeness, seen, sites, factor
                )
