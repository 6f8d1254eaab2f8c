"""The gradient of sum_c factor_c ln q_c by the matrices of a dense masked network, compiled for the CPU.

In the notation of `dense`, with f the factor of a sample and sums over all samples:

    d_y     = f s sigmoid(-s y)                    (K,)   as d ln sigmoid(s y)/dy = s sigmoid(-s y)
    d_last += d_y h_(H-1)^T                        (K, U)
    d_h     = last^T d_y                           (U,)   of the last hidden layer
    d_z     = d_h (1 where z > 0, else slope)      (U,)
    d_slope += d_h min(z, 0)                       (U,)
    d_middle_(l-1) += d_z h_(l-1)^T                (U, U)  and d_h of layer l - 1 = middle_(l-1)^T d_z
    d_first += d_z x^T                             (U, sites)  at layer 0

The biases receive the sums of d_z and d_y. Each tile runs forward again before it runs backward, so that no hidden unit
is stored between the two passes.
"""

from typing import Any

import numpy as np
from numba import prange

from nisbench.nn.kernels.dense import PANEL, buffers, evaluate, gather
from nisbench.nn.kernels.functions import sigmoid
from nisbench.nn.kernels.jit import FAST, FAST_SUMS, U0, U1, U, kernel
from nisbench.nn.kernels.products import LANES, TILE, multiply, outer, row_sums, transpose

__all__ = ["gradient_dense", "gradient_size", "gradient_views"]

_TILE, _PANEL = U(TILE), U(PANEL)


@kernel()
def _whole_vectors(columns: Any) -> Any:
    """Round up to a multiple of LANES, so that `outer` writes whole vectors."""
    return (columns + LANES - 1) // LANES * LANES


@kernel()
def gradient_size(inputs: Any, n_spins: Any, n_hidden: Any, units: Any) -> Any:
    """Return how many numbers the flat gradient of a network has, see `gradient_views`."""
    wide = _whole_vectors(units)
    matrices = units * _whole_vectors(inputs) + (n_hidden - 1) * units * wide + n_spins * wide
    return matrices + 2 * n_hidden * units + n_spins


@kernel()
def gradient_views(flat: Any, inputs: Any, n_spins: Any, n_hidden: Any, units: Any) -> Any:
    """Return views of one flat array: the gradients by first, middle, last, biases, last_bias and slopes, in order.

    The rows of the three matrices are padded to whole vectors of LANES. The entries of masked weights are undefined.
    """
    wide = _whole_vectors(units)
    a = units * _whole_vectors(inputs)
    b = a + (n_hidden - 1) * units * wide
    c = b + n_spins * wide
    d = c + n_hidden * units
    e = d + n_spins
    return (
        flat[:a].reshape(units, _whole_vectors(inputs)),
        flat[a:b].reshape(n_hidden - 1, units, wide),
        flat[b:c].reshape(n_spins, wide),
        flat[c:d].reshape(n_hidden, units),
        flat[d:e],
        flat[e:].reshape(n_hidden, units),
    )


@kernel(error_model="numpy", fastmath=FAST)
def _differentiate_logits(x: Any, y: Any, factor: Any, n_border: Any, n_spins: Any) -> None:
    """y becomes d_y = f s sigmoid(-s y)."""
    for k in range(n_spins):
        o, s = k * _TILE, (n_border + k) * _TILE
        for e in range(_TILE):
            y[o + e] = factor[e] * x[s + e] * sigmoid(-x[s + e] * y[o + e])


@kernel(error_model="numpy", fastmath=FAST_SUMS)
def _deactivate(upper: Any, z: Any, at: Any, slopes: Any, d_slopes: Any) -> None:
    """`upper` becomes d_z of a layer where it was d_h; d_slopes += d_h min(z, 0)."""
    for u in range(U(slopes.shape[0])):
        slope = slopes[u]
        one, total = slope * 0 + 1, slope * 0  # of the type of the slopes
        o, i = u * _TILE, (at + u) * _TILE
        for e in range(_TILE):
            total += upper[o + e] * min(z[i + e], 0)
            upper[o + e] *= slope if z[i + e] < 0 else one
        d_slopes[u] += total


