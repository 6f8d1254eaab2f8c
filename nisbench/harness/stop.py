"""Signals that ask a worker to end: SIGTERM, and SIGUSR1 or SIGUSR2 of a scheduler before its time limit.

A training writes its checkpoint first. In every other stage the worker ends at once.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["StopRequestedError", "StopSignals"]


class StopRequestedError(BaseException):
    """A signal asked the worker to end. Not an Exception, so that the `except` of a plugin does not catch it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"stopped by {name}")


class StopSignals:
    """Raises StopRequestedError when a signal arrives, or remembers the signal while it is postponed."""

    def __init__(self) -> None:
        self.name: str | None = None
        """Name of the signal that arrived; None before."""
        self._postponed = False

    def install(self) -> None:
        """Handle the signals of this process from now on."""
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, self._arrived)

    @contextmanager
    def postponed(self) -> Iterator["StopSignals"]:
        """Only remember a signal within the `with` statement; the body looks at `name` and calls `check`."""
        self._postponed = True
        try:
            yield self
        finally:
            self._postponed = False

    def check(self) -> None:
        """Raise StopRequestedError if a signal has arrived."""
        if self.name is not None:
            raise StopRequestedError(self.name)

    def _arrived(self, number: int, _: Any) -> None:
        self.name = signal.Signals(number).name
        if not self._postponed:
            self.check()
