"""The gradient of sum_c f_c ln q_c by the matrices of a network, compiled for the CPU.

In the notation of `network`, with f the factor of a sample and sums over all samples:

    d_y         = f s sigmoid(-s y)            (K,)    as d ln sigmoid(s y)/dy = s sigmoid(-s y)
    d_skip     += d_y x^T                      (K, N)
    d_last     += d_y h^T                      (K, U)
    d_last_bias += d_y                         (K,)
    d_h         = last^T d_y                   (U,)
    d_slopes   += d_h min(z, 0)                (U,)    PReLU
    d_z         = d_h act'(z)                  (U,)    PReLU: 1 where z > 0, else the slope; tanh: 1 - h^2
    d_first    += d_z x^T                      (U, N)
    d_bias     += d_z                          (U,)

A tile that the draw has kept runs backward at once, another one runs forward before. Products with masked zeros are
left out panel by panel. The gradient by `last` is summed as its transpose, h d_y^T, because the second factor of an
outer product is transposed first and d_y has fewer rows than h.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from nisbench.nn.kernels.functions import exp
from nisbench.nn.kernels.jit import FAST, FAST_SUMS, LANES, U0, U1, U, kernel
from nisbench.nn.kernels.lattice import aligned
from nisbench.nn.kernels.network import PANEL, evaluate, fill_inputs, net_of, tile_numbers, tile_of
from nisbench.nn.kernels.products import TILE, multiply, row_sums, transpose
from nisbench.nn.kernels.vectors import address

__all__ = ["Sums", "gradient_network"]

_TILE, _PANEL = U(TILE), U(PANEL)


class Sums(NamedTuple):
    """Addresses of the gradients by the parts of a network.

    A product writes whole vectors. It adds zeros to up to LANES - 1 numbers after the row that it writes, so that as
    many numbers must follow the last matrix.
    """

    first: Any
    """(U, N)"""
    last_t: Any
    """(U, K), the transpose of the gradient by `last`"""
    skip: Any
    """(K, N)"""
    bias: Any
    last_bias: Any
    slopes: Any


@kernel()
def _sums_of(flat: Any, ends: Any) -> Any:
    """Return the `Sums` in a flat array, whose parts end at `ends`."""
    return Sums(
        address(flat, U0),
        address(flat, U(ends[0])),
        address(flat, U(ends[1])),
        address(flat, U(ends[2])),
        address(flat, U(ends[3])),
        address(flat, U(ends[4])),
    )


@kernel()
def _whole(columns: Any) -> Any:
    """Round up to a multiple of LANES."""
    return (columns + U(LANES) - U1) // U(LANES) * U(LANES)


@kernel(error_model="numpy", fastmath=FAST)
def _differentiate_logits(net: Any, tile: Any, factor: Any, d_y: Any) -> None:
    """d_y = f s sigmoid(-s y)."""
    x, y, zero = tile.x, tile.y, net.zero
    one = exp(zero)
    for k in range(net.n_spins):
        o, s = k * _TILE, (net.n_border + k) * _TILE
        for e in range(_TILE):
            a = x[s + e] * y[o + e]
            small = exp(-abs(a))
            d_y[o + e] = factor[e] * x[s + e] * (small if a > zero else one) / (one + small)


@kernel(error_model="numpy", fastmath=FAST_SUMS)
def _deactivate(net: Any, tile: Any, d_h: Any, d_slopes: Any) -> None:
    """d_h becomes d_z; d_slopes += d_h min(z, 0)."""
    h, z, zero = tile.h, tile.z, net.zero
    one = exp(zero)
    if not net.has_slopes:
        for at in range(net.n_units * _TILE):
            d_h[at] *= one - h[at] * h[at]
        return
    for u in range(net.n_units):
        slope, total = net.slopes[u], zero
        for e in range(_TILE):
            i = u * _TILE + e
            total += d_h[i] * min(z[i], zero)
            d_h[i] *= slope if z[i] <= zero else one
        d_slopes[u] += total


@kernel()
def _add_outer(out: Any, stride: Any, a: Any, rows: Any, b: Any, columns: Any, m: Any) -> None:
    """out[r, c] += sum_e a[r, e] b[e, c] for r < rows, e < m, c < columns; `a` is a part of a tile.

    b : its address and the distance of its rows. Its columns are zero from the last one of `out` on
    """
    multiply(out, stride, a, _TILE, b[0], b[1], rows, m, _whole(columns))


@kernel()
def _backward(net: Any, last_t: Any, tile: Any, factor: Any, m: Any, d: Any, work: Any) -> None:
    """Add the gradient of a tile of m samples to the `Sums` d.

    last_t : (U, K) transposed `last`
    work : memory for d_h (U, TILE), d_y (K, TILE), transposed x (TILE, N) and transposed d_y (TILE, K), the last two
        with whole vectors as rows and zeros beyond the last column
    """
    n_inputs, n_spins, n_border, before, width = net.n_inputs, net.n_spins, net.n_border, net.before, net.width
    wide, narrow = _whole(n_inputs), _whole(n_spins)
    d_h, d_y = work, address(work, net.n_units * _TILE)
    x_t = address(d_y, n_spins * _TILE)
    y_t = address(x_t, wide * _TILE)
    _differentiate_logits(net, tile, factor, d_y)
    transpose(x_t, wide, tile.x, _TILE, n_inputs, _TILE)
    transpose(y_t, narrow, d_y, _TILE, n_spins, _TILE)
    for i in range(net.n_units * _TILE):
        d_h[i] = net.zero
    # the units of the border feed all logits
    multiply(d_h, _TILE, last_t, n_spins, d_y, _TILE, before, n_spins, _TILE)
    _add_outer(d.last_t, n_spins, tile.h, before, (y_t, narrow), n_spins, m)
    for start in range(U0, n_spins, _PANEL):
        spins, unit, later = min(_PANEL, n_spins - start), before + start * width, n_spins - start
        rows, at, above = spins * width, unit * n_spins + start, address(d_y, start * _TILE)
        # the units of a panel feed its own logits and later ones; its logits see its own inputs and earlier ones
        multiply(address(d_h, unit * _TILE), _TILE, address(last_t, at), n_spins, above, _TILE, rows, later, _TILE)
        own = address(tile.h, unit * _TILE)
        _add_outer(address(d.last_t, at), n_spins, own, rows, (address(y_t, start), narrow), later, m)
        if net.has_skip:
            skip, known = address(d.skip, start * n_inputs), n_border + start + spins
            _add_outer(skip, n_inputs, above, spins, (x_t, wide), known, m)
    _deactivate(net, tile, d_h, d.slopes)
    _add_outer(d.first, n_inputs, d_h, before, (x_t, wide), n_border, m)
    for start in range(U0, n_spins, _PANEL):
        spins, unit = min(_PANEL, n_spins - start), before + start * width
        first, rows, known = address(d.first, unit * n_inputs), spins * width, n_border + start + spins
        _add_outer(first, n_inputs, address(d_h, unit * _TILE), rows, (x_t, wide), known, m)
    if net.has_bias:
        row_sums(d.bias, d_h, net.n_units, net.zero)
    if net.has_last_bias:
        row_sums(d.last_bias, d_y, n_spins, net.zero)


@kernel()
def _gradient_part(arrays: Any, last_t: Any, sites: Any, factor: Any, kept: Any, d: Any, part: Any, parts: Any) -> Any:
    """Add up the gradients of the tiles part, part + parts, part + 2 parts ... in the `Sums` d; return the memory."""
    net, samples, is_kept = net_of(arrays, sites.border.shape[0]), U(factor.size), kept.size > 0
    numbers = tile_numbers(net, net.has_slopes)
    memory = aligned(U0 if is_kept else numbers, arrays.first)
    work = aligned(_TILE * (net.n_units + net.n_spins + _whole(net.n_inputs) + _whole(net.n_spins)), arrays.first)
    work[:] = 0
    per_sample = np.zeros(TILE, dtype=factor.dtype)
    for index in range(part, (samples + _TILE - U1) // _TILE, parts):
        begin = index * _TILE
        m = min(_TILE, samples - begin)
        tile = tile_of(net, net.has_slopes, address(kept, index * numbers) if is_kept else address(memory, U0))
        if not is_kept:
            fill_inputs(net, tile, sites, begin, m, True)
            evaluate(net, tile)
        per_sample[:] = 0  # samples beyond m add nothing
        for e in range(m):
            per_sample[e] = factor[begin + e]
        _backward(net, address(last_t, U0), tile, per_sample, m, d, address(work, U0))
    return memory, work


@kernel(parallel=True)
def gradient_network(arrays: Any, last_t: Any, sites: Any, factor: Any, kept: Any, ends: Any, gradients: Any) -> None:
    """Add the gradient of sum_c factor_c ln q_c, where ln q_c is that of sample c.

    Parameters
    ----------
    arrays, sites, kept : as in `network.draw_network`; without elements in `kept`, all tiles are evaluated once more
    last_t : (U, K) transposed `last`
    factor : (n_blocks n,) of the type of the network
    ends : (5,) ends of the parts before the last one in a row of `gradients`, in the order of `Sums`
    gradients : (parts, numbers) zeros. The result is their sum; their number is fixed, so that the result does not
        depend on the number of threads. The entries of masked weights are undefined
    """
    parts = gradients.shape[0]
    for part in prange(parts):
        _gradient_part(arrays, last_t, sites, factor, kept, _sums_of(gradients[part], ends), U(part), U(parts))
