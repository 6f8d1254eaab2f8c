"""Compiled CPU kernels of the networks, for float32 and float64; compiled at the first call and cached on disk.

What numba vectorises well: innermost loops over contiguous elements of flat arrays, with unsigned indices (a signed
index may be negative, and the test for that forbids vector instructions) and a constant number of turns.
All kernels stay in one file: numba's cache on disk notices changes in the file of the compiled function only.
"""

import math
from typing import Any

import numpy as np
from numba import njit, prange, types
from numba.extending import overload

__all__ = ["draw_isolated", "draw_stack", "fill_thresholds", "gradient_size", "gradient_stack", "gradients_of"]

TILE = 128
"""Samples that one thread takes through the whole network at a time."""
WIDE = 512
"""The same for the heat bath, whose rows have to be read in long stretches."""
BLOCK = 16
"""Spins of a diagonal block; what lies outside the diagonal blocks is a product of matrices."""

_U = np.uint64
_0, _1, _2, _3, _4 = _U(0), _U(1), _U(2), _U(3), _U(4)
LANES = 16
"""Numbers of a vector instruction in float32."""
_TILE, _WIDE, _BLOCK, _LANES = _U(TILE), _U(WIDE), _U(BLOCK), _U(LANES)


CHUNK = 1 << 15
"""Thresholds that one stream of the generator makes; fixed, so that the numbers do not depend on the threads."""
STREAMS = 64
"""Independent states of a stream that advance together, for vector instructions."""


_ONE, _HALF = np.float32(1), np.float32(0.5)
_LN2 = np.float32(math.log(2))
_SQRT_HALF_BITS = np.int32(np.float32(math.sqrt(0.5)).view(np.int32))
_LOG = tuple(
    np.float32(c)
    for c in (
        7.0376836292e-2,
        -1.1514610310e-1,
        1.1676998740e-1,
        -1.2420140846e-1,
        1.4249322787e-1,
        -1.6668057665e-1,
        2.0000714765e-1,
        -2.4999993993e-1,
        3.3333331174e-1,
    )
)


@njit(inline="always")
def _log(x: Any) -> Any:
    """ln x of a normal float32, to 1e-7: x = m 2^e with m in [sqrt(1/2), sqrt(2)), minimax polynomial in m - 1.

    Coefficients of logf in the Cephes library (Moshier 1992). Written out because only plain arithmetic vectorises.
    """
    bits = np.float32(x).view(np.int32)
    e = np.int32(np.int32(bits - _SQRT_HALF_BITS) >> np.int32(23))
    m = np.int32(bits - np.int32(e << np.int32(23))).view(np.float32) - _ONE
    z = m * m
    y = _LOG[0]
    y = y * m + _LOG[1]
    y = y * m + _LOG[2]
    y = y * m + _LOG[3]
    y = y * m + _LOG[4]
    y = y * m + _LOG[5]
    y = y * m + _LOG[6]
    y = y * m + _LOG[7]
    y = y * m + _LOG[8]
    return m + (y * m * z - _HALF * z) + np.float32(e) * _LN2


_LOG2E = np.float32(1 / math.log(2))
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_ROUND = np.float32(1.5 * 2**23)  # added and taken away again, it rounds to the nearest integer
_ROUND_BITS = np.int32(_ROUND.view(np.int32))
_EXP = tuple(
    np.float32(c)
    for c in (
        1.9875691500e-4,
        1.3981999507e-3,
        8.3334519073e-3,
        4.1665795894e-2,
        1.6666665459e-1,
        5.0000001201e-1,
    )
)


@njit(inline="always")
def _exp(x: Any) -> Any:
    """exp x of a float32 in [-87, 0], to 1e-7: x = n ln 2 + r, polynomial in r. Coefficients of Cephes' expf."""
    rounded = x * _LOG2E + _ROUND
    n = rounded - _ROUND
    r = x - n * _LN2_HIGH - n * _LN2_LOW
    y = _EXP[0]
    y = y * r + _EXP[1]
    y = y * r + _EXP[2]
    y = y * r + _EXP[3]
    y = y * r + _EXP[4]
    y = y * r + _EXP[5]
    y = y * r * r + r + _ONE
    exponent = np.int32(np.float32(rounded).view(np.int32) - _ROUND_BITS + np.int32(127))
    return y * np.int32(exponent << np.int32(23)).view(np.float32)


