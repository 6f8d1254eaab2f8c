"""Products of weights with one tile of samples, the work of the dense kernels.

A tile is a flat array of shape (units, TILE): unit u of sample e is element u TILE + e. TILE is a constant, so that the
compiler unrolls the loops over samples into vector instructions.
"""

from typing import Any

from nisbench.nn.kernels.jit import FAST, FAST_SUMS, U0, U1, U2, U3, U4, U, kernel

__all__ = ["LANES", "TILE", "fill", "multiply", "multiply_row", "outer", "row_sums", "transpose"]

TILE = 128
"""Samples that one thread takes through a whole network at a time; their units stay in the cache."""
LANES = 16
"""float32 numbers in one 512-bit vector."""
_TILE, _LANES = U(TILE), U(LANES)


@kernel(error_model="numpy", fastmath=FAST)
def fill(out: Any, at: Any, rows: Any, bias: Any, first: Any) -> None:
    """out[at + r, :] = bias[first + r] for r < rows."""
    for r in range(rows):
        value = bias[first + r]
        o = (at + r) * _TILE
        for e in range(_TILE):
            out[o + e] = value


@kernel(error_model="numpy", fastmath=FAST)
def multiply_row(out: Any, at: Any, weights: Any, row: Any, x: Any, start: Any, stop: Any, column: Any) -> None:
    """out[at] += sum_j weights[row, column + j] x[start + j] for start + j < stop.

    The loop handles four terms at once: four products for one load and one store of `out`.
    """
    o, j, c = at * _TILE, start, column
    while j + U4 <= stop:
        w0, w1, w2, w3 = weights[row, c], weights[row, c + U1], weights[row, c + U2], weights[row, c + U3]
        k = j * _TILE
        k1, k2, k3 = k + _TILE, k + U2 * _TILE, k + U3 * _TILE
        for e in range(_TILE):
            out[o + e] += w0 * x[k + e] + w1 * x[k1 + e] + w2 * x[k2 + e] + w3 * x[k3 + e]
        j += U4
        c += U4
    while j < stop:  # the terms beyond the last four
        w0 = weights[row, c]
        k = j * _TILE
        for e in range(_TILE):
            out[o + e] += w0 * x[k + e]
        j += U1
        c += U1


@kernel(error_model="numpy", fastmath=FAST)
def multiply(out: Any, at: Any, rows: Any, weights: Any, row: Any, x: Any, start: Any, stop: Any, column: Any) -> None:
    """out[at + r] += sum_j weights[row + r, column + j] x[start + j] for r < rows and start + j < stop.

    Four rows by four columns a turn: sixteen products for four loads of `x` and four of `out`.
    """
    four = rows // U4 * U4
    r = U0
    while r < four:
        o = (at + r) * _TILE
        o1, o2, o3 = o + _TILE, o + U2 * _TILE, o + U3 * _TILE
        i, j, c = row + r, start, column
        i1, i2, i3 = i + U1, i + U2, i + U3
        while j + U4 <= stop:
            c1, c2, c3 = c + U1, c + U2, c + U3
            # a, b, d, f: the four rows of a 4 x 4 piece of the weights
            a0, a1, a2, a3 = weights[i, c], weights[i, c1], weights[i, c2], weights[i, c3]
            b0, b1, b2, b3 = weights[i1, c], weights[i1, c1], weights[i1, c2], weights[i1, c3]
            d0, d1, d2, d3 = weights[i2, c], weights[i2, c1], weights[i2, c2], weights[i2, c3]
            f0, f1, f2, f3 = weights[i3, c], weights[i3, c1], weights[i3, c2], weights[i3, c3]
            k = j * _TILE
            k1, k2, k3 = k + _TILE, k + U2 * _TILE, k + U3 * _TILE
            for e in range(_TILE):
                x0, x1, x2, x3 = x[k + e], x[k1 + e], x[k2 + e], x[k3 + e]
                out[o + e] += a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3
                out[o1 + e] += b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3
                out[o2 + e] += d0 * x0 + d1 * x1 + d2 * x2 + d3 * x3
                out[o3 + e] += f0 * x0 + f1 * x1 + f2 * x2 + f3 * x3
            j += U4
            c += U4
        while j < stop:  # the columns beyond the last four
            a0, b0, d0, f0 = weights[i, c], weights[i1, c], weights[i2, c], weights[i3, c]
            k = j * _TILE
            for e in range(_TILE):
                x0 = x[k + e]
                out[o + e] += a0 * x0
                out[o1 + e] += b0 * x0
                out[o2 + e] += d0 * x0
                out[o3 + e] += f0 * x0
            j += U1
            c += U1
        r += U4
    while r < rows:  # the rows beyond the last four
        multiply_row(out, at + r, weights, row + r, x, start, stop, column)
        r += U1


