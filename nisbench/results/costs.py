"""The cost of an effective sample: when two costs differ, the cheapest samplers, and the share of the training."""

import math
from collections.abc import Iterable
from dataclasses import replace

from nisbench.contract.quantities import PREPARE_S, S_PER_EFFECTIVE_SAMPLE, TRAIN_S
from nisbench.contract.records import Estimate
from nisbench.results.groups import SeedGroup, combined_errors
from nisbench.results.numbers import significant

__all__ = [
    "SAMPLES_TO_SPREAD",
    "TIMING_CHANGE",
    "cheapest",
    "cost_of",
    "differ",
    "factor_text",
    "with_training",
]

TIMING_CHANGE = 0.2
"""Relative difference that two timings must exceed to count. Differences below it are of no use to a reader, and few
repeats may understate the spread between processes."""

SAMPLES_TO_SPREAD = 1_000_000
"""Effective samples over which the cost of training is spread in columns headed `with training`."""


def cost_of(group: SeedGroup) -> float:
    """Seconds per effective sample, mean over seeds; NaN if unknown."""
    return group.value(S_PER_EFFECTIVE_SAMPLE)


def differ(a: Estimate | None, b: Estimate | None) -> bool:
    """True if two costs differ by more than two combined errors and by more than TIMING_CHANGE of the smaller one."""
    if a is None or b is None or a.value is None or b.value is None:
        return False
    # Relative to the smaller cost, so that the order of the arguments does not matter.
    small = abs(a.value - b.value) <= TIMING_CHANGE * min(a.value, b.value)
    return abs(combined_errors(a, b)) > 2 and not small


def factor_text(larger: Estimate, smaller: Estimate) -> str:
    """`1.8`, the ratio of two costs; with its range of two errors, `1.8 (1.5 to 2.2)`, unless it is within 10 %.

    The errors of ln(cost) add in quadrature. Empty if a cost is not known or not positive.
    """
    a, b = larger.value, smaller.value
    if not a or not b or not (0 < a < math.inf and 0 < b < math.inf):
        return ""
    relative = 2 * math.hypot((larger.error or 0.0) / a, (smaller.error or 0.0) / b)
    ratio, width = a / b, math.exp(min(relative, 20.0))
    text = significant(float(f"{ratio:.1e}"), 2)
    if relative < 0.1:
        return text
    low, high = (significant(float(f"{limit:.1e}"), 2) for limit in (ratio / width, ratio * width))
    return f"{text} ({low} to {high})"


def cheapest(groups: Iterable[SeedGroup], L: int) -> tuple[SeedGroup, ...]:
    """The trusted samplers at this size whose cost is within TIMING_CHANGE of the smallest, the cheapest first.

    A cost that is larger by more does not become the cheapest because its error is large.
    """
    priced = [group for group in groups if group.trusted and group.L == L and math.isfinite(cost_of(group))]
    ranked = sorted(priced, key=cost_of)
    return tuple(group for group in ranked if cost_of(group) <= (1 + TIMING_CHANGE) * cost_of(ranked[0]))


def with_training(group: SeedGroup) -> Estimate | None:
    """Seconds per effective sample, with training and preparation spread over SAMPLES_TO_SPREAD samples."""
    cost = group.estimate(S_PER_EFFECTIVE_SAMPLE)
    if cost is None or cost.value is None:
        return cost
    once = (group.value(TRAIN_S), group.value(PREPARE_S))
    return replace(cost, value=cost.value + sum(s for s in once if not math.isnan(s)) / SAMPLES_TO_SPREAD)