@kernel(error_model="numpy", fastmath=FAST)
def _backward(
    middle_t: Any, last_t: Any, slopes: Any, x: Any, z: Any, h: Any, y: Any, factor: Any, d_first: Any, d_middle: Any,
    d_last: Any, d_biases: Any, d_last_bias: Any, d_slopes: Any,
) -> None:  # fmt: skip
    """Add the gradient of one tile to d_first ... d_slopes; y becomes d_y.

    Products with masked zeros are left out panel by panel, not entry by entry.
    """
    n_spins, units, n_hidden = U(last_t.shape[1]), U(slopes.shape[1]), U(slopes.shape[0])
    n_sites = U(x.size) // _TILE
    n_border, width = n_sites - n_spins, units // n_sites
    border, panels = n_border * width, (n_spins + _PANEL - U1) // _PANEL
    _differentiate_logits(x, y, factor, n_border, n_spins)
    row_sums(d_last_bias, y, n_spins)
    # d_h of the layer at work and of the one below it, (U, TILE)
    upper, lower = np.zeros(units * _TILE, dtype=y.dtype), np.zeros(units * _TILE, dtype=y.dtype)
    below = np.zeros((_TILE, U(d_last.shape[1])), dtype=y.dtype)
    transpose(below, h, (n_hidden - U1) * units, units)  # (U, TILE) -> (TILE, U)
    multiply(upper, U0, border, last_t, U0, y, U0, n_spins, U0)
    for panel in range(panels):
        start, stop = panel * _PANEL, min((panel + U1) * _PANEL, n_spins)
        unit, after = (n_border + start) * width, (n_border + stop) * width
        # the units of a panel feed its own logits and later ones; its logits see its own units and earlier ones
        multiply(upper, unit, after - unit, last_t, unit, y, start, n_spins, start)
        outer(d_last, start, stop - start, y, start, below, after)
    for index in range(n_hidden):
        layer = n_hidden - U1 - index
        _deactivate(upper, z, layer * units, slopes[layer], d_slopes[layer])
        row_sums(d_biases[layer], upper, units)
        if layer == U0:
            inputs = np.zeros((_TILE, U(d_first.shape[1])), dtype=y.dtype)
            transpose(inputs, x, U0, n_sites)  # (sites, TILE) -> (TILE, sites)
            outer(d_first, U0, border, upper, U0, inputs, n_border)
        else:
            lower[:] = 0
            transpose(below, h, (layer - U1) * units, units)
            outer(d_middle[layer - U1], U0, border, upper, U0, below, border)
            multiply(lower, U0, border, middle_t[layer - U1], U0, upper, U0, units, U0)
        for panel in range(panels):
            start, stop = panel * _PANEL, min((panel + U1) * _PANEL, n_spins)
            unit, after = (n_border + start) * width, (n_border + stop) * width
            if layer == U0:
                outer(d_first, unit, after - unit, upper, unit, inputs, n_border + stop)
            else:
                outer(d_middle[layer - U1], unit, after - unit, upper, unit, below, after)
                multiply(lower, unit, after - unit, middle_t[layer - U1], unit, upper, unit, units, unit)
        upper, lower = lower, upper


@kernel(parallel=True, error_model="numpy", fastmath=FAST)
def gradient_dense(
    first: Any, middle: Any, last: Any, biases: Any, last_bias: Any, slopes: Any, lattice: Any, drawn: Any,
    border: Any, middle_t: Any, last_t: Any, factor: Any, gradients: Any,
) -> None:  # fmt: skip
    """Add the gradient of sum_c factor_c ln q_c, where ln q_c is that of all blocks of configuration c.

    Parameters
    ----------
    first ... border : as in `draw_dense`
    middle_t, last_t : (depth - 2, U, U), (U, n_spins) transposed weights, contiguous
    factor : (n,)
    gradients : (parts, gradient_size) zeros, laid out as in `gradient_views`. The result is their sum; their number
        is fixed, so that the result does not depend on the number of threads
    """
    n_spins, hidden, n = U(drawn.shape[0]), U(slopes.size), U(lattice.shape[1])
    n_border, total_n = U(border.shape[0]), n * U(drawn.shape[1])
    # part p adds up the tiles p, p + parts, p + 2 parts ...
    parts, tiles = gradients.shape[0], (lattice.shape[1] * drawn.shape[1] + TILE - 1) // TILE
    for part in prange(parts):
        d_first, d_middle, d_last, d_biases, d_last_bias, d_slopes = gradient_views(
            gradients[part], first.shape[1], last.shape[0], slopes.shape[0], slopes.shape[1]
        )
        for tile in range(part, tiles, parts):
            begin = U(tile) * _TILE
            m = min(_TILE, total_n - begin)
            x, z, h, y = buffers(first, n_spins, hidden)
            gather(x, U0, lattice, border, begin, m)
            gather(x, n_border, lattice, drawn, begin, m)
            evaluate(first, middle, last, biases, last_bias, slopes, x, z, h, y)
            per_sample = np.zeros(TILE, dtype=y.dtype)  # samples beyond m add nothing
            for e in range(m):
                per_sample[e] = factor[(begin + e) % n]
            _backward(
                middle_t, last_t, slopes, x, z, h, y, per_sample, d_first, d_middle, d_last, d_biases, d_last_bias,
                d_slopes,
            )  # fmt: skip
