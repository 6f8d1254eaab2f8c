"""Keeps the state of the process while the registration module of any distribution runs.

Every command imports all registration modules, so a setting that one of them changes would reach the cells of others.
Restored are: sys.stdout and sys.stderr, the warning filters, NumPy's error state, torch's default dtype, the working
directory and the environment variables.
"""

import io
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

__all__ = ["preserved"]


@contextmanager
def preserved() -> Iterator[None]:
    """Restores the state of the process at the end of the block, also after an exception.

    Inside the block, standard output goes to standard error: a plugin's prints must not mix with a command's output.
    """
    with _streams(), warnings.catch_warnings(), np.errstate(), _default_dtype(), _directory(), _environment():
        yield


class _Forward(io.RawIOBase):
    """Bytes that go to a text stream. Closing this object leaves the text stream open."""

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._stream = stream

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, data: Any) -> int:
        """Writes UTF-8 to the text stream; nobody may read it any more, which is no fault of the plugin."""
        with suppress(AttributeError, OSError, ValueError):  # no stream, a broken one, a closed one
            self._stream.write(bytes(data).decode("utf-8", "replace"))
        return len(data)

    def fileno(self) -> int:
        """The descriptor of the text stream."""
        return int(self._stream.fileno())

    def close(self) -> None:
        """Does nothing, so that a second wrapper around this object can close itself and the first still works."""


@contextmanager
def _streams() -> Iterator[None]:
    before = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = io.TextIOWrapper(_Forward(sys.stderr), encoding="utf-8", write_through=True)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


@contextmanager
def _default_dtype() -> Iterator[None]:
    """A registration module does without torch; one that imports it all the same leaves torch's own default."""
    torch: Any = sys.modules.get("torch")
    before = torch.get_default_dtype() if torch else None
    try:
        yield
    finally:
        if torch := sys.modules.get("torch"):
            torch.set_default_dtype(before or torch.float32)


@contextmanager
def _directory() -> Iterator[None]:
    try:
        before = os.getcwd()
    except OSError:  # the directory was deleted
        before = None
    try:
        yield
    finally:
        if before is not None:
            with suppress(OSError):
                os.chdir(before)


@contextmanager
def _environment() -> Iterator[None]:
    before = dict(os.environ)
    try:
        yield
    finally:
        if dict(os.environ) != before:
            os.environ.clear()
            os.environ.update(before)
