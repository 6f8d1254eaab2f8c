"""The cost of an effective sample: when two costs differ, the cheapest samplers, and the cluster-sampler baseline."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from nisbench.contract.quantities import MEAN_CLUSTER_SIZE, PREPARE_S, S_PER_EFFECTIVE_SAMPLE, TRAIN_S
from nisbench.contract.records import Estimate
from nisbench.results.cells import CellRow, Problem
from nisbench.results.groups import SeedGroup, combined_errors, grouped

__all__ = [
    "SAMPLES_TO_SPREAD",
    "TIMING_CHANGE",
    "baseline",
    "baseline_or_stand_in",
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

_NOT_MEASURED = Estimate.missing("not measured")


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
    """The trusted samplers with the smallest cost at this size: the cheapest, and all that do not differ from it."""
    priced = [group for group in groups if group.trusted and group.L == L and math.isfinite(cost_of(group))]
    ranked = sorted(priced, key=cost_of)
    costs = [group.estimate(S_PER_EFFECTIVE_SAMPLE) for group in ranked]
    return tuple(group for i, group in enumerate(ranked) if i == 0 or not differ(costs[i], costs[0]))


def baseline(rows: Iterable[CellRow], problem: Problem, L: int, device: str) -> SeedGroup | None:
    """The cluster sampler with the smallest cost at this place; only seeds that are `ok` count.

    A cluster sampler is a sampler that reports mean_cluster_size.
    """
    trusted = [row for row in rows if row.trusted and row.problem == problem and row.cell.L == L]
    here = [row for row in trusted if row.cell.device == device and row.cell.kind == "sampler"]
    # Only cluster flips have a cluster size; a slow local sampler must not serve as the baseline.
    cluster = [row for row in here if row.quantities.get(MEAN_CLUSTER_SIZE, _NOT_MEASURED).value is not None]
    priced = [group for group in grouped(cluster) if math.isfinite(cost_of(group))]
    return min(priced, key=cost_of, default=None)


def baseline_or_stand_in(
    rows: Sequence[CellRow], problem: Problem, L: int, device: str
) -> tuple[SeedGroup | None, str]:
    """The baseline at this place and its name; if the device has none, the baseline of another device.

    The name of a stand-in includes its device. Without any baseline: None and the reason.
    """
    if own := baseline(rows, problem, L, device):
        return own, own.label
    for other in sorted({row.cell.device for row in rows} - {device}):
        if found := baseline(rows, problem, L, other):
            return found, f"{found.label} on {other.upper()}"
    return None, f"no trusted cluster sampler at L = {L} on {device}"


def with_training(group: SeedGroup) -> Estimate | None:
    """Seconds per effective sample, with training and preparation spread over SAMPLES_TO_SPREAD samples."""
    cost = group.estimate(S_PER_EFFECTIVE_SAMPLE)
    if cost is None or cost.value is None:
        return cost
    once = (group.value(TRAIN_S), group.value(PREPARE_S))
    return replace(cost, value=cost.value + sum(s for s in once if not math.isnan(s)) / SAMPLES_TO_SPREAD)
