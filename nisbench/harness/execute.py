"""A cell as a process of this machine. A fault of a plugin costs its own cell only.

Every engine runs a cell in this way: guard, then worker, under the lease of the cell. The process that started them
sleeps until the kernel reports the end of one: it must not slow the cells that it measures.
"""

import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from nisbench.contract.records import Cell, CellResult, Status
from nisbench.errors import one_line
from nisbench.harness.cell_files import CellFiles, open_to_append
from nisbench.harness.interpreter import worker_python
from nisbench.harness.lease import Lease
from nisbench.harness.store import Store

__all__ = [
    "Engine",
    "Job",
    "Progress",
    "Settings",
    "StoppedError",
    "Watch",
    "conclude",
    "end_jobs",
    "has_ended",
    "interrupt",
    "start_job",
    "stop_signals",
    "wait",
    "worker_environment",
]

_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Warning|Exit)\b")
_GRACE_S = 5.0
"""Seconds that a worker has for its checkpoint, between SIGTERM and SIGKILL."""
_GUARD = Path(__file__).with_name("guard.py")
_STOPPED = 143
"""Exit code of a worker that a signal has stopped, as in worker.py and guard.py."""
_TAIL_BYTES = 2**16
"""Bytes at the end of a log in which the reason of a crash is looked for."""
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
_DEFAULTS = {
    # Threads that spin for ever while they wait make a step ten times slower once the machine has other work; threads
    # that never spin make it twice as slow on an idle machine. 5000 rounds are a few microseconds.
    "GOMP_SPINCOUNT": "5000",
    # Returning memory after each step and asking for it again costs up to a tenth of the step, because the kernel
    # clears every page. With these limits glibc keeps freed memory in pieces of up to 256 MiB.
    "MALLOC_MMAP_THRESHOLD_": f"{2**28}",
    "MALLOC_TRIM_THRESHOLD_": f"{2**30}",
    # Large tensors in pages of 2 MiB. A process that draws large lattices often gets new memory nevertheless, and in
    # pages of 4 KiB that took half of the time at L = 256.
    "THP_MEM_ALLOC_ENABLE": "1",
    "PYTHONUNBUFFERED": "1",
}


class StoppedError(BaseException):
    """A signal stopped the run. Every cell is either finished or can be resumed."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(frozen=True)
class Progress:
    """The state of a run: which cells are running, which have ended, how many wait."""

    running: tuple[str, ...]
    """cell_ids"""
    ended: tuple[str, ...]
    """cell_ids in the order of their end; cells kept from an earlier run are not among them"""
    waiting: int


@dataclass(frozen=True)
class Watch:
    """A function that shows the progress. It is called when cells start or end, and every `every_s` seconds."""

    show: Callable[[Progress], None]
    every_s: float


@dataclass(frozen=True)
class Settings:
    """How each cell of a run is to be run."""

    timeout: float | None = None
    """Seconds that one cell may take."""
    memory_limit: int | None = None
    """Bytes that one cell may take."""
    keep: bool = False
    """Continue a training although the source of its plugin has changed."""


class Engine(Protocol):
    """Runs cells somewhere. The store is the only thing that the driver and the jobs share."""

    def run(self, store: Store, cells: Sequence[Cell], settings: Settings, driver: Lease, watch: Watch | None) -> None:
        """Run the cells, a model after its reference. Each cell leaves a status.

        The jobs of another machine end once `driver` is released. Raises StoppedError on SIGINT, SIGTERM and SIGHUP,
        after the workers have ended and their cells are marked `interrupted`.
        """


@dataclass
class Job:
    """One cell in its process."""

    cell: Cell
    files: CellFiles
    lease: Lease
    process: subprocess.Popen[bytes]
    settings: Settings
    log_start: int
    begin: float
    ending: int | None
    """File descriptor that is readable once the process has ended; None if it had ended before it was opened."""
    gpu: str | None = None
    """The GPU that this cell has for itself."""


def worker_environment(threads: int) -> dict[str, str]:
    """Return the environment of a worker process. Variables of the user stay, except the numbers of threads."""
    return _DEFAULTS | _numba_cache() | os.environ | dict.fromkeys(_THREADS, str(threads))


def _numba_cache() -> dict[str, str]:
    """Return a folder for compiled kernels if numba would find none: a read-only installation and no home."""
    places = [Path(__file__).parent, Path(os.path.expanduser("~"))]
    if any(os.access(place, os.W_OK) for place in places):
        return {}
    return {"NUMBA_CACHE_DIR": str(Path(tempfile.gettempdir()) / f"nisbench-numba-{os.getuid()}")}


def start_job(
    store: Store, cell: Cell, lease: Lease, settings: Settings, *, threads: int, concurrent: int, gpu: str | None = None
) -> Job:
    """Start the process of a cell with `threads` threads. Up to `concurrent` cells of the run share the machine."""
    files = store.files(cell.cell_id)
    files.clear()
    # -P keeps the working directory out of the import path: a random.py there must not replace Python's own.
    # faulthandler prints the Python line at which native code crashed.
    worker = [worker_python(store, cell.plugin), "-P", "-X", "faulthandler", "-m", "nisbench.harness.worker"]
    limit = [] if settings.memory_limit is None else ["--memory-limit", str(settings.memory_limit)]
    worker += ["--store", str(store.path.resolve()), "--cell", cell.cell_id, "--threads", str(threads), *limit]
    worker += ["--concurrent", str(concurrent)] + ([] if gpu is None else ["--gpu", gpu])
    worker += ["--keep"] if settings.keep else []
    command = [sys.executable, "-I", "-S", str(_GUARD), "--parent", str(os.getpid()), "--grace", str(_GRACE_S), *limit]
    command += ["--lease", str(lease.path.resolve()), "--lease-file", str(lease.file)]
    with open_to_append(files.log) as log:
        log_start = log.tell()  # the log keeps the output of earlier attempts
        # A session of its own: Ctrl-C reaches only this process, which asks the guard to end the worker.
        process = subprocess.Popen(
            [*command, *worker],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=worker_environment(threads) | ({} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}),
            start_new_session=True,
            pass_fds=(lease.file,),
        )
    try:
        ending = os.pidfd_open(process.pid)
    except ProcessLookupError:
        ending = None
    return Job(cell, files, lease, process, settings, log_start, time.monotonic(), ending, gpu)


def wait(jobs: Sequence[Job], longest: float | None = None) -> None:
    """Return when a job has ended or has used up its time, or after `longest` seconds."""
    if not jobs:
        time.sleep(longest or 0.0)
        return
    poll = select.poll()
    for job in jobs:
        if job.ending is not None:
            poll.register(job.ending, select.POLLIN)
    if any(has_ended(job) for job in jobs):
        return
    now = time.monotonic()
    limits = [job.begin + job.settings.timeout - now for job in jobs if job.settings.timeout is not None]
    limits += [] if longest is None else [longest]
    # A millisecond more than the limit, so that it has passed when the kernel returns.
    poll.poll(max(0.0, min(limits)) * 1000 + 1 if limits else None)


def has_ended(job: Job) -> bool:
    """Return True if the process has ended or has used up its time."""
    limit = job.settings.timeout
    return job.process.poll() is not None or (limit is not None and time.monotonic() - job.begin > limit)


def conclude(store: Store, job: Job) -> None:
    """End the job's processes, write how a cell without a result ended, and release its lease."""
    code = job.process.poll()
    stage = store.state(job.cell.cell_id).stage or "start"
    end_jobs([job])  # also children that the worker left behind
    if not job.lease.lost and store.result(job.cell.cell_id) is None:
        _write_end(store, job, code, stage)
    job.lease.release()


