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
from nisbench.nn.kernels.network import PANEL, Net, evaluate, gather_all, shape, tile_of
from nisbench.nn.kernels.products import TILE, multiply, row_sums, transpose

__all__ = ["gradient_network", "gradient_size", "gradient_views"]

_TILE, _PANEL = U(TILE), U(PANEL)


@kernel()
def _whole(columns: Any) -> Any:
    """Round up to a multiple of LANES, so that `multiply` writes whole vectors."""
    return (columns + LANES - 1) // LANES * LANES


@kernel()
def _ends(net: Any) -> Any:
    """Return where the parts of a flat gradient end, in the order of `Net`."""
    (units, inputs), n_spins = net.first.shape, net.last.shape[0]
    first = units * _whole(inputs)
    last = first + n_spins * _whole(units)
    skip = last + net.skip.shape[0] * _whole(inputs)
    bias = skip + net.bias.size
    last_bias = bias + net.last_bias.size
    return first, last, skip, bias, last_bias, last_bias + net.slopes.size


@kernel()
def gradient_size(net: Any) -> Any:
    """Return how many numbers the flat gradient of a network has, see `gradient_views`."""
    return _ends(net)[5]


@kernel()
def gradient_views(flat: Any, net: Any) -> Any:
    """Return views of a flat array as a `Net` of gradients.

    The rows of the three matrices are padded to whole vectors of LANES. The entries of masked weights are undefined.
    """
    a, b, c, d, e, f = _ends(net)
    (units, inputs), n_spins = net.first.shape, net.last.shape[0]
    return Net(
        flat[:a].reshape(units, _whole(inputs)),
        flat[a:b].reshape(n_spins, _whole(units)),
        flat[b:c].reshape(net.skip.shape[0], _whole(inputs)),
        flat[c:d],
        flat[d:e],
        flat[e:f],
        net.width,
    )


@kernel(error_model="numpy", fastmath=FAST)
def _differentiate_logits(x: Any, y: Any, factor: Any, n_border: Any, n_spins: Any) -> None:
    """y becomes d_y = f s sigmoid(-s y)."""
    one = y.dtype.type(1)
    for k in range(n_spins):
        o, s = k * _TILE, (n_border + k) * _TILE
        for e in range(_TILE):
            a = x[s + e] * y[o + e]
            small = exp(-abs(a))
            y[o + e] = factor[e] * x[s + e] * (small if a > 0 else one) / (one + small)


@kernel(error_model="numpy", fastmath=FAST_SUMS)
def _deactivate(net: Any, tile: Any, d_h: Any, d_slopes: Any) -> None:
    """d_h becomes d_z; d_slopes += d_h min(z, 0)."""
    h, z, one = tile.h, tile.z, d_h.dtype.type(1)
    if len(net.slopes) == 0:
        for i in range(U(d_h.size)):
            d_h[i] *= one - h[i] * h[i]
        return
    for u in range(U(len(net.slopes))):
        slope, total = net.slopes[u], one * 0
        for e in range(_TILE):
            i = u * _TILE + e
            total += d_h[i] * min(z[i], 0)
            d_h[i] *= slope if z[i] < 0 else one
        d_slopes[u] += total


@kernel()
def _add_outer(out: Any, row: Any, rows: Any, a: Any, m: Any, b: Any, columns: Any) -> None:
    """out[row + r, c] += sum_e a[row + r, e] b[e, c] for r < rows, e < m and c < columns, rounded up to LANES.

    `a` is a tile, `b` a transposed tile with rows as long as those of `out`.
    """
    stride = U(out.shape[1])
    wide = (columns + U(LANES) - U1) // U(LANES) * U(LANES)
    multiply(out, row * stride, stride, a, row * _TILE, _TILE, b, U0, stride, rows, m, wide)


