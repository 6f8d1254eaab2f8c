"""Costs relative to the baseline of the same machine."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from nisbench.contract.quantities import S_PER_EFFECTIVE_SAMPLE
from nisbench.contract.records import Estimate
from nisbench.results.cells import Results
from nisbench.results.costs import TIMING_CHANGE, cost_of
from nisbench.results.groups import SeedGroup

__all__ = ["RelativeCost", "relative_costs"]


@dataclass(frozen=True)
class RelativeCost:
    """Cost of an effective sample divided by that of the baseline at the same place, size and machine."""

    group: SeedGroup
    base: SeedGroup
    ratio: Estimate
    """Its error contains the error of the own cost alone."""
    band: float
    """The baseline counts as 1 +- band: the larger of two of its errors and TIMING_CHANGE."""


def relative_costs(results: Results, groups: Iterable[SeedGroup]) -> tuple[RelativeCost, ...]:
    """The ratio for each trusted group with a finite cost, the baseline itself left out; training is not included.

    A group without a baseline on its own machine is left out: seconds of two machines are not compared.
    """
    found = []
    for group in groups:
        own = group.estimate(S_PER_EFFECTIVE_SAMPLE)
        base = results.baselines.at(group.problem, group.L, group.device, group.machine)
        if not group.trusted or own is None or base is None or not math.isfinite(cost_of(group)):
            continue
        if base.label == group.label:
            continue
        cost, price = own.value or math.nan, base.estimate(S_PER_EFFECTIVE_SAMPLE)
        per = cost_of(base)
        error = own.error / per if own.error else None
        wide = max(TIMING_CHANGE, 2 * (price.error or 0.0) / per if price else 0.0)
        found.append(RelativeCost(group, base, Estimate(cost / per, error), wide))
    return tuple(found)
