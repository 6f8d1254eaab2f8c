"""The checks that all kinds share."""

import math

from nisbench.conformance.subject import Subject, Violation

__all__ = ["COSTS", "costs"]

COSTS = ("flops_per_draw", "network_calls_per_draw", "kernel_launches_per_draw")
"""Names of the cost counters."""


def costs(subject: Subject) -> None:
    """`costs` names known counters, each a finite number per draw."""
    for name, value in subject.factory(subject.target(), subject.options()).costs().items():
        if name not in COSTS:
            raise Violation(f"unknown counter '{name}'; there are {', '.join(COSTS)}")
        if not (isinstance(value, (int, float)) and math.isfinite(value) and value >= 0):
            raise Violation(f"{name} = {value!r} is not a finite number")
