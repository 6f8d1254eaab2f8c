"""Compiled CPU kernels of the networks.

numba vectorises a loop well when it is innermost, over contiguous elements of flat arrays, with distinct input and
output; hence the flat views, the tiles of samples and the separate accumulator.
"""

import math
from typing import Any

import numpy as np
from numba import njit, prange

__all__ = ["fill_thresholds", "solve_stack"]

TILE = 128
"""Samples that one thread takes through the block at a time; a tile of a block stays in the L1 cache."""


@njit(inline="always")
def _accumulate(acc: Any, m: int, weights: Any, row: int, x: Any, base: int, stride: int, count: int) -> None:
    """acc[b] += sum_j weights[row, j] x[base + j stride + b], four terms at a time."""
    j = 0
    while j + 4 <= count:
        w0, w1, w2, w3 = weights[row, j], weights[row, j + 1], weights[row, j + 2], weights[row, j + 3]
        o0 = base + j * stride
        o1, o2, o3 = o0 + stride, o0 + 2 * stride, o0 + 3 * stride
        for b in range(m):
            acc[b] += w0 * x[o0 + b] + w1 * x[o1 + b] + w2 * x[o2 + b] + w3 * x[o3 + b]
        j += 4
    while j < count:
        w0 = weights[row, j]
        o0 = base + j * stride
        for b in range(m):
            acc[b] += w0 * x[o0 + b]
        j += 1


_ARGUMENTS = (
    "void({t}[:,::1], {t}[:,:,::1], {t}[:,::1], {t}[:,::1], {t}[::1], {t}[::1], {t}[::1], {t}[::1], {t}[::1], i8, i8)"
)


