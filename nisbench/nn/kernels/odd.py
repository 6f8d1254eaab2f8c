"""One panel of spins of the odd network, compiled for the CPU.

For the spins k of the panel in order, with x the spins and h the units, (width,) for each spin:

    h_k     = tanh(sums_k + first_k x_<k)                          the units of spin k
    logit_k = base_k + skip_k x_<k + last_k h_<=k
    x_k     = +1 where logit_k > threshold_k, else -1

`sums` and `base` are the contributions of the sites before the panel, computed by products of whole matrices.
"""

from typing import Any

import numpy as np
from numba import prange

from nisbench.nn.kernels.functions import tanh
from nisbench.nn.kernels.jit import U0, U1, U2, U4, U, kernel

__all__ = ["solve_panel"]

_FINITE = {"contract", "nsz", "nnan", "ninf"}
TILE = 64
"""Samples that one thread takes through the panel at a time; their units stay in the L1 cache."""


@kernel(fastmath=_FINITE, error_model="numpy")
def _accumulate(out: Any, at: Any, m: Any, weights: Any, row: Any, x: Any, count: Any) -> None:
    """out[at + b] += sum_j weights[row, j] x[j TILE + b] for j < count and b < m, four terms at a time."""
    j, stride = U0, U(TILE)
    while j + U4 <= count:
        w0, w1 = weights[row, j], weights[row, j + U1]
        w2, w3 = weights[row, j + U2], weights[row, j + U(3)]
        o0 = j * stride
        o1 = o0 + stride
        o2 = o1 + stride
        o3 = o2 + stride
        for b in range(m):
            out[at + b] += w0 * x[o0 + b] + w1 * x[o1 + b] + w2 * x[o2 + b] + w3 * x[o3 + b]
        j += U4
    while j < count:
        w0 = weights[row, j]
        o0 = j * stride
        for b in range(m):
            out[at + b] += w0 * x[o0 + b]
        j += U1


@kernel(parallel=True, fastmath=_FINITE, error_model="numpy")
def solve_panel(skip: Any, first: Any, last: Any, thresholds: Any, spins: Any, hidden: Any, logits: Any) -> None:
    """Draw the spins of a panel of T spins in order and complete their units, in place.

    Parameters
    ----------
    skip, first, last : (T, T), (T width, T), (T, T width) diagonal parts of the masked matrices
    thresholds : (T, n)
    spins : (T, n), the result
    hidden : (T width, n), `sums` on entry and the units h on return
    logits : (T, n), `base` on entry and the logits on return
    """
    n_spins, n = logits.shape
    width = len(first) // n_spins
    for tile in prange((n + TILE - 1) // TILE):
        b0 = tile * TILE
        m = U(min(TILE, n - b0))
        begin, stride, w = U(b0), U(TILE), U(width)
        x = np.empty(n_spins * TILE, dtype=logits.dtype)  # (T, TILE)
        units = np.empty(n_spins * width * TILE, dtype=logits.dtype)  # (T width, TILE)
        logit = np.empty(TILE, dtype=logits.dtype)
        for k in range(U(n_spins)):
            u0 = k * w
            # the w units of spin k
            for u in range(u0, u0 + w):
                source = hidden[u]
                for b in range(m):
                    units[u * stride + b] = source[begin + b]
                _accumulate(units, u * stride, m, first, u, x, k)
            tanh(units, u0 * stride, (u0 + w) * stride)
            for u in range(u0, u0 + w):
                target = hidden[u]
                for b in range(m):
                    target[begin + b] = units[u * stride + b]
            # its logit and the spin
            base, limit, drawn = logits[k], thresholds[k], spins[k]
            for b in range(m):
                logit[b] = base[begin + b]
            _accumulate(logit, U0, m, skip, k, x, k)
            _accumulate(logit, U0, m, last, k, units, u0 + w)
            for b in range(m):
                base[begin + b] = logit[b]
                s = 1 if logit[b] > limit[begin + b] else -1
                x[k * stride + b] = s
                drawn[begin + b] = s
