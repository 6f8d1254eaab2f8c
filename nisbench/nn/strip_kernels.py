"""Compiled CPU kernel of the exact block: a transfer matrix site by site, many blocks at a time.

The weights of all 2^side states of a strip are kept for LANES blocks together, flat with the blocks contiguous: every
inner loop runs over LANES elements with input and output distinct, which is what the compiler vectorises. Indices are
unsigned: a signed one is tested for being negative, which keeps the loop scalar.
"""

from typing import Any

import numpy as np
from numba import njit, prange

__all__ = ["solve_blocks"]

_U = np.uintp
_ONE = _U(1)
LANES = _U(64)
"""Blocks that advance together."""
_FAST = {"contract", "nsz"}


@njit(fastmath=_FAST, error_model="numpy")
def _site_weights(weights: Any, border: Any, side: int, row: int, column: int, first: Any, m: Any, unlike: Any) -> None:
    """weights[2 left + spin]: the bonds to the border and to the left neighbour, `unlike` for each broken one."""
    for lane in range(LANES):
        weights[lane] = 1
        weights[LANES + lane] = 1
    for edge in range(4):
        touches = (row == 0, column == side - 1, row == side - 1, column == 0)[edge]
        if touches:
            outside = border[edge * side + (row if edge % 2 else column)]
            for lane in range(m):
                s = outside[first + lane]
                weights[lane] *= unlike if s > 0 else 1
                weights[LANES + lane] *= 1 if s > 0 else unlike
    if column > 0:
        for lane in range(LANES):
            weights[_U(2) * LANES + lane] = weights[lane] * unlike
            weights[_U(3) * LANES + lane] = weights[LANES + lane]
            weights[LANES + lane] *= unlike


@njit(fastmath=_FAST, error_model="numpy")
def _grow(source: Any, target: Any, column: int, weights: Any) -> None:
    """A site of the first row: the strip gets one site longer."""
    bit = _ONE << _U(column)
    for state in range(bit):
        left = _U(2) * LANES * (state >> _U(column - 1)) if column > 0 else _U(0)
        a, b = state * LANES, (state | bit) * LANES
        for lane in range(LANES):
            weight = source[a + lane]
            target[a + lane] = weight * weights[left + lane]
            target[b + lane] = weight * weights[left + LANES + lane]


@njit(fastmath=_FAST, error_model="numpy")
def _advance(source: Any, target: Any, side: int, column: int, weights: Any, unlike: Any) -> None:
    """Any other site: it takes the place of the one above it, which is summed over."""
    bit = _ONE << _U(column)
    for high in range(_ONE << _U(side - 1 - column)):
        for low in range(bit):
            state = (high << _U(column + 1)) | low
            left = _U(2) * LANES * (low >> _U(column - 1)) if column > 0 else _U(0)
            a, b = state * LANES, (state | bit) * LANES
            for lane in range(LANES):
                down, up = source[a + lane], source[b + lane]
                target[a + lane] = (down + unlike * up) * weights[left + lane]
                target[b + lane] = (unlike * down + up) * weights[left + LANES + lane]


