"""Reads the cells of one or several finished or half-finished runs: settings, status and quantities of each cell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from nisbench.harness.store import Store
from nisbench.results.baseline import Baselines
from nisbench.results.groups import SeedGroup, grouped
from nisbench.results.numbers import join
from nisbench.results.rows import CellRow, Problem, StoredRun
from nisbench.results.timing_errors import with_timing_errors
from nisbench.results.variants import variant_names

__all__ = ["Results", "load"]


@dataclass(frozen=True, eq=False)
class Results:
    """All cells of the loaded runs. An object equals itself alone, so that functions of it can be cached."""

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
        return self._by_problem.get(problem, ())

    def first(self, label: str, problem: Problem) -> CellRow:
        """The first compared row of a sampler."""
        return self._firsts[label, problem]

    @cached_property
    def groups(self) -> tuple[SeedGroup, ...]:
        """The compared rows, grouped over seeds."""
        return grouped(self.contest)

    @cached_property
    def baselines(self) -> Baselines:
        """The cheapest sampler without training at each place."""
        return Baselines(self.contest)

    @cached_property
    def several(self) -> tuple[bool, bool, bool]:
        """True for each of target, beta and L of which there are several."""
        targets = {row.problem.target for row in self.rows}
        betas, sizes = {row.cell.beta for row in self.rows}, {row.cell.L for row in self.rows}
        return len(targets) > 1, len(betas) > 1, len(sizes) > 1

    @cached_property
    def _firsts(self) -> Mapping[tuple[str, Problem], CellRow]:
        return {(row.label, row.problem): row for row in reversed(self.contest)}

    @cached_property
    def _by_problem(self) -> Mapping[Problem, tuple[CellRow, ...]]:
        found: dict[Problem, list[CellRow]] = {}
        for row in self.contest:
            found.setdefault(row.problem, []).append(row)
        return {problem: tuple(rows) for problem, rows in found.items()}


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


def _read(run: StoredRun, cell_id: str) -> CellRow:
    """The row of one cell, without its label, which depends on the other cells."""
    state = run.store.state(cell_id)
    result = run.store.result(cell_id) if state.status is not None else None
    return CellRow(run.store.cell(cell_id), run, "", state, result)


def _place(row: CellRow) -> tuple[object, ...]:
    return (row.problem, row.cell.L, row.cell.device, row.cell.plugin)


def _order(row: CellRow) -> tuple[object, ...]:
    return (row.problem, row.cell.L, row.cell.kind, row.label, row.cell.seed, row.cell.cell_id)
