"""Read and write the files of a store. A file is written completely or not at all; nothing is unpickled.

A damaged file gives a StoreError with one line that names it.
"""

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
"""Exceptions of numpy and zipfile for flipped bytes, in addition to OSError and ValueError."""


def damaged(path: Path, why: str) -> StoreError:
    """Return the error for a damaged file. Its message says which folder to delete; the other cells stay."""
    cell = path.parent if path.parent.parent.name == "cells" else path
    return StoreError(f"{path} is damaged ({why}); delete {cell} and run again to redo it alone")


def parse(path: Path, read: Callable[[], T]) -> T:
    """Return the result of `read`, which converts the content of `path`. Raises StoreError if the content is wrong."""
    try:
        return read()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from error


def guard(path: Path, act: Callable[[], T]) -> T:
    """Return the result of `act`, which writes `path`. Raises StoreError if the file system refuses."""
    try:
        return act()
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error


def is_temporary(path: Path) -> bool:
    """Return True for a file that a killed process left half written."""
    return path.name.startswith(".") and path.suffix == ".tmp"


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`. Raises StoreError if the file does not contain one."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except PermissionError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    except (OSError, ValueError) as error:
        raise damaged(path, str(error)) from error
    if not isinstance(record, dict):
        raise damaged(path, "it is not a JSON object")
    return record


def read_history(path: Path) -> list[dict[str, Any]]:
    """Return all complete lines. A last line without a line end was cut off by a kill and is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
    records = parse(path, lambda: [json.loads(line) for line in lines])
    if not all(isinstance(record, dict) and isinstance(record.get("step"), int) for record in records):
        raise damaged(path, "a line is not a record with a step")
    return records


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of an .npz file by name; {} if the file does not exist."""
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
    """Write UTF-8 text."""
    _replace(path, lambda file: file.write(text.encode()))


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a JSON object. Raises ValueError for NaN."""
    write_text(path, json.dumps(dict(record), indent=1, allow_nan=False) + "\n")


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a compressed .npz file. Equal arrays give equal bytes."""
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
