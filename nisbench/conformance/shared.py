"""The checks that all kinds share."""

import math

from nisbench.conformance.subject import Subject, Violation
from nisbench.contract.quantities import FLOPS_PER_DRAW, KERNEL_LAUNCHES_PER_DRAW, NETWORK_CALLS_PER_DRAW
from nisbench.statistics.beyond import beyond

__all__ = ["COSTS", "costs", "limited", "over"]

COSTS = (FLOPS_PER_DRAW, NETWORK_CALLS_PER_DRAW, KERNEL_LAUNCHES_PER_DRAW)
"""Names of the cost counters."""


def limited(difference: float, limit: float) -> str:
    """Text of a largest difference and its limit."""
    return f"largest difference {difference:.1g} (limit {limit:.3g})"


def over(difference: float, limit: float) -> str:
    """Text of a difference that exceeds its limit."""
    return f"{beyond(difference, limit, '.3g')}; limit {limit:.3g}"


def costs(subject: Subject) -> None:
    """`costs` names known counters, each a finite number per draw."""
    for name, value in subject.factory(subject.target(), subject.options()).costs().items():
        if name not in COSTS:
            raise Violation(f"unknown counter '{name}'; there are {', '.join(COSTS)}")
        if not (isinstance(value, (int, float)) and math.isfinite(value) and value >= 0):
            raise Violation(f"{name} = {value!r} is not a finite number")
