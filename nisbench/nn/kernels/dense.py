"""Ancestral sampling and ln q of a dense masked network, compiled for the CPU.

With x the inputs (border and spins, as -1, +1), H = depth - 1 hidden layers of U units and K spins:

    z_0 = first x + biases_0                       (U,)
    h_l = max(z_l, 0) + slopes_l min(z_l, 0)       (U,)   PReLU
    z_l = middle_(l-1) h_(l-1) + biases_l          (U,)   for l = 1 ... H - 1
    y   = last h_(H-1) + last_bias                 (K,)   logits
    ln q = sum_k ln sigmoid(s_k y_k)

The masks are part of the matrices: spin j enters the units of later spins only, and the units of site j enter the units
of site j and later. The units of site j are `width` consecutive rows, border sites first. Hence a unit is final as soon
as the spins before its site are drawn, and every unit is computed once.

Inside the kernels x, z, h and y are tiles: flat arrays (units, TILE), z and h with the hidden layers one after the
other. The matrices are separate arguments: gathered in records they made a draw of a small network up to 11 % slower,
because numba counts references to each array of a record at each call.
"""

from typing import Any

import numpy as np
from numba import prange

from nisbench.nn.kernels.functions import log_sigmoid
from nisbench.nn.kernels.jit import FAST, U0, U1, U, kernel
from nisbench.nn.kernels.products import TILE, fill, multiply, multiply_row

__all__ = ["PANEL", "buffers", "draw_dense", "evaluate", "gather"]

PANEL = 16
"""Spins that are drawn one by one; everything before them enters through one product of matrices (as the panels of a
triangular solve)."""
_TILE, _PANEL = U(TILE), U(PANEL)


@kernel()
def buffers(weights: Any, n_spins: Any, hidden: Any) -> Any:
    """Return x = 0 (sites, TILE), z and h (hidden, TILE), y (n_spins, TILE), flat; all but x are not initialised."""
    x = np.zeros(weights.shape[1] * TILE, dtype=weights.dtype)
    z = np.empty(hidden * _TILE, dtype=weights.dtype)
    return x, z, np.empty_like(z), np.empty(n_spins * _TILE, dtype=weights.dtype)


@kernel()
def gather(x: Any, at: Any, lattice: Any, sites: Any, begin: Any, m: Any) -> None:
    """x[at + r, e] = lattice[sites[r, block], c] for the samples begin + e = block n + c with e < m."""
    n = U(lattice.shape[1])
    for r in range(U(sites.shape[0])):
        o, e, block, c = (at + r) * _TILE, U0, begin // n, begin % n
        while e < m:
            # the samples of one block are contiguous in the lattice; a tile may end inside a block or span several
            site, count = U(sites[r, block]), min(m - e, n - c)
            for k in range(count):
                x[o + e + k] = lattice[site, c + k]
            e, block, c = e + count, block + U1, U0


@kernel()
def _scatter(x: Any, at: Any, lattice: Any, sites: Any, begin: Any, m: Any) -> None:
    """lattice[sites[r, block], c] = x[at + r, e], the inverse of `gather`."""
    n = U(lattice.shape[1])
    for r in range(U(sites.shape[0])):
        o, e, block, c = (at + r) * _TILE, U0, begin // n, begin % n
        while e < m:
            site, count = U(sites[r, block]), min(m - e, n - c)
            for k in range(count):
                lattice[site, c + k] = np.int8(x[o + e + k])
            e, block, c = e + count, block + U1, U0


@kernel(error_model="numpy", fastmath=FAST)
def _activate(z: Any, h: Any, at: Any, rows: Any, slopes: Any, first: Any) -> None:
    """h[at + r] = PReLU(z[at + r]) with slopes[first + r], for r < rows."""
    for r in range(rows):
        slope = slopes[first + r]
        o = (at + r) * _TILE
        for e in range(_TILE):
            value = z[o + e]
            h[o + e] = max(value, 0) + slope * min(value, 0)


@kernel(error_model="numpy", fastmath=FAST)
def _draw(
    first: Any, middle: Any, last: Any, biases: Any, last_bias: Any, slopes: Any, x: Any, z: Any, h: Any, y: Any,
    thresholds: Any, begin: Any, m: Any,
) -> None:  # fmt: skip
    """Draw one tile: x contains the border on entry and the spins as well on return; z, h and y are filled."""
    n_spins, units, n_hidden = U(last.shape[0]), U(slopes.shape[1]), U(slopes.shape[0])
    n_border = U(first.shape[1]) - n_spins
    width, top = units // (n_border + n_spins), (n_hidden - U1) * units
    rows = n_border * width
    for layer in range(n_hidden):  # the units of the border depend on the border alone
        at = layer * units
        fill(z, at, rows, biases[layer], U0)
        if layer == U0:
            multiply(z, at, rows, first, U0, x, U0, n_border, U0)
        else:
            multiply(z, at, rows, middle[layer - U1], U0, h, at - units, at - units + rows, U0)
        _activate(z, h, at, rows, slopes[layer], U0)
    start = U0
    while start < n_spins:
        # the panel's units and logits, (panel width, TILE) and (panel, TILE): a product with all sites before it
        stop = min(start + _PANEL, n_spins)
        known, inner = n_border + start, (n_border + start) * width
        rows = (stop - start) * width
        for layer in range(n_hidden):
            at = layer * units
            fill(z, at + inner, rows, biases[layer], inner)
            if layer == U0:
                multiply(z, inner, rows, first, inner, x, U0, known, U0)
            else:
                multiply(z, at + inner, rows, middle[layer - U1], inner, h, at - units, at - units + inner, U0)
        fill(y, start, stop - start, last_bias, start)
        multiply(y, start, stop - start, last, start, h, top, top + inner, U0)
        for k in range(start, stop):  # the triangle inside the panel, spin by spin
            site = n_border + k
            unit, after = site * width, (site + U1) * width
            for layer in range(n_hidden):
                at = layer * units
                for u in range(unit, after):
                    if layer == U0:  # strictly before the site
                        multiply_row(z, u, first, u, x, known, site, known)
                    else:  # the units of the site itself included
                        below = at - units
                        multiply_row(z, at + u, middle[layer - U1], u, h, below + inner, below + after, inner)
                _activate(z, h, at + unit, width, slopes[layer], unit)
            multiply_row(y, k, last, k, h, top + inner, top + after, inner)
            o, s = k * _TILE, site * _TILE
            for e in range(m):  # samples beyond m have no threshold
                x[s + e] = 1.0 if y[o + e] > thresholds[k, begin + e] else -1.0
        start = stop


