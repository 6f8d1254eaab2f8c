"""Files written whole or not at all, and read with one clear line where they are damaged. Free of torch and pickle."""

import json
import os
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from nisbench.errors import StoreError

__all__ = [
    "damaged",
    "guard",
    "is_temporary",
    "parse",
    "read_arrays",
    "read_history",
    "read_json",
    "write_arrays",
    "write_json",
    "write_text",
]

T = TypeVar("T")

_BAD_ARCHIVE = (zipfile.BadZipFile, zlib.error, NotImplementedError, SyntaxError, tokenize.TokenError)
"""What numpy and zipfile raise at flipped bytes, beside the usual."""


def damaged(path: Path, why: str) -> StoreError:
    """The error for a damaged file, with what to delete so that the rest of the run is kept."""
    cell = path.parent if path.parent.parent.name == "cells" else path
    return StoreError(f"{path} is damaged ({why}); delete {cell} and run again to redo it alone")


def parse(path: Path, read: Callable[[], T]) -> T:
    """What `read` makes of the content of `path`; StoreError where the content does not fit."""
    try:
        return read()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from error


def guard(path: Path, act: Callable[[], T]) -> T:
    """What `act` returns; StoreError where the file system refuses."""
    try:
        return act()
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error


def is_temporary(path: Path) -> bool:
    """Return True for a file that a killed process left half written."""
    return path.name.startswith(".") and path.suffix == ".tmp"


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; StoreError where there is none."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except PermissionError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    except (OSError, ValueError) as error:
        raise damaged(path, str(error)) from error
    if not isinstance(record, dict):
        raise damaged(path, "it is no JSON object")
    return record


def read_history(path: Path) -> list[dict[str, Any]]:
    """All whole lines; a last line without its end was torn by a kill and is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
    records = parse(path, lambda: [json.loads(line) for line in lines])
    if not all(isinstance(record, dict) and isinstance(record.get("step"), int) for record in records):
        raise damaged(path, "a line is no record with a step")
    return records


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file by name; {} where there is no file."""
    if not path.exists():
        return {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except PermissionError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    except (OSError, ValueError, EOFError, KeyError, *_BAD_ARCHIVE) as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from error


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text."""
    _replace(path, lambda file: file.write(text.encode()))


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Writes a JSON object; raises ValueError on NaN."""
    write_text(path, json.dumps(dict(record), indent=1, allow_nan=False) + "\n")


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes a compressed .npz; equal arrays give equal bytes."""
    _replace(path, lambda file: np.savez_compressed(file, **cast(Any, dict(arrays))))


def _replace(path: Path, fill: Callable[[IO[bytes]], Any]) -> None:
    """Fill a file beside `path` and rename it into place. The name is this process's own, so writers do not collide."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")

    def write() -> None:
        with temporary.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    guard(path, write)
