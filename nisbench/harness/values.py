"""Read values from the command line (text) or from a plan (TOML types). A wrong value raises InvalidValue."""

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from nisbench.errors import InvalidValue, one_line
from nisbench.physics.kaufman import BETA_CRITICAL

__all__ = [
    "assignments",
    "integer",
    "items",
    "options",
    "parse_beta",
    "parse_betas",
    "parse_bytes",
    "parse_name",
    "parse_seconds",
    "parse_size",
    "parse_text",
    "shown",
]

T = TypeVar("T")

_BYTES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST = 1e9
_HOTTEST, _COLDEST = 1e-12, 1e6
_LARGEST_BYTES = 2**60
_LONGEST_RANGE = 1000
_LONGEST_NAME = 200
_LONGEST_TEXT = 5000
_SHOWN = 60
"""Characters of a name, of a title or claim, and of a value in a message, at most."""


def items(where: str, given: Any, read: Callable[[str, Any], T]) -> tuple[T, ...]:
    """Return the values of `8,16`, of a list or of a single value, each once and in order.

    Raises InvalidValue if there are none.
    """
    if isinstance(given, str):
        given = [part.strip() for part in given.split(",")]
    elif not isinstance(given, Iterable) or isinstance(given, Mapping):
        given = [given]
    values = tuple(dict.fromkeys(read(where, value) for value in given))
    if not values:
        raise InvalidValue(f"{where} is empty; give at least one value")
    return values


def parse_name(where: str, value: Any) -> str:
    """Return a name, which is text that is not empty."""
    if not isinstance(value, str) or not value:
        raise InvalidValue(f"{where}: '{shown(value)}' is not a name")
    if len(value) > _LONGEST_NAME or not value.isprintable():
        raise InvalidValue(f"{where}: '{shown(value)}' is not a name; use up to {_LONGEST_NAME} printable characters")
    return value


def parse_text(where: str, value: Any) -> str:
    """Return a title or another text of a plan with one space in place of line breaks and other white space."""
    text = " ".join(value.split()) if isinstance(value, str) else None
    if text is None or len(text) > _LONGEST_TEXT or not text.isprintable():
        allowed = f"give up to {_LONGEST_TEXT} printable characters"
        raise InvalidValue(f"{where}: '{shown(value)}' is not a text; {allowed}")
    return text


def shown(value: Any) -> str:
    """Return a value for a message: one line without control characters, at most 60 characters."""
    try:
        line = one_line(str(value))
    except ValueError:  # str() refuses integers of more than 4300 digits
        return "a number with thousands of digits"
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 4]} ..."


def integer(smallest: int, what: str, largest: int = 2**63 - 1) -> Callable[[str, Any], int]:
    """Return a reader of whole numbers from `smallest` to `largest`; `what` names the number in messages."""

    def read(where: str, value: Any) -> int:
        try:
            number = int(value) if isinstance(value, str) else operator.index(value)  # takes NumPy's integers too
        except (TypeError, ValueError):
            number = None
        if number is not None and abs(number) > largest:  # not printed: str() refuses numbers of 4300 digits
            raise InvalidValue(f"{where}: this {what} is too large; give a whole number <= {largest}")
        if number is None or isinstance(value, bool) or number < smallest:
            raise InvalidValue(f"{where}: '{shown(value)}' is not a {what}; give a whole number >= {smallest}")
        return number

    return read


_LARGEST_L = 2**14
"""A lattice of this extent has 2^28 spins, 256 MiB as int8."""
parse_size = integer(2, "lattice size", _LARGEST_L)


def parse_beta(where: str, value: Any) -> float:
    """Return an inverse temperature: 0, a number from 1e-12 to 1e6, or ln(1 + sqrt 2)/2 for `critical`."""
    if value == "critical":
        return BETA_CRITICAL
    number = _number(value)
    if number is None or not (number == 0 or _HOTTEST <= number <= _COLDEST):
        allowed = f"0, a number from {_HOTTEST:g} to {_COLDEST:g}, or 'critical'"
        raise InvalidValue(f"{where}: '{shown(value)}' is not an inverse temperature; give {allowed}")
    return number + 0.0  # -0.0 becomes 0.0, which is the same cell


