"""Total time of n effective samples, training included, and the sampler with the smallest total for each n.

total(n) = preparation + min over the stops of a training of (seconds of training + n x seconds per effective sample).
A stop is a step at which the training history has an effective sample size, or the end of the training.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from nisbench.contract.quantities import DRAW_S_PER_1000, ESS_FRACTION, PREPARE_S, S_PER_EFFECTIVE_SAMPLE, TRAIN_S
from nisbench.contract.records import CostBasis, Estimate
from nisbench.results.costs import cost_of, crossing, differ
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
    """The end of a training, and the cost of an effective sample from then on."""

    training: Estimate
    """Seconds from the start; the relative error is that of the whole training."""
    cost: Estimate
    whole: bool
    """True for the end of the whole training, whose cost was measured with all draws of the cell."""

    @property
    def train_s(self) -> float:
        """Seconds of training."""
        return self.training.value or 0.0


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
        return self.total_time(n).value or 0.0

    def total_time(self, n: float) -> Estimate:
        """The same with its error, from the training and the cost; the error of the preparation is not included."""
        stop = self.best_stop(n)
        error = math.hypot(stop.training.error or 0.0, n * (stop.cost.error or 0.0))
        return Estimate(self.prepare_s + stop.train_s + n * (stop.cost.value or 0.0), error or None)


@dataclass(frozen=True)
class Span:
    """The numbers of effective samples, from `first` to `last`, for which one sampler has the smallest total time."""

    first: Estimate
    """FEWEST, or the number at which the winner overtakes the sampler before; see `crossing`."""
    last: Estimate
    """`first` of the next span; infinite if there is none."""
    winner: Contender
    tied: tuple[Contender, ...]
    """Other samplers whose cost per effective sample does not differ from that of the winner. A trained one must also
    have a total time of `first` samples that does not differ."""

    @property
    def best(self) -> tuple[Contender, ...]:
        """The winner and the samplers that tie with it; without training, the cheapest per effective sample first."""
        rivals = (self.winner, *self.tied)
        return rivals if self.winner.group.trained else tuple(sorted(rivals, key=lambda each: cost_of(each.group)))


def stops_of(group: SeedGroup) -> tuple[Stop, ...]:
    """The stops of a training by time; one stop, after 0 s, for a sampler without training.

    Stops before the end are taken if the ESS of its own draws gives the cost of the group and both sides agree. Their
    ESS is that of the history, the mean over seeds that evaluated at the same step.
    """
    cost = group.estimate(S_PER_EFFECTIVE_SAMPLE)
    training = group.estimate(TRAIN_S) if group.trained else Estimate(0.0)
    if cost is None or cost.value is None or training is None or training.value is None:
        return ()
    end = Stop(training, cost, whole=True)
    if not _by_own_draws(group, cost) or not group.trusted or weak(group):
        return (end,)
    relative = (training.error or 0.0) / training.value if training.value else 0.0
    return (*(stop for stop in _early(group, relative) if stop.train_s < end.train_s), end)


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
    first = now = Estimate(FEWEST)
    while later := list(_later(lines, winner, stop)):
        crossed, following, next_stop = min(later, key=lambda each: (each[0].value, each[2].cost.value))
        now = max(now, crossed, key=lambda n: n.value or 0.0)
        if following is not winner:
            found.append(Span(first, now, winner, _tied(rivals, winner, first)))
            first = now
        winner, stop = following, next_stop
    return (*found, Span(first, Estimate(math.inf), winner, _tied(rivals, winner, first)))


def _later(
    lines: Sequence[tuple[Contender, Stop]], winner: Contender, stop: Stop
) -> Iterator[tuple[Estimate, Contender, Stop]]:
    """The lines with a smaller cost per sample, each with the number of samples from which its total is smaller."""
    now = winner.prepare_s + stop.train_s
    for rival, other in lines:
        saved = (stop.cost.value or 0.0) - (other.cost.value or 0.0)
        if saved > 0 and (rival is winner or differ(stop.cost, other.cost)):
            error = math.hypot(stop.training.error or 0.0, other.training.error or 0.0)
            once = Estimate(rival.prepare_s + other.train_s - now, error or None)
            yield crossing(once, stop.cost, other.cost), rival, other


def _tied(rivals: Sequence[Contender], winner: Contender, first: Estimate) -> tuple[Contender, ...]:
    """Samplers that are as good as the winner from the `first` number of samples on."""
    n, cost = first.value or 0.0, winner.stops[-1].cost
    same = [rival for rival in rivals if rival is not winner and not differ(rival.stops[-1].cost, cost)]

    def paid_off(rival: Contender) -> bool:
        return winner.group.trained and not differ(rival.total_time(n), winner.total_time(n))

    return tuple(rival for rival in same if not rival.group.trained or paid_off(rival))


def _by_own_draws(group: SeedGroup, cost: Estimate) -> bool:
    """Whether the ESS of its own draws gives this cost; 2 tau_int of the same draws is often as large."""
    if group.cost_basis != "tau_int":
        return group.cost_basis == _HISTORY_BASIS
    known = {name: group.estimate(name) for name in (DRAW_S_PER_1000, ESS_FRACTION)}
    found = cost_on(_HISTORY_BASIS, {name: one for name, one in known.items() if one is not None})
    return found is not None and not differ(found, cost)


def _early(group: SeedGroup, relative: float) -> Iterator[Stop]:
    """The usable stops of the history at steps at which every seed was evaluated; their times have this error."""
    n = history_draws(group)
    if n is None:
        return
    by_seed = [dict(_evaluated(row, n)) for row in group.members]
    for step in sorted(set.intersection(*(set(found) for found in by_seed))):
        seconds, costs = zip(*(found[step] for found in by_seed), strict=True)
        cost = combine(costs)
        if cost is not None:
            mean = sum(seconds) / len(seconds)
            yield Stop(Estimate(mean, relative * mean or None), cost, whole=False)


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
