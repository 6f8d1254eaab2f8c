"""Comparison of timings and memory: on the same hardware only, and only with a known spread.

With at least SEEDS seeds, the means over seeds are compared by Student's t. Seeds run in processes of their own, so
their spread includes the other load of the machine. With fewer seeds, a number needs an error of its own. The error of
a time contains the spread between processes and the load of the machine; memory has no error.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from nisbench.contract.quantities import QUANTITIES
from nisbench.contract.records import Estimate, Status
from nisbench.results.compare_sides import ComparedCell
from nisbench.results.groups import combined_errors

__all__ = ["SEEDS", "TIMED", "LeftOut", "Test", "timing_tests"]

SEEDS = 3
"""Smallest number of seeds whose means are compared."""

TIMED = tuple(name for name, row in QUANTITIES.items() if row.timed and row.better)
"""Timings and memory that are compared. They depend on the machine and on its other load."""

LeftOut = defaultdict[str, Counter[str]]
"""Reason why something was not compared -> number of cases for each quantity or cell."""
_Pair = tuple[ComparedCell, ComparedCell]


@dataclass(frozen=True)
class Test:
    """Two numbers with errors that are compared."""

    cell: str
    quantity: str
    a: Estimate
    b: Estimate
    errors: float
    """b - a in combined errors"""
    trusted: bool


def timing_tests(pairs: Sequence[_Pair], left_out: LeftOut) -> Iterator[Test]:
    """The tests of timings and memory that are possible; the others are counted in `left_out`."""
    groups: dict[Any, list[_Pair]] = {}
    for a, b in pairs:
        if a.hardware is not None and a.hardware == b.hardware:
            groups.setdefault(_without_seed(a), []).append((a, b))
        else:
            names = [name for name in TIMED if name in a.quantities and name in b.quantities]
            where = [cell.hardware or "unnamed hardware" for cell in (a, b)]
            left_out[f"on {where[0]} and {where[1]}"].update(names)
    for members in groups.values():
        for name in TIMED:
            yield from _tests_of(name, members, left_out)


def _tests_of(name: str, members: Sequence[_Pair], left_out: LeftOut) -> Iterator[Test]:
    """The tests of one quantity: one over all seeds, or one for each seed with a spread."""
    known = [pair for pair in members if all(_is_finite(cell, name) for cell in pair)]
    if len(known) >= SEEDS:
        yield _over_seeds(known, name)
        return
    spread = [pair for pair in known if all(_has_spread(cell, name) for cell in pair)]
    yield from (_single(a, b, name) for a, b in spread)
    if len(known) > len(spread):
        left_out[f"neither a spread of its own nor {SEEDS} seeds"][name] += len(known) - len(spread)


def _without_seed(cell: ComparedCell) -> tuple[Any, ...]:
    """plugin, kind, target, L, beta, device and variant; a reference cell forms a group of its own."""
    return (*cell.place[:5], cell.place[6], cell.variant)


def _is_finite(cell: ComparedCell, name: str) -> bool:
    estimate = cell.quantities.get(name)
    return estimate is not None and estimate.value is not None and math.isfinite(estimate.value)


def _has_spread(cell: ComparedCell, name: str) -> bool:
    estimate = cell.quantities.get(name)
    return estimate is not None and bool(estimate.error)


def _single(a: ComparedCell, b: ComparedCell, name: str) -> Test:
    before, after = a.quantities[name], b.quantities[name]
    return Test(b.label, name, before, after, combined_errors(before, after), _trusted([(a, b)]))


def _over_seeds(pairs: Sequence[_Pair], name: str) -> Test:
    before, after = (_mean([pair[side].quantities[name].value or 0.0 for pair in pairs]) for side in (0, 1))
    errors = _normal(combined_errors(before, after), 2 * len(pairs) - 2)  # two means, one degree of freedom less each
    label = f"{pairs[0][1].label.partition(' seed=')[0]}, mean of {len(pairs)} seeds"
    return Test(label, name, before, after, errors, _trusted(pairs))


def _normal(t: float, freedom: int) -> float:
    """The normal deviate with the same tail probability as this t."""
    # For large t both tails underflow and isf gives infinity, which JSON does not have; hence the limit.
    return math.copysign(min(float(stats.norm.isf(stats.t.sf(abs(t), freedom))), 99.0), t)


def _mean(values: Sequence[float]) -> Estimate:
    return Estimate(float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(len(values)))


def _trusted(pairs: Sequence[_Pair]) -> bool:
    return all(cell.status is Status.OK for pair in pairs for cell in pair)
