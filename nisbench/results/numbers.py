"""Numbers as text: `1.4875(12)` is 1.4875 with one standard error of 0.0012; the error decides the digits."""

import math
from collections.abc import Sequence

__all__ = ["as_printed", "concise", "count", "join", "power_of_ten", "score", "significant", "stable"]

_MINUS = "\N{MINUS SIGN}"
_SUPERSCRIPT = str.maketrans("-0123456789", "\N{SUPERSCRIPT MINUS}⁰¹²³⁴⁵⁶⁷⁸⁹")
_THIN = "\N{NARROW NO-BREAK SPACE}"
_SMALLEST_FIXED, _LARGEST_FIXED = -3, 6
"""Decimal exponents between which a number is written without a power of ten: 0.00123 to 999999."""
_ROUNDING = 1e-11
"""Relative error below which an error is rounding and is not printed."""


def stable(value: float) -> float:
    """`value` rounded to 12 digits.

    The last digits of a sum or a logarithm depend on the processor; the bytes of a page must not.
    """
    return float(f"{value:.12g}")


def concise(value: float, error: float | None = None, digits: int = 4) -> str:
    """`value(error)` with the error in units of the last digits; without an error, `digits` significant digits.

    The error has two digits if it begins with 1 to 3, and one digit otherwise. Infinity is shown as its symbol.
    """
    if error is None or not math.isfinite(error) or not math.isfinite(value) or error <= _ROUNDING * abs(value):
        return significant(value, digits)
    exponent = _exponent(error)
    if error / 10.0**exponent < 3.55:  # two digits; larger errors change by at most 13 % if rounded to one digit
        exponent -= 1
    # Value and error share one power of ten.
    largest = max(_exponent(value) if value else exponent, _exponent(error))
    if not _SMALLEST_FIXED <= largest < _LARGEST_FIXED or (exponent > 0 and largest >= 4):
        mantissa = _parenthesised(value / 10.0**largest, error / 10.0**largest, largest - exponent)
        return f"{mantissa}{_times(largest)}"
    return _parenthesised(value, error, -exponent)


def significant(value: float, digits: int = 4) -> str:
    """`value` with this number of significant digits; integers below a million keep all their digits."""
    if math.isinf(value):
        return "∞" if value > 0 else f"{_MINUS}∞"
    if value == 0:
        return "0"
    exponent = _exponent(value)
    if not _SMALLEST_FIXED <= exponent < _LARGEST_FIXED:
        mantissa = f"{value / 10.0**exponent:.{digits - 1}f}".rstrip("0").rstrip(".")
        return f"{_signed(mantissa)}{_times(exponent)}"
    if value == int(value):
        return count(int(value))
    return _signed(f"{value:.{max(digits - 1 - exponent, 0)}f}")


def as_printed(value: float) -> str:
    """`value` with as many significant digits as its shortest decimal form has."""
    digits = len(f"{value!r}".split("e")[0].replace("-", "").replace(".", "").strip("0"))
    return significant(value, max(digits, 1))


def count(number: int) -> str:
    """An integer with a narrow space between thousands: 2 100 224."""
    text = f"{number:,}" if abs(number) >= 10_000 else str(number)
    return _signed(text.replace(",", _THIN))


def score(z: float) -> str:
    """A z-score with its sign: +1.3."""
    if abs(z) < 0.05:  # no sign for a zero
        return "0.0"
    return _signed(f"{z:+.1f}") if abs(z) < 1e4 else significant(z, 2)


def power_of_ten(value: float) -> str:
    """Label of a tick on a logarithmic axis: 0.01, 1, 100, 10⁴, 2×10⁻⁵; empty if `value` is not positive."""
    if value <= 0:
        return ""
    exponent = _exponent(value * (1 + 1e-12))  # log10 of 1000 can be slightly below 3
    if -2 <= exponent <= 3:
        return f"{value:g}"
    mantissa = round(value / 10.0**exponent, 6)
    return f"{'' if mantissa == 1 else f'{mantissa:g}×'}10{str(exponent).translate(_SUPERSCRIPT)}"


def join(parts: Sequence[object]) -> str:
    """Joins the parts to `a`, `a and b`, `a, b and c`."""
    texts = [str(part) for part in parts]
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def _exponent(value: float) -> int:
    return math.floor(math.log10(abs(value)))


def _parenthesised(value: float, error: float, decimals: int) -> str:
    """`1.4875(12)`; `238.4(1.2)` if the error is above one."""
    if decimals <= 0:
        return f"{_signed(f'{value:.0f}')}({error:.0f})"
    shown = f"{error:.{decimals}f}" if error >= 1 else str(round(error * 10**decimals))
    return f"{_signed(f'{value:.{decimals}f}')}({shown})"


def _times(exponent: int) -> str:
    return f"×10{str(exponent).translate(_SUPERSCRIPT)}"


def _signed(text: str) -> str:
    return text.replace("-", _MINUS)
