"""The constants that the compiled CPU kernels share, and the decorator of `cache`.

How a kernel is written so that numba's compiler emits vector instructions:

- a product of matrices keeps its sums in vector registers (`vectors`);
- elsewhere the innermost loop runs over contiguous elements of a flat array, a constant number of times where possible;
- indices are unsigned, because a signed index may be negative and the test for that keeps the loop scalar;
- the arrays that a loop reads and the array that it writes are distinct, or the same element is read and written.
"""

import numpy as np
from llvmlite.binding import get_host_cpu_features  # type: ignore[import-untyped]
from numba import config

from nisbench.nn.kernels.cache import kernel

__all__ = ["FAST", "FAST_SUMS", "LANES", "U0", "U1", "U2", "U3", "U4", "WIDE", "U", "kernel"]

FAST = {"contract", "nsz"}
"""Fused multiply-adds are allowed and the sign of zero is ignored; infinities and NaN keep their meaning."""
FAST_SUMS = {"contract", "nsz", "reassoc"}
"""As FAST, and sums over the samples of a tile may be reordered. Otherwise the compiler does not vectorise them."""

U = np.uint64
U0, U1, U2, U3, U4 = U(0), U(1), U(2), U(3), U(4)

_FEATURES = get_host_cpu_features()
_LONG = _FEATURES.get("avx512f", False)
LANES = 16 if _LONG else 8
"""float32 numbers in one vector register: 512 bits where the processor has AVX-512."""
WIDE = 4 * LANES if _LONG else 2 * LANES
"""Columns of a product that are summed together. Four rows of them fit into the 32 registers of AVX-512, or into the 16
of other processors."""

if _LONG and config.CPU_FEATURES is None:  # type: ignore[attr-defined]
    # the compiler prefers half of each register on some processors of Intel
    config.CPU_FEATURES = _FEATURES.flatten() + ",-prefer-256-bit"  # type: ignore[attr-defined]
