"""The decorator of the compiled CPU kernels and the integer constants that they share.

How a kernel is written so that numba's compiler emits vector instructions:

- the innermost loop runs over contiguous elements of a flat array, a constant number of times where possible;
- indices are unsigned, because a signed index may be negative and the test for that keeps the loop scalar;
- the arrays that a loop reads and the array that it writes are distinct, or the same element is read and written.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numba import njit

__all__ = ["FAST", "FAST_SUMS", "U0", "U1", "U2", "U3", "U4", "U", "kernel"]

F = TypeVar("F", bound=Callable[..., Any])

FAST = {"contract", "nsz"}
"""Fused multiply-adds are allowed and the sign of zero is ignored; infinities and NaN keep their meaning."""
FAST_SUMS = {"contract", "nsz", "reassoc"}
"""As FAST, and sums over the samples of a tile may be reordered. Otherwise the compiler does not vectorise them."""

U = np.uint64
U0, U1, U2, U3, U4 = U(0), U(1), U(2), U(3), U(4)

_FILES = sorted(Path(__file__).parent.glob("*.py"))
_STAMP = tuple((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in _FILES)


def kernel(**options: Any) -> Callable[[F], F]:
    """Compile a function with `numba.njit` at its first call and cache the result on disk.

    numba recompiles a cached function when the function's own file has changed, but misses changes in the functions
    that it calls. The stamp that numba compares is therefore replaced by one of all files of this package.
    """

    def compiled(function: F) -> F:
        dispatcher = njit(cache=True, **options)(function)
        if hasattr(dispatcher, "_cache"):  # NUMBA_DISABLE_JIT returns the plain function
            dispatcher._cache._cache_file._source_stamp = _STAMP  # numba has no public setting for it
        return dispatcher  # type: ignore[no-any-return]

    return compiled
