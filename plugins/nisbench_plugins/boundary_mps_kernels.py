"""Compiled kernel of `boundary-mps`: ancestral sampling of many configurations at a time.

LANES configurations advance together. Every inner loop runs over them in contiguous memory, which the compiler
vectorises if the loop reads and writes few arrays. The limits of loops are unsigned, because numba tests a signed
index for being negative. Spins are -1.0 and +1.0 in the arrays of the kernel.
"""

from typing import Any

import numpy as np
from numba import njit, prange

from nisbench.nn.kernels.cache import kernel

__all__ = [
    "LANES",
    "add_product",
    "dot",
    "invert_norm",
    "load",
    "normalise",
    "pick",
    "pick_more",
    "store",
    "sum_spin",
    "uniform",
    "visit",
]

LANES = 64
"""Configurations that advance together."""
_U = np.uintp
_0, _1, _2, _3, _4 = _U(0), _U(1), _U(2), _U(3), _U(4)
_LANES = _U(LANES)
_SITES_PER_LOG = _U(16)
"""ln q takes one logarithm of the product of so many conditional probabilities, each of which is at least 1e-16."""
_TINY = 1e-300
_FAST = {"contract", "nsz"}

# SplitMix64: G. L. Steele, D. Lea, C. H. Flood, OOPSLA 2014
_GOLDEN, _MIX_1, _MIX_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S11, _S27, _S30, _S31 = np.uint64(11), np.uint64(27), np.uint64(30), np.uint64(31)


