"""Numbers and units as a screen reader should say them: `1.4875(12)` is "1.4875 plus or minus 0.0012"."""

import re

from nisbench.report.document import Entry
from nisbench.results.numbers import significant

__all__ = ["spoken", "spoken_unit"]

_UNITS = {"s": "seconds", "ms": "milliseconds", "GiB": "gibibytes", "MiB": "mebibytes", "%": "percent", "nats": "nats"}
_POWERS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
_NUMBER = re.compile(
    r"(?P<value>[−\d.\u202f]+)\((?P<error>[\d.\u202f]+)\)(?P<power>×10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?(?P<rest>.*)", re.DOTALL
)


def spoken(entry: Entry) -> str:
    """The text of an entry as it is said; empty if the text itself can be said."""
    found = _NUMBER.fullmatch(entry.text)
    if found is None:
        return ""
    value, error = found["value"], found["error"]
    decimals = len(value.partition(".")[2])
    # An error without a point counts units of the last digit of the value.
    size = error if "." in error or not decimals else significant(int(error) / 10**decimals, len(error))
    power = found["power"] or ""
    times = f", times 10 to the power {power.removeprefix('×10').translate(_POWERS)}" if power else ""
    return f"{value} plus or minus {size}{times}{found['rest']}"


def spoken_unit(unit: str) -> str:
    """The unit in full."""
    return _UNITS.get(unit, unit)
