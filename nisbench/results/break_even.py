"""Break-even: the number of effective samples after which the training of a model has paid off."""

import math
from collections.abc import Sequence
from dataclasses import replace

from nisbench.contract.quantities import BREAK_EVEN_SAMPLES, S_PER_EFFECTIVE_SAMPLE, TRAIN_S
from nisbench.contract.records import Estimate
from nisbench.results.cells import CellRow, Problem, Results
from nisbench.results.costs import baseline_or_stand_in, differ
from nisbench.results.groups import SeedGroup

__all__ = ["break_even", "break_even_of", "with_break_even"]

_NOT_MEASURED = Estimate.missing("not measured")


def break_even(training: Estimate | None, own: Estimate | None, base: Estimate | None, name: str) -> Estimate:
    """training / (base - own), in effective samples.

    All arguments are in seconds, `own` and `base` per effective sample; `name` is the name of the baseline. Infinite,
    with the reason, if a sample of the trained model costs no less than a sample of the baseline. Missing if the two
    costs do not differ beyond their errors.
    """
    if base is None or base.value is None:
        return Estimate.missing(name)
    training, own = training or _NOT_MEASURED, own or _NOT_MEASURED
    if training.value is None:
        return Estimate.missing(f"no training time: {training.reason}")
    if own.value is None:
        return Estimate.missing(f"no cost per effective sample: {own.reason}")
    saved = base.value - own.value
    if not differ(base, own):
        return Estimate.missing(f"undecided: the cost of an effective sample does not differ from {name} beyond errors")
    if saved <= 0:
        return Estimate(math.inf, reason=f"never: an effective sample costs no less than with {name}")
    # Linear propagation of the errors of both costs; the error of the training time is not included.
    error = training.value * math.hypot(base.error or 0.0, own.error or 0.0) / saved**2
    return Estimate(training.value / saved, error or None)


def break_even_of(results: Results, group: SeedGroup) -> Estimate | None:
    """Break-even of the means over seeds; None for a sampler that is not trained."""
    if group.kind != "model" or not group.measured:
        return None
    costs = group.estimate(TRAIN_S), group.estimate(S_PER_EFFECTIVE_SAMPLE)
    return _against_baseline(results.contest, group.problem, group.L, group.device, *costs)


def with_break_even(results: Results) -> Results:
    """The same results, in which every model that ran has the quantity break_even_samples."""
    return replace(results, rows=tuple(_extended(row, results.contest) for row in results.rows))


def _extended(row: CellRow, rows: Sequence[CellRow]) -> CellRow:
    if row.cell.kind != "model" or row.result is None or not row.measured:
        return row
    costs = row.quantities.get(TRAIN_S), row.quantities.get(S_PER_EFFECTIVE_SAMPLE)
    found = _against_baseline(rows, row.problem, row.cell.L, row.cell.device, *costs)
    return replace(row, result=replace(row.result, quantities={**row.quantities, BREAK_EVEN_SAMPLES: found}))


def _against_baseline(
    rows: Sequence[CellRow], problem: Problem, L: int, device: str, training: Estimate | None, own: Estimate | None
) -> Estimate:
    """Break-even against the baseline at this place; the reason names a baseline on another device."""
    base, name = baseline_or_stand_in(rows, problem, L, device)
    found = break_even(training, own, base.estimate(S_PER_EFFECTIVE_SAMPLE) if base else None, name)
    crossed = base is not None and base.device != device and found.value is not None and not found.reason
    return replace(found, reason=f"against {name}, another device") if crossed else found
