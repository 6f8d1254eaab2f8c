"""A run folder: the plan, the environment and one folder for each cell. Reading it needs no torch.

    plan.json  environment.json  lock
    cells/<cell_id>/  cell.json status.json history.jsonl series.npz samples.npz result.json
                      log.txt checkpoint.safetensors weights.safetensors
    reference/<cell_id>.npz

Nothing is ever unpickled. Every file is written under a temporary name and renamed, so no reader sees half a file.
Only `history.jsonl` grows line by line; a last line that a kill has cut off is dropped.
"""

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from nisbench.contract.records import SCHEMA_VERSION, Cell, CellResult, CellState, Status
from nisbench.errors import StoreError
from nisbench.harness.atomic import (
    damaged,
    guard,
    is_temporary,
    parse,
    read_arrays,
    read_history,
    read_json,
    write_arrays,
    write_json,
    write_text,
)

if TYPE_CHECKING:
    from nisbench.harness.plan import Plan

__all__ = ["CellFiles", "Reference", "Store"]

FORMAT = "nisbench run"
_DISCARDED = ("cells", "reference", "report.html", "report.md", "figures")
_OURS = ("plan.json", "environment.json", "lock", *_DISCARDED)
_RUNNING = "running"


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
    def weights(self) -> Path:
        """The weights of a finished model."""
        return self.folder / "weights.safetensors"

    @property
    def continued(self) -> Path:
        """The shorter training that this training continues; absent if it continues none."""
        return self.folder / "continued.json"

    @property
    def log(self) -> Path:
        """The output of the worker."""
        return self.folder / "log.txt"

    def append_history(self, line: Mapping[str, Any]) -> None:
        """Add one line to history.jsonl. Raises ValueError for NaN and infinity."""
        with (self.folder / "history.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(line), allow_nan=False) + "\n")

    def keep_history_until(self, step: int) -> None:
        """Drop the history after `step`; a resumed training writes it again."""
        kept = [line for line in read_history(self.folder / "history.jsonl") if line["step"] <= step]
        text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in kept)
        write_text(self.folder / "history.jsonl", text)

    def clear(self) -> None:
        """Prepare the cell for another run: delete its results, keep a checkpoint and the history."""
        left = [path for path in self.folder.iterdir() if is_temporary(path)]
        for name in ("status.json", "result.json", "series.npz", "samples.npz", self.weights.name):
            left.append(self.folder / name)
        for path in left:
            path.unlink(missing_ok=True)
        (self.folder.parent.parent / "reference" / f"{self.folder.name}.npz").unlink(missing_ok=True)
        if self.checkpoint.exists():
            self.keep_history_until(sys.maxsize)  # drops a last line that was cut off
        else:
            (self.folder / "history.jsonl").unlink(missing_ok=True)

    def write_stage(self, stage: str) -> None:
        """Write status.json of a running cell: its stage and this process."""
        record = {"status": _RUNNING, "stage": stage, "pid": os.getpid(), "started": _started(os.getpid())}
        write_json(self.folder / "status.json", record)

    def write_status(self, status: Status, reason: str | None = None) -> None:
        """Write status.json of a cell that ended."""
        write_json(self.folder / "status.json", {"status": str(status), "reason": reason})

    def write_result(self, result: CellResult) -> None:
        """Write result.json and then status.json. The cell has ended."""
        # In this order: whoever reads an ended status finds the result.
        write_json(self.folder / "result.json", result.to_json())
        self.write_status(result.status, result.reason)

    def write_series(self, series: Mapping[str, NDArray[Any]]) -> None:
        """Write the raw scalar series from which the quantities are estimated."""
        write_arrays(self.folder / "series.npz", series)

    def write_samples(self, spins: NDArray[np.int8]) -> None:
        """Write a few configurations for pictures: (k, L, L)."""
        write_arrays(self.folder / "samples.npz", {"spins": spins.astype(np.int8)})

    def write_reference(self, reference: Reference) -> None:
        """Write the configurations for other cells of the run, one bit per spin."""
        path = self.folder.parent.parent / "reference" / f"{self.folder.name}.npz"
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


