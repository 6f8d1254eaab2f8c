"""Doubts about numbers: gates that runs did not pass, two sides that differ, doubtful times, work that no cost has."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nisbench.contract.doubts import Gate
from nisbench.contract.quantities import ESS_FRACTION, ESS_FRACTION_P
from nisbench.contract.records import Estimate, Status
from nisbench.results.groups import SeedGroup
from nisbench.results.rows import CellRow

__all__ = ["Cause", "causes", "doubt", "timing_doubts", "weak"]

_WORDS = {
    Gate.NOT_MEASURED: "a required quantity is missing",
    Gate.NOT_FINITE: "NaN or infinity in the draws",
    Gate.FEW_SAMPLES: "ESS too small to measure with n samples: read it as an upper limit",
    Gate.HEAVY_TAIL: "tail of the weights too heavy for a mean with an error",
    Gate.SHORT_CHAIN: "chain too short: fewer than 50 autocorrelation times",
    Gate.FAR_FROM_EXACT: "far from an exact value: more than 5 standard errors",
    Gate.OTHER_DRAWS: "the draws are not those of the stated ln q",
    Gate.SIDES_DIFFER: "q side and p side differ",
    Gate.NO_REFERENCE: "no usable reference",
    Gate.DEPENDENT: "draws that should be independent are correlated or repeated",
    Gate.CONTRACT: "the plugin broke the contract",
}
"""The gates of a run in words."""
_OTHER = "other reasons"
_SIDES_DIFFER = "weak: every gate passed, but q side and p side differ"
_TIMES = "doubtful times: the machine was busy, or no cost contains a part of the work"


@dataclass(frozen=True)
class Cause:
    """A gate that was not passed, or another cause why runs are not `ok`, with the seed groups that it concerns."""

    text: str
    groups: tuple[SeedGroup, ...]
    runs: int
    example: str
    """The reason of the first run in full."""


def causes(groups: Iterable[SeedGroup]) -> tuple[Cause, ...]:
    """The causes why runs of these groups are not `ok`, or are weak; the cause of the most runs first."""
    found: dict[str, list[tuple[SeedGroup, str]]] = {}
    for group in groups:
        for member in group.members:
            for cause, reason in dict(_causes(member)).items():
                found.setdefault(cause, []).append((group, reason))
        if why := doubt(group):
            found.setdefault(_SIDES_DIFFER, []).extend([(group, why)] * len(group.members))
        if doubts := timing_doubts(group):
            found.setdefault(_TIMES, []).extend([(group, "; ".join(doubts))] * len(group.members))
    made = (Cause(cause, tuple(group for group, _ in runs), len(runs), runs[0][1]) for cause, runs in found.items())
    return tuple(sorted(made, key=lambda each: -each.runs))


def _causes(row: CellRow) -> Iterator[tuple[str, str]]:
    """Each cause why a run is not `ok`, with its reason."""
    if row.status is None:
        yield "not finished", row.reason or "waiting for its turn"
    elif row.status is Status.UNTRUSTED:
        doubts = row.result.doubts if row.result else ()
        yield from ((_WORDS[each.gate], each.text) for each in doubts)
        if not doubts:
            yield _OTHER, row.reason or ""
    elif not row.trusted:
        yield f"ended without numbers: {row.state}", row.reason or ""


_ERRORS = 3.0
"""Two sides further apart than this many combined errors differ; by chance, one in 400 does."""
_LOG_RATIO = 0.3
"""Two sides whose |ln(ess_fraction/ess_fraction_p)| exceeds this have not been shown to agree, whatever their errors
are. The gate accepts such a ratio if the errors are large or if both sides are small."""

_ROUNDING = 1e-5
"""Two sides that differ by less agree: for q = p the errors vanish, and rounding of ln q makes the difference."""


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
    if error and abs(q.value - p.value) > max(_ERRORS * error, _ROUNDING):
        return f"ESS of q side and p side differ by {abs(q.value - p.value) / error:.1f} combined errors"
    return ""