@kernel()
def _backward(net: Any, last_t: Any, tile: Any, extents: Any, factor: Any, m: Any, work: Any, d: Any) -> None:
    """Add the gradient of a tile of m samples to `d`; y becomes d_y.

    last_t : (U, K) transposed `last`
    work : memory for d_h (U, TILE), and for x and h transposed, (TILE, N) and (TILE, U), rows rounded up to LANES
    """
    n_spins, n_border, before, width = extents
    units, y = U(net.last.shape[1]), tile.y
    d_h, x_t, h_t = work
    _differentiate_logits(tile.x, y, factor, n_border, n_spins)
    transpose(x_t, U(d.first.shape[1]), tile.x, n_border + n_spins)
    transpose(h_t, U(d.last.shape[1]), tile.h, units)
    d_h[:] = 0
    multiply(d_h, U0, _TILE, last_t, U0, n_spins, y, U0, _TILE, before, n_spins, _TILE)
    for start in range(U0, n_spins, _PANEL):
        stop, unit = min(start + _PANEL, n_spins), before + start * width
        rows = (stop - start) * width
        # the units of a panel feed its own logits and later ones; its logits see its own units and earlier ones
        at, o = unit * n_spins + start, start * _TILE
        multiply(d_h, unit * _TILE, _TILE, last_t, at, n_spins, y, o, _TILE, rows, n_spins - start, _TILE)
        _add_outer(d.last, start, stop - start, y, m, h_t, unit + rows)
        if len(net.skip):
            _add_outer(d.skip, start, stop - start, y, m, x_t, n_border + stop)
    _deactivate(net, tile, d_h, d.slopes)
    _add_outer(d.first, U0, before, d_h, m, x_t, n_border)
    for start in range(U0, n_spins, _PANEL):
        stop = min(start + _PANEL, n_spins)
        _add_outer(d.first, before + start * width, (stop - start) * width, d_h, m, x_t, n_border + stop)
    if len(net.bias):
        row_sums(d.bias, d_h, units)
    if len(net.last_bias):
        row_sums(d.last_bias, y, n_spins)


@kernel()
def _gradient_part(net: Any, last_t: Any, sites: Any, factor: Any, flat: Any, part: Any, parts: Any) -> None:
    """Add up the gradients of the tiles part, part + parts, part + 2 parts ... in `flat`."""
    extents = shape(net, sites)
    n_border, samples = extents[1], U(factor.size)
    d, units = gradient_views(flat, net), U(net.last.shape[1])
    tile = tile_of(net, units if len(net.slopes) else U0)
    like = net.first
    d_h, x_t = aligned(units * _TILE, like), aligned(_TILE * U(d.first.shape[1]), like)
    h_t = aligned(_TILE * U(d.last.shape[1]), like)
    x_t[:] = 0  # the columns beyond the last one stay zero
    h_t[:] = 0
    per_sample = np.zeros(TILE, dtype=factor.dtype)
    for begin in range(part * _TILE, samples, parts * _TILE):
        m = min(_TILE, samples - begin)
        gather_all(tile, sites, n_border, begin, m)
        evaluate(net, tile, extents)
        per_sample[:] = 0  # samples beyond m add nothing
        for e in range(m):
            per_sample[e] = factor[begin + e]
        _backward(net, last_t, tile, extents, per_sample, m, (d_h, x_t, h_t), d)


@kernel(parallel=True)
def gradient_network(net: Any, last_t: Any, sites: Any, factor: Any, gradients: Any) -> None:
    """Add the gradient of sum_c factor_c ln q_c, where ln q_c is that of sample c.

    Parameters
    ----------
    net, sites : as in `network.draw_network`
    last_t : (U, K) transposed `last`
    factor : (n_blocks n,) of the type of the network
    gradients : (parts, gradient_size) zeros, laid out as in `gradient_views`. The result is their sum; their number
        is fixed, so that the result does not depend on the number of threads
    """
    for part in prange(gradients.shape[0]):
        _gradient_part(net, last_t, sites, factor, gradients[part], U(part), U(gradients.shape[0]))
