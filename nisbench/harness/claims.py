"""Divide the cells of a run folder among the drivers that work on it: each cell is run by one of them, and once."""

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from nisbench.contract.records import Cell, Status
from nisbench.errors import StoreError
from nisbench.harness.lease import Lease, Sightings, holder
from nisbench.harness.run_folder import DRIVER
from nisbench.harness.store import LEASE, Store

__all__ = ["Claims", "driver", "other_drivers"]


class Claims:
    """Takes cells for this driver. It knows how each cell was when the driver decided to run it."""

    def __init__(self, store: Store, cells: Iterable[Cell]) -> None:
        self.store = store
        self.versions = {cell.cell_id: store.version(cell.cell_id) for cell in cells}
        """Version of each cell when this object was made."""
        self._sightings = Sightings()

    def ended(self, cell: Cell) -> bool:
        """Return True if another driver has ended the cell meanwhile. An interrupted cell is still to be run."""
        if self.store.version(cell.cell_id) == self.versions[cell.cell_id]:
            return False
        return self.store.state(cell.cell_id).status not in (None, Status.INTERRUPTED)

    def take(self, cell: Cell) -> Lease | None:
        """Return the lease of a cell that is to be run; None if another driver works on it or has ended it."""
        lease = Lease.take(self.store.files(cell.cell_id).folder, LEASE, self._sightings)
        if lease is not None and self.ended(cell):
            lease.release()
            return None
        return lease


@contextmanager
def driver(store: Store) -> Iterator[Lease]:
    """Note in the folder that this process drives a run there, until the end of the `with` statement."""
    lease = Lease.take(store.path, DRIVER + secrets.token_hex(8), Sightings())
    if lease is None:
        raise StoreError(f"cannot write {store.path}: its files change while they are written")
    with lease.beating():
        yield lease


def other_drivers(store: Store) -> list[str]:
    """Return the drivers that work on the folder, as `process 12 on host`. Notes of dead drivers are removed."""
    found = []
    for path in sorted(store.path.glob(f"{DRIVER}*")):
        if (who := holder(store.path, path.name.rpartition(".")[0])) is not None:
            found.append(str(who))
        else:
            path.unlink(missing_ok=True)
    return found
