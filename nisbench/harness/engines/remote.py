"""One cell as the job of an engine that runs jobs elsewhere: a worker of Dask, or a job of a scheduler."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from nisbench.contract.records import Cell
from nisbench.harness.claims import Claims
from nisbench.harness.environment import available_cores
from nisbench.harness.execute import Job, Settings, conclude, has_ended, interrupt, start_job, wait
from nisbench.harness.lease import Lease, Sightings, is_gone
from nisbench.harness.store import Store

__all__ = ["RemoteCell"]

_LOOK_S = 1.0
"""Seconds between two looks at the driver, and at a cell on which another driver works."""


@dataclass
class RemoteCell:
    """A cell to be run, as plain values that can be sent to another machine with the same store."""

    folder: str
    cell_id: str
    settings: Settings
    version: tuple[int, int] | None
    """Version of the cell when it was sent; a cell that has ended since is not run again."""
    driver: str | None = None
    """Path of the lease of the driver: the job ends with the driver. None if the driver does not wait for the job."""
    after: str | None = None
    """Reference cell to wait for, where the engine does not do so."""
    job: Job | None = field(default=None, init=False)
    """The job while it runs."""

    def run(self, concurrent: int = 1) -> None:
        """Run the cell on this machine, which runs up to `concurrent` cells at a time."""
        store = Store.open(self.folder)
        cell = store.cell(self.cell_id)
        if self.after is not None:
            self._await_reference(store, self.after)
        if (lease := self._claim(store, cell)) is None:
            return
        threads = max(1, available_cores() // concurrent)
        self.job = start_job(store, cell, lease, self.settings, threads=threads, concurrent=concurrent)
        driver, sightings = Path(self.driver or ""), Sightings()
        try:
            while not has_ended(self.job):
                wait([self.job], None if self.driver is None else _LOOK_S)
                if self.driver is not None and is_gone(driver, sightings):
                    interrupt(store, [self.job], "its driver has ended")
                    return
            conclude(store, self.job)
        except BaseException as error:
            self.stop(f"stopped: {error!r}")
            raise
        finally:
            self.job = None

    def stop(self, reason: str) -> None:
        """End the job; a training writes its checkpoint first. Does nothing if no job runs."""
        if self.job is not None:
            interrupt(Store.open(self.folder), [self.job], reason)

    def _claim(self, store: Store, cell: Cell) -> Lease | None:
        """Return the lease of the cell; None if another driver has ended it."""
        claims = Claims(store, [cell])
        claims.versions[cell.cell_id] = self.version
        driver, sightings = Path(self.driver or ""), Sightings()
        while (lease := claims.take(cell)) is None:
            if claims.ended(cell) or (self.driver is not None and is_gone(driver, sightings)):
                return None
            time.sleep(_LOOK_S)
        return lease

    def _await_reference(self, store: Store, cell_id: str) -> None:
        """Return when the reference cell has ended, in whatever way."""
        while (state := store.state(cell_id)).status is None or state.running:
            time.sleep(_LOOK_S)
