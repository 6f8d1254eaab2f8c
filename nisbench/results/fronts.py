"""Pareto front of trained samplers: those that no other sampler beats both in training time and in quality."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nisbench.contract.quantities import ESS_FRACTION, KL_NATS, TRAIN_S
from nisbench.contract.records import Estimate
from nisbench.results.costs import TIMING_CHANGE
from nisbench.results.groups import SeedGroup

__all__ = ["Trained", "front", "measure_of", "trained"]


@dataclass(frozen=True)
class Trained:
    """The distance of a trained sampler from p, and the seconds of its whole training."""

    group: SeedGroup
    train_s: float
    loss: Estimate
    """KL(q||p) in nats, or 1 - ESS per draw; smaller is better."""


def measure_of(groups: Iterable[SeedGroup]) -> str:
    """KL_NATS if a trained group has it, else ESS_FRACTION."""
    known = any(group.trained and math.isfinite(group.value(KL_NATS)) for group in groups)
    return KL_NATS if known else ESS_FRACTION


def trained(groups: Iterable[SeedGroup], quantity: str) -> tuple[Trained, ...]:
    """The trained groups with a finite training time and a finite value of the quantity, trusted or not."""
    found = []
    for group in groups:
        loss, seconds = group.estimate(quantity), group.value(TRAIN_S)
        if loss is None or loss.value is None or not math.isfinite(loss.value) or not seconds > 0:
            continue
        if quantity == ESS_FRACTION:
            loss = Estimate(1 - loss.value, loss.error)
        found.append(Trained(group, seconds, loss))
    return tuple(found)


def front(known: Sequence[Trained]) -> tuple[Trained, ...]:
    """The trusted samplers that no other trusted sampler beats, by training time.

    A sampler beats another if its loss is smaller and its training is not longer by more than TIMING_CHANGE: trainings
    with the same budget of seconds differ by the length of their last step.
    """
    able = [one for one in known if one.group.trusted]
    kept = [one for one in able if not any(_beats(other, one) for other in able)]
    return tuple(sorted(kept, key=lambda one: one.train_s))


def _beats(one: Trained, other: Trained) -> bool:
    return _loss(one) < _loss(other) and one.train_s <= (1 + TIMING_CHANGE) * other.train_s


def _loss(one: Trained) -> float:
    return math.nan if one.loss.value is None else one.loss.value
