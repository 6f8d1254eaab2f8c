"""Version and entry points of nisbench, from the installed distribution or else from the checkout's pyproject.toml.

A checkout works without an installation: `PYTHONPATH=.:plugins` makes its packages importable, and the pyproject.toml
beside the package `nisbench` declares the entry points that an installation would have written.
"""

import tomllib
from collections.abc import Mapping
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, distribution, entry_points
from os import PathLike
from pathlib import Path
from typing import Any

__all__ = ["metadata_files", "own_version", "plugin_points"]

NAME = "nisbench"
UNKNOWN = "0+unknown"
"""Version of a copy of the package that has neither metadata nor a pyproject.toml."""


def own_version() -> str:
    """Version of nisbench."""
    own = _own_distribution()
    return UNKNOWN if own is None else own.version


def plugin_points() -> tuple[EntryPoint, ...]:
    """Entry points of the group `nisbench`: all installed ones, and those of the checkout if it is not installed."""
    own = _own_distribution()
    of_checkout = tuple(own.entry_points.select(group=NAME)) if isinstance(own, _Checkout) else ()
    return *of_checkout, *entry_points(group=NAME)


def metadata_files(project: Mapping[str, Any]) -> dict[str, str]:
    """Texts of METADATA and entry_points.txt for the table `project` of a pyproject.toml."""
    heading = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    groups = {"console_scripts": project.get("scripts", {}), **project.get("entry-points", {})}
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()) for group, points in groups.items()]
    return {"METADATA": heading, "entry_points.txt": "\n".join(lines)}


class _Checkout(Distribution):
    """A checkout, read as the distribution that its installation would be."""

    def __init__(self, folder: Path, project: Mapping[str, Any]) -> None:
        self._folder, self._files = folder, metadata_files(project)

    def read_text(self, filename: str) -> str | None:
        """One metadata file; None if an installation would not write it."""
        return self._files.get(filename)

    def locate_file(self, path: str | PathLike[str]) -> Path:
        """A file of the checkout."""
        return self._folder / path


def _own_distribution() -> Distribution | None:
    """The installed distribution, else the checkout around this file, else None."""
    try:
        return distribution(NAME)
    except PackageNotFoundError:
        pass
    folder = Path(__file__).parents[2]
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")).get("project", {})
    except (OSError, ValueError):
        return None
    return _Checkout(folder, project) if project.get("name") == NAME else None
