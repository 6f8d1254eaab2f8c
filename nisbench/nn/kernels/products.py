"""Products of matrices, the work of the network kernels.

All matrices are row-major. A part of a matrix is the address of its first number and the distance between its rows. A
tile is a matrix (units, TILE): row u has the unit u of TILE samples.
"""

from typing import Any

from nisbench.nn.kernels.jit import FAST, FAST_SUMS, LANES, U0, U1, U2, U3, U4, WIDE, U, kernel
from nisbench.nn.kernels.vectors import add_scaled, address, load, store

__all__ = ["TILE", "multiply", "row_sums", "transpose"]

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
def transpose(out: Any, stride: Any, a: Any, units: Any) -> None:
    """out[e, u] = a[u, e] for u < units: a tile (units, TILE) -> (TILE, stride)."""
    u = U0
    while u < units:
        stop = min(u + _LANES, units)  # a whole vector of units at a time, so that each cache line is written once
        for e in range(_TILE):
            for v in range(u, stop):
                out[e * stride + v] = a[v * _TILE + e]
        u = stop