def _sigmoid(x: Any) -> Any:
    """1/(1 + exp(-x))"""
    raise NotImplementedError("compiled code only")


@overload(_sigmoid)
def _compile_sigmoid(x: Any) -> Any:
    """As for the logarithm."""

    def fast(x: Any) -> Any:
        small = _exp(max(-abs(x), np.float32(-87)))
        return (_ONE if x > 0 else small) / (_ONE + small)

    def exact(x: Any) -> Any:
        small = math.exp(-abs(x))
        return (1.0 if x > 0 else small) / (1.0 + small)

    return fast if x == types.float32 else exact


def _log_sigmoid(x: Any) -> Any:
    """ln sigmoid(x) = min(x, 0) - ln(1 + exp(-|x|))"""
    raise NotImplementedError("compiled code only")


@overload(_log_sigmoid)
def _compile_log_sigmoid(x: Any) -> Any:
    """Plain arithmetic in float32, which vectorises; the library's functions in float64."""

    def fast(x: Any) -> Any:
        small = _exp(max(-abs(x), np.float32(-87)))
        whole = _ONE + small
        # ln(1 + y) = ln(whole) + what the sum lost by rounding
        return min(x, np.float32(0)) - (_log(whole) + (small - (whole - _ONE)) / whole)

    def exact(x: Any) -> Any:
        return min(x, 0.0) - math.log1p(math.exp(-abs(x)))

    return fast if x == types.float32 else exact


@njit(cache=True, error_model="numpy", fastmath={"contract", "nsz"})
def _multiply_row(out: Any, at: Any, weights: Any, row: Any, x: Any, start: Any, stop: Any, column: Any) -> None:
    """out[at] += sum_j weights[row, column + j] x[start + j], four terms at a time."""
    o, j, c = at * _TILE, start, column
    while j + _4 <= stop:
        w0, w1, w2, w3 = weights[row, c], weights[row, c + _1], weights[row, c + _2], weights[row, c + _3]
        k = j * _TILE
        k1, k2, k3 = k + _TILE, k + _2 * _TILE, k + _3 * _TILE
        for e in range(_TILE):
            out[o + e] += w0 * x[k + e] + w1 * x[k1 + e] + w2 * x[k2 + e] + w3 * x[k3 + e]
        j += _4
        c += _4
    while j < stop:
        w0 = weights[row, c]
        k = j * _TILE
        for e in range(_TILE):
            out[o + e] += w0 * x[k + e]
        j += _1
        c += _1


@njit(cache=True, error_model="numpy", fastmath={"contract", "nsz"})
def _multiply(out: Any, at: Any, rows: Any, weights: Any, row: Any, x: Any, start: Any, stop: Any, column: Any) -> None:
    """out[at + r] += sum_j weights[row + r, column + j] x[start + j] for `rows` rows and the units start..stop.

    `out` and `x` are flat, (units, TILE). Four rows by four columns at a time: sixteen products for four loads.
    """
    four = rows // _4 * _4
    r = _0
    while r < four:
        o = (at + r) * _TILE
        p, s, t = o + _TILE, o + _2 * _TILE, o + _3 * _TILE
        i, j, c = row + r, start, column
        while j + _4 <= stop:
            a0, a1, a2, a3 = weights[i, c], weights[i, c + _1], weights[i, c + _2], weights[i, c + _3]
            b0, b1, b2, b3 = (
                weights[i + _1, c],
                weights[i + _1, c + _1],
                weights[i + _1, c + _2],
                weights[i + _1, c + _3],
            )
            c0, c1, c2, c3 = (
                weights[i + _2, c],
                weights[i + _2, c + _1],
                weights[i + _2, c + _2],
                weights[i + _2, c + _3],
            )
            d0, d1, d2, d3 = (
                weights[i + _3, c],
                weights[i + _3, c + _1],
                weights[i + _3, c + _2],
                weights[i + _3, c + _3],
            )
            k = j * _TILE
            k1, k2, k3 = k + _TILE, k + _2 * _TILE, k + _3 * _TILE
            for e in range(_TILE):
                x0, x1, x2, x3 = x[k + e], x[k1 + e], x[k2 + e], x[k3 + e]
                out[o + e] += a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3
                out[p + e] += b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3
                out[s + e] += c0 * x0 + c1 * x1 + c2 * x2 + c3 * x3
                out[t + e] += d0 * x0 + d1 * x1 + d2 * x2 + d3 * x3
            j += _4
            c += _4
        while j < stop:
            a0, b0, c0, d0 = weights[i, c], weights[i + _1, c], weights[i + _2, c], weights[i + _3, c]
            k = j * _TILE
            for e in range(_TILE):
                x0 = x[k + e]
                out[o + e] += a0 * x0
                out[p + e] += b0 * x0
                out[s + e] += c0 * x0
                out[t + e] += d0 * x0
            j += _1
            c += _1
        r += _4
    while r < rows:
        _multiply_row(out, at + r, weights, row + r, x, start, stop, column)
        r += _1


