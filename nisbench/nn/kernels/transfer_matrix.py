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
from nisbench.nn.kernels.lattice import PARTS, aligned, gather, scatter

__all__ = ["solve_blocks"]

TILE = U(64)
"""Blocks that advance together."""


@kernel(fastmath=FAST, error_model="numpy")
def _site_weights(weights: Any, border: Any, side: int, row: int, column: int, unlike: Any) -> None:
    """weights[2 left + spin]: the bonds to the border and to the left neighbour, `unlike` for each unlike pair.

    weights : (4, TILE); without a left neighbour only the first two rows are filled.
    """
    one = unlike * 0 + 1  # of the type of the weights
    for b in range(TILE):
        weights[b] = one
        weights[TILE + b] = one
    for edge in range(4):  # above, right, below, left
        touches = (row == 0, column == side - 1, row == side - 1, column == 0)[edge]
        if touches:
            outside = U(edge * side + (row if edge % 2 else column)) * TILE
            for b in range(TILE):
                up = border[outside + b] > 0
                weights[b] *= unlike if up else one
                weights[TILE + b] *= one if up else unlike
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
def _bonds_below(like: Any, spins: Any, side: int, row: int, unlike: Any) -> None:
    """like[2 c + spin] = the bond of spin c of a row to the drawn spin below it, 1 in the last row."""
    one = unlike * 0 + 1
    for column in range(side):
        k = U(2 * column) * TILE
        for b in range(TILE):
            like[k + b] = one
            like[k + TILE + b] = one
        if row < side - 1:
            below = U((row + 1) * side + column) * TILE
            for b in range(TILE):
                up = spins[below + b] > 0
                like[k + b] = unlike if up else one
                like[k + TILE + b] = one if up else unlike


@kernel(fastmath=FAST, error_model="numpy")
def _draw_row(spins: Any, odds: Any, side: int, row: int, first: Any, m: Any, sums: Any, like: Any, state: Any) -> None:
    """Draw the spins of a row from the right: P(up)/P(down) is a ratio of two sums over the spins to the left."""
    # `state` are the spins drawn so far; the sums have 2^(side + 1) - 1 rows, of which `base` is the last one
    base = (U2 << U(side)) - U2
    state[:] = 0
    for step in range(side):
        column = side - 1 - step
        base -= U2 << U(step)  # where the sums over `column` spins begin
        k, o = U(2 * column) * TILE, U(row * side + column) * TILE
        limit = odds[row * side + column]
        for b in range(m):
            a = (base + U2 * state[b]) * TILE + b
            down, up = sums[a] * like[k + b], sums[a + TILE] * like[k + TILE + b]
            drawn = up > limit[first + b] * down
            spins[o + b] = 1 if drawn else -1
            state[b] = U2 * state[b] + U(drawn)


@kernel(fastmath=FAST, error_model="numpy")
def _sum_rows(border: Any, side: int, unlike: Any, rows: Any, size: Any, work: Any) -> None:
    """Move through TILE blocks site by site; `size` becomes ln Z.

    rows : (side, 2^side TILE) receives the weights of each row, or (2, 2^side TILE) those of the last two rows
    """
    # the sites of a row write to `even` and `odd` in turn, so that no loop reads and writes the same states
    even, odd, weights, scale, sums = work
    size[:] = 0
    even[:TILE] = 1  # no spin yet: one state of weight 1
    for row in range(side):
        last = rows[row % len(rows)]
        source = even if row == 0 else rows[(row - 1) % len(rows)]
        for column in range(side):
            target = last if column == side - 1 else (even if column % 2 else odd)
            _site_weights(weights, border, side, row, column, unlike[row])
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


@kernel(fastmath=FAST, error_model="numpy")
def _solve_part(sites: Any, side: int, unlike: Any, odds: Any, log_z: Any, begin: Any, end: Any) -> None:
    """Solve the blocks begin ... end, tile by tile."""
    numbers, draw, like = TILE << U(side), odds.size > 0, unlike
    rows = aligned(U(side if draw else 2) * numbers, like).reshape(side if draw else 2, int(numbers))
    border, spins = np.ones(U(4 * side) * TILE, dtype=np.int8), np.empty(U(side * side) * TILE, dtype=np.int8)
    even, odd, weights = aligned(numbers, like), aligned(numbers, like), aligned(U4 * TILE, like)
    work = even, odd, weights, aligned(TILE, like), np.empty(int(TILE))
    size, state = np.empty(int(TILE)), np.empty(int(TILE), dtype=np.uint64)
    sums, bonds = aligned(U2 * numbers if draw else U0, like), aligned(U(2 * side) * TILE, like)
    for first in range(begin, end, TILE):
        m = min(TILE, end - first)
        gather(border, U0, TILE, sites.lattice, sites.border, first, m)
        _sum_rows(border, side, unlike, rows, size, work)
        for b in range(m):
            log_z[first + b] = size[b]
        if not draw:
            continue
        for back in range(side):
            row = side - 1 - back
            _bonds_below(bonds, spins, side, row, unlike[min(row + 1, side - 1)])
            _sum_columns(rows[row], sums, bonds, side)
            _draw_row(spins, odds, side, row, first, m, sums, bonds, state)
        scatter(spins, U0, TILE, sites.lattice, sites.drawn, first, m)


@kernel(parallel=True)
def solve_blocks(sites: Any, side: int, unlike: Any, odds: Any, log_z: Any) -> None:
    """Compute ln Z of blocks for the spins around them and, if there are odds, draw the spins inside into the lattice.

    A bond has weight 1 where its ends are alike and `unlike[row]` = exp(-2 beta) where they differ; `row` is the row of
    its lower end.

    Parameters
    ----------
    sites : `Sites` of the blocks: the border is above, right, below, left; the drawn sites are row by row
    unlike : (side,)
    odds : (side^2, n_blocks n) u/(1 - u) with u uniform; without elements nothing is drawn
    log_z : (n_blocks n,), the result
    """
    tiles = (log_z.size + int(TILE) - 1) // int(TILE)
    parts = min(tiles, PARTS)
    for part in prange(parts):
        begin, end = U(part * tiles // parts) * TILE, U((part + 1) * tiles // parts) * TILE
        _solve_part(sites, side, unlike, odds, log_z, begin, min(end, U(log_z.size)))
