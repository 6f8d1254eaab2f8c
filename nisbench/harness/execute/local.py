"""Cells as processes of this machine: each one alone, so that nothing a plugin does costs more than its own row."""

import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nisbench.contract.records import Cell, CellResult, Status
from nisbench.harness.store import CellFiles, Store

__all__ = ["Progress", "StoppedError", "run_cells", "unfinished", "worker_environment"]

_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Warning|Exit)\b")
_POLL_S = 0.05
_GRACE_S = 5.0
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
# Threads that wait for others in a loop forever make a step ten times slower as soon as the machine has anything else
# to do; threads that never do make it twice as slow on a machine that has not. So they wait a few microseconds.
# Memory that each step returns to the system and asks for again costs up to a tenth of its time, for the system clears
# every page. So glibc keeps what it has, up to blocks of 256 MiB.
_DEFAULTS = {
    "GOMP_SPINCOUNT": "5000",
    "MALLOC_MMAP_THRESHOLD_": f"{2**28}",
    "MALLOC_TRIM_THRESHOLD_": f"{2**30}",
    "PYTHONUNBUFFERED": "1",
}


class StoppedError(BaseException):
    """The run was told to stop by a signal; every cell is finished or can be resumed."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(frozen=True)
class Progress:
    """Where a run stands."""

    running: tuple[str, ...]
    """cell_ids"""
    ended: tuple[str, ...]
    """cell_ids in the order in which they ended, those kept from an earlier run left out"""
    waiting: int


@dataclass
class _Job:
    """One cell in its process."""

    cell: Cell
    files: CellFiles
    process: subprocess.Popen[bytes]
    log_start: int
    begin: float


def worker_environment(threads: int) -> dict[str, str]:
    """The environment of a process that runs a cell; what the user has set stays, but for the number of threads."""
    return _DEFAULTS | os.environ | dict.fromkeys(_THREADS, str(threads))


def unfinished(store: Store, *, memory_limit: int | None = None) -> tuple[Cell, ...]:
    """The cells that a run of this store would start, in plan order."""
    return tuple(cell for cell in store.cells() if _is_due(store, cell, memory_limit))


def run_cells(
    store: Store,
    cells: Sequence[Cell],
    *,
    workers: int = 1,
    threads: int = 1,
    timeout: float | None = None,
    memory_limit: int | None = None,
    watch: Callable[[Progress], None] | None = None,
) -> None:
    """Runs the cells, `workers` at a time, a model after its reference; each leaves a status with a reason.

    `threads` is what one worker may use, `timeout` the seconds and `memory_limit` the bytes of one cell. `watch` is
    called every few hundredths of a second. Raises StoppedError on SIGINT and SIGTERM, the children ended and their
    cells marked `interrupted`.
    """
    waiting = list(cells)
    jobs: list[_Job] = []
    ended: list[str] = []
    options = ["--threads", str(threads)] + ([] if memory_limit is None else ["--memory-limit", str(memory_limit)])
    with _stop_signals():
        try:
            while waiting or jobs:
                pending = {cell.cell_id for cell in waiting} | {job.cell.cell_id for job in jobs}
                for cell in [c for c in waiting if c.reference not in pending][: workers - len(jobs)]:
                    waiting.remove(cell)
                    if not _lacks_reference(store, cell):
                        jobs.append(_start(store, cell, options, threads))
                for job in [job for job in jobs if _has_ended(job, timeout)]:
                    _conclude(store, job, timeout, memory_limit)
                    jobs.remove(job)
                    ended.append(job.cell.cell_id)
                if watch:
                    watch(Progress(tuple(job.cell.cell_id for job in jobs), tuple(ended), len(waiting)))
                time.sleep(_POLL_S if jobs else 0)
        except BaseException as error:
            _end_all(jobs)
            for job in jobs:
                reason = f"stopped by {error.name}" if isinstance(error, StoppedError) else f"stopped: {error!r}"
                if store.result(job.cell.cell_id) is None:
                    job.files.write_status(Status.INTERRUPTED, reason)
            raise


def _is_due(store: Store, cell: Cell, memory_limit: int | None) -> bool:
    """Whether a cell is to be run (again): not finished, or finished for want of something that is there now."""
    status, _ = store.status(cell.cell_id)
    if status is None or not status.finished:
        return True
    result = store.result(cell.cell_id)
    if result is None:
        return True
    needed = result.notes.get("memory_needed_bytes")
    if needed is not None:
        # What a device has, its worker finds out.
        own = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if cell.device == "cpu" else math.inf
        return int(needed) <= (memory_limit or own)
    if cell.reference_draws and result.quantities and "reference" not in result.notes:
        return store.reference(cell.cell_id) is None
    if _lacks_reference(store, cell):
        return _is_due(store, store.cell(str(cell.reference)), memory_limit)
    return result.notes.get("reference") == "missing" and cell.reference is not None


def _lacks_reference(store: Store, cell: Cell) -> bool:
    """Whether the cell was measured without its reference, and there still is none."""
    status, _ = store.status(cell.cell_id)
    result = store.result(cell.cell_id) if status is not None and status.finished else None
    if result is None or cell.reference is None or result.notes.get("reference") != "missing":
        return False
    return store.reference(cell.reference) is None


def _start(store: Store, cell: Cell, options: Sequence[str], threads: int) -> _Job:
    files = store.files(cell.cell_id)
    files.clear()
    command = [sys.executable, "-X", "faulthandler", "-m", "nisbench.harness.worker"]
    command += ["--store", str(store.path.resolve()), "--cell", cell.cell_id, "--parent", str(os.getpid()), *options]
    with files.log.open("ab") as log:
        log_start = log.tell()
        # A session of its own: Ctrl-C reaches this process alone, and a worker's own children end with it.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=worker_environment(threads),
            start_new_session=True,
        )
    return _Job(cell, files, process, log_start, time.monotonic())


def _has_ended(job: _Job, timeout: float | None) -> bool:
    return job.process.poll() is not None or (timeout is not None and time.monotonic() - job.begin > timeout)


def _conclude(store: Store, job: _Job, timeout: float | None, memory_limit: int | None) -> None:
    """Leaves a result for a cell whose process ended, or ends it for having used up its time."""
    code = job.process.poll()
    stage = store.status(job.cell.cell_id)[1] or "start"
    _end_all([job])  # children that the worker left behind included
    if store.result(job.cell.cell_id) is not None:
        return
    if code is None:
        status, reason = Status.TIMEOUT, f"not done after {timeout:g} s; it was at: {stage}"
    else:
        status, reason = Status.FAILED, _crash(code, _tail(job.files.log, job.log_start), memory_limit)
    job.files.write_result(CellResult(job.cell.cell_id, status, reason))


def _crash(code: int, last_line: str, memory_limit: int | None) -> str:
    """Why a process left no result, from its exit code and the last line that it printed."""
    limit = f"; the memory limit was {memory_limit} bytes" if memory_limit is not None else ""
    if code < 0:
        name = signal.Signals(-code).name
        guess = ", probably out of memory" if -code == signal.SIGKILL else ""
        return f"killed by {name}{guess}{limit}"
    said = f": {last_line}" if last_line else ""
    return f"the worker ended with exit code {code} and no result{said}{limit}"


def _tail(log: Path, start: int) -> str:
    """The last line of what was logged from `start` on that names an exception, else the last one that is not empty."""
    with log.open("rb") as file:
        file.seek(start)
        lines = [line.rstrip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    named = [line for line in lines if _EXCEPTION.match(line)]
    return (named or lines or [""])[-1]


def _end_all(jobs: Sequence[_Job]) -> None:
    """SIGTERM, and SIGKILL for those that do not end."""
    for job in jobs:
        _signal(job, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE_S
    for job in jobs:
        with suppress(subprocess.TimeoutExpired):
            job.process.wait(max(0.0, deadline - time.monotonic()))
        _signal(job, signal.SIGKILL)
        job.process.wait()


def _signal(job: _Job, number: signal.Signals) -> None:
    """Sends a signal to the process group of the job; the group may be gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(job.process.pid, number)


@contextmanager
def _stop_signals() -> Iterator[None]:
    """SIGINT and SIGTERM raise StoppedError; a second one while stopping is ignored."""

    def stop(number: int, _: Any) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise StoppedError(signal.Signals(number).name)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