@kernel(error_model="numpy", fastmath=FAST_SUMS)
def row_sums(out: Any, a: Any, rows: Any) -> None:
    """out[r] += sum_e a[r, e] for r < rows."""
    for r in range(rows):
        total = out[r] * 0  # zero of the type of `out`
        for e in range(_TILE):
            total += a[r * _TILE + e]
        out[r] += total


@kernel(error_model="numpy", fastmath=FAST)
def outer(out: Any, row: Any, rows: Any, a: Any, at: Any, b: Any, columns: Any) -> None:
    """out[row + r, c] += sum_e a[at + r, e] b[e, c] for r < rows and c < columns, rounded up to whole vectors.

    `a` is a tile, (units, TILE); `b` is a transposed tile, (TILE, columns of `out`). Four rows by four samples a turn.
    """
    stop = (columns + _LANES - U1) // _LANES * _LANES
    four = rows // U4 * U4
    r = U0
    while r < rows:
        step = U4 if r < four else U1
        p, i = (at + r) * _TILE, row + r
        q, s, t = p + _TILE, p + U2 * _TILE, p + U3 * _TILE
        for f in range(_TILE // U4):
            e = f * U4
            x0, x1, x2, x3 = a[p + e], a[p + e + U1], a[p + e + U2], a[p + e + U3]
            if step == U1:  # a row beyond the last four
                for c in range(stop):
                    out[i, c] += x0 * b[e, c] + x1 * b[e + U1, c] + x2 * b[e + U2, c] + x3 * b[e + U3, c]
                continue
            y0, y1, y2, y3 = a[q + e], a[q + e + U1], a[q + e + U2], a[q + e + U3]
            z0, z1, z2, z3 = a[s + e], a[s + e + U1], a[s + e + U2], a[s + e + U3]
            w0, w1, w2, w3 = a[t + e], a[t + e + U1], a[t + e + U2], a[t + e + U3]
            for c in range(stop):
                b0, b1, b2, b3 = b[e, c], b[e + U1, c], b[e + U2, c], b[e + U3, c]
                out[i, c] += x0 * b0 + x1 * b1 + x2 * b2 + x3 * b3
                out[i + U1, c] += y0 * b0 + y1 * b1 + y2 * b2 + y3 * b3
                out[i + U2, c] += z0 * b0 + z1 * b1 + z2 * b2 + z3 * b3
                out[i + U3, c] += w0 * b0 + w1 * b1 + w2 * b2 + w3 * b3
        r += step


@kernel()
def transpose(out: Any, a: Any, at: Any, units: Any) -> None:
    """out[e, u] = a[at + u, e] for u < units: a tile (units, TILE) -> (TILE, units)."""
    u = U0
    while u < units:
        stop = min(u + _LANES, units)  # a whole vector of units at a time, so that each cache line is written once
        for e in range(_TILE):
            for v in range(u, stop):
                out[e, v] = a[(at + v) * _TILE + e]
        u = stop
