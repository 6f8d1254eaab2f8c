"""The folder of one cell, for writing, and the configurations that a reference cell leaves.

status.json is written last and holds the SHA-256 and the size of every other file that the cell leaves. A file that
was changed, cut off or deleted afterwards is noticed.
"""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from nisbench.contract.records import CellResult, Status
from nisbench.harness.atomic import (
    check_seal,
    digest,
    guard,
    is_temporary,
    parse,
    parse_history,
    read_bytes,
    read_json,
    write_arrays,
    write_json,
    write_text,
)

__all__ = [
    "REFERENCE",
    "RUNNING",
    "CellFiles",
    "FileRecord",
    "Reference",
    "StatusRecord",
    "open_to_append",
    "process_start",
    "read_queued",
    "unpack_reference",
]

RUNNING = "running"
"""Entry `status` in status.json of a cell that has not ended."""
_DIGESTED = ("cell.json", "history.jsonl", "series.npz", "samples.npz", "weights.safetensors", "result.json")
REFERENCE = "reference.npz"
"""Name of the reference configurations in the list of files; they lie in another folder."""


@dataclass(frozen=True)
class FileRecord:
    """Size and SHA-256 of a file."""

    size: int
    sha256: str


@dataclass(frozen=True)
class StatusRecord:
    """Content of status.json."""

    status: str
    """`running` or a Status"""
    reason: str | None = None
    stage: str | None = None
    """None unless the cell runs; so for pid and started."""
    pid: int | None = None
    started: int | None = None
    """Start of the process in clock ticks since boot."""
    files: Mapping[str, FileRecord] = field(default_factory=dict)
    """Files of an ended cell by name."""


@dataclass(frozen=True)
class Reference:
    """Configurations of p for the p-side estimates, 2 tau_int draws apart."""

    spins: NDArray[np.int8]
    """(m, L, L)"""
    chain: NDArray[np.int64]
    """(m,) number of the chain of each configuration; the configurations of a chain are in the order of drawing"""
    tau_int: float
    """Autocorrelation time of the chain before thinning, in draws."""
    seed: int
    """Seed of the reference cell."""


