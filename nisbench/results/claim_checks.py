"""The outcome of one check of a claim at one place, from the numbers of the groups."""

import itertools
import math
from collections.abc import Iterable, Sequence
from enum import StrEnum

from nisbench.contract.quantities import S_PER_EFFECTIVE_SAMPLE, Part, describe
from nisbench.contract.records import Estimate, Status
from nisbench.results.claims import Growth, Relation, Sign, Sizes, State, Trend
from nisbench.results.costs import TIMING_CHANGE
from nisbench.results.groups import SeedGroup
from nisbench.results.numbers import concise, significant
from nisbench.results.rows import Problem, status_counts

__all__ = [
    "Outcome",
    "against_group",
    "against_number",
    "growth_outcome",
    "relation_value",
    "series_by_size",
    "state_outcome",
    "trend_outcome",
]

_ERRORS = 2.0
"""A difference of fewer combined errors decides nothing."""


class Outcome(StrEnum):
    """The result of a check or of a claim."""

    HOLDS = "holds"
    FAILS = "fails"
    UNDECIDED = "not decided"
    """The difference is within two errors, or an untrusted number would be needed."""
    UNTESTED = "not tested here"


Judged = tuple[Outcome, str]
"""The outcome at one place, with the numbers in words."""
Series = Sequence[tuple[int, Estimate]]
"""Values by size."""


def relation_value(group: SeedGroup, relation: Relation) -> Estimate | None:
    """The quantity of the relation, or |z| of it; None if it was not measured."""
    if not relation.absolute_z:
        return group.estimate(relation.quantity)
    z = group.z(relation.quantity)
    return None if z is None else Estimate(abs(z))


def state_outcome(state: State, group: SeedGroup) -> Judged:
    """Whether the sampler runs, does not run, is trusted or is not trusted."""
    numbers = status_counts(group.members)
    if any(member.status in (None, Status.INTERRUPTED) for member in group.members):
        return Outcome.UNTESTED, numbers
    ran = all(member.measured for member in group.members)
    true = {
        "runs": ran,
        "does not run": not group.measured,
        "is trusted": group.trusted,
        "is not trusted": not group.trusted,
    }
    return Outcome.HOLDS if true[state.state] else Outcome.FAILS, numbers


def series_by_size(groups: Iterable[SeedGroup], quantity: str, where: Sizes) -> list[tuple[Problem, str, Series]]:
    """Problem, label and values by size, where there are two sizes or more; untrusted quality is left out."""
    found: dict[tuple[Problem, str, str], list[tuple[int, Estimate]]] = {}
    for group in sorted(groups, key=lambda group: group.L):
        estimate = group.estimate(quantity)
        usable = estimate is not None and estimate.value is not None and math.isfinite(estimate.value)
        if estimate is not None and usable and group.L in where and (group.trusted or not _of_quality(quantity)):
            found.setdefault((group.problem, group.device, group.label), []).append((group.L, estimate))
    return [(problem, label, series) for (problem, _, label), series in found.items() if len(series) > 1]


def growth_outcome(growth: Growth, series: Series) -> Judged:
    """The local exponent between the two largest sizes against the claimed one."""
    (small, a), (large, b) = series[-2:]
    if not (a.value and b.value and a.value > 0 and b.value > 0):
        return Outcome.UNTESTED, "a value is not positive"
    width = math.log(large / small)
    error = math.hypot((a.error or 0.0) / a.value, (b.error or 0.0) / b.value) / width
    exponent = math.log(b.value / a.value) / width
    numbers = f"exponent {concise(exponent, error or None, 3)} between L = {small} and {large}"
    if growth.sign == "=":
        return _equal(abs(exponent - growth.power), growth.within, error), numbers
    return _ordered(exponent - growth.power, error, growth.sign), numbers


def trend_outcome(trend: Trend, series: Series) -> Judged:
    """Holds if the value at the largest size differs from that at the smallest, and no step goes the other way."""
    steps = [_difference(b, a) for (_, a), (_, b) in itertools.pairwise(series)]
    outcomes = [_ordered(difference, error, trend.sign) for difference, error in steps]
    whole = _ordered(*_difference(series[-1][1], series[0][1]), trend.sign)
    numbers = ", ".join(f"{_text(estimate)} at L = {L}" for L, estimate in series)
    return Outcome.FAILS if Outcome.FAILS in outcomes else whole, numbers


