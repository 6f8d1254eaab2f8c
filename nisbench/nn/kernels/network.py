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
from nisbench.nn.kernels.jit import FAST, U0, U1, U2, U, kernel
from nisbench.nn.kernels.lattice import PARTS, aligned, gather, scatter
from nisbench.nn.kernels.products import TILE, multiply
from nisbench.nn.kernels.vectors import address

__all__ = ["PANEL", "Arrays", "draw_network", "evaluate", "fill_inputs", "net_of", "tile_numbers", "tile_of"]

PANEL = 16
"""Spins of a panel."""
RUN = U(8)
"""Spins whose ln sigmoid are summed with one logarithm."""
_TILE, _PANEL = U(TILE), U(PANEL)


class Arrays(NamedTuple):
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


class Net(NamedTuple):
    """Addresses of the matrices, and their extents."""

    first: Any
    last: Any
    skip: Any
    bias: Any
    last_bias: Any
    slopes: Any
    has_skip: Any
    has_bias: Any
    has_last_bias: Any
    has_slopes: Any
    n_spins: Any
    """K"""
    n_border: Any
    """B"""
    n_inputs: Any
    """N, the length of the rows of first and skip"""
    n_units: Any
    """U, the length of the rows of last"""
    width: Any
    """units of each spin"""
    before: Any
    """U - K width, the number of units that see the border alone"""
    zero: Any
    """0 of the type of the network; with 0 as an integer the compiler would compute in double precision"""


class Tile(NamedTuple):
    """Addresses of the inputs, units and logits of TILE samples, as flat arrays with the samples contiguous."""

    x: Any
    """(N, TILE)"""
    h: Any
    """(U, TILE)"""
    y: Any
    """(K, TILE)"""
    z: Any
    """(U, TILE) the units before the activation"""
    keeps_z: Any
    """if False, there is no memory for z"""


@kernel()
def net_of(arrays: Any, n_border: Any) -> Any:
    """Return the `Net` of `Arrays`, which the caller keeps alive."""
    first, last, skip = arrays.first, arrays.last, arrays.skip
    bias, last_bias, slopes = arrays.bias, arrays.last_bias, arrays.slopes
    n_spins, n_units, width = U(last.shape[0]), U(last.shape[1]), U(arrays.width)
    return Net(
        address(first, U0), address(last, U0), address(skip, U0),
        address(bias, U0), address(last_bias, U0), address(slopes, U0),
        skip.size > 0, bias.size > 0, last_bias.size > 0, slopes.size > 0,
        n_spins, U(n_border), U(first.shape[1]), n_units, width, n_units - n_spins * width,
        first.dtype.type(0),
    )  # fmt: skip


@kernel()
def tile_numbers(net: Any, keeps_z: Any) -> Any:
    """Return how many numbers a `Tile` has."""
    return (net.n_inputs + net.n_units + net.n_spins + (net.n_units if keeps_z else U0)) * _TILE


@kernel()
def tile_of(net: Any, keeps_z: Any, memory: Any) -> Any:
    """Return the `Tile` at an address, whose memory the caller keeps alive."""
    h = net.n_inputs * _TILE
    y = h + net.n_units * _TILE
    z = y + net.n_spins * _TILE
    return Tile(address(memory, U0), address(memory, h), address(memory, y), address(memory, z), keeps_z)


@kernel(error_model="numpy", fastmath=FAST)
def _begin(out: Any, at: Any, rows: Any, has_bias: Any, bias: Any, zero: Any) -> None:
    """out[at + r, :] = bias[at + r] for r < rows, or 0."""
    for r in range(at, at + rows):
        value = bias[r] if has_bias else zero
        for e in range(_TILE):
            out[r * _TILE + e] = value


@kernel()
def _add_units(net: Any, tile: Any, unit: Any, rows: Any, start: Any, stop: Any) -> None:
    """h += first x for the units unit ... unit + rows and the inputs start ... stop."""
    h, x = address(tile.h, unit * _TILE), address(tile.x, start * _TILE)
    first = address(net.first, unit * net.n_inputs + start)
    multiply(h, _TILE, first, net.n_inputs, x, _TILE, rows, stop - start, _TILE)


