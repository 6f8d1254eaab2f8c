"""Everything that nisbench raises on purpose.

NisbenchError
|-- UserError            bad input: printed as one line without a traceback, exit code 2
|   |-- UnknownName      a plugin, option, plan or key that does not exist, with the close match
|   |-- InvalidValue     a value that cannot be read or is out of range
|   `-- StoreError       a run folder that is damaged, locked, unwritable or not a run
|-- PluginError          a plugin that cannot be loaded or breaks the contract
`-- TooShort             a series too short for the estimate; carries the estimate

A message says what was asked, what was found and what to do.
"""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "InvalidValue",
    "NisbenchError",
    "PluginError",
    "StoreError",
    "TooShort",
    "UnknownName",
    "UserError",
    "describe",
    "one_line",
    "printed",
]

_LONGEST = 500
"""Characters of a reason, at most: a plugin can put a whole array into its message."""


def one_line(text: str) -> str:
    """Return the first line of a text, at most 500 characters, with blanks for control characters."""
    first = next(iter(text[: 4 * _LONGEST].strip().splitlines()), "")
    line = "".join(c if c.isprintable() else " " for c in first)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 4]} ..."


def printed(text: str) -> str:
    """Return all lines of a text as one line of at most 2000 characters, with blanks for control characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 8 * _LONGEST]).split())
    return line if len(line) <= 4 * _LONGEST else f"{line[: 4 * _LONGEST - 4]} ..."


def describe(error: BaseException) -> str:
    """Return `Type: message` on one line, or `Type` for an exception without a message."""
    return one_line(f"{type(error).__name__}: {str(error).strip()}".rstrip(": "))


class NisbenchError(Exception):
    """Root of the tree above."""


class UserError(NisbenchError):
    """Bad input; the command line prints it as one line and exits with 2."""


class UnknownName(UserError):
    """`no <what> '<name>'; did you mean '<close match>'?`, or the list of what there is."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        name = one_line(name)
        close = get_close_matches(name, names, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"there is: {', '.join(names) or 'nothing'}"
        super().__init__(f"no {what} '{name}'; {hint}")


class InvalidValue(UserError):
    """A value that cannot be read or is out of range."""


class StoreError(UserError):
    """A run folder that is damaged, locked, unwritable or not a run."""


class PluginError(NisbenchError):
    """A plugin that cannot be loaded or breaks the contract."""


class TooShort(NisbenchError):
    """A series too short for a trustworthy estimate; `estimate` holds what was found all the same."""

    def __init__(self, message: str, estimate: float) -> None:
        super().__init__(message)
        self.estimate = estimate
