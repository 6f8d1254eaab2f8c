"""Compiled CPU kernels of the odd network.

Every inner loop runs over contiguous elements of flat arrays with unsigned indices, input and output distinct: a signed
index is tested for being negative, which keeps the loop scalar.
"""

import math
from typing import Any

import numpy as np
from numba import njit, prange

__all__ = ["solve_chunk", "tanh"]

_U = np.uintp
_FAST = {"contract", "nsz", "nnan", "ninf"}
TILE = 64
"""Samples that one thread takes through the chunk at a time; their units stay in the L1 cache."""

_CLAMP = np.float32(7.90531110763549805)
_P = tuple(
    np.float32(c)
    for c in (
        -2.76076847742355e-16,
        2.00018790482477e-13,
        -8.60467152213735e-11,
        5.12229709037114e-08,
        1.48572235717979e-05,
        6.37261928875436e-04,
        4.89352455891786e-03,
    )
)
_Q = tuple(
    np.float32(c) for c in (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)
)


@njit(fastmath=_FAST, error_model="numpy")
def tanh(values: Any, start: Any, stop: Any) -> None:
    """tanh of values[start:stop] in place: of float32 as in the Eigen library, x P(x^2)/Q(x^2), to 3e-7.

    Written out because only plain arithmetic vectorises.
    """
    if values.itemsize == 4:
        for i in range(start, stop):
            x = values[i]
            x = min(max(x, -_CLAMP), _CLAMP)
            z = x * x
            p = _P[0]
            p = p * z + _P[1]
            p = p * z + _P[2]
            p = p * z + _P[3]
            p = p * z + _P[4]
            p = p * z + _P[5]
            p = p * z + _P[6]
            q = _Q[0]
            q = q * z + _Q[1]
            q = q * z + _Q[2]
            q = q * z + _Q[3]
            values[i] = x * p / q
    else:
        for i in range(start, stop):
            values[i] = math.tanh(values[i])


@njit(fastmath=_FAST, error_model="numpy")
def _accumulate(acc: Any, out: Any, m: Any, weights: Any, row: Any, x: Any, base: Any, stride: Any, count: Any) -> None:
    """acc[out + b] += sum_j weights[row, j] x[base + j stride + b], four terms at a time."""
    j, one = _U(0), _U(1)
    while j + _U(4) <= count:
        w0, w1 = weights[row, j], weights[row, j + one]
        w2, w3 = weights[row, j + _U(2)], weights[row, j + _U(3)]
        o0 = base + j * stride
        o1 = o0 + stride
        o2 = o1 + stride
        o3 = o2 + stride
        for b in range(m):
            acc[out + b] += w0 * x[o0 + b] + w1 * x[o1 + b] + w2 * x[o2 + b] + w3 * x[o3 + b]
        j += _U(4)
    while j < count:
        w0 = weights[row, j]
        o0 = base + j * stride
        for b in range(m):
            acc[out + b] += w0 * x[o0 + b]
        j += one


@njit(parallel=True, cache=True, fastmath=_FAST, error_model="numpy")
def solve_chunk(skip: Any, first: Any, last: Any, thresholds: Any, spins: Any, hidden: Any, logits: Any) -> None:
    """Draws the spins of a chunk in order and completes their units, in place.

    Parameters
    ----------
    skip, first, last : (T, T), (T w, T), (T, T w) diagonal blocks of the masked weights
    thresholds, spins, logits : (T, n); on entry `logits` holds what the sites before the chunk contribute
    hidden : (T w, n) units; on entry the sums over the sites before the chunk
    """
    n_spins, n = logits.shape
    width = len(first) // n_spins
    for tile in prange((n + TILE - 1) // TILE):
        b0 = tile * TILE
        m = _U(min(TILE, n - b0))
        first_sample, stride, w = _U(b0), _U(TILE), _U(width)
        known = np.empty(n_spins * TILE, dtype=logits.dtype)
        units = np.empty(n_spins * width * TILE, dtype=logits.dtype)
        logit = np.empty(TILE, dtype=logits.dtype)
        for row in range(_U(n_spins)):
            u0 = row * w
            for u in range(u0, u0 + w):
                source = hidden[u]
                for b in range(m):
                    units[u * stride + b] = source[first_sample + b]
                _accumulate(units, u * stride, m, first, u, known, _U(0), stride, row)
            tanh(units, u0 * stride, (u0 + w) * stride)
            for u in range(u0, u0 + w):
                target = hidden[u]
                for b in range(m):
                    target[first_sample + b] = units[u * stride + b]
            base, uniform, drawn = logits[row], thresholds[row], spins[row]
            for b in range(m):
                logit[b] = base[first_sample + b]
            _accumulate(logit, _U(0), m, skip, row, known, _U(0), stride, row)
            _accumulate(logit, _U(0), m, last, row, units, _U(0), stride, u0 + w)
            for b in range(m):
                base[first_sample + b] = logit[b]
                s = 1 if logit[b] > uniform[first_sample + b] else -1
                known[row * stride + b] = s
                drawn[first_sample + b] = s
