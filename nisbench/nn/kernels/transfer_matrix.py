"""The transfer matrix of the exact block, compiled for the CPU: LANES blocks at a time, row by row.

A block has any number of rows of `columns` spins. The state i of a row has spin c up where bit c of i is 1. A bond has
weight 1 where its ends are alike and u where they differ. With v the weights of the 2^columns states of a row, one step
to the next row is

    v'(i) = ends(i) inside(i) sum_j u^(unlike bonds between i and j) v(j)

The sum over j is done spin by spin: for each pair of states that differ in spin c alone,

    v(.. down ..), v(.. up ..) = v(.. down ..) + u v(.. up ..), v(.. up ..) + u v(.. down ..)

`inside` are the bonds of the row, `ends` its bonds to the border on the left and right. Row 0 has the border above in
the place of the sum, and the last row is multiplied by its bonds to the border below. After the last row
ln Z = ln sum_i v(i), up to a constant. Spins are drawn backwards, row by row from below.

Arrays of the weights are flat, (states, LANES).
"""

from typing import Any

import numpy as np
from numba import prange

from nisbench.nn.kernels.jit import FAST, LANES, U0, U1, U2, U3, U4, U, kernel
from nisbench.nn.kernels.lattice import PARTS, aligned, gather, scatter
from nisbench.nn.kernels.vectors import add_scaled, address, double, load, plus, scaled, store, times

__all__ = ["solve_blocks"]

_LANES = U(LANES)


@kernel(fastmath=FAST, error_model="numpy")
def _bonds(bonds: Any, spins: Any, at: Any, count: Any, unlike: Any) -> None:
    """bonds[2 c + spin] = weight of the bond between a spin and the spin `at + c` of a tile of spins, for c < count."""
    one = unlike / unlike
    for c in range(count):
        for b in range(_LANES):
            up = spins[(at + c) * _LANES + b] > 0
            bonds[U2 * c * _LANES + b] = unlike if up else one
            bonds[(U2 * c + U1) * _LANES + b] = one if up else unlike


@kernel()
def _spread(v: Any, bonds: Any, columns: Any) -> None:
    """v(i) = product over the spins c of bonds[2 c + spin c]."""
    store(v, U0, load(bonds, U0, LANES))
    store(v, _LANES, load(bonds, _LANES, LANES))
    for c in range(U1, columns):
        down, up = load(bonds, U2 * c * _LANES, LANES), load(bonds, (U2 * c + U1) * _LANES, LANES)
        for i in range(U1 << c):
            weight = load(v, i * _LANES, LANES)
            store(v, i * _LANES, times(weight, down))
            store(v, (i | U1 << c) * _LANES, times(weight, up))


@kernel()
def _sum_one(out: Any, v: Any, column: Any, columns: Any, u: Any) -> None:
    """out = the sum over one spin of the row above, v; u is the address of the weight of unlike spins."""
    step = _LANES << column
    for high in range(U1 << (columns - U1 - column)):
        for low in range(U1 << column):
            at = ((high << (column + U1)) | low) * _LANES
            down, up = load(v, at, LANES), load(v, at + step, LANES)
            store(out, at, add_scaled(down, u, U0, up))
            store(out, at + step, add_scaled(up, u, U0, down))


@kernel(inline="always")
def _mixed(a: Any, b: Any, u: Any) -> Any:
    """Return a + u b and b + u a."""
    return add_scaled(a, u, U0, b), add_scaled(b, u, U0, a)


@kernel(inline="always")
def _three(v: Any, at: Any, step: Any, u: Any) -> Any:
    """Return the sums over three spins for the eight states from `at` on, `step` apart."""
    a, b = _mixed(load(v, at, LANES), load(v, at + step, LANES), u)
    c, d = _mixed(load(v, at + U(2) * step, LANES), load(v, at + U(3) * step, LANES), u)
    e, f = _mixed(load(v, at + U(4) * step, LANES), load(v, at + U(5) * step, LANES), u)
    g, h = _mixed(load(v, at + U(6) * step, LANES), load(v, at + U(7) * step, LANES), u)
    a, c = _mixed(a, c, u)
    b, d = _mixed(b, d, u)
    e, g = _mixed(e, g, u)
    f, h = _mixed(f, h, u)
    a, e = _mixed(a, e, u)
    b, f = _mixed(b, f, u)
    c, g = _mixed(c, g, u)
    d, h = _mixed(d, h, u)
    return a, b, c, d, e, f, g, h


