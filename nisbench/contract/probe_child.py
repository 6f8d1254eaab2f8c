"""Process that imports one registration module and writes the names that it registers as JSON to standard output.

`nisbench.contract.probe` starts it. A module that ends this process or hangs leaves no answer.
"""

import ctypes
import json
import os
import signal
import sys
import threading
from contextlib import suppress
from importlib.metadata import EntryPoint

from nisbench.contract.catalog import collect
from nisbench.contract.surroundings import preserved
from nisbench.errors import PluginError, describe

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1
_THREAD_S = 1.0
"""Seconds that a thread of the module may go on after the registration."""


def main() -> None:
    """Read the question from the arguments and write the answer. Standard output of the module is thrown away."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    question = json.loads(sys.argv.pop())
    answer = os.dup(1)  # not inherited by processes that the module starts
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    names: list[str] = []
    broken = None
    try:
        with preserved():
            names = _names(EntryPoint(*question["point"]), *question["source"])
    except BaseException as error:  # the import of a module may raise anything
        broken = describe(error)
    os.write(answer, json.dumps({"names": names, "broken": broken}).encode())
    os._exit(0)  # neither threads nor exit handlers of the module can hold the process up


def _names(point: EntryPoint, distribution: str, version: str) -> list[str]:
    """Return the registered names. Raises PluginError if a thread of the module goes on."""
    before = set(threading.enumerate())
    registry = collect(point.load(), distribution, version)
    for thread in set(threading.enumerate()) - before:
        with suppress(RuntimeError):
            thread.join(_THREAD_S)
        if thread.is_alive():
            raise PluginError(f"its registration module starts a thread that goes on ({thread.name}); remove it")
    return [*(entry.name for entry in registry.plugins), *(entry.name for entry in registry.targets)]