@kernel(error_model="numpy", fastmath=FAST)
def evaluate(
    first: Any, middle: Any, last: Any, biases: Any, last_bias: Any, slopes: Any, x: Any, z: Any, h: Any, y: Any
) -> None:
    """Fill z, h and y of a tile whose x contains the border and the spins.

    Products alone: the rows of a panel are multiplied with all sites up to the end of the panel, masked zeros included.
    """
    n_spins, units, n_hidden = U(last.shape[0]), U(slopes.shape[1]), U(slopes.shape[0])
    n_border = U(first.shape[1]) - n_spins
    width = units // (n_border + n_spins)
    border, top = n_border * width, (n_hidden - U1) * units
    for layer in range(n_hidden):
        at = layer * units
        fill(z, at, units, biases[layer], U0)
        # rows unit..after: first the units of the border, then those of one panel after the other
        start, unit = U0, U0
        stop, after = U0, border
        while True:
            if layer == U0:
                multiply(z, unit, after - unit, first, unit, x, U0, n_border + stop, U0)
            else:
                multiply(z, at + unit, after - unit, middle[layer - U1], unit, h, at - units, at - units + after, U0)
            if stop == n_spins:
                break
            start, unit = stop, after
            stop = min(start + _PANEL, n_spins)
            after = (n_border + stop) * width
        _activate(z, h, at, units, slopes[layer], U0)
    fill(y, U0, n_spins, last_bias, U0)
    start = U0
    while start < n_spins:
        stop = min(start + _PANEL, n_spins)
        multiply(y, start, stop - start, last, start, h, top, top + (n_border + stop) * width, U0)
        start = stop


@kernel(error_model="numpy", fastmath=FAST)
def _log_prob(x: Any, n_border: Any, y: Any, n_spins: Any) -> Any:
    """(TILE,) float64 sum_k ln sigmoid(s_k y_k)."""
    # the terms are rounded to the type of the network, the sum is not
    total, part = np.zeros(TILE, dtype=np.float64), np.empty(TILE, dtype=y.dtype)
    for k in range(n_spins):
        o, s = k * _TILE, (n_border + k) * _TILE
        for e in range(_TILE):
            part[e] = log_sigmoid(x[s + e] * y[o + e])
        for e in range(_TILE):
            total[e] += part[e]
    return total


@kernel(parallel=True)
def draw_dense(
    first: Any, middle: Any, last: Any, biases: Any, last_bias: Any, slopes: Any, lattice: Any, drawn: Any,
    border: Any, thresholds: Any, log_prob: Any,
) -> None:  # fmt: skip
    """Draw all blocks of a level into the lattice, or evaluate the spins that are there.

    Sample `block n + c` is one block of configuration c.

    Parameters
    ----------
    first, middle, last : (U, n_border + n_spins), (depth - 2, U, U), (n_spins, U) masked weights
    biases, last_bias : (depth - 1, U), (n_spins,)
    slopes : (depth - 1, U)
    lattice : (all sites, n) int8
    drawn, border : (n_spins, n_blocks), (n_border, n_blocks) sites
    thresholds : (n_spins, n_blocks n); spin k is +1 where y_k > thresholds[k], else -1; (0, 0) evaluates the spins
    log_prob : (n_blocks n,) float64, the result
    """
    n_spins, hidden, total_n = U(drawn.shape[0]), U(slopes.size), U(log_prob.shape[0])
    n_border, known = U(border.shape[0]), thresholds.shape[0] == 0
    for tile in prange((log_prob.shape[0] + TILE - 1) // TILE):
        begin = U(tile) * _TILE
        m = min(_TILE, total_n - begin)
        x, z, h, y = buffers(first, n_spins, hidden)
        gather(x, U0, lattice, border, begin, m)
        if known:
            gather(x, n_border, lattice, drawn, begin, m)
            evaluate(first, middle, last, biases, last_bias, slopes, x, z, h, y)
        else:
            _draw(first, middle, last, biases, last_bias, slopes, x, z, h, y, thresholds, begin, m)
            _scatter(x, n_border, lattice, drawn, begin, m)
        total = _log_prob(x, n_border, y, n_spins)
        for e in range(m):
            log_prob[begin + e] = total[e]
