"""The transfer matrix of the exact block, compiled for the CPU: many blocks at a time, site by site.

The state i of a row of `side` spins has spin c up where bit c of i is 1. The weights of the 2^side states are kept for
TILE blocks together, as a flat array of shape (states, TILE). For a site (r, c) whose spin s has the bonds w_s to its
left neighbour and to the border,

    row 0:   v'(.. s ..) = v(.. ..) w_s                          the state grows by the spin s
    below:   v'(.. s ..) = w_s sum_t unlike^[s != t] v(.. t ..)  s replaces the spin t above it, which is summed over

so that after the last row ln Z = ln sum_i v(i), up to a constant. Spins are drawn backwards, row by row from below.
"""

from typing import Any

import numpy as np
from numba import prange

from nisbench.nn.kernels.jit import FAST, U0, U1, U2, U4, U, kernel

__all__ = ["solve_blocks"]

TILE = U(64)
"""Blocks that advance together."""


@kernel(fastmath=FAST, error_model="numpy")
def _site_weights(weights: Any, border: Any, side: int, row: int, column: int, first: Any, m: Any, unlike: Any) -> None:
    """weights[2 left + spin]: the bonds to the border and to the left neighbour, `unlike` for each unlike pair.

    weights : (4, TILE); without a left neighbour only the first two rows are filled.
    """
    for b in range(TILE):
        weights[b] = 1
        weights[TILE + b] = 1
    for edge in range(4):  # above, right, below, left
        touches = (row == 0, column == side - 1, row == side - 1, column == 0)[edge]
        if touches:
            outside = border[edge * side + (row if edge % 2 else column)]
            for b in range(m):
                s = outside[first + b]
                weights[b] *= unlike if s > 0 else 1
                weights[TILE + b] *= 1 if s > 0 else unlike
    if column > 0:
        for b in range(TILE):
            weights[U2 * TILE + b] = weights[b] * unlike
            weights[U(3) * TILE + b] = weights[TILE + b]
            weights[TILE + b] *= unlike


@kernel(fastmath=FAST, error_model="numpy")
def _grow(source: Any, target: Any, column: int, weights: Any) -> None:
    """Add a site of the first row: (2^column, TILE) -> (2^(column + 1), TILE)."""
    bit = U1 << U(column)
    for state in range(bit):
        left = U2 * TILE * (state >> U(column - 1)) if column > 0 else U0
        down, up = state * TILE, (state | bit) * TILE
        for b in range(TILE):
            weight = source[down + b]
            target[down + b] = weight * weights[left + b]
            target[up + b] = weight * weights[left + TILE + b]


@kernel(fastmath=FAST, error_model="numpy")
def _advance(source: Any, target: Any, side: int, column: int, weights: Any, unlike: Any) -> None:
    """Replace the spin above a site by the spin of the site: (2^side, TILE) -> (2^side, TILE)."""
    # state = high bits: spins to the right, of the row above; bit `column`: the site; low bits: spins to the left
    bit = U1 << U(column)
    for high in range(U1 << U(side - 1 - column)):
        for low in range(bit):
            state = (high << U(column + 1)) | low
            left = U2 * TILE * (low >> U(column - 1)) if column > 0 else U0
            a, c = state * TILE, (state | bit) * TILE
            for b in range(TILE):
                down, up = source[a + b], source[c + b]
                target[a + b] = (down + unlike * up) * weights[left + b]
                target[c + b] = (unlike * down + up) * weights[left + TILE + b]