@njit(cache=True, error_model="numpy", fastmath={"contract", "nsz"})
def _fill(out: Any, at: Any, rows: Any, bias: Any, first: Any) -> None:
    """out[at + r] = bias[first + r]"""
    for r in range(rows):
        value = bias[first + r]
        o = (at + r) * _TILE
        for e in range(_TILE):
            out[o + e] = value


@njit(cache=True, error_model="numpy", fastmath={"contract", "nsz"})
def _activate(pre: Any, post: Any, at: Any, rows: Any, slopes: Any, first: Any) -> None:
    """PReLU of the units at..at + rows."""
    for r in range(rows):
        slope = slopes[first + r]
        o = (at + r) * _TILE
        for e in range(_TILE):
            z = pre[o + e]
            post[o + e] = max(z, 0) + slope * min(z, 0)


@njit(cache=True, error_model="numpy", fastmath={"contract", "nsz"})
def _forward(
    weights: Any, middle: Any, last: Any, biases: Any, last_bias: Any, slopes: Any, x: Any, z: Any, h: Any, y: Any,
    thresholds: Any, begin: Any, m: Any,
) -> None:  # fmt: skip
    """One tile through the network: x holds the border on entry and the spins on return, z, h and y all units.

    The border units first; then, block by block, a product with everything known before the block and the triangle
    inside the block, spin by spin.
    """
    n_spins, units, n_hidden = _U(last.shape[0]), _U(slopes.shape[1]), _U(slopes.shape[0])
    n_border = _U(weights.shape[1]) - n_spins
    width = units // (n_border + n_spins)
    top = (n_hidden - _1) * units
    rows = n_border * width
    for layer in range(n_hidden):
        at = layer * units
        _fill(z, at, rows, biases[layer], _0)
        if layer == _0:
            _multiply(z, at, rows, weights, _0, x, _0, n_border, _0)
        else:
            _multiply(z, at, rows, middle[layer - _1], _0, h, at - units, at - units + rows, _0)
        _activate(z, h, at, rows, slopes[layer], _0)
    start = _0
    while start < n_spins:
        stop = min(start + _BLOCK, n_spins)
        known, inner = n_border + start, (n_border + start) * width
        rows = (stop - start) * width
        for layer in range(n_hidden):
            at = layer * units
            _fill(z, at + inner, rows, biases[layer], inner)
            if layer == _0:
                _multiply(z, inner, rows, weights, inner, x, _0, known, _0)
            else:
                _multiply(z, at + inner, rows, middle[layer - _1], inner, h, at - units, at - units + inner, _0)
        _fill(y, start, stop - start, last_bias, start)
        _multiply(y, start, stop - start, last, start, h, top, top + inner, _0)
        for k in range(start, stop):
            site = n_border + k
            unit, after = site * width, (site + _1) * width
            for layer in range(n_hidden):
                at = layer * units
                for u in range(unit, after):
                    if layer == _0:
                        _multiply_row(z, u, weights, u, x, known, site, known)
                    else:
                        below = at - units
                        _multiply_row(z, at + u, middle[layer - _1], u, h, below + inner, below + after, inner)
                _activate(z, h, at + unit, width, slopes[layer], unit)
            _multiply_row(y, k, last, k, h, top + inner, top + after, inner)
            o, s = k * _TILE, site * _TILE
            for e in range(m):
                x[s + e] = 1.0 if y[o + e] > thresholds[k, begin + e] else -1.0
        start = stop


