"""Ancestral sampling and ln q of a network with one hidden layer, compiled for the CPU.

With K spins, B border sites, N = B + K inputs and U hidden units, `width` of them for each spin:

    x = (border, spins), as -1 and +1             (N,)
    h = act(first x + bias)                       (U,)   act = PReLU with a slope for each unit, or tanh
    y = skip x + last h + last_bias               (K,)   logits
    spin k = +1 where y_k > threshold_k, else -1
    ln q = sum_k ln sigmoid(s_k y_k)

The masks are part of the matrices. Spin k has the units U - (K - k) width + channel. These units and y_k see the border
and the spins before k. y_k also sees the units of the spins up to k, and all units before those, which see the border
alone. Hence the units of spin k are final as soon as the spins before k are drawn, and every unit is computed once.

The spins are taken in panels. All that lies before a panel enters through one product of matrices, as in a triangular
solve; inside the panel the spins are drawn one by one. A thread takes a tile of samples through the whole network.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from nisbench.nn.kernels.functions import exp, log1p, tanh
from nisbench.nn.kernels.jit import FAST, U0, U1, U, kernel
from nisbench.nn.kernels.lattice import PARTS, aligned, gather, scatter
from nisbench.nn.kernels.products import TILE, multiply

__all__ = ["PANEL", "Net", "draw_network", "evaluate", "gather_all", "shape", "tile_of"]

PANEL = 16
"""Spins of a panel."""
RUN = U(8)
"""Spins whose ln sigmoid are summed with one logarithm."""
_TILE, _PANEL = U(TILE), U(PANEL)


class Net(NamedTuple):
    """The masked matrices of a network. A part that is absent is an array without elements."""

    first: Any
    """(U, N)"""
    last: Any
    """(K, U)"""
    skip: Any
    """(K, N), or absent"""
    bias: Any
    """(U,), or absent"""
    last_bias: Any
    """(K,), or absent"""
    slopes: Any
    """(U,) of PReLU; where they are absent, the activation is tanh"""
    width: Any
    """units of each spin"""


class Tile(NamedTuple):
    """Inputs, units and logits of TILE samples, as flat arrays with the samples contiguous."""

    x: Any
    """(N, TILE)"""
    h: Any
    """(U, TILE)"""
    z: Any
    """(U, TILE) the units before the activation, or an array without elements, which are then not kept"""
    y: Any
    """(K, TILE)"""


@kernel()
def tile_of(net: Any, kept: Any) -> Any:
    """Return memory for one tile; `kept` of the units are kept before their activation, all or none."""
    n_spins, units, inputs = U(net.last.shape[0]), U(net.last.shape[1]), U(net.first.shape[1])
    x = aligned(inputs * _TILE, net.first)
    x[:] = 0  # samples beyond the last one
    h, z = aligned(units * _TILE, net.first), aligned(kept * _TILE, net.first)
    return Tile(x, h, z, aligned(n_spins * _TILE, net.first))


@kernel(error_model="numpy", fastmath=FAST)
def _begin(out: Any, at: Any, rows: Any, bias: Any) -> None:
    """out[at + r, :] = bias[at + r] for r < rows, or 0."""
    for r in range(at, at + rows):
        value = bias[r] if len(bias) else out.dtype.type(0)
        for e in range(_TILE):
            out[r * _TILE + e] = value


@kernel()
def _add_units(net: Any, tile: Any, unit: Any, rows: Any, start: Any, stop: Any) -> None:
    """h += first x for the units unit ... unit + rows and the inputs start ... stop."""
    inputs = U(net.first.shape[1])
    at = unit * inputs + start
    multiply(
        tile.h, unit * _TILE, _TILE, net.first, at, inputs, tile.x, start * _TILE, _TILE, rows, stop - start, _TILE
    )


@kernel()
def _add_logits(net: Any, tile: Any, spin: Any, rows: Any, start: Any, stop: Any, unit: Any, after: Any) -> None:
    """y += skip x + last h for the spins spin ... spin + rows, inputs start ... stop and units unit ... after."""
    inputs, units, o = U(net.first.shape[1]), U(net.last.shape[1]), spin * _TILE
    if len(net.skip):
        at = spin * inputs + start
        multiply(tile.y, o, _TILE, net.skip, at, inputs, tile.x, start * _TILE, _TILE, rows, stop - start, _TILE)
    at = spin * units + unit
    multiply(tile.y, o, _TILE, net.last, at, units, tile.h, unit * _TILE, _TILE, rows, after - unit, _TILE)


@kernel(error_model="numpy", fastmath=FAST)
def _activate(net: Any, tile: Any, unit: Any, rows: Any) -> None:
    """h = act(h) for the units unit ... unit + rows; z = h before, if it is kept."""
    h, z, begin, end = tile.h, tile.z, unit * _TILE, (unit + rows) * _TILE
    if len(z):
        for i in range(begin, end):
            z[i] = h[i]
    if len(net.slopes) == 0:
        tanh(h, begin, end)
        return
    for u in range(unit, unit + rows):
        slope = net.slopes[u]
        for e in range(_TILE):
            value = h[u * _TILE + e]
            h[u * _TILE + e] = max(value, 0) + slope * min(value, 0)


@kernel()
def shape(net: Any, sites: Any) -> Any:
    """Return K, B, the number of units that see the border alone, and the units of each spin."""
    n_spins, width = U(net.last.shape[0]), U(net.width)
    return n_spins, U(sites.border.shape[0]), U(net.last.shape[1]) - n_spins * width, width


@kernel()
def _border_units(net: Any, tile: Any, n_border: Any, rows: Any) -> None:
    """Complete the units that see the border alone, which are the first ones."""
    _begin(tile.h, U0, rows, net.bias)
    _add_units(net, tile, U0, rows, U0, n_border)
    _activate(net, tile, U0, rows)


@kernel(error_model="numpy", fastmath=FAST)
def _draw(net: Any, tile: Any, shape: Any, thresholds: Any, begin: Any, m: Any) -> None:
    """Draw m samples: x contains the border on entry and the spins as well on return; h and y are filled."""
    n_spins, n_border, before, width = shape
    x, y = tile.x, tile.y
    _border_units(net, tile, n_border, before)
    for start in range(U0, n_spins, _PANEL):
        stop, known, inner = min(start + _PANEL, n_spins), n_border + start, before + start * width
        rows = (stop - start) * width
        _begin(tile.h, inner, rows, net.bias)
        _add_units(net, tile, inner, rows, U0, known)
        _begin(y, start, stop - start, net.last_bias)
        _add_logits(net, tile, start, stop - start, U0, known, U0, inner)
        for k in range(start, stop):  # the triangle inside the panel
            unit, site = before + k * width, n_border + k
            _add_units(net, tile, unit, width, known, site)
            _activate(net, tile, unit, width)
            _add_logits(net, tile, k, U1, known, site, inner, unit + width)
            for e in range(m):
                x[site * _TILE + e] = 1.0 if y[k * _TILE + e] > thresholds[k, begin + e] else -1.0


@kernel()
def evaluate(net: Any, tile: Any, shape: Any) -> None:
    """Fill h and y, and z if it is kept, of a tile whose x contains the border and the spins.

    The rows of a panel are multiplied with all sites up to the end of the panel, masked zeros included.
    """
    n_spins, n_border, before, width = shape
    _border_units(net, tile, n_border, before)
    for start in range(U0, n_spins, _PANEL):
        stop, inner = min(start + _PANEL, n_spins), before + start * width
        rows, known = (stop - start) * width, n_border + stop
        _begin(tile.h, inner, rows, net.bias)
        _add_units(net, tile, inner, rows, U0, known)
        _activate(net, tile, inner, rows)
        _begin(tile.y, start, stop - start, net.last_bias)
        _add_logits(net, tile, start, stop - start, U0, known, U0, inner + rows)


@kernel(error_model="numpy", fastmath=FAST)
def _log_prob(tile: Any, n_border: Any, n_spins: Any, total: Any) -> None:
    """total = sum_k ln sigmoid(s_k y_k), (TILE,) float64.

    ln sigmoid(a) = min(a, 0) - ln(1 + exp(-|a|)), and a sum of logarithms is the logarithm of a product.
    """
    x, y = tile.x, tile.y
    low, more = np.zeros(TILE, dtype=y.dtype), np.zeros(TILE, dtype=y.dtype)
    total[:] = 0
    for k in range(n_spins):
        o, s = k * _TILE, (n_border + k) * _TILE
        for e in range(_TILE):
            a = x[s + e] * y[o + e]
            small = exp(-abs(a))
            low[e] += min(a, 0)
            more[e] += small + small * more[e]  # 1 + more = product of 1 + small; small numbers keep their digits
        if k % RUN == RUN - U1 or k == n_spins - U1:
            for e in range(_TILE):
                total[e] += low[e] - log1p(more[e])
                low[e] = 0
                more[e] = 0


@kernel()
def gather_all(tile: Any, sites: Any, n_border: Any, begin: Any, m: Any) -> None:
    """Copy border and spins of m samples into x."""
    gather(tile.x, U0, _TILE, sites.lattice, sites.border, begin, m)
    gather(tile.x, n_border, _TILE, sites.lattice, sites.drawn, begin, m)


@kernel()
def _draw_part(net: Any, sites: Any, thresholds: Any, log_prob: Any, first: Any, last: Any) -> None:
    """Draw or evaluate the tiles first ... last."""
    extents = shape(net, sites)
    n_spins, n_border = extents[0], extents[1]
    tile, total = tile_of(net, U0), np.empty(TILE, dtype=np.float64)
    for begin in range(first * _TILE, min(last * _TILE, U(log_prob.size)), _TILE):
        m = min(_TILE, U(log_prob.size) - begin)
        if thresholds.size:
            gather(tile.x, U0, _TILE, sites.lattice, sites.border, begin, m)
            _draw(net, tile, extents, thresholds, begin, m)
            scatter(tile.x, n_border, _TILE, sites.lattice, sites.drawn, begin, m)
        else:
            gather_all(tile, sites, n_border, begin, m)
            evaluate(net, tile, extents)
        _log_prob(tile, n_border, n_spins, total)
        for e in range(m):
            log_prob[begin + e] = total[e]


@kernel(parallel=True)
def draw_network(net: Any, sites: Any, thresholds: Any, log_prob: Any) -> None:
    """Draw all blocks of a level into the lattice, or evaluate the spins that are there.

    Parameters
    ----------
    net, sites : `Net`, `Sites`
    thresholds : (K, n_blocks n); without elements, the spins of the lattice are evaluated
    log_prob : (n_blocks n,) float64, the result
    """
    tiles = (log_prob.size + TILE - 1) // TILE
    parts = min(tiles, PARTS)
    for part in prange(parts):
        _draw_part(net, sites, thresholds, log_prob, U(part * tiles // parts), U((part + 1) * tiles // parts))
