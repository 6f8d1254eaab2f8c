"""Timings and memory of two sides: compared on the same hardware only, and only with a spread.

With at least SEEDS seeds the means over them are compared by Student's t, because seeds are processes of their own
and feel what else the machine did; with fewer, a number needs an error of its own, which knows the spread within its
run alone.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from nisbench.contract.quantities import (
    DRAW_S_PER_1000,
    QUANTITIES,
    S_PER_EFFECTIVE_SAMPLE,
)
from nisbench.contract.records import Estimate, Status
from nisbench.report.comparison import combined_errors
from nisbench.report.sides import ComparedCell

__all__ = ["SEEDS", "TIMED", "LeftOut", "Test", "timing_tests"]

SEEDS = 3

TIMED = tuple(name for name, row in QUANTITIES.items() if row.timed and row.better)
"""They depend on the machine and on what else it does."""
_RESTS_ON = {S_PER_EFFECTIVE_SAMPLE: DRAW_S_PER_1000}
"""The error of the first holds that of the effective sample size; a spread in time it has only with the second's."""

LeftOut = defaultdict[str, Counter[str]]
Pair = tuple[ComparedCell, ComparedCell]


@dataclass(frozen=True)
class Test:
    """One pair of numbers with errors."""

    cell: str
    quantity: str
    a: Estimate
    b: Estimate
    errors: float
    """b - a in combined errors"""
    trusted: bool


def timing_tests(pairs: Sequence[Pair], left_out: LeftOut) -> Iterator[Test]:
    """What can be compared of timings and memory; the rest is counted in `left_out`."""
    groups: dict[Any, list[Pair]] = {}
    for a, b in pairs:
        if a.hardware is not None and a.hardware == b.hardware:
            groups.setdefault(_without_seed(a), []).append((a, b))
        else:
            names = [name for name in TIMED if name in a.quantities and name in b.quantities]
            where = [cell.hardware or "unnamed hardware" for cell in (a, b)]
            left_out[f"on {where[0]} and {where[1]}"].update(names)
    for members in groups.values():
        for name in TIMED:
            held = [pair for pair in members if all(_is_held(cell, name) for cell in pair)]
            if len(held) >= SEEDS:
                yield _over_seeds(held, name)
                continue
            spread = [pair for pair in held if all(_has_spread(cell, name) for cell in pair)]
            yield from (_single(a, b, name) for a, b in spread)
            if len(held) > len(spread):
                left_out[f"neither a spread of its own nor {SEEDS} seeds"][name] += len(held) - len(spread)


def _without_seed(cell: ComparedCell) -> tuple[Any, ...]:
    """plugin, kind, target, L, beta and device; a reference stands alone."""
    return (*cell.place[:5], cell.place[6], cell.variant)


def _is_held(cell: ComparedCell, name: str) -> bool:
    estimate = cell.quantities.get(name)
    return estimate is not None and estimate.value is not None and math.isfinite(estimate.value)


def _has_spread(cell: ComparedCell, name: str) -> bool:
    parts = [cell.quantities.get(part) for part in (name, _RESTS_ON.get(name, name))]
    return all(part is not None and part.error for part in parts)


def _single(a: ComparedCell, b: ComparedCell, name: str) -> Test:
    before, after = a.quantities[name], b.quantities[name]
    return Test(b.label, name, before, after, combined_errors(before, after), _ok([(a, b)]))


def _over_seeds(pairs: Sequence[Pair], name: str) -> Test:
    before, after = (_mean([pair[side].quantities[name].value or 0.0 for pair in pairs]) for side in (0, 1))
    errors = _normal(combined_errors(before, after), 2 * len(pairs) - 2)
    label = f"{pairs[0][1].label.partition(' seed=')[0]}, mean of {len(pairs)} seeds"
    return Test(label, name, before, after, errors, _ok(pairs))


def _normal(t: float, freedom: int) -> float:
    """The normal deviate that is as improbable as this t."""
    return math.copysign(min(float(stats.norm.isf(stats.t.sf(abs(t), freedom))), 99.0), t)


def _mean(values: Sequence[float]) -> Estimate:
    return Estimate(float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(len(values)))


def _ok(pairs: Sequence[Pair]) -> bool:
    return all(cell.status is Status.OK for pair in pairs for cell in pair)
