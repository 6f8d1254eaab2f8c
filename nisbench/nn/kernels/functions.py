"""exp, ln and tanh inside the compiled kernels.

In float32 they are polynomials in plain arithmetic, because the compiler vectorises plain arithmetic only; in float64
they are the library's functions. `exp`, `log1p` and `tanh` can be called from compiled code only.
"""

import math
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from nisbench.nn.kernels.jit import kernel

__all__ = ["exp", "log", "log1p", "tanh"]

_HALF, _ONE = np.float32(0.5), np.float32(1)
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
"""logf of the Cephes library (Moshier 1992): ln(1 + m) = m - m^2/2 + m^3 (c_0 m^8 + ... + c_8)."""


@kernel(inline="always")
def log(x: Any) -> Any:
    """ln x of a positive normal float32, to 1e-7."""
    # x = (1 + m) 2^e with 1 + m in [sqrt(1/2), sqrt(2)); subtracting the bits of sqrt(1/2) makes the exponent field e
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


_LOG2E = np.float32(1 / math.log(2))
# ln 2 in two parts: n * _LN2_HIGH is exact for |n| < 2^15, so that x - n ln 2 keeps all digits
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_ROUND = np.float32(1.5 * 2**23)  # adding and subtracting it rounds a float32 to the nearest integer
_ROUND_BITS = np.int32(_ROUND.view(np.int32))
_EXP = tuple(
    np.float32(c)
    for c in (
        1.9875691500e-4,
        1.3981999507e-3,
        8.3334519073e-3,
        4.1665795894e-2,
        1.6666665459e-1,
        5.0000001201e-1,
    )
)
"""expf of the Cephes library: exp r = 1 + r + r^2 (c_0 r^5 + ... + c_5)."""
_LOWEST = np.float32(-87)
"""exp(-87) is the smallest normal float32; `_exp` builds its result from the exponent and is wrong below."""


@kernel(inline="always")
def _exp(x: Any) -> Any:
    """exp x of a float32 x <= 0, to 1e-7; below -87 it is exp(-87)."""
    # x = n ln 2 + r with |r| <= ln(2)/2
    x = max(x, _LOWEST)
    rounded = x * _LOG2E + _ROUND
    n = rounded - _ROUND
    r = x - n * _LN2_HIGH - n * _LN2_LOW
    y = _EXP[0]
    y = y * r + _EXP[1]
    y = y * r + _EXP[2]
    y = y * r + _EXP[3]
    y = y * r + _EXP[4]
    y = y * r + _EXP[5]
    y = y * r * r + r + _ONE
    # 2^n from its bits; 127 is the bias of the exponent field
    exponent = np.int32(np.float32(rounded).view(np.int32) - _ROUND_BITS + np.int32(127))
    return y * np.int32(exponent << np.int32(23)).view(np.float32)


def exp(x: Any) -> Any:
    """exp x of x <= 0"""
    raise NotImplementedError("exp can be called from compiled code only")


@overload(exp, inline="always")
def _compile_exp(x: Any) -> Any:
    """Return the form of `exp` for the type of x."""

    def fast(x: Any) -> Any:
        return _exp(x)

    def exact(x: Any) -> Any:
        return math.exp(x)

    return fast if x == types.float32 else exact


def log1p(x: Any) -> Any:
    """ln(1 + x) of x >= 0"""
    raise NotImplementedError("log1p can be called from compiled code only")


@overload(log1p, inline="always")
def _compile_log1p(x: Any) -> Any:
    """Return the form of `log1p` for the type of x."""

    def fast(x: Any) -> Any:
        whole = _ONE + x
        # ln(1 + x) = ln(whole) + (the part of x that the sum lost by rounding)/whole
        return log(whole) + (x - (whole - _ONE)) / whole

    def exact(x: Any) -> Any:
        return math.log1p(x)

    return fast if x == types.float32 else exact


_CLAMP = np.float32(7.90531110763549805)
"""tanh of a larger number is 1 in float32."""
_P = tuple(
    np.float32(c)
    for c in (
        -2.76076847742355e-16,
        2.00018790482477e-13,
        -8.60467152213735e-11,
        5.12229709037114e-08,
        1.48572235717979e-05,
        6.37261928875436e-04,
        4.89352455891786e-03,
    )
)
_Q = tuple(
    np.float32(c) for c in (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)
)
"""Rational form of the Eigen library: tanh x = x P(x^2)/Q(x^2)."""


@kernel(inline="always")
def _tanh(x: Any) -> Any:
    """tanh x of a float32, to 3e-7."""
    x = min(max(x, -_CLAMP), _CLAMP)
    z = x * x
    p = _P[0]
    p = p * z + _P[1]
    p = p * z + _P[2]
    p = p * z + _P[3]
    p = p * z + _P[4]
    p = p * z + _P[5]
    p = p * z + _P[6]
    q = _Q[0]
    q = q * z + _Q[1]
    q = q * z + _Q[2]
    q = q * z + _Q[3]
    return x * p / q


def tanh(x: Any) -> Any:
    """tanh x"""
    raise NotImplementedError("tanh can be called from compiled code only")


@overload(tanh, inline="always")
def _compile_tanh(x: Any) -> Any:
    """Return the form of `tanh` for the type of x."""

    def fast(x: Any) -> Any:
        return _tanh(x)

    def exact(x: Any) -> Any:
        return math.tanh(x)

    return fast if x == types.float32 else exact