@kernel()
def _add_skip(net: Any, tile: Any, spin: Any, rows: Any, start: Any, stop: Any) -> None:
    """y += skip x for the spins spin ... spin + rows and the inputs start ... stop."""
    if net.has_skip:
        y, x = address(tile.y, spin * _TILE), address(tile.x, start * _TILE)
        skip = address(net.skip, spin * net.n_inputs + start)
        multiply(y, _TILE, skip, net.n_inputs, x, _TILE, rows, stop - start, _TILE)


@kernel()
def _add_hidden(net: Any, tile: Any, spin: Any, rows: Any, unit: Any, after: Any) -> None:
    """y += last h for the spins spin ... spin + rows and the units unit ... after."""
    y, h = address(tile.y, spin * _TILE), address(tile.h, unit * _TILE)
    last = address(net.last, spin * net.n_units + unit)
    multiply(y, _TILE, last, net.n_units, h, _TILE, rows, after - unit, _TILE)


@kernel(error_model="numpy", fastmath=FAST)
def _activate(net: Any, tile: Any, unit: Any, rows: Any) -> None:
    """h = act(h) for the units unit ... unit + rows; z = h before, if it is kept."""
    h, z, begin, end = tile.h, tile.z, unit * _TILE, (unit + rows) * _TILE
    if tile.keeps_z:
        for i in range(begin, end):
            z[i] = h[i]
    if not net.has_slopes:
        for i in range(begin, end):
            h[i] = tanh(h[i])
        return
    zero = net.zero
    for u in range(unit, unit + rows):
        slope = net.slopes[u]
        for e in range(_TILE):
            value = h[u * _TILE + e]
            h[u * _TILE + e] = max(value, zero) + slope * min(value, zero)


@kernel()
def _border_units(net: Any, tile: Any) -> None:
    """Complete the units that see the border alone, which are the first ones."""
    _begin(tile.h, U0, net.before, net.has_bias, net.bias, net.zero)
    _add_units(net, tile, U0, net.before, U0, net.n_border)
    _activate(net, tile, U0, net.before)


@kernel(error_model="numpy", fastmath=FAST)
def _draw(net: Any, tile: Any, thresholds: Any, begin: Any, m: Any) -> None:
    """Draw m samples: x contains the border on entry and the spins as well on return; h and y are filled."""
    n_spins, n_border, before, width = net.n_spins, net.n_border, net.before, net.width
    x, y = tile.x, tile.y
    _border_units(net, tile)
    for start in range(U0, n_spins, _PANEL):
        stop, known, inner = min(start + _PANEL, n_spins), n_border + start, before + start * width
        rows = (stop - start) * width
        _begin(tile.h, inner, rows, net.has_bias, net.bias, net.zero)
        _add_units(net, tile, inner, rows, U0, known)
        _begin(y, start, stop - start, net.has_last_bias, net.last_bias, net.zero)
        _add_skip(net, tile, start, stop - start, U0, known)
        _add_hidden(net, tile, start, stop - start, U0, inner)
        for k in range(start, stop):  # the triangle inside the panel
            unit, site = before + k * width, n_border + k
            _add_units(net, tile, unit, width, known, site)
            _activate(net, tile, unit, width)
            _add_skip(net, tile, k, U1, known, site)
            _add_hidden(net, tile, k, U1, inner, unit + width)
            for e in range(m):
                x[site * _TILE + e] = 1.0 if y[k * _TILE + e] > thresholds[k, begin + e] else -1.0


@kernel()
def evaluate(net: Any, tile: Any) -> None:
    """Fill h and y, and z if it is kept, of a tile whose x contains the border and the spins.

    The rows of a panel are multiplied with all sites up to the end of the panel, masked zeros included.
    """
    n_spins, width = net.n_spins, net.width
    _border_units(net, tile)
    for start in range(U0, n_spins, _PANEL):
        stop, inner = min(start + _PANEL, n_spins), net.before + start * width
        rows, known = (stop - start) * width, net.n_border + stop
        _begin(tile.h, inner, rows, net.has_bias, net.bias, net.zero)
        _add_units(net, tile, inner, rows, U0, known)
        _activate(net, tile, inner, rows)
        _begin(tile.y, start, stop - start, net.has_last_bias, net.last_bias, net.zero)
        _add_skip(net, tile, start, stop - start, U0, known)
        _add_hidden(net, tile, start, stop - start, U0, inner + rows)


