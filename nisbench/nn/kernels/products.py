"""Products of matrices, the work of the network kernels.

All matrices are row-major. A part of a matrix is the address of its first number and the distance between its rows. A
tile is a matrix (units, TILE): row u has the unit u of TILE samples.
"""

from typing import Any

from numba import prange

from nisbench.nn.kernels.jit import FAST, FAST_SUMS, LANES, U0, U1, U2, U3, U4, WIDE, U, kernel
from nisbench.nn.kernels.vectors import add_scaled, address, load, store, transpose_square

__all__ = ["TILE", "multiply", "row_sums", "transpose", "transposed"]

TILE = 128
"""Samples that one thread takes through a whole network at a time; their units stay in the cache."""
TERMS = 512
"""Terms of a product that are summed for all rows before the next ones, so that their numbers stay in the cache."""
_TERMS, _TILE, _LANES, _HALF, _WIDE = U(TERMS), U(TILE), U(LANES), U(WIDE // 2), U(WIDE)


def _product(size: int) -> Any:
    """Compile `multiply` for `size` columns."""

    @kernel(error_model="numpy", fastmath=FAST)
    def product(out: Any, so: Any, w: Any, sw: Any, x: Any, sx: Any, rows: Any, terms: Any) -> None:
        r, four = U0, rows // U4 * U4
        while r < four:  # four rows share each load of x
            o0, o1, o2, o3 = r * so, (r + U1) * so, (r + U2) * so, (r + U3) * so
            i0, i1, i2, i3 = r * sw, (r + U1) * sw, (r + U2) * sw, (r + U3) * sw
            s0, s1, s2, s3 = load(out, o0, size), load(out, o1, size), load(out, o2, size), load(out, o3, size)
            for j in range(terms):
                row = load(x, j * sx, size)
                s0 = add_scaled(s0, w, i0 + j, row)
                s1 = add_scaled(s1, w, i1 + j, row)
                s2 = add_scaled(s2, w, i2 + j, row)
                s3 = add_scaled(s3, w, i3 + j, row)
            store(out, o0, s0)
            store(out, o1, s1)
            store(out, o2, s2)
            store(out, o3, s3)
            r += U4
        while r < rows:
            s0 = load(out, r * so, size)
            for j in range(terms):
                s0 = add_scaled(s0, w, r * sw + j, load(x, j * sx, size))
            store(out, r * so, s0)
            r += U1

    return product


_wide, _half, _narrow = _product(WIDE), _product(WIDE // 2), _product(LANES)


@kernel()
def _multiply_block(out: Any, so: Any, w: Any, sw: Any, x: Any, sx: Any, rows: Any, terms: Any, columns: Any) -> None:
    """`multiply` for at most TERMS terms."""
    c = U0
    while c + _WIDE <= columns:
        _wide(address(out, c), so, w, sw, address(x, c), sx, rows, terms)
        c += _WIDE
    while c + _HALF <= columns:
        _half(address(out, c), so, w, sw, address(x, c), sx, rows, terms)
        c += _HALF
    while c < columns:
        _narrow(address(out, c), so, w, sw, address(x, c), sx, rows, terms)
        c += _LANES


@kernel()
def multiply(out: Any, so: Any, w: Any, sw: Any, x: Any, sx: Any, rows: Any, terms: Any, columns: Any) -> None:
    """out[r, c] += sum_j w[r, j] x[j, c] for r < rows, j < terms and c < columns, a multiple of LANES.

    out, w and x are the addresses of the first numbers; the rows of the matrices are so, sw and sx numbers apart.
    """
    for start in range(U0, terms, _TERMS):
        _multiply_block(
            out, so, address(w, start), sw, address(x, start * sx), sx, rows, min(_TERMS, terms - start), columns
        )


@kernel(error_model="numpy", fastmath=FAST_SUMS)
def row_sums(out: Any, a: Any, rows: Any, zero: Any) -> None:
    """out[r] += sum_e a[r, e] for the first rows of a tile; `zero` has their type."""
    for r in range(rows):
        total = zero
        for e in range(_TILE):
            total += a[r * _TILE + e]
        out[r] += total


@kernel()
def transpose(out: Any, so: Any, a: Any, sa: Any, rows: Any, columns: Any) -> None:
    """out[c, r] = a[r, c] for r < rows and c < columns; the rows of the matrices are so and sa numbers apart."""
    for r in range(U0, rows, _LANES):
        for c in range(U0, columns, _LANES):
            if r + _LANES <= rows and c + _LANES <= columns:
                transpose_square(address(out, c * so + r), so, address(a, r * sa + c), sa, LANES)
            else:
                for i in range(r, min(r + _LANES, rows)):
                    for j in range(c, min(c + _LANES, columns)):
                        out[j * so + i] = a[i * sa + j]


@kernel(parallel=True)
def transposed(a: Any, out: Any) -> None:
    """Fill `out`, (columns, rows), with the transpose of `a`, (rows, columns)."""
    for block in prange((a.shape[0] + LANES - 1) // LANES):
        row, rows, columns = U(block) * _LANES, U(a.shape[0]), U(a.shape[1])
        part, to = address(a, row * columns), address(out, row)
        transpose(to, rows, part, columns, min(_LANES, rows - row), columns)
