"""Total time of n effective samples, training included, and the sampler with the smallest total for each n.

total(n) = preparation + min over the stops of a training of (seconds of training + n x seconds per effective sample).
A stop is a step at which the training history has an effective sample size, or the end of the training.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from nisbench.contract.quantities import DRAW_S_PER_1000, ESS_FRACTION, PREPARE_S, S_PER_EFFECTIVE_SAMPLE, TRAIN_S
from nisbench.contract.records import CostBasis, Estimate
from nisbench.results.costs import cost_of, differ
from nisbench.results.doubts import weak
from nisbench.results.groups import SeedGroup, combine
from nisbench.results.rows import CellRow
from nisbench.statistics.effective import cost_on, history_error

__all__ = ["FEWEST", "USABLE", "Contender", "Span", "Stop", "contenders", "history_draws", "spans", "stops_of"]

_HISTORY_BASIS: CostBasis = "ess_fraction"
"""The ESS of a history is that of draws of q."""
FEWEST = 1000.0
"""Smallest number of effective samples for which the samplers are compared."""
USABLE = 0.25
"""Largest relative error of an effective sample size from the history. A worse value is too large on average, because
few draws rarely contain the largest weights."""


@dataclass(frozen=True)
class Stop:
    """The end of a training after `train_s` seconds, and the cost of an effective sample from then on."""

    train_s: float
    cost: Estimate
    whole: bool
    """True for the end of the whole training, whose cost was measured with all draws of the cell."""


@dataclass(frozen=True)
class Contender:
    """A trusted sampler with its stops; the last stop is the end of its whole training."""

    group: SeedGroup
    prepare_s: float
    stops: tuple[Stop, ...]

    def best_stop(self, n: float) -> Stop:
        """The stop with the smallest total time of n effective samples."""
        return min(self.stops, key=lambda stop: stop.train_s + n * (stop.cost.value or 0.0))

    def total(self, n: float) -> float:
        """Seconds for n effective samples, with preparation and the best stop of the training."""
        stop = self.best_stop(n)
        return self.prepare_s + stop.train_s + n * (stop.cost.value or 0.0)


@dataclass(frozen=True)
class Span:
    """The numbers of effective samples, from `first` to `last`, for which one sampler has the smallest total time."""

    first: float
    last: float
    winner: Contender
    tied: tuple[Contender, ...]
    """Other samplers whose cost per effective sample does not differ from that of the winner, and which need no
    training unless the winner does."""


def stops_of(group: SeedGroup) -> tuple[Stop, ...]:
    """The stops of a training by time; one stop, after 0 s, for a sampler without training.

    Stops before the end are taken if the cost of the group is based on the ESS of its own draws and both sides agree.
    Their ESS is that of the history, the mean over seeds that evaluated at the same step.
    """
    cost = group.estimate(S_PER_EFFECTIVE_SAMPLE)
    if cost is None or cost.value is None:
        return ()
    end = Stop(group.value(TRAIN_S) if group.trained else 0.0, cost, whole=True)
    if group.cost_basis != _HISTORY_BASIS or not group.trusted or weak(group):
        return (end,)
    return (*(stop for stop in _early(group) if stop.train_s < end.train_s), end)


def history_draws(group: SeedGroup) -> int | None:
    """Number of draws behind each ESS of the training history, which is the batch size; None if it is not known."""
    sizes = {member.cell.options.get("batch_size") for member in group.members}
    size = sizes.pop() if len(sizes) == 1 else None
    return size if isinstance(size, int) else None


def contenders(groups: Iterable[SeedGroup]) -> tuple[Contender, ...]:
    """The trusted groups whose cost and training time are known and finite."""
    able = [g for g in groups if g.trusted and math.isfinite(cost_of(g)) and cost_of(g) > 0]
    able = [g for g in able if not g.trained or math.isfinite(g.value(TRAIN_S))]
    return tuple(Contender(g, _known(g.value(PREPARE_S)), stops_of(g)) for g in able)


def spans(rivals: Sequence[Contender]) -> tuple[Span, ...]:
    """The winner for every number of effective samples from FEWEST on.

    The winner changes only to a sampler whose cost per effective sample is smaller beyond errors, as `differ` judges.
    """
    if not rivals:
        return ()
    lines = [(rival, stop) for rival in rivals for stop in rival.stops]
    winner = min(rivals, key=lambda rival: rival.total(FEWEST))
    stop = winner.best_stop(FEWEST)
    found: list[Span] = []
    first = now = FEWEST
    while later := list(_later(lines, winner, stop)):
        crossing, following, next_stop = min(later, key=lambda each: (each[0], each[2].cost.value))
        now = max(now, crossing)
        if following is not winner:
            found.append(Span(first, now, winner, _tied(rivals, winner)))
            first = now
        winner, stop = following, next_stop
    return (*found, Span(first, math.inf, winner, _tied(rivals, winner)))


def _later(
    lines: Sequence[tuple[Contender, Stop]], winner: Contender, stop: Stop
) -> Iterator[tuple[float, Contender, Stop]]:
    """The lines with a smaller cost per sample, each with the number of samples from which its total is smaller."""
    now = winner.prepare_s + stop.train_s
    for rival, other in lines:
        saved = (stop.cost.value or 0.0) - (other.cost.value or 0.0)
        if saved > 0 and (rival is winner or differ(stop.cost, other.cost)):
            yield (rival.prepare_s + other.train_s - now) / saved, rival, other


def _tied(rivals: Sequence[Contender], winner: Contender) -> tuple[Contender, ...]:
    cost = winner.stops[-1].cost
    same = [rival for rival in rivals if rival is not winner and not differ(rival.stops[-1].cost, cost)]
    return tuple(rival for rival in same if winner.group.trained or not rival.group.trained)


def _early(group: SeedGroup) -> Iterator[Stop]:
    """The usable stops of the history at steps at which every seed was evaluated."""
    n = history_draws(group)
    if n is None:
        return
    by_seed = [dict(_evaluated(row, n)) for row in group.members]
    for step in sorted(set.intersection(*(set(found) for found in by_seed))):
        seconds, costs = zip(*(found[step] for found in by_seed), strict=True)
        cost = combine(costs)
        if cost is not None:
            yield Stop(sum(seconds) / len(seconds), cost, whole=False)


def _evaluated(row: CellRow, n: int) -> Iterator[tuple[int, tuple[float, Estimate]]]:
    """Step, seconds and cost per effective sample of each usable line of a history."""
    drawing = row.quantities.get(DRAW_S_PER_1000)
    if drawing is None:
        return
    for line in row.history:
        ess, seconds = line.get(ESS_FRACTION), line.get("seconds")
        if not isinstance(ess, int | float) or not isinstance(seconds, int | float):
            continue
        error = history_error(ess, n)
        if error > USABLE:
            continue
        cost = cost_on(_HISTORY_BASIS, {DRAW_S_PER_1000: drawing, ESS_FRACTION: Estimate(ess, ess * error)})
        if cost is not None:
            yield int(line["step"]), (float(seconds), cost)


def _known(value: float) -> float:
    return 0.0 if math.isnan(value) else value