@njit([_ARGUMENTS.format(t=t) for t in ("f4", "f8")], parallel=True, cache=True, fastmath={"contract", "nsz"})
def solve_stack(
    first: Any,
    middle: Any,
    last: Any,
    slopes: Any,
    thresholds: Any,
    spins: Any,
    pre: Any,
    post: Any,
    logits: Any,
    n_units: int,
    unit: int,
) -> None:
    """Draws the spins of one block in order and completes their units, in place.

    Parameters
    ----------
    first, middle, last : (T w, T), (depth - 2, T w, T w), (T, T w) diagonal blocks of the masked weights
    slopes : (depth - 1, T w)
    thresholds, spins, logits : (T n,) rows of the block, flat
    pre, post : (depth - 1 times n_units times n,) all hidden units, flat; the block starts at `unit`
    """
    n_spins = last.shape[0]
    n = logits.shape[0] // n_spins
    width = first.shape[0] // n_spins
    n_hidden = slopes.shape[0]
    for tile in prange((n + TILE - 1) // TILE):
        b0 = tile * TILE
        m = min(TILE, n - b0)
        acc = np.empty(TILE, dtype=logits.dtype)
        for k in range(n_spins):
            for layer in range(n_hidden):
                for u in range(k * width, (k + 1) * width):
                    row = (layer * n_units + unit + u) * n + b0
                    for b in range(m):
                        acc[b] = pre[row + b]
                    if layer == 0:
                        _accumulate(acc, m, first, u, spins, b0, n, k)
                    else:
                        below = ((layer - 1) * n_units + unit) * n + b0
                        _accumulate(acc, m, middle[layer - 1], u, post, below, n, (k + 1) * width)
                    slope = slopes[layer, u]
                    for b in range(m):
                        z = acc[b]
                        pre[row + b] = z
                        post[row + b] = z if z > 0 else slope * z
            row = k * n + b0
            for b in range(m):
                acc[b] = logits[row + b]
            top = ((n_hidden - 1) * n_units + unit) * n + b0
            _accumulate(acc, m, last, k, post, top, n, (k + 1) * width)
            for b in range(m):
                logits[row + b] = acc[b]
                spins[row + b] = 1.0 if acc[b] > thresholds[row + b] else -1.0


CHUNK = 1 << 15
"""Thresholds that one stream of the generator makes; fixed, so that the numbers do not depend on the threads."""
LANES = 64
"""Independent states of a stream that advance together, for vector instructions."""


_ONE, _HALF = np.float32(1), np.float32(0.5)
_LN2 = np.float32(math.log(2))
_SQRT_HALF_BITS = np.int32(np.float32(math.sqrt(0.5)).view(np.int32))
_LOG = tuple(
    np.float32(c)
    for c in (
        7.0376836292e-2,
        -1.1514610310e-1,
        1.1676998740e-1,
        -1.2420140846e-1,
        1.4249322787e-1,
        -1.6668057665e-1,
        2.0000714765e-1,
        -2.4999993993e-1,
        3.3333331174e-1,
    )
)


@njit(inline="always")
def _log(x: Any) -> Any:
    """ln x of a normal float32, to 1e-7: x = m 2^e with m in [sqrt(1/2), sqrt(2)), minimax polynomial in m - 1.

    Coefficients of logf in the Cephes library (Moshier 1992). Written out because only plain arithmetic vectorises.
    """
    bits = np.float32(x).view(np.int32)
    e = np.int32(np.int32(bits - _SQRT_HALF_BITS) >> np.int32(23))
    m = np.int32(bits - np.int32(e << np.int32(23))).view(np.float32) - _ONE
    z = m * m
    y = _LOG[0]
    y = y * m + _LOG[1]
    y = y * m + _LOG[2]
    y = y * m + _LOG[3]
    y = y * m + _LOG[4]
    y = y * m + _LOG[5]
    y = y * m + _LOG[6]
    y = y * m + _LOG[7]
    y = y * m + _LOG[8]
    return m + (y * m * z - _HALF * z) + np.float32(e) * _LN2


@njit(inline="always")
def _streams(seed: Any, chunk: Any) -> Any:
    """(4, LANES) states of xoshiro128++, filled by splitmix64 from the seed and the number of the chunk."""
    state = np.empty((4, LANES), dtype=np.uint32)
    x = np.uint64(seed) ^ (np.uint64(chunk) * np.uint64(0xD1342543DE82EF95))
    for lane in range(LANES):
        for half in range(2):
            x += np.uint64(0x9E3779B97F4A7C15)
            z = x
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z ^= z >> np.uint64(31)
            state[2 * half, lane] = np.uint32(z & np.uint64(0xFFFFFFFF))
            state[2 * half + 1, lane] = np.uint32(z >> np.uint64(32))
    return state


@njit("void(f4[::1], u8)", parallel=True, cache=True, fastmath={"contract", "nsz"})
def fill_thresholds(out: Any, seed: int) -> None:
    """Fills `out` with logit(u), u uniform: xoshiro128++ (Blackman, Vigna 2021), one stream a lane and chunk.

    31 bits give v in (0, 1/2), one the sign of logit(v): both tails reach 2^-33, where a float32 uniform number
    ends at 2^-24. The same numbers whatever the number of threads.
    """
    n = out.shape[0]
    for chunk in prange((n + CHUNK - 1) // CHUNK):
        state = _streams(seed, chunk)
        s0, s1, s2, s3 = state[0].copy(), state[1].copy(), state[2].copy(), state[3].copy()
        tile = np.empty(LANES, dtype=np.float32)
        for base in range(chunk * CHUNK, min(n, (chunk + 1) * CHUNK), LANES):
            for lane in range(LANES):
                total = np.uint32(s0[lane] + s3[lane])
                turned = np.uint32(total << np.uint32(7)) | np.uint32(total >> np.uint32(25))
                bits = np.uint32(turned + s0[lane])
                shifted = np.uint32(s1[lane] << np.uint32(9))
                s2[lane] ^= s0[lane]
                s3[lane] ^= s1[lane]
                s1[lane] ^= s2[lane]
                s0[lane] ^= s3[lane]
                s2[lane] ^= shifted
                s3[lane] = np.uint32(s3[lane] << np.uint32(11)) | np.uint32(s3[lane] >> np.uint32(21))
                v = (np.float32(np.int32(bits & np.uint32(0x7FFFFFFF))) + _HALF) * np.float32(2.0**-32)
                size = _log(v) - _log(_ONE - v)  # at most 0
                sign = np.uint32(np.float32(size).view(np.uint32) ^ np.uint32(bits & np.uint32(0x80000000)))
                tile[lane] = np.uint32(sign).view(np.float32)
            m = min(LANES, n - base)
            for lane in range(m):
                out[base + lane] = tile[lane]
