"""The cost of an effective sample: when two costs differ, the cheapest samplers, and the share of the training."""

import math
from collections.abc import Iterable
from dataclasses import replace

from nisbench.contract.quantities import PREPARE_S, S_PER_EFFECTIVE_SAMPLE, TRAIN_S
from nisbench.contract.records import Estimate
from nisbench.results.groups import SeedGroup
from nisbench.results.numbers import in_words, significant

__all__ = [
    "SAMPLES_TO_SPREAD",
    "TIMING_CHANGE",
    "cheapest",
    "cost_of",
    "count_text",
    "crossing",
    "differ",
    "factor_text",
    "limits",
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
    """True if the larger cost is more than 1 + TIMING_CHANGE times the smaller one, and more than errors explain.

    |ln(a/b)| must exceed two errors of ln a and ln b, which add in quadrature: the range of `factor_text` excludes 1.
    """
    if a is None or b is None or a.value is None or b.value is None:
        return False
    small, large = sorted((a.value, b.value))
    if not 0 < small < math.inf or large == math.inf:
        return small != large
    return math.log(large / small) > max(_two_errors(a, b), math.log(1 + TIMING_CHANGE))


def _two_errors(a: Estimate, b: Estimate) -> float:
    """Two errors of ln(a/b); both values are positive and finite."""
    return 2 * math.hypot(*((each.error or 0.0) / (each.value or math.nan) for each in (a, b)))


def factor_text(larger: Estimate, smaller: Estimate) -> str:
    """`1.8`, the ratio of two costs; with its range of two errors, `1.8 (1.5 to 2.2)`, unless it is within 10 %.

    The errors of ln(cost) add in quadrature. Empty if a cost is not known or not positive.
    """
    a, b = larger.value, smaller.value
    if not a or not b or not (0 < a < math.inf and 0 < b < math.inf):
        return ""
    relative = _two_errors(larger, smaller)
    ratio, width = a / b, math.exp(min(relative, 20.0))
    text = significant(float(f"{ratio:.1e}"), 2)
    if relative < 0.1:
        return text
    low, high = (significant(float(f"{limit:.1e}"), 2) for limit in (ratio / width, ratio * width))
    return f"{text} ({low} to {high})"


def crossing(once: Estimate, dearer: Estimate, cheaper: Estimate) -> Estimate:
    """n = once/(dearer - cheaper): from n samples on, a smaller cost per sample has paid for `once`.

    All in seconds, the last two per sample, dearer > cheaper. Linear propagation of the three errors.
    """
    seconds, saved = once.value or 0.0, (dearer.value or 0.0) - (cheaper.value or 0.0)
    error = math.hypot(seconds / saved * math.hypot(dearer.error or 0.0, cheaper.error or 0.0), once.error or 0.0)
    return Estimate(seconds / saved, error / saved or None)


def limits(n: Estimate) -> tuple[float, float]:
    """The range of two errors of a number from `crossing`.

    1/n is proportional to the difference of two costs, whose error is symmetric: the limits are n/(1 + 2r) and
    n/(1 - 2r), where r is the relative error of n. From r = 1/2 on the upper one is infinite.
    """
    value = n.value or 0.0
    if not 0 < value < math.inf:
        return value, value
    relative = 2 * (n.error or 0.0) / value
    return value / (1 + relative), value / (1 - relative) if relative < 1 else math.inf


def count_text(n: Estimate) -> str:
    """`3 million`, a number of samples from `crossing`, with its limits: `3 million (2.2 to 4.5 million)`.

    Without the limits if they are within 10 %.
    """
    (low, high), text = limits(n), in_words(n.value or 0.0)
    if low >= (n.value or 0.0) / 1.1:
        return text
    if high == math.inf:
        return f"{text} (at least {in_words(low)})"
    (first, *unit), (_, *unit_of_high) = in_words(low).split(" ", 1), in_words(high).split(" ", 1)
    return f"{text} ({first if unit and unit == unit_of_high else in_words(low)} to {in_words(high)})"


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
