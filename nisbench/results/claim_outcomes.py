"""Outcomes of the claims of a plan: holds, fails, not decided or not tested here, with the numbers."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from nisbench.contract.quantities import S_PER_EFFECTIVE_SAMPLE, Part, describe
from nisbench.contract.records import Estimate, Status
from nisbench.errors import InvalidValue
from nisbench.results.cells import Results
from nisbench.results.claims import Check, Growth, Relation, Sign, Sizes, State, Trend, parse_check
from nisbench.results.costs import TIMING_CHANGE
from nisbench.results.groups import SeedGroup, grouped
from nisbench.results.numbers import concise, significant
from nisbench.results.rows import CellRow, Problem, StoredRun, status_counts

__all__ = ["Claim", "Outcome", "Verdict", "claims"]

_ERRORS = 2.0
"""A difference of fewer combined errors decides nothing."""


class Outcome(StrEnum):
    """The result of a check or of a claim."""

    HOLDS = "holds"
    FAILS = "fails"
    UNDECIDED = "not decided"
    """The difference is within two errors, or an untrusted number would be needed."""
    UNTESTED = "not tested here"


_WORST_FIRST = (Outcome.FAILS, Outcome.UNDECIDED, Outcome.UNTESTED, Outcome.HOLDS)


@dataclass(frozen=True)
class Verdict:
    """The outcome of one check, with the numbers that it stands on in words."""

    text: str
    outcome: Outcome
    numbers: str


@dataclass(frozen=True)
class Claim:
    """A claim of a plan with the outcomes of its checks and the rows of its group."""

    text: str
    verdicts: tuple[Verdict, ...]
    members: tuple[CellRow, ...]

    @property
    def outcome(self) -> Outcome:
        """`fails` if a check fails; `holds` if every check holds; `not tested here` without a check."""
        found = {verdict.outcome for verdict in self.verdicts} or {Outcome.UNTESTED}
        return next(outcome for outcome in _WORST_FIRST if outcome in found)


def claims(results: Results) -> tuple[Claim, ...]:
    """The claims of all plans of which a cell was loaded, in the order of the plans."""
    by_id = {row.cell.cell_id: row for row in results.rows}
    found = []
    for run in results.runs:
        for group in run.plan.get("groups", ()):
            members = _members(group, by_id)
            if group.get("claim") and members:
                judge = _Judge(run, members, by_id)
                verdicts = tuple(judge.verdict(text) for text in group.get("check", ()))
                found.append(Claim(str(group["claim"]), verdicts, members))
    return tuple(found)


@dataclass(frozen=True)
class _Judge:
    """Judges the checks of one group of a plan."""

    run: StoredRun
    members: tuple[CellRow, ...]
    by_id: Mapping[str, CellRow]

    def verdict(self, text: str) -> Verdict:
        """Return the outcome of one check."""
        try:
            check = parse_check(text)
        except InvalidValue as error:
            return Verdict(text, Outcome.UNTESTED, str(error))
        found = list(self._found(check))
        if not found:
            return Verdict(text, Outcome.UNTESTED, f"no number of {check.sampler} for it")
        outcomes = [outcome for outcome, _ in found]
        worst = next(outcome for outcome in _WORST_FIRST if outcome in outcomes)
        return Verdict(text, worst, "; ".join(numbers for _, numbers in found))

    def _found(self, check: Check) -> Iterator[tuple[Outcome, str]]:
        """Outcome and numbers of a check at each target and size, or for each target."""
        groups = self._of(check.sampler)
        match check.body:
            case State() as state:
                yield from (_state(state, group, self._at(group)) for group in groups if group.L in state.where)
            case Growth() as growth:
                yield from (_growth(growth, series) for series in _series(groups, growth.quantity, growth.where))
            case Trend() as trend:
                yield from (_trend(trend, series) for series in _series(groups, trend.quantity, trend.where))
            case Relation() as relation:
                yield from self._relations(relation, check.sampler, groups)

    def _relations(
        self, relation: Relation, sampler: str, groups: Sequence[SeedGroup]
    ) -> Iterator[tuple[Outcome, str]]:
        others: dict[tuple[Problem, int], list[SeedGroup]] = {}
        for other in self._others(relation, sampler) if relation.number is None else ():
            others.setdefault((other.problem, other.L), []).append(other)
        for group in groups:
            if relation.left != group.L if relation.left is not None else group.L not in relation.where:
                continue
            left = _value(group, relation)
            if left is None or left.value is None:
                continue
            if relation.number is not None:
                outcome, numbers = _against_number(relation, group, left, relation.number)
                yield outcome, numbers + self._at(group)
                continue
            L = relation.where.sizes[0] if relation.left is not None and relation.where.sizes else group.L
            for other in others.get((group.problem, L), ()):
                right = _value(other, relation)
                if right is not None and right.value is not None:
                    numbers = f"{_text(left)}{_mark(group)}{self._at(group) if other.L != group.L else ''}"
                    numbers += f" against {_text(right)}{_mark(other)}{self._at(other)}"
                    yield _against_group(relation, group, left, other, right, numbers)

    def _at(self, group: SeedGroup) -> str:
        """The size, and beta if the cells of the group of the plan have several."""
        several = len({member.problem for member in self.members}) > 1
        return f" at L = {group.L}" + (f", β = {group.problem.beta:.4g}" if several else "")

    def _others(self, relation: Relation, sampler: str) -> tuple[SeedGroup, ...]:
        """The groups on the right side of a relation."""
        if not relation.group:
            return self._of(relation.sampler)
        named = [group for group in self.run.plan.get("groups", ()) if group.get("name") == relation.group]
        rows = [row for group in named for row in _members(group, self.by_id) if row.cell.plugin == sampler]
        return grouped(rows)

    def _of(self, sampler: str) -> tuple[SeedGroup, ...]:
        """The groups of a plugin among the cells of this group of the plan, or else among all cells of the run."""
        own = [row for row in self.members if row.cell.plugin == sampler]
        rest = [row for row in self.by_id.values() if row.run is self.run and row.cell.plugin == sampler]
        return grouped(own or [row for row in rest if not row.cell.reference_draws])


def _members(group: Mapping[str, Any], by_id: Mapping[str, CellRow]) -> tuple[CellRow, ...]:
    return tuple(by_id[cell_id] for cell_id in group.get("cells", ()) if cell_id in by_id)


def _value(group: SeedGroup, relation: Relation) -> Estimate | None:
    """The quantity of the relation, or |z| of it; None if it was not measured."""
    if not relation.absolute_z:
        return group.estimate(relation.quantity)
    z = group.z(relation.quantity)
    return None if z is None else Estimate(abs(z))


def _state(state: State, group: SeedGroup, at: str) -> tuple[Outcome, str]:
    numbers = status_counts(group.members) + at
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


def _series(groups: Iterable[SeedGroup], quantity: str, where: Sizes) -> Iterator[list[tuple[int, Estimate]]]:
    """Values by size, for each target and label with two sizes or more; untrusted quality is left out."""
    found: dict[tuple[object, ...], list[tuple[int, Estimate]]] = {}
    for group in sorted(groups, key=lambda group: group.L):
        estimate = group.estimate(quantity)
        usable = estimate is not None and estimate.value is not None and math.isfinite(estimate.value)
        if estimate is not None and usable and group.L in where and (group.trusted or not _of_quality(quantity)):
            found.setdefault((group.problem, group.device, group.label), []).append((group.L, estimate))
    yield from (series for series in found.values() if len(series) > 1)


def _growth(growth: Growth, series: Sequence[tuple[int, Estimate]]) -> tuple[Outcome, str]:
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


def _trend(trend: Trend, series: Sequence[tuple[int, Estimate]]) -> tuple[Outcome, str]:
    """Holds if the value at the largest size differs from that at the smallest, and no step goes the other way."""
    steps = [_difference(b, a) for (_, a), (_, b) in itertools.pairwise(series)]
    outcomes = [_ordered(difference, error, trend.sign) for difference, error in steps]
    whole = _ordered(*_difference(series[-1][1], series[0][1]), trend.sign)
    numbers = ", ".join(f"{_text(estimate)} at L = {L}" for L, estimate in series)
    return Outcome.FAILS if Outcome.FAILS in outcomes else whole, numbers


def _against_number(relation: Relation, group: SeedGroup, left: Estimate, number: float) -> tuple[Outcome, str]:
    difference, error = (left.value or 0.0) - number, left.error or 0.0
    if relation.sign == "=":
        outcome = _equal(abs(difference), relation.tolerance * abs(number), error)
    else:
        outcome = _ordered(difference, error, relation.sign)
    name = "|z| " if relation.absolute_z else ""
    numbers = f"{name}{_text(left)}{_mark(group)}"
    return _doubted(outcome, relation, group.trusted, trusted_right=True), numbers


def _against_group(
    relation: Relation, group: SeedGroup, left: Estimate, other: SeedGroup, right: Estimate, numbers: str
) -> tuple[Outcome, str]:
    timed = describe(relation.quantity).timed
    if timed and (group.device, group.machine) != (other.device, other.machine):
        return Outcome.UNTESTED, f"{numbers}, on different machines"
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