@kernel(parallel=True, fastmath=_FAST, error_model="numpy")
def visit(tensors: Any, left: Any, upper: Any, least: Any, keys: Any, spins: Any, log_prob: Any) -> None:
    """Draw spins row by row and evaluate their ln q.

    Parameters
    ----------
    tensors : (L, L, 2, D, D) float64, environment A[spin] of each site; D is a multiple of four
    left, upper : (L, L, 2, 2) float64, weights of the bonds to the left and to the upper neighbour by
        [neighbour's spin, own spin]; the first column and the first row have no such neighbour
    least : (L, L) float64, lower limit of the conditional probabilities
    keys : (n,) uint64, the random stream of each configuration; (0,) evaluates the given spins
    spins : (n, L, L) int8, the result if there are keys
    log_prob : (n,) float64, the result
    """
    L, width = tensors.shape[0], tensors.shape[3]
    drawing = len(keys) > 0
    for tile in prange((len(spins) + LANES - 1) // LANES):
        begin = _U(tile) * _LANES
        lanes = min(_LANES, _U(len(spins)) - begin)
        partial = np.empty((L, 2, width, LANES))
        above, row = np.ones((L, LANES)), np.ones((L, LANES))
        total, stream = np.zeros(LANES), np.zeros(LANES, dtype=np.uint64)
        work = (np.empty((2 * width, LANES)), np.empty((width, LANES)), np.empty((3, 2, LANES)))
        for e in range(lanes if drawing else _0):
            stream[e] = keys[begin + e]
        for r in range(_U(L)):
            if not drawing:
                load(row, spins, begin, lanes, r)
            _environment(tensors[r], left[r], upper[r], above, partial, work)
            _visit_row(tensors[r], left[r], upper[r], least[r], partial, above, row, total, drawing, stream, r, work)
            if drawing:
                store(row, spins, begin, lanes, r)
            above[:] = row
        for e in range(lanes):
            log_prob[begin + e] = total[e]


@njit(fastmath=_FAST, error_model="numpy")
def _environment(tensors: Any, left: Any, upper: Any, above: Any, partial: Any, work: Any) -> None:
    """Right environments of a row: partial[c, s] = A_c[s] R_c[s] for each column c and value s of its spin.

    R_c[s] sums over all spins to the right of column c. It is rescaled at each site; conditional probabilities do not
    depend on its scale.
    """
    right, _, (weight, scale, _) = work
    width, last = _U(partial.shape[2]), _U(len(tensors)) - _1
    right[:] = 1.0  # right of the last column: no spins, weight 1
    for step in range(_U(len(tensors))):
        c = last - step
        partial[c] = 0.0
        add_product(tensors[c, _0], right[:width], partial[c, _0])
        add_product(tensors[c, _1], right[width:], partial[c, _1])
        if c > _0:
            pick(upper[c], above[c], weight)
            invert_norm(right, scale[_0])
            for e in range(_LANES):
                weight[_0, e] *= scale[_0, e]
                weight[_1, e] *= scale[_0, e]
            sum_spin(weight, left[c], partial[c], right)


@njit(fastmath=_FAST, error_model="numpy")
def _visit_row(
    tensors: Any, left: Any, upper: Any, least: Any, partial: Any, above: Any, row: Any, total: Any,
    drawing: Any, stream: Any, r: Any, work: Any,
) -> None:  # fmt: skip
    """Draw `row` (L, LANES) number r from left to right, or keep it; add its ln q to `total` (LANES,)."""
    split, vector, (weight, dots, probability) = work
    product = np.ones(LANES)
    vector[:] = 1.0  # left of the first column: no spins, weight 1
    L = _U(len(row))
    for c in range(L):
        pick(upper[c], above[c], weight)
        if c > _0:
            pick_more(left[c], row[c - _1], weight)
        dot(vector, partial[c], dots)
        normalise(weight, dots, least[c], probability)
        if drawing:
            for e in range(_LANES):
                row[c, e] = 1.0 if uniform(stream[e], r * L + c) < probability[_1, e] else -1.0
        for e in range(_LANES):
            product[e] *= probability[_1, e] if row[c, e] > 0 else probability[_0, e]
        if (c + _1) % _SITES_PER_LOG == _0 or c + _1 == L:
            for e in range(_LANES):
                total[e] += np.log(product[e])
            product[:] = 1.0
        invert_norm(vector, dots[_0])
        _append_site(tensors[c], row[c], vector, split, dots[_0])


@njit(fastmath=_FAST, error_model="numpy")
def add_product(matrix: Any, x: Any, y: Any) -> None:
    """y += matrix x for each lane: matrix (n, m), x (m, LANES), y (n, LANES); n and m are multiples of four.

    It takes four rows and four columns at a time, so that each number loaded from x serves four multiply-adds.
    """
    for i in range(_0, _U(matrix.shape[0]), _4):
        for j in range(_0, _U(matrix.shape[1]), _4):
            a0, a1, a2, a3 = matrix[i, j], matrix[i, j + _1], matrix[i, j + _2], matrix[i, j + _3]
            b0, b1, b2, b3 = matrix[i + _1, j], matrix[i + _1, j + _1], matrix[i + _1, j + _2], matrix[i + _1, j + _3]
            c0, c1, c2, c3 = matrix[i + _2, j], matrix[i + _2, j + _1], matrix[i + _2, j + _2], matrix[i + _2, j + _3]
            d0, d1, d2, d3 = matrix[i + _3, j], matrix[i + _3, j + _1], matrix[i + _3, j + _2], matrix[i + _3, j + _3]
            for e in range(_LANES):
                x0, x1, x2, x3 = x[j, e], x[j + _1, e], x[j + _2, e], x[j + _3, e]
                y[i, e] += a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3
                y[i + _1, e] += b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3
                y[i + _2, e] += c0 * x0 + c1 * x1 + c2 * x2 + c3 * x3
                y[i + _3, e] += d0 * x0 + d1 * x1 + d2 * x2 + d3 * x3


@njit(fastmath=_FAST, error_model="numpy")
def sum_spin(weight: Any, bond: Any, partial: Any, right: Any) -> None:
    """R of the next column to the left: right[s] = sum over t of bond[s, t] weight[t] partial[t]."""
    b00, b01, b10, b11 = bond[_0, _0], bond[_0, _1], bond[_1, _0], bond[_1, _1]
    width = _U(partial.shape[1])
    for i in range(width):
        for e in range(_LANES):
            minus, plus = weight[_0, e] * partial[_0, i, e], weight[_1, e] * partial[_1, i, e]
            right[i, e] = b00 * minus + b01 * plus
            right[width + i, e] = b10 * minus + b11 * plus


@njit(fastmath=_FAST, error_model="numpy")
def _append_site(tensor: Any, spin: Any, vector: Any, split: Any, scale: Any) -> None:
    """vector = scale vector A[spin]; `split` has the lanes with spin -1 in its first half, +1 in its second half."""
    width = _U(len(vector))
    for i in range(width):
        for e in range(_LANES):
            x = vector[i, e] * scale[e]
            split[i, e] = 0.0 if spin[e] > 0 else x
            split[width + i, e] = x if spin[e] > 0 else 0.0
    vector[:] = 0.0
    add_product(tensor[_0].T, split[:width], vector)
    add_product(tensor[_1].T, split[width:], vector)


@njit(fastmath=_FAST, error_model="numpy")
def dot(vector: Any, partial: Any, dots: Any) -> None:
    """dots[s] = vector . partial[s] for each lane and both values s of a spin."""
    dots[:] = 0.0
    for i in range(_0, _U(len(vector)), _4):
        for s in range(_2):
            for e in range(_LANES):
                dots[s, e] += (
                    vector[i, e] * partial[s, i, e]
                    + vector[i + _1, e] * partial[s, i + _1, e]
                    + vector[i + _2, e] * partial[s, i + _2, e]
                    + vector[i + _3, e] * partial[s, i + _3, e]
                )


@njit(fastmath=_FAST, error_model="numpy")
def normalise(weight: Any, dots: Any, least: Any, probability: Any) -> None:
    """probability[s] = w_s / (w_0 + w_1) with w = weight dots, within [least, 1 - least]; 1/2 if no w is positive.

    Both are quotients of their own, because 1 - p loses the digits of a small probability.
    """
    for e in range(_LANES):
        w0, w1 = max(weight[_0, e] * dots[_0, e], 0.0), max(weight[_1, e] * dots[_1, e], 0.0)
        p0 = w0 / (w0 + w1) if w0 + w1 > 0 else 0.5
        p1 = w1 / (w0 + w1) if w0 + w1 > 0 else 0.5
        probability[_0, e] = min(max(p0, least), 1 - least)
        probability[_1, e] = min(max(p1, least), 1 - least)


@njit(fastmath=_FAST, error_model="numpy")
def invert_norm(x: Any, inverse: Any) -> None:
    """inverse = 1 / sum of abs(x) for each lane of x (n, LANES); n is a multiple of four."""
    inverse[:] = _TINY
    for i in range(_0, _U(len(x)), _4):
        for e in range(_LANES):
            inverse[e] += abs(x[i, e]) + abs(x[i + _1, e]) + abs(x[i + _2, e]) + abs(x[i + _3, e])
    for e in range(_LANES):
        inverse[e] = 1 / inverse[e]


@njit(fastmath=_FAST, error_model="numpy")
def pick(table: Any, spin: Any, weight: Any) -> None:
    """weight[s] = table[known spin, s] for each lane."""
    for s in range(_2):
        minus, plus = table[_0, s], table[_1, s]
        for e in range(_LANES):
            weight[s, e] = plus if spin[e] > 0 else minus


@njit(fastmath=_FAST, error_model="numpy")
def pick_more(table: Any, spin: Any, weight: Any) -> None:
    """weight[s] *= table[known spin, s] for each lane."""
    for s in range(_2):
        minus, plus = table[_0, s], table[_1, s]
        for e in range(_LANES):
            weight[s, e] *= plus if spin[e] > 0 else minus


@njit(fastmath=_FAST, error_model="numpy")
def uniform(stream: Any, count: Any) -> Any:
    """Random number `count` of a SplitMix64 stream, a multiple of 2^-53 in [0, 1)."""
    word = stream + np.uint64(count) * _GOLDEN
    word = (word ^ (word >> _S30)) * _MIX_1
    word = (word ^ (word >> _S27)) * _MIX_2
    return np.float64((word ^ (word >> _S31)) >> _S11) * 2.0**-53


@njit
def load(row: Any, spins: Any, begin: Any, lanes: Any, r: Any) -> None:
    """Copy row r of configurations begin ... begin + lanes - 1 to `row`."""
    for e in range(lanes):
        for c in range(_U(len(row))):
            row[c, e] = spins[begin + e, r, c]


@njit
def store(row: Any, spins: Any, begin: Any, lanes: Any, r: Any) -> None:
    """Copy `row` to row r of configurations begin ... begin + lanes - 1."""
    for e in range(lanes):
        for c in range(_U(len(row))):
            spins[begin + e, r, c] = np.int8(row[c, e])
