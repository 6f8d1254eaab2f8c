"""Text or TOML -> checked values: sizes, beta, seeds, bytes, seconds, options; a bad one is one clear line."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from nisbench.errors import InvalidValue
from nisbench.physics.kaufman import BETA_CRITICAL

__all__ = ["integer", "items", "names", "options", "parse_beta", "parse_bytes", "parse_seconds", "parse_size"]

T = TypeVar("T")

_BYTES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST = 1e9
_COLDEST = 1e6


def items(where: str, given: Any, read: Callable[[str, Any], T]) -> tuple[T, ...]:
    """`8,16`, a list or one value -> the values without repetition, in order; InvalidValue if there are none."""
    if isinstance(given, str):
        given = [part.strip() for part in given.split(",")]
    elif not isinstance(given, Iterable) or isinstance(given, Mapping):
        given = [given]
    values = tuple(dict.fromkeys(read(where, value) for value in given))
    if not values:
        raise InvalidValue(f"{where} is empty; give at least one value")
    return values


def names(where: str, value: Any) -> str:
    """A name."""
    if not isinstance(value, str) or not value:
        raise InvalidValue(f"{where}: {value!r} is no name")
    return value


def integer(smallest: int, what: str) -> Callable[[str, Any], int]:
    """A reader of whole numbers that are at least `smallest`."""

    def read(where: str, value: Any) -> int:
        try:
            number = int(value) if isinstance(value, str) else value
        except ValueError:
            number = None
        if not isinstance(number, int) or isinstance(number, bool) or number < smallest:
            raise InvalidValue(f"{where}: '{value}' is no {what}; give a whole number >= {smallest}")
        return number

    return read


parse_size = integer(2, "lattice size")


def parse_beta(where: str, value: Any) -> float:
    """A number from 0 to 1e6, or `critical` for ln(1 + sqrt 2)/2."""
    if value == "critical":
        return BETA_CRITICAL
    number = _number(value)
    if number is None or not 0 <= number <= _COLDEST:
        raise InvalidValue(
            f"{where}: '{value}' is no inverse temperature; give a number from 0 to {_COLDEST:g} or 'critical'"
        )
    return number


def parse_bytes(where: str, value: Any) -> int:
    """`8G`, `512M`, `1.5GiB` or a number of bytes; the letters are powers of 1024."""
    text = str(value).strip().upper().removesuffix("IB").removesuffix("B")
    unit = text[-1:] if text[-1:] in _BYTES else ""
    number = _number(text.removesuffix(unit))
    if number is None or number * _BYTES[unit] < 1:
        raise InvalidValue(f"{where}: '{value}' is no amount of memory; give for example 8G or 512M")
    return int(number * _BYTES[unit])


def parse_seconds(where: str, value: Any) -> float:
    """`90`, `90s`, `30m` or `2h` in seconds."""
    text = str(value).strip()
    unit = text[-1:] if text[-1:] in _SECONDS else ""
    number = _number(text.removesuffix(unit))
    if number is None or not 0 < number * _SECONDS[unit] < _LONGEST:
        raise InvalidValue(f"{where}: '{value}' is no time; give for example 90s, 30m or 2h")
    return number * _SECONDS[unit]


def options(where: str, assignments: Iterable[str]) -> dict[str, dict[str, str]]:
    """`hier.width=2` -> {"hier": {"width": "2"}}."""
    found: dict[str, dict[str, str]] = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        plugin, dot, option = name.strip().rpartition(".")
        if not (equals and dot and plugin and option):
            raise InvalidValue(f"{where} {text}: give PLUGIN.OPTION=VALUE, for example hier.width=2")
        found.setdefault(plugin, {})[option] = value.strip()
    return found


def _number(value: Any) -> float | None:
    """A finite number, or None."""
    try:
        number = None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None
    return number if number is not None and math.isfinite(number) else None
