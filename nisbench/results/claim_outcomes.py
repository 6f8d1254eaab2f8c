"""Outcomes of the claims of a plan: holds, fails, not decided or not tested here, with the numbers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nisbench.errors import InvalidValue
from nisbench.results.cells import Results
from nisbench.results.claim_checks import (
    Outcome,
    against_group,
    against_number,
    growth_outcome,
    relation_value,
    series_by_size,
    state_outcome,
    trend_outcome,
)
from nisbench.results.claims import Check, Growth, Relation, State, Trend, parse_check
from nisbench.results.groups import SeedGroup, grouped
from nisbench.results.rows import CellRow, Problem, StoredRun
from nisbench.results.targets import beta_text

__all__ = ["Claim", "Finding", "Outcome", "Verdict", "claims"]

_WORST_FIRST = (Outcome.FAILS, Outcome.UNDECIDED, Outcome.UNTESTED, Outcome.HOLDS)


@dataclass(frozen=True)
class Finding:
    """The outcome of a check at one place: a size, with target and beta where there are several."""

    outcome: Outcome
    numbers: str
    """The numbers that the outcome stands on, in words."""
    place: str = ""

    def __str__(self) -> str:
        return f"{self.numbers} at {self.place}" if self.place else self.numbers


@dataclass(frozen=True)
class Verdict:
    """The outcomes of one check at all its places."""

    text: str
    findings: tuple[Finding, ...]

    @property
    def outcome(self) -> Outcome:
        """`fails` if the check fails at a place; `holds` if it holds at all."""
        return _worst([finding.outcome for finding in self.findings])


@dataclass(frozen=True)
class Claim:
    """A claim of a plan with the outcomes of its checks and the rows of its group."""

    text: str
    group: str
    """Name of the group of the plan."""
    verdicts: tuple[Verdict, ...]
    members: tuple[CellRow, ...]

    @property
    def outcome(self) -> Outcome:
        """`fails` if a check fails; `holds` if every check holds; `not tested here` without a check."""
        return _worst([verdict.outcome for verdict in self.verdicts] or [Outcome.UNTESTED])


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
                found.append(Claim(str(group["claim"]), str(group.get("name", "")), verdicts, members))
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
            return Verdict(text, (Finding(Outcome.UNTESTED, str(error)),))
        found = tuple(self._found(check))
        return Verdict(text, found or (Finding(Outcome.UNTESTED, f"no number of {check.sampler} for it"),))

    def _found(self, check: Check) -> Iterator[Finding]:
        """The outcome of a check at each target and size, or for each target."""
        groups = self._of(check.sampler)
        match check.body:
            case State() as state:
                for group in groups:
                    if group.L in state.where:
                        place = self._place(check.sampler, group.label, group.problem, group.L)
                        yield Finding(*state_outcome(state, group), place)
            case Growth() as growth:
                for problem, label, series in series_by_size(groups, growth.quantity, growth.where):
                    yield Finding(*growth_outcome(growth, series), self._place(check.sampler, label, problem))
            case Trend() as trend:
                for problem, label, series in series_by_size(groups, trend.quantity, trend.where):
                    yield Finding(*trend_outcome(trend, series), self._place(check.sampler, label, problem))
            case Relation() as relation:
                yield from self._relations(relation, check.sampler, groups)

    def _relations(self, relation: Relation, sampler: str, groups: Sequence[SeedGroup]) -> Iterator[Finding]:
        others: dict[tuple[Problem, int], list[SeedGroup]] = {}
        for other in self._others(relation, sampler) if relation.number is None else ():
            others.setdefault((other.problem, other.L), []).append(other)
        for group in groups:
            if relation.left != group.L if relation.left is not None else group.L not in relation.where:
                continue
            left = relation_value(group, relation)
            if left is None or left.value is None:
                continue
            place = self._place(sampler, group.label, group.problem, group.L)
            if relation.number is not None:
                yield Finding(*against_number(relation, group, left, relation.number), place)
                continue
            L = relation.where.sizes[0] if relation.left is not None and relation.where.sizes else group.L
            for other in others.get((group.problem, L), ()):
                right = relation_value(other, relation)
                if right is not None and right.value is not None:
                    if other.L != group.L:  # the numbers tell both sizes
                        place = self._place(sampler, group.label, group.problem)
                    yield Finding(*against_group(relation, group, left, other, right), place)

    def _place(self, sampler: str, label: str, problem: Problem, L: int | None = None) -> str:
        """The size; target and beta if the group of the plan has several; the variant of the sampler if it is named."""
        every = {member.problem for member in self.members}
        several_targets = len({each.target for each in every}) > 1
        beta = f"β = {beta_text(problem.beta)}" if len(every) > 1 else ""
        parts = (
            f"L = {L}" if L is not None else "",
            str(problem) if several_targets else beta,
            label if label != sampler else "",
        )
        return ", ".join(part for part in parts if part)

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


def _worst(outcomes: Sequence[Outcome]) -> Outcome:
    return next(outcome for outcome in _WORST_FIRST if outcome in outcomes)