def against_number(relation: Relation, group: SeedGroup, left: Estimate, number: float) -> Judged:
    """The outcome of a quantity against a number."""
    difference, error = (left.value or 0.0) - number, left.error or 0.0
    if relation.sign == "=":
        outcome = _equal(abs(difference), relation.tolerance * abs(number), error)
    else:
        outcome = _ordered(difference, error, relation.sign)
    name = "|z| " if relation.absolute_z else ""
    numbers = f"{name}{_text(left)}{_mark(group)}"
    return _doubted(outcome, relation, group.trusted, trusted_right=True), numbers


def against_group(relation: Relation, group: SeedGroup, left: Estimate, other: SeedGroup, right: Estimate) -> Judged:
    """The outcome of a quantity of one group against that of another."""
    at, of = (f" at L = {each.L}" if group.L != other.L else "" for each in (group, other))
    numbers = f"{_text(left)}{_mark(group)}{at} against {_text(right)}{_mark(other)}{of}"
    timed = describe(relation.quantity).timed
    if timed and (group.device, group.machine) != (other.device, other.machine):
        return Outcome.UNTESTED, f"{numbers} (different machines)"
    difference, error = _difference(left, right)
    if relation.sign == "=":
        outcome = _equal(abs(difference), relation.tolerance * abs(right.value or 0.0), error)
    else:
        outcome = _ordered(difference, error, relation.sign)
        small = abs(difference) <= TIMING_CHANGE * min(abs(left.value or 0.0), abs(right.value or 0.0))
        outcome = Outcome.UNDECIDED if timed and small else outcome
    return _doubted(outcome, relation, group.trusted, trusted_right=other.trusted), numbers


def _doubted(outcome: Outcome, relation: Relation, trusted_left: bool, *, trusted_right: bool) -> Outcome:
    """`not decided` if the check holds because of a good value of an untrusted cell."""
    if outcome is not Outcome.HOLDS or not (relation.absolute_z or _of_quality(relation.quantity)):
        return outcome
    better = "lower" if relation.absolute_z else describe(relation.quantity).better
    left_is_better = relation.sign in ((">", ">=") if better == "higher" else ("<", "<="))
    relied_on = (
        (trusted_left, trusted_right) if relation.sign == "=" else (trusted_left if left_is_better else trusted_right,)
    )
    return outcome if all(relied_on) else Outcome.UNDECIDED


def _ordered(difference: float, error: float, sign: Sign) -> Outcome:
    """The outcome of left - right against zero."""
    if abs(difference) <= _ERRORS * error or (difference == 0 and sign in ("<", ">")):
        return Outcome.UNDECIDED if error else Outcome.FAILS
    true = difference <= 0 if sign in ("<", "<=") else difference >= 0
    return Outcome.HOLDS if true else Outcome.FAILS


def _equal(distance: float, tolerance: float, error: float) -> Outcome:
    """The outcome of |left - right| <= tolerance."""
    if distance <= tolerance:
        return Outcome.HOLDS
    return Outcome.FAILS if distance - tolerance > _ERRORS * error else Outcome.UNDECIDED


def _difference(a: Estimate, b: Estimate) -> tuple[float, float]:
    """a - b and its error."""
    return (a.value or 0.0) - (b.value or 0.0), math.hypot(a.error or 0.0, b.error or 0.0)


def _of_quality(quantity: str) -> bool:
    """True if the value of an untrusted cell may be better than the truth."""
    return (
        describe(quantity).part in (Part.QUALITY, Part.OBSERVABLE, Part.OVERLAP) or quantity == S_PER_EFFECTIVE_SAMPLE
    )


def _text(estimate: Estimate) -> str:
    value = estimate.value or 0.0
    return concise(value, estimate.error, 3) if estimate.error else significant(value, 3)


def _mark(group: SeedGroup) -> str:
    return "" if group.trusted else " (untrusted)"