@njit(cache=True, error_model="numpy", fastmath={"contract", "nsz"})
def _evaluate(
    weights: Any, middle: Any, last: Any, biases: Any, last_bias: Any, slopes: Any, x: Any, z: Any, h: Any, y: Any
) -> None:
    """As `_forward` where x holds the spins already: products alone, up to the block of spins of each unit."""
    n_spins, units, n_hidden = _U(last.shape[0]), _U(slopes.shape[1]), _U(slopes.shape[0])
    n_border = _U(weights.shape[1]) - n_spins
    width = units // (n_border + n_spins)
    border, top = n_border * width, (n_hidden - _1) * units
    for layer in range(n_hidden):
        at = layer * units
        _fill(z, at, units, biases[layer], _0)
        start, unit = _0, _0
        stop, after = _0, border
        while True:
            if layer == _0:
                _multiply(z, unit, after - unit, weights, unit, x, _0, n_border + stop, _0)
            else:
                _multiply(z, at + unit, after - unit, middle[layer - _1], unit, h, at - units, at - units + after, _0)
            if stop == n_spins:
                break
            start, unit = stop, after
            stop = min(start + _BLOCK, n_spins)
            after = (n_border + stop) * width
        _activate(z, h, at, units, slopes[layer], _0)
    _fill(y, _0, n_spins, last_bias, _0)
    start = _0
    while start < n_spins:
        stop = min(start + _BLOCK, n_spins)
        _multiply(y, start, stop - start, last, start, h, top, top + (n_border + stop) * width, _0)
        start = stop


@njit(cache=True, error_model="numpy", fastmath={"contract", "nsz", "reassoc"})
def _deactivate(upper: Any, z: Any, at: Any, slopes: Any, d_slopes: Any) -> None:
    """The gradient after the activation becomes the one before it; adds that of the slopes."""
    for u in range(_U(slopes.shape[0])):
        slope = slopes[u]
        one, total = slope * 0 + 1, slope * 0
        o, i = u * _TILE, (at + u) * _TILE
        for e in range(_TILE):
            total += upper[o + e] * min(z[i + e], 0)
            upper[o + e] *= slope if z[i + e] < 0 else one
        d_slopes[u] += total


@njit(cache=True, error_model="numpy", fastmath={"contract", "nsz", "reassoc"})
def _row_sums(out: Any, a: Any, rows: Any) -> None:
    """out[r] += sum_e a[r, e]"""
    for r in range(rows):
        total = out[r] * 0
        for e in range(_TILE):
            total += a[r * _TILE + e]
        out[r] += total


