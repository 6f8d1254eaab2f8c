"""Two sides -> what became better or worse beyond the errors, cell by cell and quantity by quantity.

The threshold in combined errors is raised until all comparisons together are expected to give at most _FALSE_ALARMS
by chance. A timing must have changed by more than TIMING_CHANGE as well, for its spread does not know everything
that a machine does.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

from nisbench.contract.quantities import (
    Part,
    describe,
    select,
)
from nisbench.contract.records import Estimate, Status
from nisbench.report.comparison import TIMING_CHANGE, combined_errors
from nisbench.report.numbers import concise
from nisbench.report.sides import ComparedCell, Side, matched
from nisbench.report.timing import TIMED, LeftOut, Test, timing_tests

__all__ = ["COUNTS", "Comparison", "Finding", "compare", "lines"]

Verdict = Literal["worse", "better", "differs"]

_FALSE_ALARMS = 0.05

COUNTS = tuple(name for name in select(Part.MEMORY, Part.COUNT) if describe(name).better and not describe(name).timed)
"""Quantities known without an error; any change counts."""
_RANK = {Status.OK: 2, Status.UNTRUSTED: 1}


@dataclass(frozen=True)
class Finding:
    """One difference beyond the errors."""

    verdict: Verdict
    cell: str
    quantity: str
    before: str
    after: str
    errors: float | None
    """The difference in combined errors; None where it is no matter of errors."""
    timed: bool = False
    trusted: bool = True
    """Whether both cells are ok; others are shown and do not count as regressions."""

    @property
    def regression(self) -> bool:
        """Whether it counts against B; two estimates of one number that differ do, for one of them is wrong."""
        return self.verdict != "better" and self.trusted


@dataclass(frozen=True)
class Comparison:
    """Everything that a comparison found."""

    a: Side
    b: Side
    n_cells: int
    n_tests: int
    threshold: float
    """in combined errors"""
    findings: tuple[Finding, ...]
    left_out: Mapping[str, Mapping[str, int]]
    """Why something was not compared -> what, and how often."""
    notes: tuple[str, ...]

    @property
    def by_chance(self) -> float:
        """How many of the tests are expected to pass the threshold if nothing changed."""
        return self.n_tests * 2 * NormalDist().cdf(-self.threshold)

    def regressions(self, *, timings: bool = True) -> tuple[Finding, ...]:
        """The findings against B, those on timings and memory only where they count."""
        return tuple(found for found in self.findings if found.regression and (timings or not found.timed))

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "a": self.a.name,
            "b": self.b.name,
            "cells": self.n_cells,
            "tests": self.n_tests,
            "threshold": self.threshold,
            "expected_by_chance": self.by_chance,
            "findings": [found.__dict__ | {"regression": found.regression} for found in self.findings],
            "not_compared": self.left_out,
            "notes": list(self.notes),
        }


def compare(a: Side, b: Side, *, threshold: float = 4.0) -> Comparison:
    """What is worse or better in `b` than in `a`, beyond `threshold` combined errors at least."""
    pairs, notes = matched(a, b)
    left_out: LeftOut = defaultdict(Counter)
    made: list[Finding | Test] = []
    for before, after in pairs:
        made += [*_statuses(before, after), *_cell(before, after, left_out)]
    made += timing_tests(pairs, left_out)
    tests = [found for found in made if isinstance(found, Test)]
    certain = [found for found in made if isinstance(found, Finding)]
    needed = max(threshold, -NormalDist().inv_cdf(_FALSE_ALARMS / (2 * max(len(tests), 1))))
    judged = [finding for test in tests if (finding := _judged(test, needed))]
    findings = sorted([*certain, *judged], key=_order)
    return Comparison(a, b, len(pairs), len(tests), needed, tuple(findings), left_out, tuple(notes))


def lines(found: Comparison) -> Iterator[str]:
    """The comparison as text."""
    for letter, side in (("A", found.a), ("B", found.b)):
        yield f"{letter}: {side.name} ({', '.join(side.versions) or 'no cells'})"
    yield (
        f"{found.n_cells} cells in both, {found.n_tests} comparisons; threshold {found.threshold:.2g} combined errors, "
        f"which chance alone passes {found.by_chance:.2g} times"
    )
    yield from found.notes
    if not found.n_cells:
        yield "nothing was compared: no cell of A has all its settings in common with one of B"
        return
    for timed, title in ((False, "quality"), (True, "timings and memory, same hardware, with their spread")):
        shown = [finding for finding in found.findings if finding.timed == timed]
        yield f"{title}: {_counts(shown)}"
        yield from (f"  {_line(finding)}" for finding in shown)
    for reason, names in found.left_out.items():
        yield f"not compared, {reason}: {', '.join(f'{name} ({times})' for name, times in names.items())}"


def _counts(findings: Sequence[Finding]) -> str:
    counts = Counter(finding.verdict for finding in findings)
    return ", ".join(f"{number} {verdict}" for verdict, number in counts.items()) or "no change beyond the errors"


def _line(found: Finding) -> str:
    errors = "" if found.errors is None else f"  ({found.errors:+.1f} errors)"
    aside = "" if found.trusted else "  (untrusted, does not count)"
    return f"{found.verdict:<8}{found.cell}  {found.quantity}: {found.before} -> {found.after}{errors}{aside}"


def _order(found: Finding) -> tuple[Any, ...]:
    return (
        found.timed,
        ("worse", "differs", "better").index(found.verdict),
        -abs(found.errors or math.inf),
        found.cell,
    )


def _statuses(a: ComparedCell, b: ComparedCell) -> Iterator[Finding]:
    """A cell that ended better or worse than before; one that has not ended says nothing."""
    if a.status is None or b.status is None:
        return
    change = _RANK.get(b.status, 0) - _RANK.get(a.status, 0)
    if change:
        before, after = (f"{cell.status}{f' ({cell.reason})' if cell.reason else ''}" for cell in (a, b))
        yield Finding("better" if change > 0 else "worse", b.label, "status", before, after, None)


def _cell(a: ComparedCell, b: ComparedCell, left_out: LeftOut) -> Iterator[Finding | Test]:
    """What one pair of cells gives to compare."""
    if not (a.quantities and b.quantities):
        left_out["no numbers"][b.label] += 1
        return
    trusted = a.status is Status.OK and b.status is Status.OK
    for name in dict.fromkeys([*a.quantities, *b.quantities]):
        before, after = a.quantities.get(name), b.quantities.get(name)
        if describe(name).better is None:
            left_out["neither direction is better"][name] += 1
        elif name in TIMED:
            continue
        elif before is None or after is None or before.value is None or after.value is None:
            yield from _lost(b.label, name, before, after, trusted)
        elif math.isinf(before.value) or math.isinf(after.value) or name in COUNTS:
            yield from _certain(b.label, name, before, after, trusted)
        elif before.error and after.error:
            yield Test(b.label, name, before, after, combined_errors(before, after), trusted)
        elif before.value != after.value:
            left_out["no error"][name] += 1


def _lost(cell: str, name: str, a: Estimate | None, b: Estimate | None, trusted: bool) -> Iterator[Finding]:
    """A number that only one side has."""
    had, has = (estimate is not None and estimate.value is not None for estimate in (a, b))
    if had != has:
        verdict: Verdict = "better" if has else "worse"
        yield Finding(verdict, cell, name, _text(a), _text(b), None, trusted=trusted)


def _certain(cell: str, name: str, a: Estimate, b: Estimate, trusted: bool) -> Iterator[Finding]:
    """A difference that is no matter of errors: of counts, or between finite and infinite."""
    assert a.value is not None
    assert b.value is not None
    if a.value != b.value and not math.isclose(a.value, b.value, rel_tol=1e-12):
        lower = (b.value < a.value) == (describe(name).better == "lower")
        yield Finding("better" if lower else "worse", cell, name, _text(a), _text(b), None, trusted=trusted)


def _judged(test: Test, threshold: float) -> Finding | None:
    """What the test found, if anything."""
    a, b = test.a, test.b
    assert a.value is not None
    assert b.value is not None
    timed = test.quantity in TIMED
    small = timed and abs(b.value - a.value) <= TIMING_CHANGE * abs(a.value)
    if abs(test.errors) <= threshold or small:
        return None
    direction = describe(test.quantity).better
    verdict: Verdict = "better" if (test.errors < 0) == (direction == "lower") else "worse"
    if direction == "same":
        exact = b.exact if b.exact is not None else a.exact
        nearer = exact is not None and abs(b.value - exact) < abs(a.value - exact)
        verdict = "differs" if exact is None else "better" if nearer else "worse"
    return Finding(verdict, test.cell, test.quantity, _text(a), _text(b), test.errors, timed, test.trusted)


def _text(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return f"none ({estimate.reason})" if estimate is not None else "none"
    return concise(estimate.value, estimate.error, 6)