def parse_betas(where: str, given: Any) -> tuple[float, ...]:
    """Return inverse temperatures from `0.3,critical`, a list, or ranges START:STOP:STEP that contain both ends."""
    listed = given.split(",") if isinstance(given, str) else given
    parts = listed if isinstance(listed, Iterable) and not isinstance(listed, Mapping) else [listed]
    values = [value for part in parts for value in (_range(where, part) if _is_range(part) else [part])]
    return items(where, [value.strip() if isinstance(value, str) else value for value in values], parse_beta)


def _is_range(part: Any) -> bool:
    return isinstance(part, str) and ":" in part


def _range(where: str, text: str) -> list[float]:
    """Return start, start + step, ..., stop. Rounding to 12 digits turns 0.3 + 0.05 into the number 0.35."""
    numbers = [_number(part) for part in text.split(":")]
    if len(numbers) != 3 or None in numbers:
        raise InvalidValue(f"{where}: '{shown(text)}' is not a range; give START:STOP:STEP, for example 0.3:0.6:0.05")
    start, stop, step = (number or 0.0 for number in numbers)
    if not (step > 0 and start <= stop and (stop - start) / step < _LONGEST_RANGE):
        raise InvalidValue(f"{where}: '{shown(text)}' needs start <= stop, step > 0, at most {_LONGEST_RANGE} values")
    count = math.floor((stop - start) / step + 1e-9)
    return [round(start + i * step, 12) for i in range(count + 1)]


def parse_bytes(where: str, value: Any) -> int:
    """Return bytes from `8G`, `512M`, `1.5GiB` or a number; the letters mean powers of 1024."""
    text = _text(value).upper().removesuffix("IB").removesuffix("B")
    unit = text[-1:] if text[-1:] in _BYTES else ""
    number = _number(text.removesuffix(unit))
    if number is None or not 1 <= number * _BYTES[unit] <= _LARGEST_BYTES:
        raise InvalidValue(f"{where}: '{shown(value)}' is not an amount of memory; give for example 8G or 512M")
    return int(number * _BYTES[unit])


def parse_seconds(where: str, value: Any) -> float:
    """Return seconds from `90`, `90s`, `30m` or `2h`."""
    text = _text(value)
    unit = text[-1:] if text[-1:] in _SECONDS else ""
    number = _number(text.removesuffix(unit))
    if number is None or not 0 < number * _SECONDS[unit] < _LONGEST:
        raise InvalidValue(f"{where}: '{shown(value)}' is not a time; give for example 90s, 30m or 2h")
    return number * _SECONDS[unit]


def assignments(given: Mapping[str, Any] | Iterable[str]) -> list[str]:
    """Return the texts of --option: {"hier.width": 2} gives ["hier.width=2"], a list gives values with commas.

    Texts stay as they are; a single text is one option.
    """
    if not isinstance(given, Mapping):
        return [given] if isinstance(given, str) else list(given)
    return [
        f"{key}={','.join(map(str, value)) if isinstance(value, list | tuple) else value}"
        for key, value in given.items()
    ]


def options(where: str, assigned: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the options by plugin or target: `hier.width=2` gives {"hier": {"width": "2"}}.

    Raises InvalidValue for an option that is given twice.
    """
    found: dict[str, dict[str, str]] = {}
    for text in assigned:
        name, equals, value = text.partition("=")
        plugin, dot, option = name.strip().rpartition(".")
        if not (equals and dot and plugin and option):
            raise InvalidValue(f"{where} {text}: give PLUGIN.OPTION=VALUE, for example hier.width=2")
        if option in found.setdefault(plugin, {}):
            raise InvalidValue(f"{where} {name.strip()} is given twice; several values are a list: {name.strip()}=1,2")
        found[plugin][option] = value.strip()
    return found


def _text(value: Any) -> str:
    try:
        return str(value).strip()
    except ValueError:  # integers of more than 4300 digits
        return ""


def _number(value: Any) -> float | None:
    """Return a finite number; None for other values. Text with an underscore is not a number here: 0_44 is a slip."""
    if isinstance(value, str) and "_" in value:
        return None
    try:
        number = None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number is not None and math.isfinite(number) else None