@kernel(fastmath=FAST, error_model="numpy")
def _normalise(vector: Any, scale: Any, sums: Any, size: Any) -> None:
    """scale = 1/sum of the weights of the states, (TILE,); `size` collects the sum of the logarithms of the sums.

    The next site applies the scale, which saves a pass over the states.
    """
    for b in range(TILE):
        sums[b] = 0
    for state in range(U(len(vector)) // TILE):
        for b in range(TILE):
            sums[b] += vector[state * TILE + b]
    for b in range(TILE):
        scale[b] = 1 / sums[b]
        size[b] -= np.log(
            np.float64(scale[b])
        )  # of the rounded scale: what rounding took from the weights is not lost in ln Z


@kernel(fastmath=FAST, error_model="numpy")
def _sum_columns(vector: Any, sums: Any, like: Any, side: int) -> None:
    """Sum the weights of a row over its spins from the left.

    `sums` receives (2^side, TILE), (2^(side - 1), TILE), ... (1, TILE), one after the other; `like[2 c + spin]` is the
    bond of spin c to the spin below it.
    """
    # P(spins c ... side - 1) needs the sum over the spins 0 ... c - 1, so that all partial sums are kept
    count = U1 << U(side)
    for x in range(count * TILE):
        sums[x] = vector[x]
    offset = U0
    for column in range(side):
        k = U(2 * column) * TILE
        count >>= U1
        for x in range(count):
            a, t = (offset + U2 * x) * TILE, (offset + U2 * count + x) * TILE
            for b in range(TILE):
                down, up = sums[a + b] * like[k + b], sums[a + TILE + b] * like[k + TILE + b]
                sums[t + b] = down + up
        offset += U2 * count


@kernel(fastmath=FAST, error_model="numpy")
def _bonds_below(like: Any, spins: Any, side: int, row: int, first: Any, m: Any, unlike: Any) -> None:
    """like[2 c + spin] = the bond of spin c of a row to the drawn spin below it, 1 in the last row."""
    for column in range(side):
        k = U(2 * column) * TILE
        for b in range(TILE):
            like[k + b] = 1
            like[k + TILE + b] = 1
        if row < side - 1:
            below = spins[(row + 1) * side + column]
            for b in range(m):
                s = below[first + b]
                like[k + b] = unlike if s > 0 else 1
                like[k + TILE + b] = 1 if s > 0 else unlike


@kernel(fastmath=FAST, error_model="numpy")
def _draw_row(spins: Any, odds: Any, side: int, row: int, first: Any, m: Any, sums: Any, like: Any) -> None:
    """Draw the spins of a row from the right: P(up)/P(down) is a ratio of two sums over the spins to the left."""
    for b in range(m):
        # `state` are the spins drawn so far; the sums have 2^(side + 1) - 1 rows, of which `base` is the last one
        state, base = U0, (U2 << U(side)) - U2
        for step in range(side):
            column = side - 1 - step
            base -= U2 << U(step)  # where the sums over `column` spins begin
            k, a = U(2 * column) * TILE + b, (base + U2 * state) * TILE + b
            down, up = sums[a] * like[k], sums[a + TILE] * like[k + TILE]
            site = row * side + column
            if up > odds[site, first + b] * down:
                spins[site, first + b] = 1
                state = U2 * state + U1
            else:
                spins[site, first + b] = -1
                state = U2 * state


@kernel(fastmath=FAST, error_model="numpy")
def _sum_rows(border: Any, side: int, unlike: Any, rows: Any, size: Any, first: Any, m: Any) -> None:
    """Move through TILE blocks site by site; `size`, 0 on entry, becomes ln Z.

    rows : (side, 2^side TILE) receives the weights of each row, or (2, 2^side TILE) those of the last two rows
    """
    # the two arrays that the sites of a row write to in turn, so that no loop reads and writes the same states
    even, odd = np.empty(len(rows[0]), dtype=rows.dtype), np.empty(len(rows[0]), dtype=rows.dtype)
    weights = np.empty(U4 * TILE, dtype=rows.dtype)
    scale, sums = np.empty(TILE, dtype=rows.dtype), np.empty(TILE)
    even[:TILE] = 1  # no spin yet: one state of weight 1
    for row in range(side):
        last = rows[row % len(rows)]
        source = even if row == 0 else rows[(row - 1) % len(rows)]
        for column in range(side):
            target = last if column == side - 1 else (even if column % 2 else odd)
            _site_weights(weights, border, side, row, column, first, m, unlike[row])
            if row == 0:
                _grow(source, target, column, weights)
            else:
                if column == 0:  # the normalisation of the row above
                    for b in range(TILE):
                        weights[b] *= scale[b]
                        weights[TILE + b] *= scale[b]
                _advance(source, target, side, column, weights, unlike[row])
            source = target
        _normalise(last, scale, sums, size)


@kernel(parallel=True, fastmath=FAST, error_model="numpy")
def solve_blocks(border: Any, side: int, unlike: Any, odds: Any, spins: Any, log_z: Any) -> None:
    """Compute ln Z of blocks for the spins around them and, where `spins` has rows, draw the spins inside.

    A bond has weight 1 where its ends are alike and `unlike[row]` = exp(-2 beta) where they differ; `row` is the row of
    its lower end.

    Parameters
    ----------
    border : (4 side, n) of -1, +1: above, right, below, left
    unlike : (side,)
    odds : (side^2, n) u/(1 - u) with u uniform; (0, n) for no draw
    spins : (side^2, n), the draw, row by row; (0, n) for none
    log_z : (n,), the result
    """
    n, numbers, draw = border.shape[1], TILE << U(side), len(spins) > 0
    step = int(TILE)
    for tile in prange((n + step - 1) // step):
        first = U(tile) * TILE
        m = min(TILE, U(n) - first)
        rows = np.empty((side if draw else 2, numbers), dtype=border.dtype)
        size = np.zeros(TILE)
        _sum_rows(border, side, unlike, rows, size, first, m)
        for b in range(m):
            log_z[first + b] = size[b]
        if draw:
            sums = np.empty(U2 * numbers, dtype=border.dtype)
            like = np.empty(U(2 * side) * TILE, dtype=border.dtype)
            for back in range(side):
                row = side - 1 - back
                _bonds_below(like, spins, side, row, first, m, unlike[min(row + 1, side - 1)])
                _sum_columns(rows[row], sums, like, side)
                _draw_row(spins, odds, side, row, first, m, sums, like)
