"""The cells of one or several runs as the report sees them: each with a label, its status and its quantities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nisbench.contract.quantities import MATMUL_FLOPS_PER_S
from nisbench.contract.records import Cell, Estimate, Status
from nisbench.harness.store import Store
from nisbench.harness.variants import variant_names

__all__ = ["Measured", "Problem", "Results", "Run", "load"]


@dataclass(frozen=True, order=True)
class Problem:
    """What is sampled: cells of one problem may be compared."""

    target: str
    beta: float

    def __str__(self) -> str:
        return f"{self.target}, β = {self.beta:.16g}"


@dataclass(frozen=True)
class Run:
    """One store with its plan and environment, read once."""

    store: Store
    number: int
    plan: Mapping[str, Any]
    environment: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The plan's name; no path, so that a report does not depend on where its run lies."""
        return str(self.plan.get("name") or "run")


@dataclass(frozen=True)
class Measured:
    """One cell and what is known of it."""

    cell: Cell
    run: Run
    label: str
    """The plugin, with what tells this variant of it from the others."""
    status: Status | None
    """None before the cell ends."""
    reason: str | None
    quantities: Mapping[str, Estimate]
    notes: Mapping[str, str]

    @property
    def problem(self) -> Problem:
        """What the cell samples."""
        return Problem(self.cell.target, self.cell.beta)

    @property
    def measured(self) -> bool:
        """Whether the numbers of the cell are shown: it ran to its end, trusted or not."""
        return self.status in (Status.OK, Status.UNTRUSTED)

    @property
    def trusted(self) -> bool:
        """Whether the cell passed every validity gate."""
        return self.status is Status.OK

    @property
    def matmul_flops_per_s(self) -> float | None:
        """Rate of a float32 matrix product in the process of the cell, if the cell measured it."""
        measured = self.quantities.get(MATMUL_FLOPS_PER_S)
        if measured is not None:
            return measured.value
        noted = self.notes.get(MATMUL_FLOPS_PER_S)
        return None if noted is None else float(noted)

    @property
    def threads(self) -> int:
        """Number of threads that the cell computed with."""
        return int(self.notes.get("threads", "1"))

    @property
    def cost_basis(self) -> str:
        """Quantity on which the cost per effective sample rests; empty if the cell does not say."""
        return self.notes.get("draw_cost_basis", "")

    @property
    def device_name(self) -> str:
        """The hardware that the cell ran on, as precisely as the run says."""
        noted = self.notes.get("device_name")
        key = "gpu" if self.cell.device == "cuda" else "cpu"
        return noted or str(self.run.environment.get(key) or self.cell.device)


@dataclass(frozen=True)
class Results:
    """Everything that a report is made of."""

    runs: tuple[Run, ...]
    rows: tuple[Measured, ...]
    repeated: int
    """Cells found in more than one run; each is shown once, from the first run that finished it."""

    @property
    def contest(self) -> tuple[Measured, ...]:
        """The rows that are compared: a reference cell steps back where its sampler is measured there itself."""
        taking_part = {_place(row) for row in self.rows if row.cell.reference_draws == 0}
        return tuple(row for row in self.rows if row.cell.reference_draws == 0 or _place(row) not in taking_part)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Every target and beta, sorted."""
        return tuple(sorted({row.problem for row in self.rows}))

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label, models before samplers, each kind by name."""
        return tuple(label for _, label in sorted({(row.cell.kind, row.label) for row in self.rows}))

    def at(self, problem: Problem) -> tuple[Measured, ...]:
        """The compared rows of one problem."""
        return tuple(row for row in self.contest if row.problem == problem)


def load(stores: Sequence[Store]) -> Results:
    """The cells of all `stores`, by target, beta, L, label and seed; raises StoreError that names a damaged file."""
    runs = tuple(Run(store, i + 1, store.plan(), store.environment()) for i, store in enumerate(stores))
    found: dict[str, tuple[Cell, Run]] = {}
    repeated = set()
    for run in runs:
        for cell in run.store.cells():
            if cell.cell_id not in found:
                found[cell.cell_id] = (cell, run)
                continue
            repeated.add(cell.cell_id)
            if not _finished(found[cell.cell_id][1], cell) and _finished(run, cell):
                found[cell.cell_id] = (cell, run)
    labels = variant_names([cell for cell, _ in found.values()])
    rows = [_measured(cell, run, labels[cell_id]) for cell_id, (cell, run) in found.items()]
    return Results(runs, tuple(sorted(rows, key=_order)), len(repeated))


def _finished(run: Run, cell: Cell) -> bool:
    status, _ = run.store.status(cell.cell_id)
    return status is not None and status.finished


def _measured(cell: Cell, run: Run, label: str) -> Measured:
    status, reason = run.store.status(cell.cell_id)
    result = run.store.result(cell.cell_id) if status is not None else None
    quantities = result.quantities if result else {}
    return Measured(cell, run, label, status, reason, quantities, result.notes if result else {})


def _place(row: Measured) -> tuple[object, ...]:
    return (row.problem, row.cell.L, row.cell.device, row.cell.plugin)


def _order(row: Measured) -> tuple[object, ...]:
    return (row.problem, row.cell.L, row.cell.kind, row.label, row.cell.seed, row.cell.cell_id)
