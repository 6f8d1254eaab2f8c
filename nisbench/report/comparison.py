"""Quantities that compare cells: means over seeds, the cheapest cluster baseline, break-even, cost exponents."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nisbench.contract.quantities import (
    BREAK_EVEN_SAMPLES,
    MEAN_CLUSTER_SIZE,
    PREPARE_S,
    QUANTITIES,
    S_PER_EFFECTIVE_SAMPLE,
    TRAIN_S,
    describe,
)
from nisbench.contract.records import Estimate
from nisbench.report.results import Measured, Problem, Results
from nisbench.statistics.scaling import fit_exponent

__all__ = [
    "EXPONENT_QUANTITIES",
    "SAMPLES_TO_SPREAD",
    "TIMING_CHANGE",
    "Exponent",
    "Group",
    "Scale",
    "baseline",
    "break_even",
    "break_even_against",
    "combine",
    "combined_errors",
    "compared",
    "exponents",
    "grouped",
    "rival",
    "told_apart",
    "with_training",
]

TIMING_CHANGE = 0.2
"""Relative difference that two timings must exceed to count: their errors know the spread within a process alone, and
the same cell run twice on one machine has differed by more."""

SAMPLES_TO_SPREAD = 1_000_000
"""Effective samples over which the cost of training is spread where a table says `with training`."""

EXPONENT_QUANTITIES = tuple(name for name, row in QUANTITIES.items() if row.grows)
"""The costs whose growth cost ~ L^a is fitted; the row of the export is called `exponent_<cost>`."""


@dataclass(frozen=True)
class Group:
    """The seeds of one sampler at one size."""

    problem: Problem
    device: str
    label: str
    L: int
    members: tuple[Measured, ...]

    @property
    def kind(self) -> str:
        """`model` or `sampler`."""
        return self.members[0].cell.kind

    @property
    def trusted(self) -> bool:
        """Whether every seed passed every validity gate."""
        return all(member.trusted for member in self.members)

    @property
    def measured(self) -> bool:
        """Whether at least one seed has numbers."""
        return any(member.measured for member in self.members)

    def estimate(self, quantity: str) -> Estimate | None:
        """The mean over the seeds that ran to their end, trusted or not; None where none has the quantity."""
        held = [m for m in self.members if m.measured and quantity in m.quantities]
        one_reference = describe(quantity).shared_reference and len({m.cell.reference for m in held}) == 1
        return combine([m.quantities[quantity] for m in held], independent=not one_reference)


@dataclass(frozen=True)
class Scale:
    """How one cost of one sampler grows with the size."""

    problem: Problem
    device: str
    label: str
    quantity: str
    sizes: tuple[int, ...]
    costs: tuple[float, ...]
    errors: tuple[float | None, ...]


@dataclass(frozen=True)
class Exponent:
    """cost ~ L^a over all sizes, and between the two largest alone."""

    scale: Scale
    fitted: Estimate
    last_two: float | None
    """ln(cost ratio) / ln(L ratio) of the two largest sizes; None with fewer than two"""


def combine(estimates: Sequence[Estimate], *, independent: bool = True) -> Estimate | None:
    """The mean over seeds; its error is the larger of the seeds' own errors and of their spread.

    The own part is sqrt(sum error^2)/k, the spread sd/sqrt(k). Seeds judged on the same reference configurations are
    not `independent`: those err together, and the own part is sum(error)/k, its upper limit. An infinite value makes
    the mean infinite; seeds without a value are left out and the reason says so, after which come the doubts about the
    others. None for no estimates at all.
    """
    if len(estimates) < 2:
        return estimates[0] if estimates else None
    held = [(e.value, e.error) for e in estimates if e.value is not None]
    if not held:
        return estimates[0]
    values = np.array([value for value, _ in held], dtype=np.float64)
    left_out = [f"mean of {len(held)} of {len(estimates)} seeds"] if len(held) < len(estimates) else []
    reasons = dict.fromkeys(e.reason for e in sorted(estimates, key=lambda e: e.value is not None) if e.reason)
    reason = "; ".join([*left_out, *reasons]) or None
    n = sum(e.n for e in estimates if e.n is not None and e.value is not None) or None
    exact = estimates[0].exact
    if not np.isfinite(values).all():
        return Estimate(math.inf, None, n, exact, reason)
    errors = [error for _, error in held if error and not math.isinf(error)]
    own = (math.hypot(*errors) if independent else sum(errors)) / len(held)
    spread = float(np.std(values, ddof=1)) / math.sqrt(len(held)) if len(held) > 1 else 0.0
    return Estimate(float(values.mean()), max(own, spread) or None, n, exact, reason)


def grouped(rows: Iterable[Measured]) -> tuple[Group, ...]:
    """The rows by problem, size, device and label, seeds together, in the order of the rows."""
    found: dict[tuple[Problem, int, str, str], list[Measured]] = {}
    for row in rows:
        found.setdefault((row.problem, row.cell.L, row.cell.device, row.label), []).append(row)
    return tuple(Group(p, device, label, L, tuple(members)) for (p, L, device, label), members in found.items())


def baseline(rows: Iterable[Measured], problem: Problem, L: int, device: str) -> Group | None:
    """The cluster sampler with the least seconds per effective sample there; seeds that are not `ok` do not count.

    A cluster sampler is one that reports mean_cluster_size.
    """
    trusted = [row for row in rows if row.trusted and row.problem == problem and row.cell.L == L]
    here = [row for row in trusted if row.cell.device == device and row.cell.kind == "sampler"]
    cluster = [row for row in here if row.quantities.get(MEAN_CLUSTER_SIZE, _NOTHING).value is not None]
    priced = [(_value(group.estimate(S_PER_EFFECTIVE_SAMPLE)), group) for group in grouped(cluster)]
    return min(((c, g) for c, g in priced if math.isfinite(c)), key=lambda pair: pair[0], default=(0.0, None))[1]


_NOTHING = Estimate.missing("not measured")


def rival(rows: Sequence[Measured], problem: Problem, L: int, device: str) -> tuple[Group | None, str]:
    """The baseline of a sampler there, and its name; that of another device, named with it, where its own has none.

    Without any, None and the reason.
    """
    if own := baseline(rows, problem, L, device):
        return own, own.label
    for other in sorted({row.cell.device for row in rows} - {device}):
        if found := baseline(rows, problem, L, other):
            return found, f"{found.label} on {other.upper()}"
    return None, f"no trusted cluster sampler at L = {L} on {device}"


def break_even_against(
    rows: Sequence[Measured], problem: Problem, L: int, device: str, training: Estimate | None, cost: Estimate | None
) -> Estimate:
    """break_even against the rival there; says which where it ran on another device."""
    base, name = rival(rows, problem, L, device)
    found = break_even(training, cost, base.estimate(S_PER_EFFECTIVE_SAMPLE) if base else None, name)
    crossed = base is not None and base.device != device and found.value is not None and not found.reason
    return replace(found, reason=f"against {name}, another device") if crossed else found


def break_even(training: Estimate | None, marginal: Estimate | None, base: Estimate | None, name: str) -> Estimate:
    """training / (base - marginal): effective samples from which on training has paid for itself.

    All in seconds, the last two per effective sample; `name` names the baseline. Infinite, with the reason, where
    the trained model's samples cost no less than the baseline's; missing where the two are not told apart.
    """
    if base is None or base.value is None:
        return Estimate.missing(name)
    training, marginal = training or _NOTHING, marginal or _NOTHING
    if training.value is None:
        return Estimate.missing(f"no training time: {training.reason}")
    if marginal.value is None:
        return Estimate.missing(f"no cost per effective sample: {marginal.reason}")
    saved = base.value - marginal.value
    if not told_apart(base, marginal):
        return Estimate.missing(f"undecided: the cost of an effective sample is not told apart from that with {name}")
    if saved <= 0:
        return Estimate(math.inf, reason=f"never: an effective sample costs no less than with {name}")
    error = training.value * math.hypot(base.error or 0.0, marginal.error or 0.0) / saved**2
    return Estimate(training.value / saved, error or None)


def combined_errors(a: Estimate, b: Estimate) -> float:
    """(b - a) / sqrt(error_a^2 + error_b^2); 0 where an error is infinite, infinite where none has any."""
    difference = (b.value or 0.0) - (a.value or 0.0)
    combined = math.hypot(a.error or 0.0, b.error or 0.0)
    if not combined:
        return math.copysign(math.inf, difference) if difference else 0.0
    return difference / combined if math.isfinite(combined) else 0.0


def told_apart(a: Estimate | None, b: Estimate | None) -> bool:
    """Whether two costs differ by more than two combined errors and more than TIMING_CHANGE of the smaller one."""
    if a is None or b is None or a.value is None or b.value is None:
        return False
    small = abs(a.value - b.value) <= TIMING_CHANGE * min(a.value, b.value)
    return abs(combined_errors(a, b)) > 2 and not small


def compared(results: Results) -> Results:
    """The same rows, every model that ran with its break_even_samples."""
    return replace(results, rows=tuple(_with_break_even(row, results.contest) for row in results.rows))


def with_training(group: Group) -> Estimate | None:
    """Seconds per effective sample with training and preparation spread over SAMPLES_TO_SPREAD of them."""
    marginal = group.estimate(S_PER_EFFECTIVE_SAMPLE)
    if marginal is None or marginal.value is None:
        return marginal
    once = [group.estimate(name) for name in (TRAIN_S, PREPARE_S)]
    fixed = sum(_value(estimate) for estimate in once if estimate is not None and estimate.value is not None)
    return replace(marginal, value=marginal.value + fixed / SAMPLES_TO_SPREAD)


def exponents(rows: Iterable[Measured]) -> tuple[Exponent, ...]:
    """One fit per problem, device, label and cost of EXPONENT_QUANTITIES that is there at two sizes or more.

    A cost that depends on how good the samples are counts where every seed is `ok`.
    """
    series: dict[tuple[Problem, str, str, str], list[Group]] = {}
    for group in grouped(rows):
        for quantity in EXPONENT_QUANTITIES:
            value = _value(group.estimate(quantity))
            if (quantity == TRAIN_S and not _counts_steps(group)) or (
                quantity == S_PER_EFFECTIVE_SAMPLE and not group.trusted
            ):
                continue
            if math.isfinite(value) and value > 0:
                series.setdefault((group.problem, group.device, group.label, quantity), []).append(group)
    return tuple(_exponent(*key, groups) for key, groups in series.items() if len(groups) > 1)


def _counts_steps(group: Group) -> bool:
    """Whether the budgets are in steps; a time that was given says nothing about growth."""
    return all(m.cell.budget is not None and m.cell.budget.steps is not None for m in group.members)


def _exponent(problem: Problem, device: str, label: str, quantity: str, groups: Sequence[Group]) -> Exponent:
    ordered = sorted(groups, key=lambda group: group.L)
    found = [group.estimate(quantity) for group in ordered]
    sizes = tuple(group.L for group in ordered)
    costs = tuple(_value(estimate) for estimate in found)
    errors = tuple(estimate.error if estimate else None for estimate in found)
    known = np.array(errors, dtype=np.float64) if all(errors) else None
    fitted = fit_exponent(np.array(sizes, dtype=np.float64), np.array(costs, dtype=np.float64), known)
    last = math.log(costs[-1] / costs[-2]) / math.log(sizes[-1] / sizes[-2])
    scale = Scale(problem, device, label, quantity, sizes, costs, errors)
    return Exponent(scale, fitted, last)


def _with_break_even(row: Measured, rows: Sequence[Measured]) -> Measured:
    if row.cell.kind != "model" or not row.measured:
        return row
    costs = row.quantities.get(TRAIN_S), row.quantities.get(S_PER_EFFECTIVE_SAMPLE)
    found = break_even_against(rows, row.problem, row.cell.L, row.cell.device, *costs)
    quantities: Mapping[str, Estimate] = {**row.quantities, BREAK_EVEN_SAMPLES: found}
    return replace(row, quantities=quantities)


def _value(estimate: Estimate | None) -> float:
    """The number, or NaN."""
    return math.nan if estimate is None or estimate.value is None else estimate.value
