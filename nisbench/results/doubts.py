"""Doubts about groups: the two sides of a trusted density differ, its times are doubtful, or work is in no cost."""

import math

from nisbench.contract.quantities import ESS_FRACTION, ESS_FRACTION_P
from nisbench.contract.records import Estimate
from nisbench.results.groups import SeedGroup

__all__ = ["doubt", "timing_doubts", "weak"]

_ERRORS = 3.0
"""Two sides further apart than this many combined errors differ; by chance, one in 400 does."""
_LOG_RATIO = 0.3
"""Two sides whose |ln(ess_fraction/ess_fraction_p)| exceeds this have not been shown to agree, whatever their errors
are. The gate accepts such a ratio if the errors are large or if both sides are small."""


def weak(group: SeedGroup) -> bool:
    """True if every seed is `ok`, but the two sides of a seed or of the means over seeds differ."""
    return bool(doubt(group))


def doubt(group: SeedGroup) -> str:
    """The difference between the q side and the p side of a trusted group in words; empty if they agree.

    Each seed and the means over seeds are judged.
    """
    if not group.trusted:
        return ""
    several = len(group.members) > 1
    found = [
        (f"seed {member.cell.seed}: " if several else "") + words
        for member in group.members
        if (words := _apart(member.quantities.get(ESS_FRACTION), member.quantities.get(ESS_FRACTION_P)))
    ]
    means = _apart(group.estimate(ESS_FRACTION), group.estimate(ESS_FRACTION_P)) if several and not found else ""
    return "; ".join(found) or (f"mean over seeds: {means}" if means else "")


def timing_doubts(group: SeedGroup) -> tuple[str, ...]:
    """Why the costs of a group are doubtful, each reason once: work that no cost contains, and a busy machine."""
    timings = [(member.cell.seed, member.result.timing) for member in group.members if member.result]
    hidden = [each.reason for _, timing in timings if timing for each in timing.unclocked]
    busy = [
        f"seed {seed}: busy machine: {words}" for seed, timing in timings if timing for words in timing.disturbances
    ]
    return tuple(dict.fromkeys([*hidden, *busy]))


def _apart(q: Estimate | None, p: Estimate | None) -> str:
    """The difference between two ESS in words; empty if they agree or if one is not known."""
    if q is None or p is None or not q.value or not p.value:
        return ""
    ratio = math.log(q.value / p.value)
    error = math.hypot(q.error or 0.0, p.error or 0.0)
    if abs(ratio) > _LOG_RATIO:
        return f"ESS of q side and p side differ by a factor of {math.exp(abs(ratio)):.1f}"
    if error and abs(q.value - p.value) > _ERRORS * error:
        return f"ESS of q side and p side differ by {abs(q.value - p.value) / error:.1f} combined errors"
    return ""