class CellFiles:
    """The folder of one cell, for writing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def checkpoint(self) -> Path:
        """The state of a training."""
        return self.folder / "checkpoint.safetensors"

    @property
    def earlier_checkpoint(self) -> Path:
        """The checkpoint before the newest one."""
        return self.folder / "checkpoint.earlier.safetensors"

    @property
    def continued(self) -> Path:
        """The shorter training that this training continues; absent if it continues none."""
        return self.folder / "continued.json"

    @property
    def queued(self) -> Path:
        """The job of a scheduler that will run the cell; absent where cells run at once."""
        return self.folder / "queued.json"

    @property
    def weights(self) -> Path:
        """The weights of a finished model."""
        return self.folder / "weights.safetensors"

    @property
    def reference(self) -> Path:
        """Configurations for other cells of the run, which lie beside the cells."""
        return self.folder.parent.parent / "reference" / f"{self.folder.name}.npz"

    @property
    def log(self) -> Path:
        """The output of the worker."""
        return self.folder / "log.txt"

    def append_history(self, line: Mapping[str, Any]) -> None:
        """Add one line to history.jsonl. Raises ValueError for NaN and infinity."""
        with open_to_append(self.folder / "history.jsonl") as file:
            file.write(json.dumps(dict(line), allow_nan=False).encode() + b"\n")

    def keep_history_until(self, step: int) -> None:
        """Drop the history after `step`; a resumed training writes it again."""
        path = self.folder / "history.jsonl"
        lines = parse_history(path, read_bytes(path)) if path.exists() else []
        text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines if line["step"] <= step)
        write_text(path, text)

    def clear(self) -> None:
        """Prepare the cell for another run: delete its results, keep a checkpoint and the history."""
        left = [path for path in self.folder.iterdir() if is_temporary(path)]
        for name in ("status.json", "result.json", "series.npz", "samples.npz", self.weights.name):
            left.append(self.folder / name)
        for path in left:
            path.unlink(missing_ok=True)
        self.reference.unlink(missing_ok=True)
        if self.checkpoint.exists() or self.earlier_checkpoint.exists():
            self.keep_history_until(sys.maxsize)  # drops a last line that was cut off
        else:
            (self.folder / "history.jsonl").unlink(missing_ok=True)

    def write_stage(self, stage: str) -> None:
        """Write status.json of a running cell: its stage and this process."""
        pid = os.getpid()
        self._write_status(StatusRecord(RUNNING, stage=stage, pid=pid, started=process_start(pid)))

    def write_queued(self, job: str, version: tuple[int, int] | None) -> None:
        """Write which job of a scheduler will run the cell, with the version of its status.json."""
        write_json(self.queued, {"job": job, "version": version})

    def write_status(self, status: Status, reason: str | None = None) -> None:
        """Write status.json of a cell that ended without a result."""
        self._write_status(StatusRecord(str(status), reason))

    def write_result(self, result: CellResult) -> None:
        """Write result.json and then status.json with the checksums of all files. The cell has ended."""
        # In this order: a reader of an ended status finds the result.
        write_json(self.folder / "result.json", result.to_json())
        self.seal(result.status, result.reason)

    def seal(self, status: Status, reason: str | None) -> None:
        """Write status.json of a cell that ended, with size and SHA-256 of the files that are there now."""
        paths = {name: self.folder / name for name in _DIGESTED} | {REFERENCE: self.reference}
        contents = {name: read_bytes(path) for name, path in paths.items() if path.exists()}
        files = {name: FileRecord(len(content), digest(content)) for name, content in contents.items()}
        self._write_status(StatusRecord(str(status), reason, files=files))

    def _write_status(self, record: StatusRecord) -> None:
        """Write the entries of a record that are not empty."""
        write_json(self.folder / "status.json", {name: value for name, value in asdict(record).items() if value})

    def write_series(self, series: Mapping[str, NDArray[Any]]) -> None:
        """Write the raw scalar series from which the quantities are estimated."""
        write_arrays(self.folder / "series.npz", series)

    def write_samples(self, spins: NDArray[np.int8]) -> None:
        """Write a few configurations for pictures: (k, L, L)."""
        write_arrays(self.folder / "samples.npz", {"spins": spins.astype(np.int8)})

    def write_reference(self, reference: Reference) -> None:
        """Write the configurations for other cells of the run, one bit per spin."""
        path = self.reference
        guard(path, lambda: path.parent.mkdir(exist_ok=True))
        m, L = reference.spins.shape[:2]
        arrays: dict[str, NDArray[Any]] = {
            "packed": np.packbits(reference.spins.reshape(m, -1) > 0, axis=1),  # (m, L, L) -> (m, ceil(L * L / 8))
            "chain": reference.chain.astype(np.int64),
            "L": np.array(L),
            "tau_int": np.array(reference.tau_int, dtype=np.float64),
            "seed": np.array(reference.seed),
        }
        write_arrays(path, arrays)


def open_to_append(path: Path) -> IO[bytes]:
    """Return the file, opened to add to its end. Raises StoreError if it is a link or cannot be opened."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    return guard(path, lambda: os.fdopen(os.open(path, flags, 0o644), "ab"))


def unpack_reference(arrays: Mapping[str, NDArray[Any]]) -> Reference:
    """Return the configurations of a file that write_reference wrote."""
    L, packed = int(arrays["L"]), arrays["packed"]
    bits = np.unpackbits(packed, axis=1, count=L * L)  # (m, L*L)
    spins = (2 * bits.astype(np.int8) - 1).reshape(-1, L, L)  # {0, 1} -> {-1, 1}
    return Reference(spins, arrays["chain"], float(arrays["tau_int"]), int(arrays["seed"]))


def read_queued(path: Path, version: tuple[int, int] | None) -> str | None:
    """Return the job in queued.json; None if the cell has another version by now, because a process worked on it."""
    record = parse(path, lambda: msgspec.convert(check_seal(path, read_json(path)), _Queued))
    return record.job if record.version == version else None


@dataclass(frozen=True)
class _Queued:
    """Content of queued.json."""

    job: str
    version: tuple[int, int] | None


def process_start(pid: int) -> int | None:
    """Return when the process started, in clock ticks since boot; None if it is gone.

    A new process can get the pid of an old one, but not its start time.
    """
    # proc(5): the name in parentheses may contain blanks, so the fields are counted after it.
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])  # a zombie or dead process counts as gone