@njit(fastmath=_FAST, error_model="numpy")
def _normalise(vector: Any, scale: Any, sums: Any, size: Any) -> None:
    """scale = 1/sum of the states' weights, which the next site applies; `size` collects the product of the sums."""
    for lane in range(LANES):
        sums[lane] = 0
    for state in range(_U(len(vector)) // LANES):
        for lane in range(LANES):
            sums[lane] += vector[state * LANES + lane]
    for lane in range(LANES):
        scale[lane] = 1 / sums[lane]
        size[lane] /= scale[lane]  # of the rounded scale, so that nothing is lost


@njit(fastmath=_FAST, error_model="numpy")
def _sum_columns(vector: Any, sums: Any, like: Any, side: int) -> None:
    """Sums over the spins from the left: `sums` holds 2^(side - c) numbers for c = 0, 1, ..., side, one after another.

    `like[2 c + spin]` is the bond to the spin below.
    """
    count = _ONE << _U(side)
    for x in range(count * LANES):
        sums[x] = vector[x]
    offset = _U(0)
    for column in range(side):
        k = _U(2 * column) * LANES
        count >>= _ONE
        for x in range(count):
            a, t = (offset + _U(2) * x) * LANES, (offset + _U(2) * count + x) * LANES
            for lane in range(LANES):
                down, up = sums[a + lane] * like[k + lane], sums[a + LANES + lane] * like[k + LANES + lane]
                sums[t + lane] = down + up
        offset += _U(2) * count


@njit(fastmath=_FAST, error_model="numpy")
def _draw_row(
    vector: Any, spins: Any, odds: Any, side: int, row: int, first: Any, m: Any, unlike: Any, sums: Any, like: Any
) -> None:
    """Draws the spins of a row from its states' weights, given the row below: from the right."""
    for column in range(side):
        k = _U(2 * column) * LANES
        for lane in range(LANES):
            like[k + lane] = 1
            like[k + LANES + lane] = 1
        if row < side - 1:
            below = spins[(row + 1) * side + column]
            for lane in range(m):
                s = below[first + lane]
                like[k + lane] = unlike if s > 0 else 1
                like[k + LANES + lane] = 1 if s > 0 else unlike
    _sum_columns(vector, sums, like, side)
    for lane in range(m):
        state, base = _U(0), (_U(2) << _U(side)) - _U(2)
        for step in range(side):
            column = side - 1 - step
            base -= _U(2) << _U(step)
            k, a = _U(2 * column) * LANES + lane, (base + _U(2) * state) * LANES + lane
            down, up = sums[a] * like[k], sums[a + LANES] * like[k + LANES]
            site = row * side + column
            if up > odds[site, first + lane] * down:
                spins[site, first + lane] = 1
                state = _U(2) * state + _ONE
            else:
                spins[site, first + lane] = -1
                state = _U(2) * state


@njit(parallel=True, cache=True, fastmath=_FAST, error_model="numpy")
def solve_blocks(border: Any, side: int, unlike: Any, odds: Any, spins: Any, log_z: Any) -> None:
    """ln Z of blocks given the spins around them and, where `spins` has rows, a draw of the spins inside.

    A bond counts 1 where its ends are alike and `unlike[row]` = exp(-2 beta) where they are not; `row` is that of the
    spin further down.

    Parameters
    ----------
    border : (4 side, n) of -1, +1: above, right, below, left
    unlike : (side,)
    odds : (side^2, n) u/(1 - u), u uniform; (0, n) for no draw
    spins : (side^2, n) the draw, row by row; (0, n) for none
    log_z : (n,) the result
    """
    n, size_of_strip, draw = border.shape[1], LANES << _U(side), len(spins) > 0
    lanes = int(LANES)
    for tile in prange((n + lanes - 1) // lanes):
        first = _U(tile) * LANES
        m = min(LANES, _U(n) - first)
        rows = np.empty((side if draw else 2, size_of_strip), dtype=border.dtype)
        even = np.empty(size_of_strip, dtype=border.dtype)
        odd = np.empty(size_of_strip, dtype=border.dtype)
        weights = np.empty(_U(4) * LANES, dtype=border.dtype)
        scale = np.empty(LANES, dtype=border.dtype)
        sums = np.empty(LANES)
        size = np.ones(LANES)
        even[:LANES] = 1
        for row in range(side):
            last = rows[row] if draw else rows[row % 2]
            source = even if row == 0 else (rows[row - 1] if draw else rows[(row - 1) % 2])
            for column in range(side):
                target = last if column == side - 1 else (even if column % 2 else odd)
                _site_weights(weights, border, side, row, column, first, m, unlike[row])
                if row == 0:
                    _grow(source, target, column, weights)
                else:
                    if column == 0:
                        for lane in range(LANES):
                            weights[lane] *= scale[lane]
                            weights[LANES + lane] *= scale[lane]
                    _advance(source, target, side, column, weights, unlike[row])
                source = target
            _normalise(last, scale, sums, size)
        for lane in range(m):
            log_z[first + lane] = np.log(size[lane])
        if draw:
            pyramid = np.empty(_U(2) * size_of_strip, dtype=border.dtype)
            like = np.empty(_U(2 * side) * LANES, dtype=border.dtype)
            for step in range(side):
                row = side - 1 - step
                bond = unlike[min(row + 1, side - 1)]
                _draw_row(rows[row], spins, odds, side, row, first, m, bond, pyramid, like)