@njit(cache=True, error_model="numpy", fastmath={"contract", "nsz"})
def _outer(out: Any, row: Any, rows: Any, a: Any, at: Any, b: Any, columns: Any) -> None:
    """out[row + r, c] += sum_e a[at + r, e] b[e, c] for the columns up to `columns`, rounded up to whole vectors.

    `a` is flat, (units, TILE), `b` transposed, (TILE, columns of `out`). Four rows by four e at a time.
    """
    stop = (columns + _LANES - _1) // _LANES * _LANES
    four = rows // _4 * _4
    r = _0
    while r < rows:
        step = _4 if r < four else _1
        p, i = (at + r) * _TILE, row + r
        q, s, t = p + _TILE, p + _2 * _TILE, p + _3 * _TILE
        for f in range(_TILE // _4):
            e = f * _4
            x0, x1, x2, x3 = a[p + e], a[p + e + _1], a[p + e + _2], a[p + e + _3]
            if step == _1:
                for c in range(stop):
                    out[i, c] += x0 * b[e, c] + x1 * b[e + _1, c] + x2 * b[e + _2, c] + x3 * b[e + _3, c]
                continue
            y0, y1, y2, y3 = a[q + e], a[q + e + _1], a[q + e + _2], a[q + e + _3]
            z0, z1, z2, z3 = a[s + e], a[s + e + _1], a[s + e + _2], a[s + e + _3]
            w0, w1, w2, w3 = a[t + e], a[t + e + _1], a[t + e + _2], a[t + e + _3]
            for c in range(stop):
                b0, b1, b2, b3 = b[e, c], b[e + _1, c], b[e + _2, c], b[e + _3, c]
                out[i, c] += x0 * b0 + x1 * b1 + x2 * b2 + x3 * b3
                out[i + _1, c] += y0 * b0 + y1 * b1 + y2 * b2 + y3 * b3
                out[i + _2, c] += z0 * b0 + z1 * b1 + z2 * b2 + z3 * b3
                out[i + _3, c] += w0 * b0 + w1 * b1 + w2 * b2 + w3 * b3
        r += step


@njit(cache=True)
def _transpose(out: Any, a: Any, at: Any, units: Any) -> None:
    """out[e, u] = a[at + u, e]; a whole vector of units at a time, so that lines are written once."""
    u = _0
    while u < units:
        stop = min(u + _LANES, units)
        for e in range(_TILE):
            for v in range(u, stop):
                out[e, v] = a[(at + v) * _TILE + e]
        u = stop


@njit(cache=True, error_model="numpy", fastmath={"contract", "nsz"})
def _backward(
    middle_t: Any, last_t: Any, slopes: Any, x: Any, z: Any, h: Any, y: Any, weight: Any, d_first: Any, d_middle: Any,
    d_last: Any, d_biases: Any, d_last_bias: Any, d_slopes: Any,
) -> None:  # fmt: skip
    """Adds the gradient of one tile; y becomes the gradient at the logits. Masks matter by blocks of spins only."""
    n_spins, units, n_hidden = _U(last_t.shape[1]), _U(slopes.shape[1]), _U(slopes.shape[0])
    sites = _U(x.size) // _TILE
    n_border, width = sites - n_spins, units // sites
    for k in range(n_spins):
        o, s = k * _TILE, (n_border + k) * _TILE
        for e in range(_TILE):  # d ln sigmoid(s y) / dy = s sigmoid(-s y)
            y[o + e] = weight[e] * x[s + e] * _sigmoid(-x[s + e] * y[o + e])
    _row_sums(d_last_bias, y, n_spins)
    border, blocks = n_border * width, (n_spins + _BLOCK - _1) // _BLOCK
    upper, lower = np.zeros(units * _TILE, dtype=y.dtype), np.zeros(units * _TILE, dtype=y.dtype)
    below = np.zeros((_TILE, _U(d_last.shape[1])), dtype=y.dtype)
    _transpose(below, h, (n_hidden - _1) * units, units)
    _multiply(upper, _0, border, last_t, _0, y, _0, n_spins, _0)
    for block in range(blocks):
        start, stop = block * _BLOCK, min((block + _1) * _BLOCK, n_spins)
        unit, after = (n_border + start) * width, (n_border + stop) * width
        _multiply(upper, unit, after - unit, last_t, unit, y, start, n_spins, start)
        _outer(d_last, start, stop - start, y, start, below, after)
    for index in range(n_hidden):
        layer = n_hidden - _1 - index
        _deactivate(upper, z, layer * units, slopes[layer], d_slopes[layer])
        _row_sums(d_biases[layer], upper, units)
        if layer == _0:
            inputs = np.zeros((_TILE, _U(d_first.shape[1])), dtype=y.dtype)
            _transpose(inputs, x, _0, n_border + n_spins)
            _outer(d_first, _0, border, upper, _0, inputs, n_border)
        else:
            lower[:] = 0
            _transpose(below, h, (layer - _1) * units, units)
            _outer(d_middle[layer - _1], _0, border, upper, _0, below, border)
            _multiply(lower, _0, border, middle_t[layer - _1], _0, upper, _0, units, _0)
        for block in range(blocks):
            start, stop = block * _BLOCK, min((block + _1) * _BLOCK, n_spins)
            unit, after = (n_border + start) * width, (n_border + stop) * width
            if layer == _0:
                _outer(d_first, unit, after - unit, upper, unit, inputs, n_border + stop)
            else:
                _outer(d_middle[layer - _1], unit, after - unit, upper, unit, below, after)
                _multiply(lower, unit, after - unit, middle_t[layer - _1], unit, upper, unit, units, unit)
        upper, lower = lower, upper


@njit(cache=True)
def _gather(x: Any, at: Any, lattice: Any, sites: Any, begin: Any, m: Any) -> None:
    """x[at + r, e] = lattice[sites[r, block], c] for the samples begin + e = block n + c, e < m."""
    n = _U(lattice.shape[1])
    for r in range(_U(sites.shape[0])):
        o, e, block, c = (at + r) * _TILE, _0, begin // n, begin % n
        while e < m:
            site, run = _U(sites[r, block]), min(m - e, n - c)
            for k in range(run):
                x[o + e + k] = lattice[site, c + k]
            e, block, c = e + run, block + _1, _0


@njit(cache=True)
def _scatter(x: Any, at: Any, lattice: Any, sites: Any, begin: Any, m: Any) -> None:
    """The way back of `_gather`."""
    n = _U(lattice.shape[1])
    for r in range(_U(sites.shape[0])):
        o, e, block, c = (at + r) * _TILE, _0, begin // n, begin % n
        while e < m:
            site, run = _U(sites[r, block]), min(m - e, n - c)
            for k in range(run):
                lattice[site, c + k] = np.int8(x[o + e + k])
            e, block, c = e + run, block + _1, _0


@njit(cache=True)
def _buffers(weights: Any, n_spins: Any, hidden: Any) -> Any:
    """Inputs, hidden units before and after the activation, logits; flat, (units, TILE)."""
    x = np.zeros(weights.shape[1] * TILE, dtype=weights.dtype)
    z = np.empty(hidden * _TILE, dtype=weights.dtype)
    return x, z, np.empty_like(z), np.empty(n_spins * _TILE, dtype=weights.dtype)


@njit(cache=True, error_model="numpy", fastmath={"contract", "nsz"})
def _log_prob(x: Any, first: Any, y: Any, rows: Any) -> Any:
    """(TILE,) float64 sum of ln sigmoid(spin logit) over the rows."""
    total, part = np.zeros(TILE, dtype=np.float64), np.empty(TILE, dtype=y.dtype)
    for k in range(rows):
        o, s = k * _TILE, (first + k) * _TILE
        for e in range(_TILE):
            part[e] = _log_sigmoid(x[s + e] * y[o + e])
        for e in range(_TILE):
            total[e] += part[e]
    return total


@njit(parallel=True, cache=True)
def draw_stack(
    first: Any, middle: Any, last: Any, biases: Any, last_bias: Any, slopes: Any, lattice: Any, drawn: Any,
    border: Any, thresholds: Any, log_prob: Any,
) -> None:  # fmt: skip
    """One pass of ancestral sampling through a plain stack of masked layers: every unit is computed once.

    All blocks of a level are drawn into the lattice; sample `block n + c` is a block of configuration c.

    Parameters
    ----------
    first, middle, last : (U, n_border + n_spins), (depth - 2, U, U), (n_spins, U) masked weights
    biases, last_bias : (depth - 1, U), (n_spins,)
    slopes : (depth - 1, U)
    lattice : (all sites, n) int8
    drawn, border : (n_spins, n_blocks), (n_border, n_blocks) sites
    thresholds : (n_spins, n_blocks n), spin k is +1 where logit_k > thresholds[k]; (0, 0) leaves the spins as they are
    log_prob : (n_blocks n,) the result
    """
    n_spins, hidden, total_n = _U(drawn.shape[0]), _U(slopes.size), _U(log_prob.shape[0])
    n_border, known = _U(border.shape[0]), thresholds.shape[0] == 0
    for tile in prange((log_prob.shape[0] + TILE - 1) // TILE):
        begin = _U(tile) * _TILE
        m = min(_TILE, total_n - begin)
        x, z, h, y = _buffers(first, n_spins, hidden)
        _gather(x, _0, lattice, border, begin, m)
        if known:
            _gather(x, n_border, lattice, drawn, begin, m)
            _evaluate(first, middle, last, biases, last_bias, slopes, x, z, h, y)
        else:
            _forward(first, middle, last, biases, last_bias, slopes, x, z, h, y, thresholds, begin, m)
            _scatter(x, n_border, lattice, drawn, begin, m)
        total = _log_prob(x, n_border, y, n_spins)
        for e in range(m):
            log_prob[begin + e] = total[e]


@njit(cache=True)
def _whole_vectors(columns: Any) -> Any:
    return (columns + LANES - 1) // LANES * LANES


@njit(cache=True)
def gradient_size(inputs: Any, n_spins: Any, n_hidden: Any, units: Any) -> Any:
    """How many numbers `gradients_of` takes."""
    wide = _whole_vectors(units)
    matrices = units * _whole_vectors(inputs) + (n_hidden - 1) * units * wide + n_spins * wide
    return matrices + 2 * n_hidden * units + n_spins


@njit(cache=True)
def gradients_of(flat: Any, inputs: Any, n_spins: Any, n_hidden: Any, units: Any) -> Any:
    """Views of one flat array: the gradients of first, middle, last, biases, last_bias and slopes, one after the other.

    The rows of the three matrices end with a whole vector of LANES. Masked entries are undefined.
    """
    wide = _whole_vectors(units)
    a = units * _whole_vectors(inputs)
    b = a + (n_hidden - 1) * units * wide
    c = b + n_spins * wide
    d = c + n_hidden * units
    e = d + n_spins
    return (
        flat[:a].reshape(units, _whole_vectors(inputs)),
        flat[a:b].reshape(n_hidden - 1, units, wide),
        flat[b:c].reshape(n_spins, wide),
        flat[c:d].reshape(n_hidden, units),
        flat[d:e],
        flat[e:].reshape(n_hidden, units),
    )


@njit(parallel=True, cache=True, error_model="numpy", fastmath={"contract", "nsz"})
def gradient_stack(
    first: Any, middle: Any, last: Any, biases: Any, last_bias: Any, slopes: Any, lattice: Any, drawn: Any,
    border: Any, middle_t: Any, last_t: Any, factor: Any, gradients: Any,
) -> None:  # fmt: skip
    """The gradient of sum_c factor_c ln q_c: each tile goes forward again and back, so no hidden unit is ever stored.

    Parameters
    ----------
    first ... border : as in `draw_stack`
    middle_t, last_t : transposed weights, contiguous
    factor : (n,)
    gradients : (parts, gradient_size) zeros, laid out as by `gradients_of`: the parts of the sum, whose number, and so
        the result, does not depend on the number of threads
    """
    n_spins, hidden, n = _U(drawn.shape[0]), _U(slopes.size), _U(lattice.shape[1])
    n_border, total_n = _U(border.shape[0]), n * _U(drawn.shape[1])
    parts, tiles = gradients.shape[0], (lattice.shape[1] * drawn.shape[1] + TILE - 1) // TILE
    for part in prange(parts):
        d_first, d_middle, d_last, d_biases, d_last_bias, d_slopes = gradients_of(
            gradients[part], first.shape[1], last.shape[0], slopes.shape[0], slopes.shape[1]
        )
        for tile in range(part, tiles, parts):
            begin = _U(tile) * _TILE
            m = min(_TILE, total_n - begin)
            x, z, h, y = _buffers(first, n_spins, hidden)
            _gather(x, _0, lattice, border, begin, m)
            _gather(x, n_border, lattice, drawn, begin, m)
            _evaluate(first, middle, last, biases, last_bias, slopes, x, z, h, y)
            weight = np.zeros(TILE, dtype=y.dtype)
            for e in range(m):
                weight[e] = factor[(begin + e) % n]
            _backward(
                middle_t, last_t, slopes, x, z, h, y, weight, d_first, d_middle, d_last, d_biases, d_last_bias,
                d_slopes,
            )  # fmt: skip


@njit(cache=True, error_model="numpy", fastmath={"contract", "nsz"})
def _heat_bath(lattice: Any, sites: Any, neighbours: Any, coupling: Any, thresholds: Any, begin: Any, m: Any) -> Any:
    """Draws the sites in the configurations begin ... begin + m; (WIDE,) float64 their ln q."""
    total, logit = np.zeros(WIDE, dtype=np.float64), np.zeros(WIDE, dtype=thresholds.dtype)
    spin = np.zeros_like(logit)
    for k in range(_U(sites.shape[0])):
        site = _U(sites[k])
        a, b, c, d = _U(neighbours[0, k]), _U(neighbours[1, k]), _U(neighbours[2, k]), _U(neighbours[3, k])
        for e in range(m):
            i = begin + e
            around = np.int8(lattice[a, i] + lattice[b, i])
            logit[e] = coupling * np.int8(around + np.int8(lattice[c, i] + lattice[d, i]))
        for e in range(m):
            spin[e] = 1.0 if logit[e] > thresholds[k, begin + e] else -1.0
        for e in range(m):
            lattice[site, begin + e] = np.int8(spin[e])
        for e in range(_WIDE):
            logit[e] = _log_sigmoid(spin[e] * logit[e])
        for e in range(_WIDE):
            total[e] += logit[e]
    return total


@njit(parallel=True, cache=True)
def draw_isolated(lattice: Any, sites: Any, neighbours: Any, coupling: Any, thresholds: Any, log_prob: Any) -> None:
    """Heat bath of spins that are no neighbours of each other, in place.

    Parameters
    ----------
    lattice : (all sites, n) int8
    sites, neighbours : (k,), (4, k) rows of the lattice
    coupling : 2 beta, of the dtype of the network; the logit of a spin is coupling times the sum of its neighbours
    thresholds, log_prob : (k, n), (n,); as in `draw_stack`
    """
    n = _U(lattice.shape[1])
    for tile in prange((lattice.shape[1] + WIDE - 1) // WIDE):
        begin = _U(tile) * _WIDE
        m = min(_WIDE, n - begin)
        total = _heat_bath(lattice, sites, neighbours, coupling, thresholds, begin, m)
        for e in range(m):
            log_prob[begin + e] = total[e]


@njit(inline="always")
def _streams(seed: Any, chunk: Any) -> Any:
    """(4, STREAMS) states of xoshiro128++, filled by splitmix64 from the seed and the number of the chunk."""
    state = np.empty((4, STREAMS), dtype=np.uint32)
    x = np.uint64(seed) ^ (np.uint64(chunk) * np.uint64(0xD1342543DE82EF95))
    for lane in range(STREAMS):
        for half in range(2):
            x += np.uint64(0x9E3779B97F4A7C15)
            z = x
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z ^= z >> np.uint64(31)
            state[2 * half, lane] = np.uint32(z & np.uint64(0xFFFFFFFF))
            state[2 * half + 1, lane] = np.uint32(z >> np.uint64(32))
    return state


@njit(parallel=True, cache=True, error_model="numpy", fastmath={"contract", "nsz"})
def fill_thresholds(out: Any, seed: int) -> None:
    """Fills `out` with logit(u), u uniform: xoshiro128++ (Blackman, Vigna 2021), one stream a lane and chunk.

    31 bits give v in (0, 1/2), one the sign of logit(v): both tails reach 2^-33, where a float32 uniform number
    ends at 2^-24. The same numbers whatever the number of threads.
    """
    n = out.shape[0]
    for chunk in prange((n + CHUNK - 1) // CHUNK):
        state = _streams(seed, chunk)
        s0, s1, s2, s3 = state[0].copy(), state[1].copy(), state[2].copy(), state[3].copy()
        tile = np.empty(STREAMS, dtype=np.float32)
        for base in range(chunk * CHUNK, min(n, (chunk + 1) * CHUNK), STREAMS):
            for lane in range(STREAMS):
                total = np.uint32(s0[lane] + s3[lane])
                turned = np.uint32(total << np.uint32(7)) | np.uint32(total >> np.uint32(25))
                bits = np.uint32(turned + s0[lane])
                shifted = np.uint32(s1[lane] << np.uint32(9))
                s2[lane] ^= s0[lane]
                s3[lane] ^= s1[lane]
                s1[lane] ^= s2[lane]
                s0[lane] ^= s3[lane]
                s2[lane] ^= shifted
                s3[lane] = np.uint32(s3[lane] << np.uint32(11)) | np.uint32(s3[lane] >> np.uint32(21))
                v = (np.float32(np.int32(bits & np.uint32(0x7FFFFFFF))) + _HALF) * np.float32(2.0**-32)
                size = _log(v / (_ONE - v))  # at most 0
                sign = np.uint32(np.float32(size).view(np.uint32) ^ np.uint32(bits & np.uint32(0x80000000)))
                tile[lane] = np.uint32(sign).view(np.float32)
            m = min(STREAMS, n - base)
            for lane in range(m):
                out[base + lane] = tile[lane]
