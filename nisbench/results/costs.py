"""The cost of an effective sample: when two costs differ, the cheapest samplers, and the share of the training."""

import math
from collections.abc import Iterable
from dataclasses import replace

from nisbench.contract.quantities import PREPARE_S, S_PER_EFFECTIVE_SAMPLE, TRAIN_S
from nisbench.contract.records import Estimate
from nisbench.results.groups import SeedGroup, combined_errors

__all__ = [
    "SAMPLES_TO_SPREAD",
    "TIMING_CHANGE",
    "cheapest",
    "cost_of",
    "differ",
    "with_training",
]

TIMING_CHANGE = 0.2
"""Relative difference that two timings must exceed to count. The error of a timing covers the spread within a process
only, and the same cell run twice on one machine has differed by more."""

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