@kernel(inline="always")
def _plus_scaled(v: Any, u: Any, w: Any) -> Any:
    """Return v + u w for eight states."""
    a, b = add_scaled(v[0], u, U0, w[0]), add_scaled(v[1], u, U0, w[1])
    c, d = add_scaled(v[2], u, U0, w[2]), add_scaled(v[3], u, U0, w[3])
    e, f = add_scaled(v[4], u, U0, w[4]), add_scaled(v[5], u, U0, w[5])
    g, h = add_scaled(v[6], u, U0, w[6]), add_scaled(v[7], u, U0, w[7])
    return a, b, c, d, e, f, g, h


@kernel(inline="always")
def _store_eight(out: Any, at: Any, step: Any, states: Any) -> None:
    """Write eight states, `step` apart."""
    a, b, c, d, e, f, g, h = states
    store(out, at, a)
    store(out, at + step, b)
    store(out, at + U(2) * step, c)
    store(out, at + U(3) * step, d)
    store(out, at + U(4) * step, e)
    store(out, at + U(5) * step, f)
    store(out, at + U(6) * step, g)
    store(out, at + U(7) * step, h)


@kernel()
def _sum_three(out: Any, v: Any, column: Any, columns: Any, u: Any) -> None:
    """out = the sums over three successive spins, with the eight states that mix in registers."""
    step = _LANES << column
    for high in range(U1 << (columns - U3 - column)):
        for low in range(U1 << column):
            at = ((high << (column + U3)) | low) * _LANES
            _store_eight(out, at, step, _three(v, at, step, u))


@kernel()
def _sum_four(out: Any, v: Any, column: Any, u: Any) -> None:
    """out = the sums over the last four spins, with the sixteen states that mix in registers."""
    step = _LANES << column
    for low in range(U1 << column):
        at, beyond = low * _LANES, low * _LANES + U(8) * step
        down, up = _three(v, at, step, u), _three(v, beyond, step, u)
        _store_eight(out, at, step, _plus_scaled(down, u, up))
        _store_eight(out, beyond, step, _plus_scaled(up, u, down))


@kernel()
def _weigh(out: Any, v: Any, columns: Any, inside: Any, ends: Any, total: Any) -> None:
    """out(i) = v(i) inside(i) ends(first spin, last spin); total = sum of out(i), (LANES,), 0 on entry."""
    last, whole = columns - U1, load(total, U0, LANES)
    for i in range(U1 << columns):
        end = load(ends, ((i & U1) | ((i >> last) & U1) << U1) * _LANES, LANES)
        weight = times(scaled(inside, i, load(v, i * _LANES, LANES)), end)
        store(out, i * _LANES, weight)
        whole = plus(whole, weight)
    store(total, U0, whole)


