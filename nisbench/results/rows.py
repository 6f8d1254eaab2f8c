"""A cell of a run with its status and quantities, and the problem that it measures."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from nisbench.contract.records import Cell, CellResult, CellState, CostBasis, Estimate, Hardware, Status
from nisbench.harness.store import Store
from nisbench.results.targets import beta_text, target_label

__all__ = ["CellRow", "Problem", "StoredRun", "status_counts"]


@dataclass(frozen=True, order=True)
class Problem:
    """A target at one beta; only cells of the same problem are compared."""

    target: str
    """Name with the options that differ from the defaults"""
    beta: float

    def __str__(self) -> str:
        text = beta_text(self.beta)
        return f"{self.target}, critical β" if text == "critical" else f"{self.target}, β = {text}"


@dataclass(frozen=True)
class StoredRun:
    """A run folder with its plan and environment."""

    store: Store
    number: int
    """Position among the runs that were loaded, from 1."""
    plan: Mapping[str, Any]
    environment: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Name of the plan. The path is left out, so that a report does not depend on where its run lies."""
        return str(self.plan.get("name") or "run")


@dataclass(frozen=True)
class CellRow:
    """A cell with its status and its quantities."""

    cell: Cell
    run: StoredRun
    label: str
    """Plugin, followed by the settings that distinguish this variant from the other variants of the plugin."""
    state: CellState
    result: CellResult | None
    """None before the cell ends."""

    @cached_property
    def problem(self) -> Problem:
        """Target and beta of the cell."""
        return Problem(target_label(self.cell), self.cell.beta)

    @property
    def status(self) -> Status | None:
        """How the cell ended; None before its end."""
        return self.state.status

    @property
    def reason(self) -> str | None:
        """Reason of the status; the stage of a cell that is running."""
        return self.state.reason or self.state.stage

    @property
    def quantities(self) -> Mapping[str, Estimate]:
        """Quantities by name; {} before the cell ends."""
        return self.result.quantities if self.result else {}

    @property
    def measured(self) -> bool:
        """True if the cell ran to its end, so that its numbers are shown; they may be untrusted."""
        return self.status in (Status.OK, Status.UNTRUSTED)

    @property
    def trusted(self) -> bool:
        """True if the cell passed every validity gate."""
        return self.status is Status.OK

    @property
    def hardware(self) -> Hardware | None:
        """The device of the cell; None before it is known."""
        return self.result.hardware if self.result else None

    @property
    def device_name(self) -> str:
        """Name of the processor or GPU of the cell, or of the machine if the cell has not recorded one."""
        key = "gpu" if self.cell.device == "cuda" else "cpu"
        return self.hardware.device_name if self.hardware else str(self.run.environment.get(key) or self.cell.device)

    @property
    def threads(self) -> int:
        """Number of threads that the cell used."""
        return self.hardware.threads if self.hardware else 1

    @property
    def cost_basis(self) -> CostBasis | None:
        """Estimate behind the cost per effective sample; None if there is none."""
        return self.result.cost_basis if self.result else None

    @property
    def notes(self) -> Mapping[str, str]:
        """Facts for the reader."""
        return self.result.notes if self.result else {}

    def z(self, quantity: str) -> float | None:
        """(value - exact)/error of a quantity; None if unknown."""
        estimate = self.quantities.get(quantity)
        return None if estimate is None else estimate.z

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        """Lines of the training history, read once; empty if there is none."""
        return self.run.store.history(self.cell.cell_id)

    def extended(self, quantities: Mapping[str, Estimate]) -> "CellRow":
        """The row with more quantities; itself if it has no result. A history that was read is not read again."""
        if self.result is None:
            return self
        row = replace(self, result=replace(self.result, quantities={**self.quantities, **quantities}))
        if "history" in self.__dict__:  # where cached_property keeps it
            row.__dict__["history"] = self.history
        return row


def status_counts(rows: Iterable[CellRow]) -> str:
    """Number of rows by status in words: `3 ok, 1 failed`."""
    counts = Counter(str(row.state) for row in rows)
    return ", ".join(f"{number} {name}" for name, number in counts.items())
