"""The sampler to use for a number of effective samples: total times with errors, ties, and the lead of the winner."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nisbench.contract.records import Estimate
from nisbench.results.advice import Advice
from nisbench.results.costs import differ
from nisbench.results.totals import FEWEST, Contender

__all__ = ["COUNTS", "MOST", "Choice", "Kind", "choice", "choices", "total_times"]

MOST = 1e9
"""Largest number of effective samples that is compared."""
COUNTS = tuple(10.0**k for k in range(3, 10))
"""Numbers of effective samples for which a sampler is chosen."""
_PER_DECADE = 8
"""Points of a line of total times in each decade."""

Kind = Literal["clear", "tie", "alone", "alone trusted", "nobody"]
"""`alone`: no other sampler was run. `alone trusted`: others were run, but they are not trusted or have no cost."""


@dataclass(frozen=True)
class Choice:
    """The samplers with the smallest total time of `n` effective samples at one place and size."""

    n: float
    kind: Kind
    best: tuple[Contender, ...]
    """The sampler with the smallest total time, followed by those that tie with it; empty if nobody is trusted."""
    total_s: Estimate | None
    """Seconds of the first of `best`."""
    lead: Estimate | None
    """Total time of the next sampler outside of a tie, divided by `total_s`; None without such a sampler."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of `best`."""
        return tuple(rival.group.label for rival in self.best)


def total_times(rival: Contender) -> tuple[tuple[float, Estimate], ...]:
    """(n, total time) at evenly spaced ln n from FEWEST to MOST."""
    steps = round(_PER_DECADE * math.log10(MOST / FEWEST))
    counts = [FEWEST * (MOST / FEWEST) ** (k / steps) for k in range(steps + 1)]
    return tuple((n, rival.total_time(n)) for n in counts)


def choices(at: Advice) -> tuple[Choice, ...]:
    """The choice for each number of COUNTS."""
    return tuple(choice(at, n) for n in COUNTS)


def choice(at: Advice, n: float) -> Choice:
    """The samplers whose total time of n effective samples is the smallest beyond errors, as `differ` judges."""
    ranked = sorted(((rival.total_time(n), rival) for rival in at.contenders), key=lambda pair: pair[0].value or 0.0)
    if not ranked:
        return Choice(n, "nobody", (), None, None)
    first = ranked[0][0]
    near = [rival for total, rival in ranked[1:] if not differ(first, total)]
    beyond = [total for total, _ in ranked[1:] if differ(first, total)]
    lead = _ratio(beyond[0], first) if beyond else None
    return Choice(n, _kind(at, near), (ranked[0][1], *near), first, lead)


def _kind(at: Advice, near: Sequence[Contender]) -> Kind:
    if at.alone:
        return "alone"
    if at.alone_trusted:
        return "alone trusted"
    return "tie" if near else "clear"


def _ratio(above: Estimate, below: Estimate) -> Estimate:
    """The ratio of two positive values, with its error by linear propagation."""
    a, b = above.value or math.nan, below.value or math.nan
    relative = math.hypot((above.error or 0.0) / a, (below.error or 0.0) / b)
    return Estimate(a / b, a / b * relative or None)