@kernel(error_model="numpy", fastmath=FAST)
def _log_prob(net: Any, tile: Any, low: Any, more: Any, total: Any) -> None:
    """total = sum_k ln sigmoid(s_k y_k), (TILE,) float64; low and more are memory, (TILE,).

    ln sigmoid(a) = min(a, 0) - ln(1 + exp(-|a|)), and a sum of logarithms is the logarithm of a product.
    """
    x, y, n_border, n_spins, zero = tile.x, tile.y, net.n_border, net.n_spins, net.zero
    for e in range(_TILE):
        total[e], low[e], more[e] = 0, zero, zero
    for k in range(n_spins):
        o, s = k * _TILE, (n_border + k) * _TILE
        for e in range(_TILE):
            a = x[s + e] * y[o + e]
            small = exp(-abs(a))
            low[e] += min(a, zero)
            more[e] += small + small * more[e]  # 1 + more = product of 1 + small; small numbers keep their digits
        if k % RUN == RUN - U1 or k == n_spins - U1:
            for e in range(_TILE):
                total[e] += low[e] - log1p(more[e])
                low[e] = zero
                more[e] = zero


@kernel()
def fill_inputs(net: Any, tile: Any, sites: Any, begin: Any, m: Any, spins: Any) -> None:
    """Copy the border of m samples into x, and their spins if `spins` is True. Samples beyond m become 0."""
    if m < _TILE:
        for i in range(net.n_inputs * _TILE):
            tile.x[i] = net.zero
    gather(tile.x, U0, _TILE, sites.lattice, sites.border, begin, m)
    if spins:
        gather(tile.x, net.n_border, _TILE, sites.lattice, sites.drawn, begin, m)


@kernel()
def _draw_part(arrays: Any, sites: Any, thresholds: Any, kept: Any, log_prob: Any, first: Any, last: Any) -> Any:
    """Draw or evaluate the tiles first ... last; return the memory, which must live until then."""
    net, keeps = net_of(arrays, sites.border.shape[0]), kept.size > 0
    keeps_z = keeps and net.has_slopes
    numbers = tile_numbers(net, keeps_z)
    memory, sums = aligned(U0 if keeps else numbers, arrays.first), aligned(U2 * _TILE, arrays.first)
    total = np.empty(TILE, dtype=np.float64)
    for index in range(first, last):
        tile = tile_of(net, keeps_z, address(kept, index * numbers) if keeps else address(memory, U0))
        begin = index * _TILE
        m = min(_TILE, U(log_prob.size) - begin)
        fill_inputs(net, tile, sites, begin, m, thresholds.size == 0)
        if thresholds.size:
            _draw(net, tile, thresholds, begin, m)
            scatter(tile.x, net.n_border, _TILE, sites.lattice, sites.drawn, begin, m)
        else:
            evaluate(net, tile)
        _log_prob(net, tile, sums[:_TILE], sums[_TILE:], total)
        for e in range(m):
            log_prob[begin + e] = total[e]
    return memory


@kernel(parallel=True)
def draw_network(arrays: Any, sites: Any, thresholds: Any, kept: Any, log_prob: Any) -> None:
    """Draw all blocks of a level into the lattice, or evaluate the spins that are there.

    Parameters
    ----------
    arrays, sites : `Arrays`, `Sites`
    thresholds : (K, n_blocks n); without elements, the spins of the lattice are evaluated
    kept : (tiles, tile_numbers), receives the inputs, units and logits of all tiles; without elements they are lost
    log_prob : (n_blocks n,) float64, the result
    """
    tiles = (log_prob.size + TILE - 1) // TILE
    parts = min(tiles, PARTS)
    for part in prange(parts):
        first, last = U(part * tiles // parts), U((part + 1) * tiles // parts)
        _draw_part(arrays, sites, thresholds, kept, log_prob, first, last)
