"""Compares two sides: the differences beyond the errors, cell by cell and quantity by quantity.

The threshold in combined errors is raised until all tests together are expected to give at most _FALSE_ALARMS
differences by chance. A timing must also have changed by more than TIMING_CHANGE, because few repeats may understate
the spread between processes.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from statistics import NormalDist

from nisbench.contract.quantities import Part, describe, select
from nisbench.contract.records import Estimate, Status
from nisbench.results.compare_findings import Comparison, Finding, Verdict, lines
from nisbench.results.compare_sides import ComparedCell, Side, matched
from nisbench.results.compare_timings import TIMED, LeftOut, Test, timing_tests
from nisbench.results.costs import TIMING_CHANGE
from nisbench.results.groups import combined_errors
from nisbench.results.numbers import concise

__all__ = ["COUNTS", "compare", "lines"]

_FALSE_ALARMS = 0.05

COUNTS = tuple(name for name in select(Part.MEMORY, Part.COUNT) if describe(name).better and not describe(name).timed)
"""Quantities known without an error; any change counts."""

_RANK = {Status.OK: 2, Status.UNTRUSTED: 1}


def compare(a: Side, b: Side, *, threshold: float = 4.0) -> Comparison:
    """Finds what is worse or better in `b` than in `a` by more than `threshold` combined errors."""
    pairs, notes = matched(a, b)
    left_out: LeftOut = defaultdict(Counter)
    found: list[Finding | Test] = []
    for before, after in pairs:
        found += [*_statuses(before, after), *_cell(before, after, left_out)]
    found += timing_tests(pairs, left_out)
    tests = [each for each in found if isinstance(each, Test)]
    certain = [each for each in found if isinstance(each, Finding)]
    # Two-sided Bonferroni bound: the chance of any false alarm among all tests is at most _FALSE_ALARMS.
    needed = max(threshold, -NormalDist().inv_cdf(_FALSE_ALARMS / (2 * max(len(tests), 1))))
    judged = [finding for test in tests if (finding := _judged(test, needed))]
    findings = sorted([*certain, *judged], key=lambda finding: finding.rank)
    return Comparison(a, b, len(pairs), len(tests), needed, tuple(findings), left_out, tuple(notes))


def _statuses(a: ComparedCell, b: ComparedCell) -> Iterator[Finding]:
    """A finding if the cell ended better or worse than before; none if it has not ended on both sides."""
    if a.status is None or b.status is None:
        return
    change = _RANK.get(b.status, 0) - _RANK.get(a.status, 0)
    if change:
        before, after = (f"{cell.status}{f' ({cell.reason})' if cell.reason else ''}" for cell in (a, b))
        yield Finding("better" if change > 0 else "worse", b.label, "status", before, after, None)


def _cell(a: ComparedCell, b: ComparedCell, left_out: LeftOut) -> Iterator[Finding | Test]:
    """The findings and tests of one pair of cells, timings and memory excepted."""
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
            yield from _on_one_side(b.label, name, before, after, trusted)
        # Errors do not matter for infinite values (a chain that never moves) and for exactly known counts.
        elif math.isinf(before.value) or math.isinf(after.value) or name in COUNTS:
            yield from _certain(b.label, name, before, after, trusted)
        elif before.error and after.error:
            yield Test(b.label, name, before, after, combined_errors(before, after), trusted)
        elif before.value != after.value:
            left_out["no error"][name] += 1


def _on_one_side(cell: str, name: str, a: Estimate | None, b: Estimate | None, trusted: bool) -> Iterator[Finding]:
    """A finding if one side has a number and the other has none."""
    in_a, in_b = (estimate is not None and estimate.value is not None for estimate in (a, b))
    if in_a != in_b:
        verdict: Verdict = "better" if in_b else "worse"
        yield Finding(verdict, cell, name, _text(a), _text(b), None, trusted=trusted)


def _certain(cell: str, name: str, a: Estimate, b: Estimate, trusted: bool) -> Iterator[Finding]:
    """A finding if two numbers differ whose errors do not matter: counts, or a finite and an infinite value."""
    assert a.value is not None
    assert b.value is not None
    # 1e-12: the last digits of a float depend on the processor.
    if a.value != b.value and not math.isclose(a.value, b.value, rel_tol=1e-12):
        improved = (b.value < a.value) == (describe(name).better == "lower")
        yield Finding("better" if improved else "worse", cell, name, _text(a), _text(b), None, trusted=trusted)


def _judged(test: Test, threshold: float) -> Finding | None:
    """The finding of a test; None if the difference is within the threshold."""
    a, b = test.a, test.b
    assert a.value is not None
    assert b.value is not None
    timed = test.quantity in TIMED
    small = timed and abs(b.value - a.value) <= TIMING_CHANGE * abs(a.value)
    if abs(test.errors) <= threshold or small:
        return None
    better = describe(test.quantity).better
    verdict: Verdict = "better" if (test.errors < 0) == (better == "lower") else "worse"
    if better == "same":
        # Both sides estimate one number, so at least one of them is wrong; the exact value shows which.
        exact = b.exact if b.exact is not None else a.exact
        nearer = exact is not None and abs(b.value - exact) < abs(a.value - exact)
        verdict = "differs" if exact is None else "better" if nearer else "worse"
    return Finding(verdict, test.cell, test.quantity, _text(a), _text(b), test.errors, timed, test.trusted)


def _text(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return f"none ({estimate.reason})" if estimate is not None else "none"
    return concise(estimate.value, estimate.error, 6)
