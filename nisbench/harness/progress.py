"""Where the cells of a run stand, as text for a terminal: label, status or stage, ESS, KL, reason."""

from collections.abc import Iterable
from dataclasses import dataclass

from nisbench.contract.records import Cell, Estimate
from nisbench.harness.store import Store

__all__ = ["Row", "counts", "label", "row"]


@dataclass(frozen=True)
class Row:
    """One line of the table of cells."""

    cell: str
    status: str
    ess: str
    kl: str
    reason: str

    @property
    def line(self) -> str:
        """The row as a plain line."""
        numbers = [f"{name} {value}" for name, value in (("ESS", self.ess), ("KL", self.kl)) if value]
        return f"{self.cell}: " + ", ".join([self.status, *numbers]) + (f" - {self.reason}" if self.reason else "")


def label(cell: Cell) -> str:
    """`hier L=8 beta=0.44 seed=1`; the reference cells say so."""
    suffix = " (reference)" if cell.reference_draws else ""
    return f"{cell.plugin} L={cell.L} beta={cell.beta:.6g} seed={cell.seed}{suffix}"


def row(store: Store, cell: Cell) -> Row:
    """Where a cell stands; numbers of a running training are those of the last line of its history."""
    status, reason = store.status(cell.cell_id)
    if status is None:
        return _running(store, cell, reason) if reason else Row(label(cell), "not started", "", "", "")
    result = store.result(cell.cell_id)
    quantities = result.quantities if result else {}
    ess, kl = (_number(quantities.get(name)) for name in ("ess_fraction", "kl_nats"))
    return Row(label(cell), str(status), ess, kl, reason or "")


def counts(store: Store, cells: Iterable[Cell]) -> dict[str, int]:
    """Number of cells by status, in the order met."""
    found: dict[str, int] = {}
    for cell in cells:
        status = str(store.status(cell.cell_id)[0] or "not finished")
        found[status] = found.get(status, 0) + 1
    return found


def _running(store: Store, cell: Cell, stage: str) -> Row:
    history = store.history(cell.cell_id)
    if stage != "train" or not history or cell.budget is None:
        return Row(label(cell), stage, "", "", "")
    last = history[-1]
    step, seconds = int(last["step"]), float(last["seconds"])
    if cell.budget.steps is not None:
        left = seconds / max(step, 1) * (cell.budget.steps - step)
        at = f"train step {step}/{cell.budget.steps}"
    else:
        left = (cell.budget.seconds or 0.0) - seconds
        at = f"train step {step}"
    kl = last.get("kl_nats")
    return Row(label(cell), at, f"{last['ess_fraction']:.3g}", "" if kl is None else f"{kl:.3g}", f"{left:.0f} s left")


def _number(estimate: Estimate | None) -> str:
    return "" if estimate is None or estimate.value is None else f"{estimate.value:.3g}"
