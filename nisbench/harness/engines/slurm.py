"""Run cells as jobs of SLURM. The driver submits them and ends; the run folder shows how far they are."""

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING

from nisbench.contract.records import Cell
from nisbench.errors import InvalidValue, UserError, one_line
from nisbench.harness.engines.remote import RemoteCell
from nisbench.harness.execute import Settings, Watch
from nisbench.harness.lease import Lease
from nisbench.harness.resume import lacks_reference
from nisbench.harness.store import Store

if TYPE_CHECKING:
    from submitit import AutoExecutor
    from submitit.helpers import DelayedSubmission

__all__ = ["SlurmEngine", "SlurmJob", "minutes"]

_ARRAY = 1000
"""Largest number of jobs in an array; SLURM's own limit is 1001, unless its configuration has another."""
_TIME = re.compile(r"(?:(?P<days>\d{1,4})-)?(?P<rest>\d{1,7}(?::\d{1,2}){0,2})")
_OWN = ("cluster", "time", "requeues")
"""Keys that nisbench reads itself; all others are options of sbatch."""


class SlurmJob(RemoteCell):
    """A cell in a job. At the end of its time or when another job takes its place, SLURM queues it again."""

    def __call__(self) -> None:
        """Run the cell."""
        self.run()

    def checkpoint(self) -> "DelayedSubmission":
        """Stop the cell, whose training writes its checkpoint, and return what the next attempt will do."""
        from submitit import JobEnvironment
        from submitit.helpers import DelayedSubmission

        self.stop("stopped by the scheduler")
        self.job = None
        store = Store.open(self.folder)
        if not store.state(self.cell_id).finished:
            job = f"slurm {JobEnvironment().job_id}"
            store.files(self.cell_id).write_queued(job, store.version(self.cell_id))
        return DelayedSubmission(self)


