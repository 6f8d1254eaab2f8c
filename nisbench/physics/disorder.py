"""Couplings of the two-dimensional Edwards-Anderson spin glass, equal on every platform and in every version.

The random bits come from SHA-256: block k of the stream is the digest of the text
"nisbench edwards-anderson 1 <disorder> L=<L> instance=<instance> block=<k>", read as four big-endian 64-bit numbers.
No library's generator takes part, so no release of NumPy or Python can change an instance. After the hash, only the
operations + - * / sqrt of IEEE 754 and the logarithm of `decimal` are used, which are correctly rounded by definition;
log, sin and cos of a platform's C library are not.
"""

import hashlib
import math
from collections.abc import Iterator
from decimal import Context, Decimal
from itertools import count, islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nisbench.errors import InvalidValue

__all__ = ["Disorder", "edwards_anderson_couplings"]

Disorder = Literal["pm1", "gaussian"]


def edwards_anderson_couplings(L: int, disorder: Disorder, instance: int) -> tuple[NDArray[np.float64], ...]:
    """Return (right, down), each (L, L): independent couplings, right bonds by rows first, then down bonds by rows.

    The wrap-around bonds are always drawn, so the free lattice has the same inner couplings as the torus.

    Parameters
    ----------
    disorder
        "pm1": J = +1 or -1 with probability 1/2 each. "gaussian": mean 0, variance 1.
    instance
        1, 2, ...

    Raises
    ------
    InvalidValue
        For another disorder, or an instance below 1.
    """
    if instance < 1:
        raise InvalidValue(f"instance = {instance}: instances are numbered 1, 2, ...")
    words = _words(f"nisbench edwards-anderson 1 {disorder} L={L} instance={instance}")
    if disorder == "pm1":
        draws: Iterator[float] = (1.0 if word >> 63 else -1.0 for word in words)
    elif disorder == "gaussian":
        draws = _gaussians(words)
    else:
        raise InvalidValue(f"disorder = {disorder!r}: choose pm1 or gaussian")
    right, down = np.fromiter(islice(draws, 2 * L * L), dtype=np.float64).reshape(2, L, L)
    return right, down


def _words(key: str) -> Iterator[int]:
    """Yield the 64-bit numbers of the stream `key`."""
    for block in count():
        digest = hashlib.sha256(f"{key} block={block}".encode()).digest()
        yield from (int.from_bytes(digest[i : i + 8], "big") for i in range(0, 32, 8))


def _gaussians(words: Iterator[int]) -> Iterator[float]:
    """Yield standard normal numbers by the polar method (G. Marsaglia and T. A. Bray, SIAM Rev. 6, 260 (1964))."""
    context = Context(prec=25)
    while True:
        x, y = ((next(words) >> 11) * 2.0**-52 - 1 for _ in "xy")  # uniform in [-1, 1), exact
        square = x * x + y * y
        if 0 < square < 1:
            logarithm = float(context.ln(Decimal(square)))
            scale = math.sqrt(-2 * logarithm / square)
            yield x * scale
            yield y * scale
