"""The outcome of a comparison, as values, as JSON and as lines of text."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

from nisbench.results.compare_sides import Side

__all__ = ["Comparison", "Finding", "Verdict", "lines"]

Verdict = Literal["worse", "better", "differs"]


@dataclass(frozen=True)
class Finding:
    """One difference beyond the errors."""

    verdict: Verdict
    cell: str
    quantity: str
    before: str
    after: str
    errors: float | None
    """The difference in combined errors; None if errors do not matter."""
    timed: bool = False
    trusted: bool = True
    """True if both cells are ok; the others are shown and do not count as regressions."""

    @property
    def regression(self) -> bool:
        """True if the finding counts against B. Two estimates of one number that differ count: one of them is wrong."""
        return self.verdict != "better" and self.trusted

    @property
    def rank(self) -> tuple[Any, ...]:
        """Sort key: quality before timings, worse before better, large differences first."""
        order = ("worse", "differs", "better").index(self.verdict)
        return (self.timed, order, -abs(self.errors or math.inf), self.cell)


@dataclass(frozen=True)
class Comparison:
    """All findings of a comparison, and everything that was not compared."""

    a: Side
    b: Side
    n_cells: int
    n_tests: int
    threshold: float
    """in combined errors"""
    findings: tuple[Finding, ...]
    left_out: Mapping[str, Mapping[str, int]]
    """Reason why something was not compared -> number of cases for each quantity or cell."""
    notes: tuple[str, ...]

    @property
    def by_chance(self) -> float:
        """Number of tests that are expected to exceed the threshold if nothing changed."""
        return self.n_tests * 2 * NormalDist().cdf(-self.threshold)

    def regressions(self, *, timings: bool = True) -> tuple[Finding, ...]:
        """The findings that count against B; those on timings and memory only if `timings`."""
        return tuple(found for found in self.findings if found.regression and (timings or not found.timed))

    def to_json(self) -> dict[str, Any]:
        """The comparison as plain JSON values."""
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


def lines(found: Comparison) -> Iterator[str]:
    """The comparison as lines of text."""
    for letter, side in (("A", found.a), ("B", found.b)):
        yield f"{letter}: {side.name} ({', '.join(side.versions) or 'no cells'})"
    yield (
        f"{found.n_cells} cells in both, {found.n_tests} comparisons; threshold {found.threshold:.2g} combined errors, "
        f"exceeded {found.by_chance:.2g} times by chance alone"
    )
    yield from found.notes
    if not found.n_cells:
        yield "nothing was compared: no cell of A has all its settings in common with a cell of B"
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
