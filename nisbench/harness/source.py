"""Hash of the source files of a cell, so that a run notices when the code of a finished cell has changed."""

import hashlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path

from nisbench.contract.records import PluginSource

__all__ = ["has_changed", "loaded_source"]

_TOOLKIT = "nisbench.nn"
"""Plugins may import it, and its code decides what a network draws."""


def loaded_source(*factories: str) -> PluginSource:
    """Return the source that plugins and targets, each `module:Class`, use in this process.

    These are the loaded modules of their top-level packages, and the loaded modules of `nisbench.nn`. The rest of
    nisbench, with its own targets, has a version instead. Call it after the plugin has made its first draws, so that
    modules which it imports late are there.
    """
    packages = {factory.partition(":")[0].partition(".")[0] for factory in factories} - {"nisbench"}
    # The whole package, because a plugin may import its neighbours.
    names = sorted(name for name in sys.modules if any(_inside(name, part) for part in (*packages, _TOOLKIT)))
    return PluginSource(tuple(names), _digest(names))


def has_changed(source: PluginSource) -> bool:
    """Return True if a file of `source` differs now. Imports nothing.

    A plugin that is no longer installed counts as unchanged, because its cells could not run again.
    """
    if any(importlib.util.find_spec(name.partition(".")[0]) is None for name in source.modules):
        return False
    return _digest(source.modules) != source.sha256


def _inside(name: str, package: str) -> bool:
    """Return True if the module is the package or lies in it."""
    return name == package or name.startswith(f"{package}.")


def _digest(names: Iterable[str]) -> str:
    """Return the SHA-256 of the names and file contents of the modules; a missing file counts as empty."""
    digest = hashlib.sha256()
    for name in names:
        file = _file(name)
        content = file.read_bytes() if file else b""
        # The length separates the files: moving text from one file to the next changes the hash.
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _file(name: str) -> Path | None:
    """Return the file of a module without importing its parents; None if there is no such file."""
    top, *inner = name.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None:
        return None
    if not spec.submodule_search_locations:
        return Path(spec.origin) if spec.origin and Path(spec.origin).is_file() else None
    for location in spec.submodule_search_locations:
        path = Path(location, *inner)
        compiled = sorted(path.parent.glob(f"{path.name}.*.so")) if inner else []
        for file in (path / "__init__.py", path.with_name(f"{path.name}.py"), *compiled):
            if file.is_file():
                return file
    return None
