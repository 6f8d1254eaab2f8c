"""A run folder: the plan, the environment and one folder for each cell. Reading it needs no torch.

    plan.json  environment.json  lock.<n>  drivers/
    cells/<cell_id>/  cell.json status.json history.jsonl series.npz samples.npz result.json
                      log.txt checkpoint.safetensors weights.safetensors lease.<n> queued.json
    reference/<cell_id>.npz

Nothing is ever unpickled. Every file is written under a temporary name and renamed, so no reader sees half a file.
Only `history.jsonl` grows line by line; a last line that a kill has cut off is dropped. Each JSON file holds its own
checksum, and status.json of an ended cell holds the checksums of its other files.
"""

import os
import shutil
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from nisbench.contract.records import SCHEMA_VERSION, Cell, CellResult, CellState, Status
from nisbench.errors import StoreError
from nisbench.harness.atomic import (
    check_seal,
    damaged,
    digest,
    guard,
    parse,
    parse_arrays,
    parse_history,
    read_bytes,
    read_json,
    write_json,
)
from nisbench.harness.cell_files import (
    REFERENCE,
    RUNNING,
    CellFiles,
    FileRecord,
    Reference,
    StatusRecord,
    process_start,
    read_queued,
    unpack_reference,
)
from nisbench.harness.lease import Lease, holder
from nisbench.harness.run_folder import DISCARDED, FORMAT, LOCK, PlanRecord, occupied

if TYPE_CHECKING:
    from nisbench.harness.plan import Plan

__all__ = ["LEASE", "Store"]

LEASE = "lease"
"""Name of the lease in the folder of a cell."""
LOCK_WAIT_S = 60.0
"""Seconds to wait for another process that changes the plan."""
_Value = str | int | float | bool | None


