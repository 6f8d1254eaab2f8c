"""Fitted exponents a of cost ~ L^a, one for each sampler and cost."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from nisbench.contract.quantities import QUANTITIES, S_PER_EFFECTIVE_SAMPLE, TRAIN_S
from nisbench.contract.records import Estimate
from nisbench.results.groups import SeedGroup
from nisbench.results.published import Prediction, published
from nisbench.results.rows import Problem
from nisbench.statistics.scaling import fit_exponent

__all__ = ["MISFIT", "CostSeries", "Exponent", "exponents"]

MISFIT = 0.15
"""Largest distance of a cost from a power law that describes it, as a fraction of the cost.

chi^2 does not decide, because the error of a timing covers the spread within one process only: a good law of precise
timings would fail, and a curved law of rough timings would pass.
"""


@dataclass(frozen=True)
class CostSeries:
    """One cost of one sampler at every size, means over seeds."""

    problem: Problem
    device: str
    label: str
    quantity: str
    sizes: tuple[int, ...]
    costs: tuple[float, ...]
    errors: tuple[float | None, ...]


@dataclass(frozen=True)
class Exponent:
    """The exponent a of cost ~ L^a: fitted over all sizes, and between the two largest sizes alone."""

    series: CostSeries
    fitted: Estimate
    last_two: Estimate
    """ln(cost ratio) / ln(L ratio) of the two largest sizes; without an error if a cost has none"""
    prediction: Prediction | None = None
    """The predicted growth of this cost, if there is one."""

    @property
    def predicted(self) -> float | None:
        """The exponent that the prediction gives over all sizes."""
        return self.prediction.exponent(self.series.sizes) if self.prediction else None

    @property
    def predicted_last_two(self) -> float | None:
        """The exponent that the prediction gives between the two largest sizes."""
        return self.prediction.exponent(self.series.sizes[-2:]) if self.prediction else None

    @property
    def misfit(self) -> float:
        """Largest distance of a cost from the fitted power law, as a fraction of the cost; NaN without a fit."""
        line = self.law(self.series.sizes)
        return max(abs(math.log(cost / fitted)) for cost, fitted in zip(self.series.costs, line, strict=True))

    @property
    def describes(self) -> bool:
        """True if a power law describes the costs: three sizes or more, each within MISFIT of the line."""
        return len(self.series.sizes) > 2 and self.misfit <= MISFIT

    def law(self, sizes: Sequence[float]) -> list[float]:
        """The fitted power law at these sizes, through the geometric mean of the costs."""
        a = math.nan if self.fitted.value is None else self.fitted.value
        # A least-squares line with equal weights passes through the mean of the logarithms.
        centre = sum(map(math.log, self.series.sizes)) / len(self.series.sizes)
        height = sum(map(math.log, self.series.costs)) / len(self.series.costs)
        return [math.exp(height + a * (math.log(L) - centre)) for L in sizes]


def exponents(groups: Iterable[SeedGroup]) -> tuple[Exponent, ...]:
    """One fit for each problem, device, label and cost that is known at two sizes or more.

    The costs are the quantities whose row has `grows`. A cost that depends on the quality of the samples counts at a
    size only if every seed is `ok`.
    """
    found: dict[tuple[Problem, str, str, str], list[SeedGroup]] = {}
    for group in groups:
        for quantity in (name for name, row in QUANTITIES.items() if row.grows):
            value = group.value(quantity)
            if _counts(group, quantity) and math.isfinite(value) and value > 0:
                found.setdefault((group.problem, group.device, group.label, quantity), []).append(group)
    return tuple(_fitted(*key, groups) for key, groups in found.items() if len(groups) > 1)


def _counts(group: SeedGroup, quantity: str) -> bool:
    """True if the cost of the group depends on the growth with L, not on a given time or on untrusted samples."""
    if quantity == TRAIN_S:  # a training time that was set as the budget does not
        return all(m.cell.budget is not None and m.cell.budget.steps is not None for m in group.members)
    return quantity != S_PER_EFFECTIVE_SAMPLE or group.trusted


def _fitted(problem: Problem, device: str, label: str, quantity: str, groups: Sequence[SeedGroup]) -> Exponent:
    ordered = sorted(groups, key=lambda group: group.L)
    estimates = [group.estimate(quantity) for group in ordered]
    sizes = tuple(group.L for group in ordered)
    costs = tuple(group.value(quantity) for group in ordered)
    errors = tuple(estimate.error if estimate else None for estimate in estimates)
    # A fit with weights needs an error at every size; otherwise all sizes have equal weight.
    known = np.array(errors, dtype=np.float64) if all(errors) else None
    fitted = fit_exponent(np.array(sizes, dtype=np.float64), np.array(costs, dtype=np.float64), known)
    series = CostSeries(problem, device, label, quantity, sizes, costs, errors)
    prediction = published().prediction(groups[0].members[0].cell, quantity)
    return Exponent(series, fitted, _between_two_largest(series), prediction)


def _between_two_largest(series: CostSeries) -> Estimate:
    lever = math.log(series.sizes[-1] / series.sizes[-2])
    slope = math.log(series.costs[-1] / series.costs[-2]) / lever
    relative = [error / cost for error, cost in zip(series.errors[-2:], series.costs[-2:], strict=True) if error]
    return Estimate(slope, math.hypot(*relative) / lever if len(relative) == 2 else None)
