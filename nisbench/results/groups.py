"""Groups of cells that differ in the seed alone, and the mean of an estimate over seeds with its error."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nisbench.contract.quantities import S_PER_EFFECTIVE_SAMPLE, TRAIN_S, describe
from nisbench.contract.records import CostBasis, Estimate
from nisbench.results.numbers import join
from nisbench.results.rows import CellRow, Problem
from nisbench.statistics.effective import cost_on

__all__ = ["SeedGroup", "combine", "combined_errors", "grouped"]


@dataclass(frozen=True)
class SeedGroup:
    """The cells of one sampler at one size, one cell for each seed."""

    problem: Problem
    device: str
    label: str
    L: int
    members: tuple[CellRow, ...]

    @property
    def trained(self) -> bool:
        """True if a seed has a training time, in the training loop of nisbench or in its own."""
        return any(TRAIN_S in member.quantities for member in self.members)

    @property
    def machine(self) -> str:
        """The processors or GPUs on which the seeds ran, in words."""
        return join(sorted({member.device_name for member in self.members}))

    @property
    def trusted(self) -> bool:
        """True if every seed passed every validity gate."""
        return all(member.trusted for member in self.members)

    @property
    def measured(self) -> bool:
        """True if at least one seed has numbers."""
        return any(member.measured for member in self.members)

    @cached_property
    def cost_basis(self) -> CostBasis | None:
        """The estimate behind the cost per effective sample of every seed; None if no seed has one.

        If the seeds were judged on several bases, the basis that gives the largest mean cost counts for all of them.
        """
        having = [m for m in self.members if m.measured and S_PER_EFFECTIVE_SAMPLE in m.quantities]
        bases = self._bases
        if len(bases) < 2:
            return bases[0] if bases else None
        means = {basis: combine(_costs(having, basis)) for basis in bases}
        known = [(mean.value, basis) for basis, mean in means.items() if mean is not None and mean.value is not None]
        return max(known)[1] if known else None

    @property
    def _bases(self) -> list[CostBasis]:
        """The bases that the seeds record, each once."""
        return list(dict.fromkeys(m.cost_basis for m in self.members if m.measured and m.cost_basis is not None))

    def estimate(self, quantity: str) -> Estimate | None:
        """Mean over the seeds that ran to their end, trusted or not; None if no seed has the quantity."""
        if quantity not in self._means:
            self._means[quantity] = self._mean(quantity)
        return self._means[quantity]

    @cached_property
    def _means(self) -> dict[str, Estimate | None]:
        """The estimates that were asked for, each computed once."""
        return {}

    def _mean(self, quantity: str) -> Estimate | None:
        having = [m for m in self.members if m.measured and quantity in m.quantities]
        one_reference = describe(quantity).shared_reference and len({m.cell.reference for m in having}) == 1
        estimates = [m.quantities[quantity] for m in having]
        if quantity == S_PER_EFFECTIVE_SAMPLE and len(self._bases) > 1 and self.cost_basis:
            estimates = _costs(having, self.cost_basis)
        return combine(estimates, independent=not one_reference)

    def value(self, quantity: str) -> float:
        """Mean over the seeds as a bare number; NaN if there is none."""
        estimate = self.estimate(quantity)
        return math.nan if estimate is None or estimate.value is None else estimate.value

    def z(self, quantity: str) -> float | None:
        """(value - exact)/error of the mean over the seeds; None if unknown."""
        estimate = self.estimate(quantity)
        return None if estimate is None else estimate.z


def grouped(rows: Iterable[CellRow]) -> tuple[SeedGroup, ...]:
    """Groups the rows by problem, size, device and label, in the order of the rows."""
    found: dict[tuple[Problem, int, str, str], list[CellRow]] = {}
    for row in rows:
        found.setdefault((row.problem, row.cell.L, row.cell.device, row.label), []).append(row)
    return tuple(SeedGroup(p, device, label, L, tuple(members)) for (p, L, device, label), members in found.items())


def _costs(rows: Iterable[CellRow], basis: CostBasis) -> list[Estimate]:
    """The cost per effective sample of each row on one basis; the stored cost of a row for which it is not known."""
    return [cost_on(basis, row.quantities) or row.quantities[S_PER_EFFECTIVE_SAMPLE] for row in rows]


def combine(estimates: Sequence[Estimate], *, independent: bool = True) -> Estimate | None:
    """Mean over k seeds. Its error is the larger of two: the propagated errors of the seeds, and their spread.

    The propagated error is sqrt(sum error^2)/k, the spread is sd/sqrt(k). Seeds judged on the same reference
    configurations are not `independent`: their errors are correlated, and the propagated error is the upper limit
    sum(error)/k. An infinite value makes the mean infinite. Seeds without a value are left out; the reason states how
    many, followed by the reasons of the seeds. None if there are no estimates.
    """
    if len(estimates) < 2:
        return estimates[0] if estimates else None
    known = [(e.value, e.error) for e in estimates if e.value is not None]
    if not known:
        return estimates[0]
    values = np.array([value for value, _ in known], dtype=np.float64)
    left_out = [f"mean of {len(known)} of {len(estimates)} seeds"] if len(known) < len(estimates) else []
    # Reasons of seeds without a value come first: False sorts before True.
    reasons = dict.fromkeys(e.reason for e in sorted(estimates, key=lambda e: e.value is not None) if e.reason)
    reason = "; ".join([*left_out, *reasons]) or None
    n = sum(e.n for e in estimates if e.n is not None and e.value is not None) or None
    exact = estimates[0].exact
    # One chain that never moves makes the mean of tau_int infinite; an average of the others would hide it.
    if not np.isfinite(values).all():
        return Estimate(math.inf, None, n, exact, reason)
    errors = [error for _, error in known if error and not math.isinf(error)]
    # Errors of a common reference add up linearly; independent errors add up in quadrature.
    propagated = (math.hypot(*errors) if independent else sum(errors)) / len(known)
    # Two seeds can agree by chance, so the spread never makes the error smaller than the propagated error.
    spread = float(np.std(values, ddof=1)) / math.sqrt(len(known)) if len(known) > 1 else 0.0
    return Estimate(float(values.mean()), max(propagated, spread) or None, n, exact, reason)


def combined_errors(a: Estimate, b: Estimate) -> float:
    """(b - a) / sqrt(error_a^2 + error_b^2); 0 if an error is infinite, infinite if neither has an error."""
    difference = (b.value or 0.0) - (a.value or 0.0)
    combined = math.hypot(a.error or 0.0, b.error or 0.0)
    if not combined:
        return math.copysign(math.inf, difference) if difference else 0.0
    return difference / combined if math.isfinite(combined) else 0.0
