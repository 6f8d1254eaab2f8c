"""Break-even: the number of effective samples after which the training of a model has paid off."""

import math
from dataclasses import replace

from nisbench.contract.quantities import S_PER_EFFECTIVE_SAMPLE, TRAIN_S
from nisbench.contract.records import Estimate
from nisbench.results.cells import Results
from nisbench.results.costs import crossing, differ
from nisbench.results.groups import SeedGroup
from nisbench.results.totals import Stop, stops_of

__all__ = ["best_break_even", "break_even", "break_even_of", "undecided"]

_NOT_MEASURED = Estimate.missing("not measured")


def break_even(training: Estimate | None, own: Estimate | None, base: Estimate | None, name: str) -> Estimate:
    """training / (base - own), in effective samples, with the errors of all three.

    All arguments are in seconds, `own` and `base` per effective sample; `name` is the name of the baseline. Infinite,
    with the reason, if a sample of the trained model costs no less than a sample of the baseline. Missing if the two
    costs do not differ beyond their errors.
    """
    if base is None or base.value is None:
        return Estimate.missing(name)
    training, own = training or _NOT_MEASURED, own or _NOT_MEASURED
    if training.value is None:
        return Estimate.missing(f"no training time: {training.reason}")
    if own.value is None:
        return Estimate.missing(f"no cost per effective sample: {own.reason}")
    saved = base.value - own.value
    if not differ(base, own):
        return Estimate.missing(f"undecided: the cost of an effective sample does not differ from {name} beyond errors")
    if saved <= 0:
        return Estimate(math.inf, reason=f"not cheaper than {name} here: an effective sample costs no less")
    return crossing(training, base, own)


def break_even_of(results: Results, group: SeedGroup) -> Estimate | None:
    """Break-even of the whole training, from means over seeds; None for a sampler that is not trained."""
    if not group.trained or not group.measured:
        return None
    base, name = results.baselines.or_stand_in(group)
    own = group.estimate(S_PER_EFFECTIVE_SAMPLE)
    found = break_even(group.estimate(TRAIN_S), own, base.estimate(S_PER_EFFECTIVE_SAMPLE) if base else None, name)
    return _crossed(found, base, group, name)


def undecided(results: Results, group: SeedGroup) -> bool:
    """True if the costs of a trained sampler and of the baseline are known and do not differ beyond errors."""
    base, own = results.baselines.or_stand_in(group)[0], group.estimate(S_PER_EFFECTIVE_SAMPLE)
    other = base.estimate(S_PER_EFFECTIVE_SAMPLE) if base else None
    known = all(cost is not None and cost.value is not None for cost in (own, other))
    return group.trained and known and not differ(other, own)


def best_break_even(results: Results, group: SeedGroup) -> tuple[Estimate, Stop] | None:
    """Break-even if the training ends at the stop that needs the fewest samples, and that stop.

    min over the stops of the history of train_s/(cost of the baseline - cost after the stop). None if the history has
    no usable stop before the end of the training, or if no stop breaks even.
    """
    base, name = results.baselines.or_stand_in(group)
    stops = stops_of(group)
    if base is None or len(stops) < 2:
        return None
    cost = base.estimate(S_PER_EFFECTIVE_SAMPLE)
    found = [(break_even(stop.training, stop.cost, cost, name), stop) for stop in stops]
    paid = [(each, stop) for each, stop in found if each.value is not None and math.isfinite(each.value)]
    if not paid:
        return None
    best, stop = min(paid, key=lambda pair: pair[0].value or 0.0)
    return _crossed(best, base, group, name), stop


def _crossed(found: Estimate, base: SeedGroup | None, group: SeedGroup, name: str) -> Estimate:
    """The break-even; its reason names a baseline on another device or machine."""
    if base is None or found.value is None or found.reason:
        return found
    if base.device != group.device:
        return replace(found, reason=f"against {name}, another device")
    return replace(found, reason=f"against {name}, another machine") if base.machine != group.machine else found
