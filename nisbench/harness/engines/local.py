"""Run cells as processes of this machine. Several drivers can do so at once, here and on other machines."""

from collections.abc import Sequence
from dataclasses import dataclass

from nisbench.contract.records import Cell
from nisbench.harness.claims import Claims
from nisbench.harness.environment import available_cores, visible_gpus
from nisbench.harness.execute import (
    Job,
    Progress,
    Settings,
    StoppedError,
    Watch,
    conclude,
    has_ended,
    interrupt,
    start_job,
    stop_signals,
    wait,
)
from nisbench.harness.lease import Lease
from nisbench.harness.resume import lacks_reference
from nisbench.harness.store import Store

__all__ = ["LocalEngine"]

_ELSEWHERE_S = 2.0
"""Seconds between two looks at cells on which another driver works."""


@dataclass(frozen=True)
class LocalEngine:
    """Runs up to `workers` cells at a time on this machine."""

    workers: int = 1

    def run(self, store: Store, cells: Sequence[Cell], settings: Settings, driver: Lease, watch: Watch | None) -> None:
        """Run the cells that no other driver runs, and wait for the others."""
        del driver
        run = _Run(store, cells, settings, self.workers)
        with stop_signals():
            try:
                while run.waiting or run.jobs:
                    run.start()
                    run.sleep(watch)
                    run.collect()
            except BaseException as error:
                reason = f"stopped by {error.name}" if isinstance(error, StoppedError) else f"stopped: {error!r}"
                interrupt(store, run.jobs, reason)
                raise
        if watch:
            watch.show(run.progress)


class _Run:
    """The cells of a run: waiting, running, ended."""

    def __init__(self, store: Store, cells: Sequence[Cell], settings: Settings, workers: int) -> None:
        self.store, self.settings, self.workers = store, settings, workers
        self.waiting = list(cells)
        self.jobs: list[Job] = []
        self.ended: list[str] = []
        self.claims = Claims(store, cells)
        self.elsewhere = False
        """True if another driver works on a cell for which there is a worker here."""
        self.threads = max(1, available_cores() // workers)
        self.concurrent = min(workers, max(1, len(cells)))
        gpus = visible_gpus() if workers > 1 else ()
        self.gpus = gpus if len(gpus) > 1 else ()

    @property
    def progress(self) -> Progress:
        """The cells that run here, and those that have ended."""
        return Progress(tuple(job.cell.cell_id for job in self.jobs), tuple(self.ended), len(self.waiting))

    def start(self) -> None:
        """Start cells until every worker has one. A model waits until its reference has ended, in whatever way."""
        pending = {cell.cell_id for cell in self.waiting} | {job.cell.cell_id for job in self.jobs}
        self.elsewhere = False
        for cell in [c for c in self.waiting if c.reference not in pending]:
            if len(self.jobs) >= self.workers:
                return
            if self.claims.ended(cell):
                self.waiting.remove(cell)
                self.ended.append(cell.cell_id)
            elif lacks_reference(self.store, cell):  # its finished result would only be repeated
                self.waiting.remove(cell)
            elif (lease := self.claims.take(cell)) is None:
                self.elsewhere = True
            else:
                self.waiting.remove(cell)
                self.jobs.append(self._started(cell, lease))

    def sleep(self, watch: Watch | None) -> None:
        """Return when a job has ended, or when it is time to look at the cells of other drivers."""
        while not any(has_ended(job) for job in self.jobs):
            if watch:
                watch.show(self.progress)
            if not self.jobs and not self.elsewhere:
                return
            limits = ([watch.every_s] if watch else []) + ([_ELSEWHERE_S] if self.elsewhere else [])
            wait(self.jobs, min(limits, default=None))
            if self.elsewhere:
                return

    def collect(self) -> None:
        """Conclude the jobs that have ended."""
        for job in [job for job in self.jobs if has_ended(job)]:
            conclude(self.store, job)
            self.jobs.remove(job)
            self.ended.append(job.cell.cell_id)

    def _started(self, cell: Cell, lease: Lease) -> Job:
        """Start a cell, on a GPU of its own if there are several."""
        gpu = None
        if self.gpus and cell.device == "cuda":
            taken = [job.gpu for job in self.jobs]
            gpu = min(self.gpus, key=taken.count)
        shared = {"threads": self.threads, "concurrent": self.concurrent}
        return start_job(self.store, cell, lease, self.settings, gpu=gpu, **shared)
