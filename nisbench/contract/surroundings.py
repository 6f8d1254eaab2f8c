"""Keeps the state of the process while the registration module of any distribution runs.

A command imports many registration modules, so a setting that one of them changes would reach the cells of others.
Restored are:

- standard streams: sys.stdin, sys.stdout, sys.stderr and the descriptors 0, 1 and 2
- the working directory, the environment variables, the umask, the locale
- the warning filters, the recursion limit, the garbage collector
- handlers of signals, and a timer that was not running before
- random states of Python, NumPy and torch on the cpu
- NumPy's error state; torch's default dtype, default device, number of threads, and whether it records gradients

Threads and exit handlers cannot be taken back. A module that leaves a thread is broken, see `nisbench.contract.probe`.
"""

import gc
import io
import locale
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import Any

import numpy as np

__all__ = ["preserved"]


@contextmanager
def preserved() -> Iterator[None]:
    """Restores the state of the process at the end of the block, also after an exception.

    Inside the block, standard output goes to standard error: a plugin's prints must not mix with a command's output.
    """
    with ExitStack() as stack:
        for part in _PARTS:
            stack.enter_context(part())
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
    before = sys.stdin, sys.stdout, sys.stderr
    sys.stdout = sys.stderr = io.TextIOWrapper(_Forward(sys.stderr), encoding="utf-8", write_through=True)
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = before


@contextmanager
def _descriptors() -> Iterator[None]:
    """Restores the files behind the descriptors 0, 1 and 2; the copies are closed at the end."""
    copies = {}
    for number in range(3):
        with suppress(OSError):  # the caller closed it
            copies[number] = os.dup(number)
    try:
        yield
    finally:
        for number, copy in copies.items():
            os.dup2(copy, number)
            os.close(copy)


@contextmanager
def _settings() -> Iterator[None]:
    """Restores settings of Python that are one value each."""
    umask = os.umask(0o077)
    os.umask(umask)
    kept: list[tuple[Callable[[Any], object], Any]] = [
        (os.umask, umask),
        (sys.setrecursionlimit, sys.getrecursionlimit()),
        (random.setstate, random.getstate()),
        (_set_locale, locale.setlocale(locale.LC_ALL)),
        (_set_collector, gc.isenabled()),
    ]
    try:
        yield
    finally:
        for restore, value in kept:
            restore(value)


def _set_locale(name: str) -> None:
    with suppress(locale.Error):
        locale.setlocale(locale.LC_ALL, name)


def _set_collector(enabled: bool) -> None:
    (gc.enable if enabled else gc.disable)()


@contextmanager
def _signals() -> Iterator[None]:
    """Restores handlers and stops a new timer, which would end the process. Only the main thread may do so."""
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in signal.valid_signals()} if main else {}
    timed = signal.getitimer(signal.ITIMER_REAL)[0]
    try:
        yield
    finally:
        if main and not timed:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        for number, handler in before.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)


@contextmanager
def _numpy_random() -> Iterator[None]:
    """NumPy loads its random numbers at their first use, which takes 40 ms."""
    before = np.random.get_state() if "numpy.random" in sys.modules else None  # noqa: NPY002  the global state
    try:
        yield
    finally:
        if before is not None:
            np.random.set_state(before)  # noqa: NPY002
        elif "numpy.random" in sys.modules:
            np.random.seed()  # noqa: NPY002


@contextmanager
def _torch() -> Iterator[None]:
    """A registration module does without torch; one that imports it all the same leaves torch's own defaults."""
    torch: Any = sys.modules.get("torch")
    before = _torch_state(torch) if torch else None
    threads = os.environ.get("OMP_NUM_THREADS", "")
    try:
        yield
    finally:
        if torch := sys.modules.get("torch"):
            fresh = torch.float32, torch.device("cpu"), int(threads) if threads.isdigit() else None, True, None
            _restore_torch(torch, *(before or fresh))


def _torch_state(torch: Any) -> tuple[Any, ...]:
    numbers = torch.get_num_threads(), torch.is_grad_enabled(), torch.default_generator.get_state()
    return torch.get_default_dtype(), torch.get_default_device(), *numbers


def _restore_torch(torch: Any, dtype: Any, device: Any, threads: int | None, gradients: bool, state: Any) -> None:
    torch.set_default_dtype(dtype)
    if torch.get_default_device() != device:
        torch.set_default_device(None if device.type == "cpu" else device)
    if threads and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    torch.set_grad_enabled(gradients)
    if state is None:
        torch.default_generator.seed()
    else:
        torch.default_generator.set_state(state)


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


_PARTS: tuple[Callable[[], AbstractContextManager[Any]], ...] = (
    *(_environment, _directory, _descriptors, _streams, warnings.catch_warnings, np.errstate),
    *(_settings, _signals, _numpy_random, _torch),
)
