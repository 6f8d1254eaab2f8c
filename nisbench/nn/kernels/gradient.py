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

Each tile runs forward before it runs backward, so that no hidden unit is stored between the draw and the gradient.
Products with masked zeros are left out panel by panel.
"""

from typing import Any

import numpy as np
from numba import prange

from nisbench.nn.kernels.functions import exp
from nisbench.nn.kernels.jit import FAST, FAST_SUMS, LANES, U0, U1, U, kernel
from nisbench.nn.kernels.lattice import aligned
from nisbench.nn.kernels.network import PANEL, Arrays, evaluate, gather_all, net_of, tile_memory, tile_of
from nisbench.nn.kernels.products import TILE, multiply, row_sums, transpose
from nisbench.nn.kernels.vectors import address

__all__ = ["gradient_network", "gradient_size", "gradient_views"]

_TILE, _PANEL = U(TILE), U(PANEL)


@kernel()
def _whole(columns: Any) -> Any:
    """Round up to a multiple of LANES, so that `multiply` writes whole vectors."""
    return (columns + LANES - 1) // LANES * LANES


@kernel()
def _ends(arrays: Any) -> Any:
    """Return where the parts of a flat gradient end, in the order of `Arrays`."""
    (units, inputs), n_spins = arrays.first.shape, arrays.last.shape[0]
    first = units * _whole(inputs)
    last = first + n_spins * _whole(units)
    skip = last + arrays.skip.shape[0] * _whole(inputs)
    bias = skip + arrays.bias.size
    last_bias = bias + arrays.last_bias.size
    return first, last, skip, bias, last_bias, last_bias + arrays.slopes.size


@kernel()
def gradient_size(arrays: Any) -> Any:
    """Return how many numbers the flat gradient of a network has, see `gradient_views`."""
    return _ends(arrays)[5]


@kernel()
def gradient_views(flat: Any, arrays: Any) -> Any:
    """Return views of a flat array as `Arrays` of gradients.

    The rows of the three matrices are padded to whole vectors of LANES. The entries of masked weights are undefined.
    """
    a, b, c, d, e, f = _ends(arrays)
    (units, inputs), n_spins = arrays.first.shape, arrays.last.shape[0]
    return Arrays(
        flat[:a].reshape(units, _whole(inputs)),
        flat[a:b].reshape(n_spins, _whole(units)),
        flat[b:c].reshape(arrays.skip.shape[0], _whole(inputs)),
        flat[c:d],
        flat[d:e],
        flat[e:f],
        arrays.width,
    )


@kernel(error_model="numpy", fastmath=FAST)
def _differentiate_logits(net: Any, tile: Any, factor: Any) -> None:
    """y becomes d_y = f s sigmoid(-s y)."""
    x, y, zero = tile.x, tile.y, net.zero
    one = exp(zero)
    for k in range(net.n_spins):
        o, s = k * _TILE, (net.n_border + k) * _TILE
        for e in range(_TILE):
            a = x[s + e] * y[o + e]
            small = exp(-abs(a))
            y[o + e] = factor[e] * x[s + e] * (small if a > zero else one) / (one + small)


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
            d_h[i] *= slope if z[i] < zero else one
        d_slopes[u] += total


@kernel()
def _add_outer(out: Any, stride: Any, row: Any, rows: Any, a: Any, m: Any, b: Any, columns: Any) -> None:
    """out[row + r, c] += sum_e a[row + r, e] b[e, c] for r < rows, e < m and c < columns, rounded up to LANES.

    `a` is a tile, `b` a transposed tile with rows as long as those of `out`, `stride`.
    """
    wide = (columns + U(LANES) - U1) // U(LANES) * U(LANES)
    multiply(address(out, row * stride), stride, address(a, row * _TILE), _TILE, b, stride, rows, m, wide)


@kernel()
def _backward(net: Any, last_t: Any, tile: Any, factor: Any, m: Any, d: Any, d_h: Any, x_t: Any, h_t: Any) -> None:
    """Add the gradient of a tile of m samples to `d`, a `Net` of gradients; y becomes d_y.

    last_t : (U, K) transposed `last`
    d_h, x_t, h_t : memory, (U, TILE), (TILE, N) and (TILE, U), the last two with rows as long as those of `d`
    """
    n_spins, n_border, before, width, y = net.n_spins, net.n_border, net.before, net.width, tile.y
    _differentiate_logits(net, tile, factor)
    transpose(x_t, d.n_inputs, tile.x, net.n_inputs)
    transpose(h_t, d.n_units, tile.h, net.n_units)
    for i in range(net.n_units * _TILE):
        d_h[i] = net.zero
    multiply(d_h, _TILE, last_t, n_spins, y, _TILE, before, n_spins, _TILE)
    for start in range(U0, n_spins, _PANEL):
        stop, unit = min(start + _PANEL, n_spins), before + start * width
        rows, later = (stop - start) * width, address(y, start * _TILE)
        # the units of a panel feed its own logits and later ones; its logits see its own units and earlier ones
        part, to = address(last_t, unit * n_spins + start), address(d_h, unit * _TILE)
        multiply(to, _TILE, part, n_spins, later, _TILE, rows, n_spins - start, _TILE)
        _add_outer(d.last, d.n_units, start, stop - start, y, m, h_t, unit + rows)
        if net.has_skip:
            _add_outer(d.skip, d.n_inputs, start, stop - start, y, m, x_t, n_border + stop)
    _deactivate(net, tile, d_h, d.slopes)
    _add_outer(d.first, d.n_inputs, U0, before, d_h, m, x_t, n_border)
    for start in range(U0, n_spins, _PANEL):
        stop = min(start + _PANEL, n_spins)
        _add_outer(d.first, d.n_inputs, before + start * width, (stop - start) * width, d_h, m, x_t, n_border + stop)
    if net.has_bias:
        row_sums(d.bias, d_h, net.n_units, net.zero)
    if net.has_last_bias:
        row_sums(d.last_bias, y, n_spins, net.zero)


@kernel()
def _gradient_part(arrays: Any, last_t: Any, sites: Any, factor: Any, flat: Any, part: Any, parts: Any) -> Any:
    """Add up the gradients of the tiles part, part + parts, part + 2 parts ... in `flat`; return the memory."""
    views, n_border, samples, like = gradient_views(flat, arrays), sites.border.shape[0], U(factor.size), arrays.first
    net, d = net_of(arrays, n_border), net_of(views, n_border)
    memory = tile_memory(net, net.has_slopes, like)
    tile = tile_of(net, net.has_slopes, memory)
    work = aligned(_TILE * (net.n_units + d.n_inputs + d.n_units), like)
    work[:] = 0  # the columns of the transposed tiles beyond the last one stay zero
    x_t = address(work, _TILE * net.n_units)
    h_t = address(x_t, _TILE * d.n_inputs)
    per_sample = np.zeros(TILE, dtype=factor.dtype)
    for begin in range(part * _TILE, samples, parts * _TILE):
        m = min(_TILE, samples - begin)
        gather_all(net, tile, sites, begin, m)
        evaluate(net, tile)
        per_sample[:] = 0  # samples beyond m add nothing
        for e in range(m):
            per_sample[e] = factor[begin + e]
        _backward(net, address(last_t, U0), tile, per_sample, m, d, address(work, U0), x_t, h_t)
    return memory, work, views


@kernel(parallel=True)
def gradient_network(arrays: Any, last_t: Any, sites: Any, factor: Any, gradients: Any) -> None:
    """Add the gradient of sum_c factor_c ln q_c, where ln q_c is that of sample c.

    Parameters
    ----------
    arrays, sites : as in `network.draw_network`
    last_t : (U, K) transposed `last`
    factor : (n_blocks n,) of the type of the network
    gradients : (parts, gradient_size) zeros, laid out as in `gradient_views`. The result is their sum; their number
        is fixed, so that the result does not depend on the number of threads
    """
    for part in prange(gradients.shape[0]):
        _gradient_part(arrays, last_t, sites, factor, gradients[part], U(part), U(gradients.shape[0]))
