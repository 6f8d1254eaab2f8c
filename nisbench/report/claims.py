"""The claims that the plans set out to check, with their outcomes, as blocks and as one sentence of the report."""

from collections import Counter
from dataclasses import replace

from nisbench.report.document import MISSING, Block, Column, Entry, Fold, Paragraph, Table, plain
from nisbench.results.cells import Results
from nisbench.results.claim_outcomes import Claim, Outcome, Verdict, claims
from nisbench.results.rows import status_counts

__all__ = ["claim_blocks", "claim_sentence"]

_LISTED = 3
"""Largest number of places of a check whose numbers stand in the table of all claims."""
_TONES = {Outcome.HOLDS: "ok", Outcome.FAILS: "bad"}


def claim_sentence(results: Results) -> list[str]:
    """The number of claims with each outcome; empty if no claim has a check."""
    found = [claim for claim in claims(results) if claim.verdicts]
    if not found:
        return []
    counts = Counter(claim.outcome for claim in found)
    parts = [f"{counts[outcome]} {_verb(outcome, counts[outcome])}" for outcome in Outcome if counts[outcome]]
    return [f"Claims of the plan: {', '.join(parts)}."]


def claim_blocks(results: Results) -> list[Block]:
    """A table with one row for each claim: the outcome, and each check with its numbers; empty without claims.

    The name of its group stands in front of a claim that several groups make.
    """
    found = claims(results)
    if not found:
        return []
    repeated = Counter(claim.text for claim in found)
    found = tuple(replace(c, text=f"{c.group}: {c.text}") if repeated[c.text] > 1 else c for c in found)
    heads = ("claim", "outcome", "checks and their numbers", "states of its runs")
    table = Table(
        f"{len(found)} {'claim' if len(found) == 1 else 'claims'} of the plan.",
        tuple(Column(head, numeric=False) for head in heads),
        tuple(map(_row, found)),
    )
    long = tuple(_places(claim) for claim in found if any(len(each.findings) > _LISTED for each in claim.verdicts))
    numbers = [Fold("The numbers of each check at each place", long)] if long else []
    return [table.shorter(), *numbers, Fold("How a claim is checked", (Paragraph(_RULE),))]


_RULE = (
    "A check holds or fails if the difference exceeds two errors, "
    "and for two timings also 20%; otherwise it is not decided. A check that relies on a good value of an "
    "untrusted run is not decided either. An exponent is the local one, between the two largest sizes."
)


def _row(claim: Claim) -> tuple[Entry, ...]:
    several = len(claim.verdicts) > 1
    checks = [f"{verdict.text}: {_summary(verdict, named=several)}" for verdict in claim.verdicts]
    told = "; ".join(checks) or "the plan of this run has no check for it"
    return plain(claim.text), _outcome(claim.outcome), plain(told), plain(status_counts(claim.members))


def _summary(verdict: Verdict, *, named: bool) -> str:
    """The numbers of a check; if it has many places, the count of each outcome and the first place without success."""
    places = verdict.findings
    if len(places) <= _LISTED:
        return (f"{verdict.outcome}, " if named else "") + "; ".join(map(str, places))
    counts = Counter(place.outcome for place in places)
    told = ", ".join(f"{outcome} at {counts[outcome]}" for outcome in Outcome if counts[outcome])
    of = f"{told} of {len(places)} places" if len(counts) > 1 else f"{verdict.outcome} at all {len(places)} places"
    other = next((place for place in places if place.outcome is verdict.outcome is not Outcome.HOLDS), None)
    return of + (f", first {other}" if other else "")


def _places(claim: Claim) -> Table:
    """A table with one row for each place of a claim and one column for each check."""
    places = dict.fromkeys(finding.place for verdict in claim.verdicts for finding in verdict.findings)
    heads = (Column("place", numeric=False), *(Column(verdict.text, numeric=False) for verdict in claim.verdicts))
    rows = ((plain(place or "all"), *(_numbers(verdict, place) for verdict in claim.verdicts)) for place in places)
    return Table(f"{claim.text} {str(claim.outcome).capitalize()}.", heads, tuple(rows))


def _numbers(verdict: Verdict, place: str) -> Entry:
    """The outcome of a check at one place with its numbers."""
    found = [finding for finding in verdict.findings if finding.place == place]
    if not found:
        return MISSING
    told = "; ".join(f"{finding.outcome}: {finding.numbers}" for finding in found)
    return Entry(told, told, tone=_TONES.get(found[0].outcome, "waiting"))


def _outcome(outcome: Outcome) -> Entry:
    return Entry(str(outcome), str(outcome), tone=_TONES.get(outcome, "waiting"))


def _verb(outcome: Outcome, number: int) -> str:
    """The outcome in the singular or plural: `1 holds`, `2 hold`."""
    if outcome in (Outcome.HOLDS, Outcome.FAILS):
        return str(outcome) if number == 1 else str(outcome).removesuffix("s")
    return f"{'is' if number == 1 else 'are'} {outcome}"
