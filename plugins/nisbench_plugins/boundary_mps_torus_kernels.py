"""Compiled kernel of `boundary-mps` on the torus. The arrays are those of boundary_mps_kernels.py.

The matrices of a column depend on two spins, s of the row that is drawn and y of row 0. The sums over the rest of a row
are kept for both values w of its first spin, which the bond from the last column to the first one needs.
"""

from typing import Any

import numpy as np
from numba import njit, prange

from nisbench.nn.kernels.cache import kernel
from nisbench_plugins.boundary_mps_kernels import (
    LANES,
    add_product,
    dot,
    invert_norm,
    load,
    normalise,
    pick,
    pick_more,
    store,
    sum_spin,
    uniform,
)

__all__ = ["visit_torus"]

_U = np.uintp
_0, _1, _2, _3 = _U(0), _U(1), _U(2), _U(3)
_LANES = _U(LANES)
_FAST = {"contract", "nsz"}


@kernel(parallel=True, fastmath=_FAST, error_model="numpy")
def visit_torus(tensors: Any, left: Any, upper: Any, least: Any, keys: Any, spins: Any, log_prob: Any) -> None:
    """Draw spins row by row and evaluate their ln q; arguments as in `visit`, but for these two.

    Parameters
    ----------
    tensors : (L, L, 4, D, D) float64, environment A[2 s + y] of each site; in row 0 equal for both y
    left : (L, L, 2, 2) float64, in the first column the bond from the last column
    """
    L, width = tensors.shape[0], tensors.shape[3]
    drawing = len(keys) > 0
    for tile in prange((len(spins) + LANES - 1) // LANES):
        begin = _U(tile) * _LANES
        lanes = min(_LANES, _U(len(spins)) - begin)
        partial = np.empty((L, 2, 2, width, LANES))
        start, above, row = np.ones((L, LANES)), np.ones((L, LANES)), np.ones((L, LANES))
        total, stream = np.zeros(LANES), np.zeros(LANES, dtype=np.uint64)
        work = np.empty((2, 2 * width, LANES)), np.empty((2 * width, LANES)), np.empty((width, LANES))
        few = np.empty((3, 2, LANES))
        for e in range(lanes if drawing else _0):
            stream[e] = keys[begin + e]
        for r in range(_U(L)):
            if not drawing:
                load(row, spins, begin, lanes, r)
            _environment(tensors[r], left[r], upper[r], above, start, partial, work, few)
            _visit_row(
                *(tensors[r], left[r], upper[r], least[r], partial, above, start, row, total),
                *(drawing, stream, r, work, few),
            )
            if drawing:
                store(row, spins, begin, lanes, r)
            if r == _0:
                start[:] = row
            above[:] = row
        for e in range(lanes):
            log_prob[begin + e] = total[e]


@njit(fastmath=_FAST, error_model="numpy")
def _environment(
    tensors: Any, left: Any, upper: Any, above: Any, start: Any, partial: Any, work: Any, few: Any
) -> None:
    """Right environments of a row: partial[c, w, s] = A_c[s, y] R_c[w, s] with the spin w of column 0.

    They are rescaled at each site, by the same number for both w.
    """
    (right, split, _), (weight, scale, _) = work, few
    width, last = _U(partial.shape[3]), _U(len(tensors)) - _1
    for w in range(_2):
        for s in range(_2):
            right[w, s * width : (s + _1) * width] = left[_0, s, w]
    for step in range(_U(len(tensors))):
        c = last - step
        partial[c] = 0.0
        for w in range(_2):
            for s in range(_2):
                _split(right[w, s * width : (s + _1) * width], start[c], split)
                add_product(tensors[c, _2 * s], split[:width], partial[c, w, s])
                add_product(tensors[c, _2 * s + _1], split[width:], partial[c, w, s])
        if c > _0:
            pick(upper[c], above[c], weight)
            invert_norm(right[_0], scale[_0])
            invert_norm(right[_1], scale[_1])
            for e in range(_LANES):
                factor = min(scale[_0, e], scale[_1, e])
                weight[_0, e] *= factor
                weight[_1, e] *= factor
            sum_spin(weight, left[c], partial[c, _0], right[_0])
            sum_spin(weight, left[c], partial[c, _1], right[_1])


@njit(fastmath=_FAST, error_model="numpy")
def _visit_row(
    tensors: Any, left: Any, upper: Any, least: Any, partial: Any, above: Any, start: Any, row: Any, total: Any,
    drawing: Any, stream: Any, r: Any, work: Any, few: Any,
) -> None:  # fmt: skip
    """Draw `row` (L, LANES) number r from left to right, or keep it; add its ln q to `total` (LANES,)."""
    (both, split, vector), (weight, dots, probability) = work, few
    vector[:] = 1.0  # left of the first column: no spins, weight 1
    partial[_0, _0, _1] = partial[_0, _1, _1]  # in column 0, w is the spin itself
    L = _U(len(row))
    for c in range(L):
        pick(upper[c], above[c], weight)
        if c > _0:
            pick_more(left[c], row[c - _1], weight)
            _choose(row[_0], partial[c])
        dot(vector, partial[c, _0], dots)
        normalise(weight, dots, least[c], probability)
        for e in range(_LANES):
            if drawing:
                row[c, e] = 1.0 if uniform(stream[e], r * L + c) < probability[_1, e] else -1.0
            total[e] += np.log(probability[_1, e] if row[c, e] > 0 else probability[_0, e])
        invert_norm(vector, dots[_0])
        for e in range(_LANES):
            for i in range(_U(len(vector))):
                vector[i, e] *= dots[_0, e]
        _split(vector, row[c], split)
        width = _U(len(vector))
        vector[:] = 0.0
        for s in range(_2):
            _split(split[s * width : (s + _1) * width], start[c], both[_0])
            add_product(tensors[c, _2 * s].T, both[_0, :width], vector)
            add_product(tensors[c, _2 * s + _1].T, both[_0, width:], vector)


@njit(fastmath=_FAST, error_model="numpy")
def _choose(first: Any, partial: Any) -> None:
    """partial[0] = partial[w] for each lane, with the spin w of column 0."""
    for s in range(_2):
        for i in range(_U(partial.shape[2])):
            for e in range(_LANES):
                partial[_0, s, i, e] = partial[_1, s, i, e] if first[e] > 0 else partial[_0, s, i, e]


@njit(fastmath=_FAST, error_model="numpy")
def _split(x: Any, spin: Any, split: Any) -> None:
    """Copy x (n, LANES) to `split` (2 n, LANES): spin -1 to its first half, +1 to its second half, else 0."""
    n = _U(len(x))
    for i in range(n):
        for e in range(_LANES):
            split[i, e] = 0.0 if spin[e] > 0 else x[i, e]
            split[n + i, e] = x[i, e] if spin[e] > 0 else 0.0
