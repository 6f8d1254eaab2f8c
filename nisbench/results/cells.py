"""Reads the cells of one or several finished or half-finished runs: settings, status and quantities of each cell."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from nisbench.contract.records import Cell, CellResult, CellState, CostBasis, Estimate, Hardware, Status
from nisbench.harness.store import Store
from nisbench.results.numbers import join
from nisbench.results.targets import beta_text, target_label
from nisbench.results.timing_errors import with_timing_errors
from nisbench.results.variants import variant_names

__all__ = ["CellRow", "Problem", "Results", "StoredRun", "load", "status_counts"]


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


@dataclass(frozen=True)
class Results:
    """All cells of the loaded runs."""

    runs: tuple[StoredRun, ...]
    rows: tuple[CellRow, ...]
    repeated: int
    """Number of cells found in several runs. Each is shown once, from the first run that finished it."""

    @cached_property
    def contest(self) -> tuple[CellRow, ...]:
        """The rows that are compared. A reference cell is left out where its sampler is also measured as itself."""
        taking_part = {_place(row) for row in self.rows if row.cell.reference_draws == 0}
        return tuple(row for row in self.rows if row.cell.reference_draws == 0 or _place(row) not in taking_part)

    @cached_property
    def problems(self) -> tuple[Problem, ...]:
        """Every target and beta, sorted."""
        return tuple(sorted({row.problem for row in self.rows}))

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Every label: models before samplers, each kind sorted by name."""
        return tuple(label for _, label in sorted({(row.cell.kind, row.label) for row in self.rows}))

    @property
    def hardware(self) -> str:
        """The hardware on which the timings were measured, in words."""
        rows = [row for row in self.rows if row.measured] or list(self.rows)
        threads = {row.threads: f" ({row.threads} threads)" if row.threads != 1 else "" for row in rows}
        names = {f"{row.cell.device.upper()} {row.device_name}{threads[row.threads]}" for row in rows}
        return join(sorted(names)) or "no device"

    def at(self, problem: Problem) -> tuple[CellRow, ...]:
        """The compared rows of one problem."""
        return tuple(row for row in self.contest if row.problem == problem)


def load(stores: Sequence[Store]) -> Results:
    """Reads all cells of `stores`, sorted by target, beta, L, label and seed.

    The errors of times include the spread between processes and the load of the machine.
    Each file is read once; series, samples and histories are not read. Raises StoreError with the name of a damaged
    file.
    """
    runs = tuple(StoredRun(store, i + 1, store.plan(), store.environment()) for i, store in enumerate(stores))
    found: dict[str, CellRow] = {}
    repeated = set()
    for run in runs:
        for cell_id in run.plan["cells"]:
            row = _read(run, cell_id)
            if cell_id in found:
                repeated.add(cell_id)
            # A finished cell replaces an unfinished one; among finished cells the first run wins.
            if cell_id not in found or (row.state.finished and not found[cell_id].state.finished):
                found[cell_id] = row
    # Names depend on all cells: they list only the settings in which the variants differ.
    labels = variant_names([row.cell for row in found.values()])
    results = with_timing_errors((row.cell, row.result) for row in found.values() if row.result)
    rows = [replace(row, label=labels[cell_id], result=results.get(cell_id)) for cell_id, row in found.items()]
    return Results(runs, tuple(sorted(rows, key=_order)), len(repeated))


def status_counts(rows: Iterable[CellRow]) -> str:
    """Number of rows by status in words: `3 ok, 1 failed`."""
    counts = Counter(str(row.state) for row in rows)
    return ", ".join(f"{number} {name}" for name, number in counts.items())


def _read(run: StoredRun, cell_id: str) -> CellRow:
    """The row of one cell, without its label, which depends on the other cells."""
    state = run.store.state(cell_id)
    result = run.store.result(cell_id) if state.status is not None else None
    return CellRow(run.store.cell(cell_id), run, "", state, result)


def _place(row: CellRow) -> tuple[object, ...]:
    return (row.problem, row.cell.L, row.cell.device, row.cell.plugin)


def _order(row: CellRow) -> tuple[object, ...]:
    return (row.problem, row.cell.L, row.cell.kind, row.label, row.cell.seed, row.cell.cell_id)
