"""Text of a number beyond its limit: rounding must not make it read as equal to the limit."""

__all__ = ["beyond"]

_MOST_DIGITS = 17
"""Digits of a float64."""


def beyond(value: float, limit: float, spec: str = ".2g") -> str:
    """Return `value` in the format `spec`, with more digits where fewer would read as equal to the limit.

    Parameters
    ----------
    limit
        The limit as it is printed beside the value.
    spec
        A format with a precision of one digit, such as ".2f" or "+.1f".
    """
    sign, digits, kind = spec[:-2], int(spec[-2]), spec[-1]
    texts = (format(value, f"{sign}{n}{kind}") for n in range(digits, _MOST_DIGITS))
    plain = format(value, spec)
    return next((text for text in texts if (float(text) > limit) == (value > limit) and float(text) != limit), plain)