@kernel(fastmath=FAST, error_model="numpy")
def _end_weights(ends: Any, bonds: Any, border: Any, left: Any, right: Any, unlike: Any, scale: Any) -> None:
    """ends[first + 2 last] = scale times the bonds of the first and the last spin of a row to the border.

    `left` and `right` are the places of their neighbours in the border.
    """
    _bonds(bonds, border, left, U1, unlike)
    _bonds(address(bonds, U2 * _LANES), border, right, U1, unlike)
    for k in range(4):
        for b in range(_LANES):
            first, last = bonds[U(k % 2) * _LANES + b], bonds[U(2 + k // 2) * _LANES + b]
            ends[U(k) * _LANES + b] = scale[b] * first * last


@kernel(fastmath=FAST, error_model="numpy")
def _sum_rows(
    border: Any, columns: Any, unlike: Any, insides: Any, rows: Any, kept: Any, work: Any, log_z: Any
) -> None:
    """Move through LANES blocks row by row; `log_z` becomes ln Z, (LANES,) float64.

    insides : (n_rows, 2^columns) weights of the bonds inside each row
    rows : address of (n_rows, 2^columns, LANES), receives the weights of each row
    kept : distance between the rows; 0 keeps the last row alone, which then stays in the cache
    """
    # the product of the sums of `every` rows fits into a float64: beta is small where the weights are float32
    states, n_rows, every = U1 << columns, U(unlike.size), U1 if unlike.itemsize == 8 else U(8)
    v, bonds = work, address(work, states * _LANES)
    ends = address(bonds, (U2 * columns + U2) * _LANES)
    scale = address(ends, U(4) * _LANES)
    size = np.ones(LANES)
    one = unlike.dtype.type(1)
    for b in range(_LANES):
        scale[b], log_z[b] = one, 0
    for row in range(n_rows):
        out, u = address(rows, row * kept), address(unlike, row)
        if row == U0:
            _bonds(bonds, border, U0, columns, unlike[row])
            _spread(v, bonds, columns)
        else:
            column, source = U0, address(rows, (row - U1) * kept)
            while column < columns:
                if column + U4 == columns:
                    _sum_four(v, source, column, u)
                    column += U4
                elif column + U3 <= columns:
                    _sum_three(v, source, column, columns, u)
                    column += U3
                else:
                    _sum_one(v, source, column, columns, u)
                    column += U1
                source = v
        _end_weights(ends, bonds, border, U2 * columns + n_rows + row, columns + row, unlike[row], scale)
        for b in range(_LANES):
            scale[b] = 0
        _weigh(out, v, columns, address(insides, row * states), ends, scale)
        if row == n_rows - U1:
            _bonds(bonds, border, columns + n_rows, columns, unlike[row])
            _spread(v, bonds, columns)
            _finish(out, v, states, size, log_z)
            return
        for b in range(_LANES):
            # of the rounded scale: what rounding took from the weights is not lost in ln Z
            scale[b] = one / scale[b]
            size[b] /= scale[b]
        if (row + U1) % every == U0:
            for b in range(_LANES):
                log_z[b] += np.log(size[b])
                size[b] = 1


@kernel(fastmath=FAST, error_model="numpy")
def _finish(out: Any, v: Any, states: Any, size: Any, log_z: Any) -> None:
    """Multiply the last row by its bonds to the border below, v; log_z += ln(size sum of out(i))."""
    total = np.zeros(LANES)
    whole = load(address(total, U0), U0, LANES)  # float64: an error of this sum would be one of ln Z
    for i in range(states):
        weight = times(load(out, i * _LANES, LANES), load(v, i * _LANES, LANES))
        store(out, i * _LANES, weight)
        whole = plus(whole, double(weight))
    store(address(total, U0), U0, whole)
    for b in range(_LANES):
        log_z[b] += np.log(size[b] * total[b])


@kernel()
def _sum_columns(v: Any, sums: Any, bonds: Any, columns: Any) -> None:
    """Sum the weights of a row over its spins from the left.

    `sums` receives (2^(columns - 1), LANES), ... (2, LANES), one after the other; `bonds[2 c + spin]` is the bond of
    spin c to the spin below it.
    """
    # P(spins c ... columns - 1) needs the sum over the spins 0 ... c - 1, so that all partial sums are kept
    count, source, target = U1 << (columns - U1), v, sums
    for column in range(columns - U1):
        down, up = load(bonds, U2 * column * _LANES, LANES), load(bonds, (U2 * column + U1) * _LANES, LANES)
        for x in range(count):
            a = times(load(source, U2 * x * _LANES, LANES), down)
            b = times(load(source, (U2 * x + U1) * _LANES, LANES), up)
            store(target, x * _LANES, plus(a, b))
        source, target = target, address(target, count * _LANES)
        count >>= U1


@kernel(fastmath=FAST, error_model="numpy")
def _draw_row(
    spins: Any, odds: Any, columns: Any, row: Any, first: Any, m: Any, v: Any, sums: Any, bonds: Any, state: Any
) -> None:
    """Draw the spins of a row from the right: P(up)/P(down) is a ratio of two sums over the spins to the left."""
    # `state` are the spins drawn so far; the sums have 2^columns - 2 rows, of which `base` is the last one
    base = (U1 << columns) - U2
    state[:] = 0
    for step in range(columns):
        column = columns - U1 - step
        if column > U0:
            base -= U2 << step  # where the sums over `column` spins begin
        weights = address(sums, base * _LANES) if column > U0 else v
        k, site = U2 * column * _LANES, row * columns + column
        for b in range(m):
            a = U2 * state[b] * _LANES + b
            down, up = weights[a] * bonds[k + b], weights[a + _LANES] * bonds[k + _LANES + b]
            drawn = up > odds[site, first + b] * down
            spins[site * _LANES + b] = 1 if drawn else -1
            state[b] = U2 * state[b] + U(drawn)


@kernel(fastmath=FAST, error_model="numpy")
def _inside(columns: Any, unlike: Any) -> Any:
    """(n_rows, 2^columns) weights of the bonds inside each row."""
    result = np.ones((unlike.size, 1 << int(columns)), dtype=unlike.dtype)
    for row in range(unlike.size):
        for i in range(U1 << columns):
            weight = 1.0  # float64, so that it is rounded once
            for c in range(U1, columns):
                if (i >> c ^ i >> (c - U1)) & U1:
                    weight *= unlike[row]
            result[row, i] = weight
    return result


@kernel(fastmath=FAST, error_model="numpy")
def _solve_part(
    sites: Any, columns: Any, unlike: Any, insides: Any, odds: Any, log_z: Any, begin: Any, end: Any
) -> Any:
    """Solve the blocks begin ... end; return the memory, which must live until then."""
    states, n_rows, draw = U1 << columns, U(unlike.size), odds.size > 0
    n_kept = n_rows if draw else U1
    memory = aligned((n_kept * states + states + U2 * columns + U(7) + states + U2 * columns) * _LANES, unlike)
    rows, work = address(memory, U0), address(memory, n_kept * states * _LANES)
    sums = address(work, (states + U2 * columns + U(7)) * _LANES)
    below = address(sums, states * _LANES)
    border = np.ones(U2 * (columns + n_rows) * _LANES, dtype=np.int8)
    spins = np.empty(n_rows * columns * _LANES, dtype=np.int8)
    size, state = np.empty(LANES), np.empty(LANES, dtype=np.uint64)
    for first in range(begin, end, _LANES):
        m = min(_LANES, end - first)
        gather(border, U0, _LANES, sites.lattice, sites.border, first, m)
        kept = states * _LANES if draw else U0
        _sum_rows(border, columns, unlike, address(insides, U0), rows, kept, work, size)
        for b in range(m):
            log_z[first + b] = size[b]
        if not draw:
            continue
        for back in range(n_rows):
            row = n_rows - U1 - back
            if back == U0:
                for i in range(U2 * columns * _LANES):  # the border below is part of the weights
                    below[i] = 1
            else:
                _bonds(below, spins, (row + U1) * columns, columns, unlike[row + U1])
            v = address(rows, row * states * _LANES)
            _sum_columns(v, sums, below, columns)
            _draw_row(spins, odds, columns, row, first, m, v, sums, below, state)
        scatter(spins, U0, _LANES, sites.lattice, sites.drawn, first, m)
    return memory


@kernel(parallel=True)
def solve_blocks(sites: Any, columns: int, unlike: Any, odds: Any, log_z: Any) -> None:
    """Compute ln Z of blocks for the spins around them and, if there are odds, draw the spins inside into the lattice.

    A bond has weight 1 where its ends are alike and `unlike[row]` = exp(-2 beta) where they differ; `row` is the row of
    its lower end.

    Parameters
    ----------
    sites : `Sites` of the blocks: the border is above, right, below, left; the drawn sites are row by row
    unlike : (n_rows,)
    odds : (n_rows columns, n_blocks n) u/(1 - u) with u uniform; without elements nothing is drawn
    log_z : (n_blocks n,), the result
    """
    tiles = (log_z.size + LANES - 1) // LANES
    parts, insides = min(tiles, PARTS), _inside(U(columns), unlike)
    for part in prange(parts):
        begin, end = U(part * tiles // parts) * _LANES, U((part + 1) * tiles // parts) * _LANES
        _solve_part(sites, U(columns), unlike, insides, odds, log_z, begin, min(end, U(log_z.size)))
