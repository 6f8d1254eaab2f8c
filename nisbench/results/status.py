"""The state of each cell of a run as text: label, status or stage, ESS, KL, time left, reason."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nisbench.contract.quantities import ESS_FRACTION, KL_NATS
from nisbench.contract.records import Cell, CellState, Estimate, Status
from nisbench.harness.store import Store
from nisbench.results.targets import target_label
from nisbench.results.timing_errors import busy_reason
from nisbench.results.variants import variant_names

__all__ = ["StatusLine", "counts", "labels", "row", "span"]


@dataclass(frozen=True)
class StatusLine:
    """One line of the table of cells."""

    cell: str
    status: str
    ess: str
    kl: str
    reason: str
    time: str = ""
    """Of a running cell: the time left of its training, or how long it has been at its stage."""

    @property
    def line(self) -> str:
        """Return the row as one line of text."""
        numbers = [f"{name} {value}" for name, value in (("ESS", self.ess), ("KL", self.kl)) if value]
        parts = [self.status, *numbers, *([self.time] if self.time else [])]
        return f"{self.cell}: " + ", ".join(parts) + (f" - {self.reason}" if self.reason else "")


def labels(cells: Sequence[Cell]) -> dict[str, str]:
    """Return a label for each cell_id, for example `hier (width=2) L=8 beta=0.44 seed=1`; references are marked.

    The target is named if the cells have several targets, or another than `ising`.
    """
    names = variant_names(cells)
    # The cells of a plan share the mapping of the options of their target.
    named = {(cell.target, id(cell.target_options)): cell for cell in cells}
    texts = {key: f" {target_label(cell)}" for key, cell in named.items()}
    targets = {cell.cell_id: texts[cell.target, id(cell.target_options)] for cell in cells}
    if set(targets.values()) <= {" ising"}:
        targets = dict.fromkeys(targets, "")
    return {
        cell.cell_id: f"{names[cell.cell_id]}{targets[cell.cell_id]} L={cell.L} beta={cell.beta:.6g} seed={cell.seed}"
        + (" (reference)" if cell.reference_draws else "")
        for cell in cells
    }


def row(store: Store, cell: Cell, label: str, *, started: bool = False) -> StatusLine:
    """Return the line of a cell. For a running training it contains the last line of the history.

    `label` comes from `labels`. `started` is True for a cell whose process exists but has not reported a stage yet.
    """
    state = store.state(cell.cell_id)
    if state.stage is not None:
        return _running(store, cell, label, state.stage)
    if state.status is None:
        return StatusLine(label, "starting" if started else str(state), "", "", "")
    result = store.result(cell.cell_id)
    quantities = result.quantities if result else {}
    ess, kl = (_number(quantities.get(name)) for name in (ESS_FRACTION, KL_NATS))
    hidden = [each.reason for each in result.timing.unclocked] if result and result.timing else []
    reason = (state.reason or "") + _log(store, cell, state.status)
    remarks = [reason, *hidden, f"busy machine: {busy}" if (busy := busy_reason(result)) else ""]
    return StatusLine(label, str(state), ess, kl, "; ".join(filter(None, remarks)))


def counts(states: Iterable[CellState]) -> dict[str, int]:
    """Return the number of cells with each status, in the order in which the statuses appear."""
    return dict(Counter(map(str, states)))


def span(seconds: float) -> str:
    """Return a duration as text: `4 s`, `2:05` or `1:02:05`."""
    whole = round(max(seconds, 0.0))
    minutes, hours = whole // 60 % 60, whole // 3600
    if whole < 60:
        return f"{whole} s"
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def _running(store: Store, cell: Cell, label: str, stage: str) -> StatusLine:
    history = store.history(cell.cell_id)
    if stage != "train" or not history or cell.budget is None:
        return StatusLine(label, stage, "", "", "", f"for {span(_age(store, cell, 'status.json'))}")
    last = history[-1]
    step, seconds = int(last["step"]), float(last["seconds"])
    if cell.budget.steps is not None:
        left = seconds / max(step, 1) * (cell.budget.steps - step)
        at = f"train step {step}/{cell.budget.steps}"
    else:
        left = (cell.budget.seconds or 0.0) - seconds
        at = f"train step {step}"
    left -= _age(store, cell, "history.jsonl")  # time that passed since the last line was written
    kl = "" if (known := last.get(KL_NATS)) is None else f"{known:.3g}"
    ess = "" if (known := last.get(ESS_FRACTION)) is None else f"{known:.3g}"
    return StatusLine(label, at, ess, kl, "", f"{span(left)} left")


def _log(store: Store, cell: Cell, status: Status) -> str:
    """Return the path of the log of a cell that failed; empty for other cells."""
    log = store.files(cell.cell_id).log
    return f" (log: {log})" if status in (Status.FAILED, Status.TIMEOUT) and log.exists() else ""


def _age(store: Store, cell: Cell, name: str) -> float:
    """Return the seconds since the file was written; 0 if it has gone meanwhile."""
    try:
        return max(0.0, time.time() - (store.files(cell.cell_id).folder / name).stat().st_mtime)
    except FileNotFoundError:
        return 0.0


def _number(estimate: Estimate | None) -> str:
    return "" if estimate is None or estimate.value is None else f"{estimate.value:.3g}"