class Store:
    """A run folder. `open` reads one, `create` makes or resumes one. Reading never changes the folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Return the run in `path`. Raises StoreError if there is none."""
        store = cls(Path(path))
        store.plan()
        return store

    @classmethod
    def create(cls, path: str | Path, plan: "Plan", environment: Mapping[str, Any], *, fresh: bool = False) -> Self:
        """Make or resume the folder of `plan`. Call it while holding `lock`.

        With `fresh`, the run in the folder is deleted, even if it has another plan. Files that nisbench did not write
        stay. Raises StoreError if the folder holds another plan or something else.
        """
        store = cls(Path(path))
        ids = [cell.cell_id for cell in plan.cells]
        occupied = store._occupied()
        if occupied and fresh:
            store._discard()
        elif occupied and (found := store.plan())["cells"] != ids:
            raise StoreError(
                f"{path} holds another plan ('{found['name']}', {len(found['cells'])} cells); "
                "give another --out, or --fresh to start over"
            )
        if fresh or not occupied:
            store.write_plan(plan, str(environment.get("command", "")))
        if fresh or not (store.path / "environment.json").exists():
            write_json(store.path / "environment.json", environment)
        store.add_cells(plan.cells)
        return store

    def write_plan(self, plan: "Plan", command: str) -> None:
        """Write plan.json. Call it while holding `lock`."""
        record = {"format": FORMAT, "schema_version": SCHEMA_VERSION, **plan.to_json()}
        guard(self.path, lambda: (self.path / "cells").mkdir(parents=True, exist_ok=True))
        cells = [cell.cell_id for cell in plan.cells]
        write_json(self.path / "plan.json", record | {"command": command, "cells": cells})

    def add_cells(self, cells: Sequence[Cell]) -> None:
        """Make the folders of the cells that do not have one yet."""
        for cell in cells:
            file = self._folder(cell.cell_id) / "cell.json"
            if not file.exists():
                guard(file, lambda file=file: file.parent.mkdir(parents=True, exist_ok=True))  # type: ignore[misc]
                write_json(file, cell.to_json())

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder, which is made if needed, for one run at a time.

        Raises StoreError if another run holds it or if the path is taken by something else.
        """
        self._occupied()
        guard(self.path, lambda: self.path.mkdir(parents=True, exist_ok=True))
        file: IO[str] = guard(self.path / "lock", lambda: (self.path / "lock").open("w"))
        with file:
            # The kernel drops this lock when the process ends, in whatever way.
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreError(f"{self.path} is in use by another run; wait for it or give another --out") from None
            yield

    def plan(self) -> dict[str, Any]:
        """Return plan.json: name, title, description, claims, command, groups, cells (ids in plan order), and so on."""
        if not (self.path / "plan.json").is_file():
            missing = "does not exist" if not self.path.exists() else "is not a run folder (it has no plan.json)"
            raise StoreError(f"{self.path} {missing}")
        plan = read_json(self.path / "plan.json")
        if plan.get("format") != FORMAT or not isinstance(plan.get("cells"), list):
            raise StoreError(f"{self.path / 'plan.json'} is not the plan of a nisbench run")
        if plan.get("schema_version") != SCHEMA_VERSION:
            raise StoreError(
                f"{self.path} has schema version {plan.get('schema_version')}, this nisbench reads {SCHEMA_VERSION}; "
                "read it with the nisbench that wrote it, or run its plan again in another folder"
            )
        return plan

    def environment(self) -> dict[str, Any]:
        """Return environment.json: versions, hardware, command and start time; `resumed` lists later starts."""
        return read_json(self.path / "environment.json")

    def note_resumed(self, environment: Mapping[str, Any]) -> None:
        """Add a later start to environment.json, with the entries that differ from the first start."""
        first = self.environment()
        changed = {key: value for key, value in environment.items() if first.get(key) != value}
        write_json(self.path / "environment.json", first | {"resumed": [*first.get("resumed", []), changed]})

    def cells(self) -> tuple[Cell, ...]:
        """Return all cells in plan order. Raises StoreError, which names the file, if one is damaged."""
        return tuple(self.cell(cell_id) for cell_id in self.plan()["cells"])

    def cell(self, cell_id: str) -> Cell:
        """Return one cell of the plan."""
        path = self._folder(cell_id) / "cell.json"
        cell = parse(path, lambda: Cell.from_json(read_json(path)))
        if cell.cell_id != cell_id:  # cell_id is a hash of the fields: the file was edited or moved
            raise damaged(path, f"its fields belong to cell {cell.cell_id}")
        return cell

    def state(self, cell_id: str) -> CellState:
        """Return the state of a cell; a running cell whose process is gone counts as interrupted."""
        path = self._folder(cell_id) / "status.json"
        if not path.exists():
            return CellState()
        record = read_json(path)
        if record.get("status") != _RUNNING:
            return parse(path, lambda: CellState(Status(record["status"]), record.get("reason")))
        if result := self.result(cell_id):  # killed between the two writes of write_result
            return CellState(result.status, result.reason)
        stage = str(record.get("stage"))
        if _started(record.get("pid", 0)) == record.get("started"):
            return CellState(stage=stage)
        return CellState(Status.INTERRUPTED, f"the process ended while the cell was at: {stage}")

    def result(self, cell_id: str) -> CellResult | None:
        """Return the result of the cell; None before its end."""
        path = self._folder(cell_id) / "result.json"
        if not path.exists():
            return None
        return parse(path, lambda: CellResult.from_json(read_json(path)))

    def history(self, cell_id: str) -> list[dict[str, Any]]:
        """Return the training history; [] if there is none."""
        return read_history(self._folder(cell_id) / "history.jsonl")

    def series(self, cell_id: str) -> dict[str, NDArray[Any]]:
        """Return the raw scalar series by name; {} if there are none."""
        return read_arrays(self._folder(cell_id) / "series.npz")

    def samples(self, cell_id: str) -> NDArray[np.int8] | None:
        """Return a few configurations (k, L, L); None if there are none."""
        return read_arrays(self._folder(cell_id) / "samples.npz").get("spins")

    def reference(self, cell_id: str) -> Reference | None:
        """Return the configurations that the reference cell left; None if there are none."""
        path = self.path / "reference" / f"{cell_id}.npz"
        arrays = read_arrays(path)
        return parse(path, lambda: _unpack(arrays)) if arrays else None

    def files(self, cell_id: str) -> CellFiles:
        """Return the folder of a cell, for writing."""
        return CellFiles(self._folder(cell_id))

    def _discard(self) -> None:
        """Delete cells and reports. plan.json stays until the new one replaces it, so the folder remains a run."""
        self.plan()
        for name in _DISCARDED:
            entry = self.path / name
            guard(entry, lambda entry=entry: shutil.rmtree(entry) if entry.is_dir() else entry.unlink(True))  # type: ignore[misc]

    def _folder(self, cell_id: str) -> Path:
        return self.path / "cells" / cell_id

    def _occupied(self) -> bool:
        """Return True if the path is a run. Raises StoreError if it is something else that is not empty."""
        if not self.path.exists():
            return False
        if not self.path.is_dir():
            raise StoreError(f"{self.path} is a file; --out needs a folder")
        if (self.path / "plan.json").exists():
            return True
        # A run that was killed while it made its folder leaves files of ours but no plan.json.
        strange = [p.name for p in self.path.iterdir() if p.name not in _OURS and not is_temporary(p)]
        if strange:
            raise StoreError(
                f"{self.path} is not a run folder and not empty (it contains '{min(strange)}'); nothing was changed"
            )
        return False


def _unpack(arrays: Mapping[str, NDArray[Any]]) -> Reference:
    """Return the configurations of a file that write_reference wrote."""
    L, packed = int(arrays["L"]), arrays["packed"]
    bits = np.unpackbits(packed, axis=1, count=L * L)  # (m, L*L)
    spins = (2 * bits.astype(np.int8) - 1).reshape(-1, L, L)  # {0, 1} -> {-1, 1}
    return Reference(spins, arrays["chain"], float(arrays["tau_int"]), int(arrays["seed"]))


def _started(pid: int) -> int | None:
    """Return when the process started, in clock ticks since boot; None if it is gone.

    A new process can get the pid of an old one, but not its start time.
    """
    # proc(5): the name in parentheses may contain blanks, so the fields are counted after it.
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])  # a zombie or dead process counts as gone
