"""The claims that the plans set out to check, with their outcomes, as blocks and as one sentence of the report."""

from collections import Counter

from nisbench.report.document import Block, Column, Entry, Fold, Paragraph, Table, plain
from nisbench.results.cells import Results
from nisbench.results.claim_outcomes import Claim, Outcome, claims
from nisbench.results.rows import status_counts

__all__ = ["claim_blocks", "claim_sentence"]

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
    """A table with one row for each claim: the outcome, and each check with its numbers; empty without claims."""
    found = claims(results)
    if not found:
        return []
    heads = ("claim", "outcome", "checks and their numbers", "states of its runs")
    return [
        Table(
            f"{len(found)} {'claim' if len(found) == 1 else 'claims'} of the plan.",
            tuple(Column(head, numeric=False) for head in heads),
            tuple(map(_row, found)),
        ).shorter(),
        Fold("How a claim is checked", (Paragraph(_RULE),)),
    ]


_RULE = (
    "A check holds or fails if the difference exceeds two errors, "
    "and for two timings also 20%; otherwise it is not decided. A check that relies on a good value of an "
    "untrusted run is not decided either. An exponent is the local one, between the two largest sizes."
)


def _row(claim: Claim) -> tuple[Entry, ...]:
    several = len(claim.verdicts) > 1
    checks = [
        f"{verdict.text}: {f'{verdict.outcome}, ' if several else ''}{verdict.numbers}" for verdict in claim.verdicts
    ]
    told = "; ".join(checks) or "the plan of this run has no check for it"
    outcome = Entry(str(claim.outcome), str(claim.outcome), tone=_TONES.get(claim.outcome, "waiting"))
    return plain(claim.text), outcome, plain(told), plain(status_counts(claim.members))


def _verb(outcome: Outcome, number: int) -> str:
    """The outcome in the singular or plural: `1 holds`, `2 hold`."""
    if outcome in (Outcome.HOLDS, Outcome.FAILS):
        return str(outcome) if number == 1 else str(outcome).removesuffix("s")
    return f"{'is' if number == 1 else 'are'} {outcome}"
