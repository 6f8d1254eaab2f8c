"""Random numbers of the logistic distribution, logit(u) with u uniform, compiled for the CPU."""

from typing import Any

import numpy as np
from numba import prange

from nisbench.nn.kernels.functions import log
from nisbench.nn.kernels.jit import FAST, kernel

__all__ = ["fill_odds", "fill_thresholds"]

STREAM = 1 << 15
"""Numbers from one seeding of the generators; fixed, so that the numbers do not depend on the threads."""
GENERATORS = 64
"""Independent generators that advance together, one in each lane of the vector instructions."""
_ONE, _HALF = np.float32(1), np.float32(0.5)


@kernel(inline="always")
def _seeded(seed: Any, stream: Any) -> Any:
    """(4, GENERATORS) states of xoshiro128++, filled by splitmix64 from the seed and the number of the stream."""
    state = np.empty((4, GENERATORS), dtype=np.uint32)
    x = np.uint64(seed) ^ (np.uint64(stream) * np.uint64(0xD1342543DE82EF95))  # an odd factor keeps streams distinct
    for lane in range(GENERATORS):
        for half in range(2):  # one 64-bit number of splitmix64 fills two words of the state
            x += np.uint64(0x9E3779B97F4A7C15)
            z = x
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z ^= z >> np.uint64(31)
            state[2 * half, lane] = np.uint32(z & np.uint64(0xFFFFFFFF))
            state[2 * half + 1, lane] = np.uint32(z >> np.uint64(32))
    return state


@kernel(error_model="numpy", fastmath=FAST)
def _fill(out: Any, begin: Any, end: Any, state: Any, logarithm: Any) -> None:
    """Fill out[begin:end] with u/(1 - u), or with its logarithm."""
    s0, s1, s2, s3 = state[0].copy(), state[1].copy(), state[2].copy(), state[3].copy()
    numbers, words = np.empty(GENERATORS, dtype=np.float32), np.empty(GENERATORS, dtype=np.uint32)
    for base in range(begin, end, GENERATORS):
        for lane in range(GENERATORS):
            # one step of xoshiro128++; the casts keep numba from widening to 64 bits
            total = np.uint32(s0[lane] + s3[lane])
            turned = np.uint32(total << np.uint32(7)) | np.uint32(total >> np.uint32(25))
            words[lane] = np.uint32(turned + s0[lane])
            shifted = np.uint32(s1[lane] << np.uint32(9))
            s2[lane] ^= s0[lane]
            s3[lane] ^= s1[lane]
            s1[lane] ^= s2[lane]
            s0[lane] ^= s3[lane]
            s2[lane] ^= shifted
            s3[lane] = np.uint32(s3[lane] << np.uint32(11)) | np.uint32(s3[lane] >> np.uint32(21))
        for lane in range(GENERATORS):
            bits = words[lane]
            # v = (31 bits + 1/2) 2^-32 is never 0; the top bit chooses between u = v and u = 1 - v
            v = (np.float32(np.int32(bits & np.uint32(0x7FFFFFFF))) + _HALF) * np.float32(2.0**-32)
            upper = np.int32(bits) < 0
            if logarithm:
                size = log(v / (_ONE - v))
                numbers[lane] = -size if upper else size
            else:
                numbers[lane] = ((_ONE - v) if upper else v) / (v if upper else (_ONE - v))
        for lane in range(min(GENERATORS, end - base)):
            out[base + lane] = numbers[lane]


@kernel(parallel=True)
def fill_thresholds(out: Any, seed: int) -> None:
    """Fill `out`, (n,) float32, with logit(u), u uniform, by xoshiro128++ (Blackman, Vigna 2021).

    31 of the 32 random bits give v in (0, 1/2), and the last one chooses u = v or u = 1 - v. Both tails thus reach
    2^-33, where a uniform float32 number ends at 2^-24. The numbers do not depend on the number of threads.
    """
    n = out.shape[0]
    for stream in prange((n + STREAM - 1) // STREAM):
        _fill(out, stream * STREAM, min(n, (stream + 1) * STREAM), _seeded(seed, stream), True)


@kernel(parallel=True)
def fill_odds(out: Any, seed: int) -> None:
    """Fill `out`, (n,) float32, with u/(1 - u); `fill_thresholds` draws the logarithms of these numbers."""
    n = out.shape[0]
    for stream in prange((n + STREAM - 1) // STREAM):
        _fill(out, stream * STREAM, min(n, (stream + 1) * STREAM), _seeded(seed, stream), False)
