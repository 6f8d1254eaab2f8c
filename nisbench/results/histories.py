"""Training histories of a seed group: means over seeds, and the time that a training takes to reach a target."""

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nisbench.contract.quantities import ESS_FRACTION, KL_NATS, describe
from nisbench.contract.records import Estimate
from nisbench.results.groups import SeedGroup, combine
from nisbench.results.rows import CellRow

__all__ = ["GOALS", "Goal", "Reach", "evaluations", "mean_history", "reach", "time_to"]


@dataclass(frozen=True)
class Goal:
    """A value of a quantity that a training shall reach."""

    quantity: str
    value: float

    @property
    def sign(self) -> str:
        """Sign between the quantity and the value: at least, or at most."""
        return "≥" if describe(self.quantity).better == "higher" else "≤"

    def met(self, value: float) -> bool:
        """True if a value is at least as good as the goal."""
        return value >= self.value if self.sign == "≥" else value <= self.value


GOALS = (Goal(KL_NATS, 0.1), Goal(KL_NATS, 0.01), Goal(ESS_FRACTION, 0.5), Goal(ESS_FRACTION, 0.9))


@dataclass(frozen=True)
class Reach:
    """The seconds of training until a goal is reached, over the seeds of a group."""

    group: SeedGroup
    goal: Goal
    time_s: Estimate
    """Mean over seeds if every seed reached the goal. Otherwise a lower limit without error: the time of the last
    evaluation of a training that did not reach it, the longest of these."""
    reached: int
    """Number of seeds that reached the goal."""
    seeds: int
    """Number of seeds whose history has the quantity."""

    @property
    def open(self) -> bool:
        """True if a seed did not reach the goal, so that the time is a lower limit."""
        return self.reached < self.seeds


def evaluations(row: CellRow, quantity: str) -> Iterator[tuple[int, float, float]]:
    """Step, seconds and value of each line of a history with a finite value and positive seconds."""
    for line in row.history:
        seconds, value = line.get("seconds"), line.get(quantity)
        if isinstance(seconds, int | float) and isinstance(value, int | float) and seconds > 0 and math.isfinite(value):
            yield int(line["step"]), float(seconds), float(value)


def mean_history(group: SeedGroup, quantity: str) -> tuple[tuple[float, float], ...]:
    """(seconds, value), means over seeds at the steps at which every seed with a history was evaluated."""
    found = [{step: (t, v) for step, t, v in evaluations(row, quantity)} for row in group.members if row.measured]
    found = [history for history in found if history]
    if not found:
        return ()
    steps = sorted(set.intersection(*(set(history) for history in found)))
    n = len(found)
    return tuple((sum(h[k][0] for h in found) / n, sum(h[k][1] for h in found) / n) for k in steps)


def time_to(row: CellRow, goal: Goal) -> tuple[float, bool] | None:
    """Seconds of training and True if the goal was reached; the seconds of the last evaluation and False if not.

    The goal counts as reached at the first of two successive evaluations that both meet it, because one noisy
    evaluation can meet it by chance. At the end of the training, the value that the cell itself has measured replaces
    the evaluation, because it comes from more draws; it needs no second one. None if the history does not have the
    quantity.
    """
    known = [(seconds, goal.met(value)) for _, seconds, value in evaluations(row, goal.quantity)]
    if not known:
        return None
    seconds, met = map(list, zip(*known, strict=True))
    measured = row.quantities.get(goal.quantity)
    if measured is not None and measured.value is not None:
        met[-1:] = [goal.met(measured.value)] * 2
    # without a measured value, the last evaluation has no second one
    for at, both in zip(seconds, itertools.pairwise(met), strict=False):
        if all(both):
            return at, True
    return seconds[-1], False


def reach(group: SeedGroup, goal: Goal) -> Reach | None:
    """The time to a goal over the seeds; None if no seed has a history with the quantity."""
    found = [ended for row in group.members if row.measured and (ended := time_to(row, goal)) is not None]
    if not found:
        return None
    missed = [seconds for seconds, met in found if not met]
    time_s = Estimate(max(missed)) if missed else _mean(seconds for seconds, _ in found)
    return Reach(group, goal, time_s, len(found) - len(missed), len(found))


def _mean(values: Iterable[float]) -> Estimate:
    """The mean with the error from the spread; no error for one value."""
    found = combine([Estimate(value) for value in values])
    assert found is not None
    return found
