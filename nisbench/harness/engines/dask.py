"""Run cells on the workers of a Dask cluster, which see the run folder under the same path."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from nisbench.contract.records import Cell, CellResult, Status
from nisbench.errors import UserError, describe, one_line
from nisbench.harness.claims import Claims
from nisbench.harness.engines.remote import RemoteCell
from nisbench.harness.environment import visible_gpus
from nisbench.harness.execute import Progress, Settings, Watch, stop_signals
from nisbench.harness.lease import Lease
from nisbench.harness.resume import lacks_reference
from nisbench.harness.store import Store

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["DaskEngine"]

_LOOK_S = 1.0
"""Longest sleep of the driver, so that a signal is seen soon."""
_CONNECT_S = 20
_END_S = 15.0
"""Time for the jobs to end after their driver was stopped."""


@dataclass(frozen=True)
class DaskEngine:
    """Sends each cell as a task to a cluster; without an address, to a cluster of this machine alone."""

    scheduler: str | None = None
    workers: int = 1
    """Number of cells at a time on a cluster of this machine alone."""

    def __post_init__(self) -> None:
        if find_spec("distributed") is None:
            raise UserError(
                "--executor dask needs the package distributed, which is not installed; pip install 'nisbench[dask]'"
            )

    def run(self, store: Store, cells: Sequence[Cell], settings: Settings, driver: Lease, watch: Watch | None) -> None:
        """Run the cells on the cluster and wait for them."""
        with stop_signals(), self._client() as client:
            _check_gpus(client, cells)
            run = _Run(client, store, settings, driver)
            try:
                run.submit(cells)
                while run.futures:
                    run.collect(min(_LOOK_S, watch.every_s) if watch else _LOOK_S)
                    if watch:
                        watch.show(run.progress)
            finally:
                driver.release()  # jobs that still run see that and end
                run.await_end()

    @contextmanager
    def _client(self) -> Iterator["Client"]:
        """Connect to the scheduler, or start a cluster in this process; the cells are processes of their own."""
        from distributed import Client, LocalCluster

        if self.scheduler is not None:
            try:
                client = Client(self.scheduler, timeout=_CONNECT_S)
            except (OSError, ValueError, TimeoutError) as error:
                raise UserError(
                    f"--scheduler {self.scheduler}: no Dask scheduler answers ({describe(error)})"
                ) from None
            with client:
                yield client
            return
        resources = {"GPU": len(visible_gpus())}
        settings: dict[str, Any] = {"n_workers": 1, "threads_per_worker": self.workers, "resources": resources}
        with (
            LocalCluster(processes=False, dashboard_address=None, **settings) as cluster,
            Client(cluster) as client,
        ):
            yield client


class _Run:
    """The tasks of a run."""

    def __init__(self, client: "Client", store: Store, settings: Settings, driver: Lease) -> None:
        self.client, self.store, self.settings, self.driver = client, store, settings, driver
        self.futures: dict[str, Future] = {}
        """Task of each cell that has not ended."""
        self.cells: dict[str, Cell] = {}
        self.claims = Claims(store, ())
        self.alone: set[str] = set()
        """Models whose task was sent again because that of the reference failed, and theirs with it."""
        self.ended: list[str] = []
        self.neighbours = _neighbours(client.scheduler_info(n_workers=-1)["workers"])

    @property
    def progress(self) -> Progress:
        """The cells that run, those that have ended, and the number of those that wait."""
        running = tuple(cell_id for cell_id in self.futures if self.store.state(cell_id).running)
        return Progress(running, tuple(self.ended), len(self.futures) - len(running))

    def submit(self, cells: Sequence[Cell]) -> None:
        """Send the cells, a model with the task of its reference as a dependency."""
        self.claims = Claims(self.store, cells)
        tasks: dict[str, Future] = {}
        for cell in sorted(cells, key=lambda cell: cell.reference is not None):
            if not lacks_reference(self.store, cell) or cell.reference in tasks:
                self.cells[cell.cell_id] = cell
                tasks[cell.cell_id] = self._send(cell, tasks.get(cell.reference or ""))
        self.futures = tasks

    def collect(self, seconds: float) -> None:
        """Take the tasks that have ended from the list, after `seconds` at most."""
        from distributed import wait

        try:
            done = wait([*self.futures.values()], timeout=seconds, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            return
        for cell_id in [cell_id for cell_id, future in self.futures.items() if future in done]:
            future, cell = self.futures[cell_id], self.cells[cell_id]
            if future.status == "finished":
                del self.futures[cell_id]
                self.ended.append(cell_id)
            else:
                self._failed(cell, future)

    def await_end(self) -> None:
        """Cancel the tasks that wait, and return when those that run have ended."""
        waiting = [future for future in self.futures.values() if not future.done()]
        if waiting:
            self.client.cancel(waiting, reason="the run was stopped")
        deadline = time.monotonic() + _END_S
        while any(self.store.state(cell_id).running for cell_id in self.futures) and time.monotonic() < deadline:
            time.sleep(0.1)

    def _send(self, cell: Cell, reference: "Future | None") -> "Future":
        """Send one cell."""
        folder, version = str(self.store.path.resolve()), self.claims.versions[cell.cell_id]
        remote = RemoteCell(folder, cell.cell_id, self.settings, version, str(self.driver.path.resolve()))
        resources = {"GPU": 1} if cell.device == "cuda" else None
        return self.client.submit(
            _task,
            remote,
            self.neighbours,
            reference,
            pure=False,
            resources=resources,
            key=f"{cell.cell_id}-{id(remote)}",
        )

    def _failed(self, cell: Cell, future: "Future") -> None:
        """Write the failure of a task that left no result; a model runs without its reference, as elsewhere."""
        if cell.reference in self.cells and cell.cell_id not in self.alone:
            self.alone.add(cell.cell_id)
            self.futures[cell.cell_id] = self._send(cell, None)
            return
        del self.futures[cell.cell_id]
        self.ended.append(cell.cell_id)
        if (lease := self.claims.take(cell)) is not None:
            reason = f"the task failed: {one_line(describe(future.exception() or RuntimeError(future.status)))}"
            self.store.files(cell.cell_id).write_result(CellResult(cell.cell_id, Status.FAILED, reason))
            lease.release()


def _task(remote: RemoteCell, neighbours: Mapping[str, int], reference: None) -> None:
    """Run a cell on a worker of the cluster; `reference` is the result of the task before it."""
    from distributed import get_worker

    worker = get_worker()
    remote.run(max(worker.state.nthreads, neighbours.get(worker.address, 1)))


def _neighbours(workers: Mapping[str, Any]) -> dict[str, int]:
    """Return for each worker how many tasks its host runs at a time, by address."""
    hosts: dict[str, int] = {}
    for each in workers.values():
        hosts[each["host"]] = hosts.get(each["host"], 0) + each["nthreads"]
    return {address: hosts[each["host"]] for address, each in workers.items()}


def _check_gpus(client: "Client", cells: Sequence[Cell]) -> None:
    """Raise UserError if a cell needs a GPU and no worker offers one; its task would wait for ever."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    if any(cell.device == "cuda" for cell in cells) and not any(each["resources"].get("GPU") for each in workers):
        raise UserError(
            "no worker of the Dask cluster offers a GPU; start its workers with --resources GPU=1, or give --device cpu"
        )