@dataclass
class SlurmEngine:
    """Submits each cell as an element of a job array; the models follow after the array of their references."""

    options: Mapping[str, str] = field(default_factory=dict)
    """`time`: walltime as sbatch takes it. `requeues`: how often a job may use up its walltime and go on. `cluster`:
    `slurm`, or `local` for processes of this machine. Every other key is an option of sbatch."""
    submitted: int = field(default=0, init=False)
    """Number of cells that were submitted."""
    queued: int = field(default=0, init=False)
    """Number of cells that were in the queue already."""

    def __post_init__(self) -> None:
        if find_spec("submitit") is None:
            raise UserError(
                "--executor slurm needs the package submitit, which is not installed; pip install 'nisbench[slurm]'"
            )
        minutes(self.options.get("time", "60"))
        if not self.options.get("requeues", "3").isdecimal():
            raise InvalidValue(f"--slurm requeues={self.options['requeues']}: give a number, for example 3")
        cluster = self.options.get("cluster", "slurm")
        if cluster not in ("slurm", "local"):
            raise InvalidValue(f"--slurm cluster={cluster}: choose slurm or local")
        if cluster == "slurm" and shutil.which("srun") is None:
            raise UserError("--executor slurm: this machine has no srun; start the run on a login node of the cluster")

    def run(self, store: Store, cells: Sequence[Cell], settings: Settings, driver: Lease, watch: Watch | None) -> None:
        """Submit the cells that are not in the queue yet, and return."""
        del driver, watch
        names = _queue() if any(store.state(cell.cell_id).queue for cell in cells) else frozenset[str]()
        free = [cell for cell in cells if (store.state(cell.cell_id).queue or "").removeprefix("slurm ") not in names]
        self.queued = len(cells) - len(free)
        needed = {cell.reference for cell in free}
        references = [cell for cell in free if cell.cell_id in needed]
        others = [cell for cell in free if cell.cell_id not in needed]
        arrays = self._submit(store, references, settings, ())
        models = [c for c in others if not lacks_reference(store, c) or c.reference in {r.cell_id for r in references}]
        self._submit(store, models, settings, arrays)

    def _submit(self, store: Store, cells: Sequence[Cell], settings: Settings, after: Sequence[str]) -> tuple[str, ...]:
        """Submit the cells as arrays that start after the arrays `after`; return the ids of the arrays."""
        arrays: list[str] = []
        for first in range(0, len(cells), _ARRAY):
            part = cells[first : first + _ARRAY]
            jobs = [self._job(store, cell, settings) for cell in part]
            versions = [store.version(cell.cell_id) for cell in part]
            submitted = self._array(store, jobs, after)
            for cell, version, job_id in zip(part, versions, submitted, strict=True):
                store.files(cell.cell_id).write_queued(f"slurm {job_id}", version)
            arrays.append(submitted[0].partition("_")[0])
            self.submitted += len(part)
        return tuple(arrays)

    def _job(self, store: Store, cell: Cell, settings: Settings) -> SlurmJob:
        """Return the job of a cell. Without SLURM nothing knows dependencies, so the job waits for its reference."""
        after = cell.reference if self.options.get("cluster") == "local" else None
        folder = str(store.path.resolve())
        return SlurmJob(folder, cell.cell_id, settings, store.version(cell.cell_id), after=after)

    def _array(self, store: Store, jobs: Sequence[SlurmJob], after: Sequence[str]) -> list[str]:
        """Submit the jobs as one array and return their ids."""
        try:
            executor = self._executor(store, after)
            with executor.batch():
                submitted = [executor.submit(job) for job in jobs]
            return [str(job.job_id) for job in submitted]
        except Exception as error:  # submitit raises many kinds for options that sbatch refuses
            raise UserError(f"--executor slurm: the jobs were not accepted ({one_line(str(error))})") from error

    def _executor(self, store: Store, after: Sequence[str]) -> "AutoExecutor":
        """Return the executor of submitit with the options of the user."""
        from submitit import AutoExecutor, SlurmExecutor

        requeues = int(self.options.get("requeues", "3"))
        executor = AutoExecutor(
            store.path.resolve() / "slurm", cluster=self.options.get("cluster", "slurm"), slurm_max_num_timeout=requeues
        )
        # submitit has no public list of the options of sbatch that it knows itself.
        known = SlurmExecutor._valid_parameters()
        given = {key.replace("-", "_"): _value(text) for key, text in self.options.items() if key not in _OWN}
        named = {f"slurm_{key}": value for key, value in {"job_name": "nisbench", **given}.items() if key in known}
        rest = {key: value for key, value in given.items() if key not in known}
        if after:
            named["slurm_dependency"] = f"afterany:{':'.join(after)}"
        executor.update_parameters(
            timeout_min=minutes(self.options.get("time", "60")), slurm_additional_parameters=rest, **named
        )
        return executor


def minutes(text: str) -> int:
    """Return a walltime as sbatch takes it in minutes, rounded up: 90, 90:30, 2:00:00, 1-12, 1-12:30:00."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise InvalidValue(f"--slurm time={text}: give minutes, hours:minutes:seconds, or days-hours:minutes:seconds")
    parts = [int(part) for part in found["rest"].split(":")]
    if found["days"] is not None:
        hours, minute, second = [*parts, 0, 0][:3]
    elif len(parts) == 3:
        hours, minute, second = parts
    else:
        hours, (minute, second) = 0, [*parts, 0][:2]
    return ((int(found["days"] or 0) * 24 + hours) * 3600 + minute * 60 + second + 59) // 60


def _value(text: str) -> int | str | bool:
    """Return an option as submitit takes it; `true` is an option without a value."""
    return True if text == "true" else int(text) if text.isdecimal() else text


def _queue() -> frozenset[str]:
    """Return the ids of the user's jobs that are in the queue or run; empty if SLURM does not answer."""
    if (tool := shutil.which("squeue")) is None:
        return frozenset()
    command = [tool, "--me", "--noheader", "--array", "--format=%i"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return frozenset()
    return frozenset(answer.stdout.split()) if answer.returncode == 0 else frozenset()