class Store:
    """A run folder. `open` reads one, `create` makes or resumes one. Reading never changes the folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._statuses: dict[str, tuple[tuple[int, int], StatusRecord]] = {}
        """status.json of each cell as it was last read, with inode and time of change of the file"""

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
        taken = occupied(store.path)
        if taken and fresh:
            store._discard()
        elif taken and (found := store.plan())["cells"] != ids:
            raise StoreError(
                f"{path} holds another plan ('{found['name']}', {len(found['cells'])} cells); "
                "give another --out, or --fresh to start over"
            )
        guard(store.path, lambda: (store.path / "cells").mkdir(parents=True, exist_ok=True))
        if fresh or not (store.path / "environment.json").exists():
            write_json(store.path / "environment.json", environment)
        store.add_cells(plan.cells)
        if fresh or not taken:  # last: what has a plan has all of its cells, also after a kill
            store.write_plan(plan, str(environment.get("command", "")))
        return store

    def write_plan(self, plan: "Plan", command: str) -> None:
        """Write plan.json. Call it while holding `lock`."""
        record = {"format": FORMAT, "schema_version": SCHEMA_VERSION, **plan.to_json(), "command": command}
        write_json(self.path / "plan.json", record | {"cells": [cell.cell_id for cell in plan.cells]})

    def add_cells(self, cells: Sequence[Cell]) -> None:
        """Make the folders of new cells."""
        for cell in cells:
            file = self._folder(cell.cell_id) / "cell.json"
            if not file.exists():
                guard(file, lambda file=file: file.parent.mkdir(parents=True, exist_ok=True))  # type: ignore[misc]
                write_json(file, cell.to_json())

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the plan of the folder, which is made if needed, while it is read and changed. Cells have own leases.

        Raises StoreError if another process holds it for long, or if the path is taken by something else.
        """
        occupied(self.path)
        guard(self.path, lambda: self.path.mkdir(parents=True, exist_ok=True))
        lease = Lease.within(self.path, LOCK, LOCK_WAIT_S)
        if lease is None:
            who = holder(self.path, LOCK) or "another process"
            raise StoreError(f"{self.path} is in use by another run ({who}); wait for it or give another --out")
        with lease.beating():
            yield

    def plan(self) -> dict[str, Any]:
        """Return plan.json: name, title, description, claims, command, groups, cells (ids in plan order), and so on."""
        if not (self.path / "plan.json").is_file():
            missing = "does not exist" if not self.path.exists() else "is not a run folder (it has no plan.json)"
            raise StoreError(f"{self.path} {missing}")
        path = self.path / "plan.json"
        plan = read_json(path)
        if plan.get("format") != FORMAT:
            raise StoreError(f"{path} is not the plan of a nisbench run")
        if plan.get("schema_version") != SCHEMA_VERSION:
            raise StoreError(
                f"{path} has schema version {str(plan.get('schema_version'))[:20]}, this nisbench reads "
                f"{SCHEMA_VERSION}; read it with the nisbench that wrote it, or run its plan again in another folder"
            )
        plan = check_seal(path, plan)
        parse(path, lambda: msgspec.convert(plan, PlanRecord))
        return plan

    def environment(self) -> dict[str, Any]:
        """Return environment.json: versions, hardware, command and start time; `resumed` lists later starts."""
        path = self.path / "environment.json"
        record = check_seal(path, read_json(path))
        parse(path, lambda: msgspec.convert(record, dict[str, _Value | list[dict[str, _Value]]]))
        return record

    def note_resumed(self, environment: Mapping[str, Any]) -> None:
        """Add a later start to environment.json, with the entries that differ from the first start."""
        first = self.environment()
        changed = {key: value for key, value in environment.items() if first.get(key) != value}
        write_json(self.path / "environment.json", first | {"resumed": [*first.get("resumed", []), changed]})

    def cells(self) -> tuple[Cell, ...]:
        """Return all cells in plan order. Raises StoreError, which names the file, if one is damaged."""
        return tuple(self.cell(cell_id) for cell_id in self.plan()["cells"])

    def has_cell(self, cell_id: str) -> bool:
        """Return True if the folder of the cell has been made."""
        return (self._folder(cell_id) / "cell.json").exists()

    def cell(self, cell_id: str) -> Cell:
        """Return one cell of the plan."""
        path = self._folder(cell_id) / "cell.json"
        if not path.exists():
            # `--fresh` deletes the cells of the earlier plan before it writes its own plan.
            raise StoreError(f"{path} does not exist; if a run is just starting, wait for it, otherwise run it again")
        cell = parse(path, lambda: Cell.from_json(check_seal(path, read_json(path))))
        if cell.cell_id != cell_id:  # cell_id is a hash of the fields: the file was edited or moved
            raise damaged(path, f"its fields belong to cell {cell.cell_id}")
        return cell

    def state(self, cell_id: str) -> CellState:
        """Return the state of a cell; a running cell whose process is gone counts as interrupted.

        Raises StoreError if a file of an ended cell is missing or has another size.
        """
        record = self._status(cell_id)
        if record is None:
            return CellState(queue=self._queue(cell_id))
        if record.status != RUNNING:
            self._check_sizes(cell_id, record.files)
            status = Status(record.status)
            queue = None if status.finished else self._queue(cell_id)
            return CellState(queue=queue) if queue else CellState(status, record.reason)
        if result := self.result(cell_id):  # killed between the two writes of write_result
            return CellState(result.status, result.reason)
        if record.pid is not None and process_start(record.pid) == record.started:
            return CellState(stage=record.stage)
        if (who := holder(self._folder(cell_id), LEASE)) and who.host != socket.gethostname():
            return CellState(stage=record.stage)
        return CellState(Status.INTERRUPTED, f"the process ended while the cell was at: {record.stage}")

    def states(self, cell_ids: Iterable[str]) -> dict[str, CellState]:
        """Return the state of each cell; cells that were not started cost one look at the disk each."""
        cells = os.path.join(self.path, "cells")
        begun = {
            cell_id: any(os.path.lexists(f"{cells}/{cell_id}/{name}") for name in ("status.json", "queued.json"))
            for cell_id in cell_ids
        }
        return {cell_id: self.state(cell_id) if found else CellState() for cell_id, found in begun.items()}

    def version(self, cell_id: str) -> tuple[int, int] | None:
        """Return inode and time of change of status.json, which differ once a process has worked on the cell."""
        try:
            stat = (self._folder(cell_id) / "status.json").lstat()
        except FileNotFoundError:
            return None
        return stat.st_ino, stat.st_mtime_ns

    def result(self, cell_id: str) -> CellResult | None:
        """Return the result of the cell; None before its end."""
        path = self._folder(cell_id) / "result.json"
        if not path.exists():
            return None
        result = parse(path, lambda: CellResult.from_json(check_seal(path, read_json(path))))
        if result.cell_id != cell_id:
            raise damaged(path, f"it is the result of cell {result.cell_id}")
        if result.schema_version != SCHEMA_VERSION:
            raise damaged(path, f"its schema version is {result.schema_version}")
        return result

    def history(self, cell_id: str) -> list[dict[str, Any]]:
        """Return the training history; [] if there is none."""
        path = self._folder(cell_id) / "history.jsonl"
        return parse_history(path, self._content(cell_id, path)) if path.exists() else []

    def series(self, cell_id: str) -> dict[str, NDArray[Any]]:
        """Return the raw scalar series by name; {} if there are none."""
        path = self._folder(cell_id) / "series.npz"
        return parse_arrays(path, self._content(cell_id, path)) if path.exists() else {}

    def samples(self, cell_id: str) -> NDArray[np.int8] | None:
        """Return a few configurations (k, L, L); None if there are none."""
        path = self._folder(cell_id) / "samples.npz"
        return parse_arrays(path, self._content(cell_id, path)).get("spins") if path.exists() else None

    def reference(self, cell_id: str) -> Reference | None:
        """Return the configurations that the reference cell left; None if there are none."""
        path = self.files(cell_id).reference
        if not path.exists():
            return None
        arrays = parse_arrays(path, self._content(cell_id, path, REFERENCE))
        return parse(path, lambda: unpack_reference(arrays))

    def changed_files(self, cell_id: str) -> list[str]:
        """Return one line for each file of an ended cell that is missing or was changed; reads all of them."""
        record = self._status(cell_id)
        if record is None or record.status == RUNNING:
            return []
        files, lines = self.files(cell_id), []
        for name, known in record.files.items():
            path = files.reference if name == REFERENCE else files.folder / name
            if not path.exists():
                lines.append(f"{path} is missing")
            elif digest(read_bytes(path)) != known.sha256:
                lines.append(f"{path} was changed after the cell ended")
        return lines

    def files(self, cell_id: str) -> CellFiles:
        """Return the folder of a cell, for writing."""
        return CellFiles(self._folder(cell_id))

    def _discard(self) -> None:
        """Delete cells and reports. plan.json stays until the new one replaces it, so the folder remains a run."""
        self.plan()
        for name in DISCARDED:
            entry = self.path / name
            guard(entry, lambda entry=entry: shutil.rmtree(entry) if entry.is_dir() else entry.unlink(True))  # type: ignore[misc]

    def _folder(self, cell_id: str) -> Path:
        """Return the folder of a cell. Raises StoreError if it, or the folder around it, is a link."""
        folder = self.path / "cells" / cell_id
        for path in (self.path / "cells", folder, self.path / "reference"):
            if path.is_symlink():
                raise StoreError(f"{path} is a link, which is not followed; replace it by the folder itself")
        return folder

    def _queue(self, cell_id: str) -> str | None:
        """Return the job of a scheduler that will run the cell; None once a process has worked on the cell."""
        files = self.files(cell_id)
        return read_queued(files.queued, self.version(cell_id)) if files.queued.exists() else None

    def _status(self, cell_id: str) -> StatusRecord | None:
        """Return status.json; None if the cell was not started."""
        path, version = self._folder(cell_id) / "status.json", self.version(cell_id)
        if version is None:
            return None
        if cell_id not in self._statuses or self._statuses[cell_id][0] != version:
            record = parse(path, lambda: msgspec.convert(check_seal(path, read_json(path)), StatusRecord))
            if record.status != RUNNING:
                parse(path, lambda: Status(record.status))
            self._statuses[cell_id] = version, record
        return self._statuses[cell_id][1]

    def _check_sizes(self, cell_id: str, files: Mapping[str, FileRecord]) -> None:
        """Raise StoreError if a file is missing or has another size; weights and configurations may be deleted."""
        for name in files.keys() - {REFERENCE, "weights.safetensors"}:
            path = self._folder(cell_id) / name
            size = path.stat().st_size if path.exists() else None
            if size != files[name].size and self._status_is(cell_id, files):
                raise damaged(path, "it is missing" if size is None else f"it has {size} bytes, not {files[name].size}")

    def _status_is(self, cell_id: str, files: Mapping[str, FileRecord]) -> bool:
        """Return False if another process has changed the cell since its status was read: it runs again."""
        record = self._status(cell_id)
        return record is not None and record.files == files

    def _content(self, cell_id: str, path: Path, name: str = "") -> bytes:
        """Return the content of a file. Raises StoreError if the cell has ended and the file is not the one it left."""
        record = self._status(cell_id)
        content = read_bytes(path)
        if record is not None and record.files:
            known = record.files.get(name or path.name)
            if known is None or known.sha256 != digest(content):
                raise damaged(path, "it was changed after the cell ended")
        return content
