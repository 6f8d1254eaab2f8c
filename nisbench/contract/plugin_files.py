"""Plugins from a file that is not installed: `--plugin-file FILE` makes it a module and an entry point of this process.

The folder of the file is added at the end of the import path. The file can therefore import its neighbours, and none of
them takes the place of an installed module.
"""

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from importlib.metadata import Distribution, EntryPoint
from os import PathLike
from pathlib import Path

from nisbench.contract.probe import probe
from nisbench.errors import InvalidValue

__all__ = ["plugin_file_points", "use_plugin_file"]

_FILES: dict[Path, "_PluginFile"] = {}
"""The files of this process, by their absolute path."""


class _PluginFile(Distribution):
    """A file, read as a distribution with one entry point."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._texts: Mapping[str, str] = {
            "METADATA": f"Metadata-Version: 2.1\nName: {path.name}\nVersion: file\n",
            "entry_points.txt": f"[nisbench]\n{path.stem} = {path.stem}\n",
        }

    def read_text(self, filename: str) -> str | None:
        """One metadata file; None if an installation would not write it."""
        return self._texts.get(filename)

    def locate_file(self, path: str | PathLike[str]) -> Path:
        """A file beside the plugin file."""
        return self._path.parent / path


def use_plugin_file(path: Path) -> Path:
    """Try the registration module in the file, add its entry point, and return the absolute path.

    The name of the module is the name of the file without `.py`. A second call with the same file does nothing.

    Raises
    ------
    InvalidValue
        If the file does not exist, if its name is that of another module, or if its registration fails.
    """
    file = path.resolve()
    if file in _FILES:
        return file
    if not file.is_file() or file.suffix != ".py" or not file.stem.isidentifier():
        raise InvalidValue(
            f"--plugin-file {path}: give a Python file with a name that can be imported, such as mine.py"
        )
    spec = importlib.util.find_spec(file.stem)
    if spec is not None and (spec.origin is None or Path(spec.origin).resolve() != file):
        raise InvalidValue(f"--plugin-file {path}: there is another module '{file.stem}'; rename the file")
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
        importlib.invalidate_caches()
    made = _PluginFile(file)
    (answer,) = probe(tuple(made.entry_points))
    if answer.broken is not None:
        raise InvalidValue(f"--plugin-file {path} cannot be used: {answer.broken}")
    _FILES[file] = made
    return file


def plugin_file_points() -> tuple[EntryPoint, ...]:
    """Entry points of the plugin files of this process."""
    return tuple(point for file in _FILES.values() for point in file.entry_points)
