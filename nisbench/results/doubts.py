"""Doubts about numbers: gates that runs did not pass, two sides that differ, doubtful times, work that no cost has."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nisbench.contract.quantities import ESS_FRACTION, ESS_FRACTION_P
from nisbench.contract.records import Estimate, Status
from nisbench.results.groups import SeedGroup
from nisbench.results.rows import CellRow

__all__ = ["Gate", "doubt", "gates", "timing_doubts", "weak"]

_GATES = {
    "below 10/n": "ESS too small to measure with n samples: read it as an upper limit",
    "shorter than 50 tau_int": "chain too short: fewer than 50 autocorrelation times",
    "standard errors from exact": "far from an exact value: more than 5 standard errors",
    "combined errors apart": "q side and p side differ",
    "side disagree": "q side and p side differ",
    "kl_forward_nats =": "q side and p side differ",
    "p side was not judged": "no usable reference",
    "not finite": "NaN or infinity in the draws",
}
"""Gate in words, by a part of the reasons that it gives. Stores of earlier versions use the same parts."""
_OTHER = "other reasons"
_SIDES_DIFFER = "weak: every gate passed, but q side and p side differ"
_TIMES = "doubtful times: the machine was busy, or no cost contains a part of the work"


@dataclass(frozen=True)
class Gate:
    """A gate, or another cause why runs are not `ok`, with the seed groups that it concerns."""

    text: str
    groups: tuple[SeedGroup, ...]
    runs: int
    example: str
    """The reason of the first run in full."""


def gates(groups: Iterable[SeedGroup]) -> tuple[Gate, ...]:
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
    made = (Gate(cause, tuple(group for group, _ in runs), len(runs), runs[0][1]) for cause, runs in found.items())
    return tuple(sorted(made, key=lambda gate: -gate.runs))


def _causes(row: CellRow) -> Iterator[tuple[str, str]]:
    """Each cause why a run is not `ok`, with its reason."""
    if row.status is None:
        yield "not finished", row.reason or "waiting for its turn"
    elif row.status is Status.UNTRUSTED:
        for reason in (row.reason or "").split("; "):
            yield next((gate for part, gate in _GATES.items() if part in reason), _OTHER), reason
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