def _write_end(store: Store, job: Job, code: int | None, stage: str) -> None:
    """Write how a cell without a result ended; `code` is the exit code of its process, None after its time."""
    if code == _STOPPED:  # by a scheduler; a worker that had the time has written a checkpoint and its status
        if store.state(job.cell.cell_id).status is not Status.INTERRUPTED:
            job.files.write_status(Status.INTERRUPTED, f"stopped while it was at: {stage}")
        return
    if code is None:
        status, reason = Status.TIMEOUT, f"not done after {job.settings.timeout:g} s; it was at: {stage}"
    else:
        last_line = _tail(job.files.log, job.log_start)
        status, reason = Status.FAILED, _crash(code, last_line, job.settings.memory_limit)
    job.files.write_result(CellResult(job.cell.cell_id, status, reason))


def interrupt(store: Store, jobs: Sequence[Job], reason: str) -> None:
    """End the jobs' processes, mark their cells as interrupted unless they have a result, and release their leases."""
    end_jobs(jobs)
    for job in jobs:
        if not job.lease.lost and store.result(job.cell.cell_id) is None:
            job.files.write_status(Status.INTERRUPTED, reason)
        job.lease.release()


def _crash(code: int, last_line: str, memory_limit: int | None) -> str:
    """Return why a process left no result, from its exit code and the last line that it printed."""
    limit = f"; the memory limit was {memory_limit} bytes" if memory_limit is not None else ""
    if code < 0:
        name = signal.Signals(-code).name
        guess = ", probably out of memory" if -code == signal.SIGKILL else ""  # the kernel kills without a message
        return f"killed by {name}{guess}{limit}"
    said = f": {last_line}" if last_line else ""
    return f"the worker ended with exit code {code} and no result{said}{limit}"


def _tail(log: Path, start: int) -> str:
    """Return the last line after byte `start` that names an exception, or else the last line that is not empty."""
    with log.open("rb") as file:
        file.seek(max(start, log.stat().st_size - _TAIL_BYTES))
        lines = [line.rstrip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    named = [line for line in lines if _EXCEPTION.match(line)]
    return one_line((named or lines or [""])[-1])


def end_jobs(jobs: Sequence[Job]) -> None:
    """Ask the guards to end their workers, and kill a guard that does not end. Its worker then ends with it."""
    for job in jobs:
        job.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + _GRACE_S + 1
    for job in jobs:
        with suppress(subprocess.TimeoutExpired):
            job.process.wait(max(0.0, deadline - time.monotonic()))
        job.process.kill()
        job.process.wait()
        if job.ending is not None:
            os.close(job.ending)
            job.ending = None


@contextmanager
def stop_signals() -> Iterator[None]:
    """Raise StoppedError on SIGINT, SIGTERM and SIGHUP. A second signal while stopping is ignored.

    SIGHUP stays ignored if it is: nohup(1) does so, to keep a run when its terminal is closed.
    """

    def stop(number: int, _: Any) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise StoppedError(signal.Signals(number).name)

    numbers = [signal.SIGINT, signal.SIGTERM]
    numbers += [signal.SIGHUP] if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN else []
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
