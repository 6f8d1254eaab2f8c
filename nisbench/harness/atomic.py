"""Read and write the files of a store. A file is written completely or not at all; nothing is unpickled.

Each JSON file ends with the SHA-256 of its own content, so that a changed file is noticed when it is read. A damaged
file gives a StoreError with one line that names it. Links are not followed: a store from elsewhere could contain a link
to a file of the user.
"""

import hashlib
import io
import json
import os
import secrets
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from nisbench.contract.records import canonical_json
from nisbench.errors import StoreError

__all__ = [
    "check_seal",
    "damaged",
    "digest",
    "guard",
    "is_temporary",
    "parse",
    "parse_arrays",
    "parse_history",
    "read_bytes",
    "read_json",
    "temporary_path",
    "write_arrays",
    "write_json",
    "write_text",
]

T = TypeVar("T")

_Scalar = int | float | str | None

_BAD_VALUE = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError, msgspec.MsgspecError)
"""Exceptions of records with missing keys, values of other types, or numbers out of range."""

_BAD_ARCHIVE = (
    *(zipfile.BadZipFile, zlib.error, NotImplementedError, SyntaxError, tokenize.TokenError),
    *(EOFError, OSError, MemoryError),
)
"""Further exceptions of numpy and zipfile for flipped bytes."""


_SEAL = "sha256"
"""Last key of each JSON file: the SHA-256 of the canonical JSON of all other keys."""

_LARGEST_BYTES = 2**30
"""No file of a store is larger, except the tensors."""


def damaged(path: Path, why: str) -> StoreError:
    """Return the error for a damaged file. Its message says which folder to delete; the other cells stay."""
    cell = path.parent if path.parent.parent.name == "cells" else path
    return StoreError(f"{path} is damaged ({why[:300]}); delete {cell} and run again to redo it alone")


def parse(path: Path, read: Callable[[], T]) -> T:
    """Return the result of `read`, which converts the content of `path`. Raises StoreError if the content is wrong."""
    try:
        return read()
    except (*_BAD_VALUE, *_BAD_ARCHIVE) as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from error


def guard(path: Path, act: Callable[[], T]) -> T:
    """Return the result of `act`, which writes `path`. Raises StoreError if the file system refuses."""
    try:
        return act()
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error


def digest(content: bytes) -> str:
    """Return the SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def is_temporary(path: Path) -> bool:
    """Return True for a file that a killed process left half written."""
    return path.name.startswith(".") and path.suffix == ".tmp"


def temporary_path(path: Path) -> Path:
    """Return a new name in the same folder, because a rename is atomic within one file system only."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")


def read_bytes(path: Path) -> bytes:
    """Return the content of a file. Raises StoreError if it cannot be read, is too large or is a link."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            if (size := os.fstat(file.fileno()).st_size) > _LARGEST_BYTES:
                raise damaged(path, f"it has {size} bytes, more than any file of a run")
            return file.read()
    except PermissionError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    except OSError as error:
        if path.is_symlink():
            raise StoreError(f"{path} is a link, which is not followed; replace it by the file itself") from error
        raise damaged(path, error.strerror or str(error)) from error


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`, with its checksum. Raises StoreError if the file does not contain one."""
    content = read_bytes(path)
    record = parse(path, lambda: msgspec.json.decode(content))
    if not isinstance(record, dict):
        raise damaged(path, "it is not a JSON object")
    return record


def check_seal(path: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record without its checksum. Raises StoreError if the checksum is missing or wrong."""
    content = {name: value for name, value in record.items() if name != _SEAL}
    if _SEAL not in record:
        raise damaged(path, "it has no checksum")
    if record[_SEAL] != parse(path, lambda: _seal(content)):
        raise damaged(path, "it was changed after it was written: its checksum is wrong")
    return content


def parse_history(path: Path, content: bytes) -> list[dict[str, Any]]:
    """Return all complete lines of a history. A last line without a line end was cut off by a kill and is left out."""
    lines = content.split(b"\n")[:-1]
    records = parse(path, lambda: [msgspec.json.decode(line, type=dict[str, _Scalar]) for line in lines])
    if not all(type(record.get("step")) is int for record in records):
        raise damaged(path, "a line is not a record with a step")
    return cast(list[dict[str, Any]], records)


def parse_arrays(path: Path, content: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of an .npz file by name."""

    def read() -> dict[str, NDArray[Any]]:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}

    return parse(path, read)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text."""
    _replace(path, lambda file: file.write(text.encode()))


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a JSON object with its checksum. Raises ValueError for NaN and infinity."""
    content = {name: value for name, value in record.items() if name != _SEAL}
    write_text(path, json.dumps(content | {_SEAL: _seal(content)}, indent=1, allow_nan=False) + "\n")


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a compressed .npz file. Equal arrays give equal bytes."""
    _replace(path, lambda file: np.savez_compressed(file, **cast(Any, dict(arrays))))


def _seal(record: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the canonical JSON of a record."""
    return digest(canonical_json(record).encode())


def _replace(path: Path, fill: Callable[[IO[bytes]], Any]) -> None:
    """Fill a file beside `path` and rename it into place. A link at `path` is replaced, not followed."""

    def write() -> None:
        temporary = temporary_path(path)
        with temporary.open("xb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    guard(path, write)
