"""Tables with one row for each sampler and size: the leading columns, the status, and a table of given quantities."""

from collections import Counter
from collections.abc import Iterable, Sequence

from nisbench.contract.quantities import describe
from nisbench.contract.records import Status
from nisbench.report.document import Column, Entry, Table, beta_entry, number, plain
from nisbench.results.cells import Results
from nisbench.results.doubts import doubt, timing_doubts
from nisbench.results.groups import SeedGroup
from nisbench.results.rows import CellRow, Problem
from nisbench.results.targets import beta_text

__all__ = [
    "REASONS",
    "lead_columns",
    "lead_entries",
    "place_columns",
    "place_entries",
    "place_text",
    "size_table",
    "status_entry",
    "status_tone",
]

REASONS = "reasons"
"""Anchor of the list of the reasons of every status, to which each status links."""

_TONES: dict[Status | None, str] = {
    Status.OK: "ok",
    Status.UNTRUSTED: "untrusted",
    Status.FAILED: "bad",
    Status.TIMEOUT: "bad",
}
_TONES_WORST_FIRST = ("bad", "untrusted", "waiting", "ok")


def size_table(caption: str, results: Results, groups: Iterable[SeedGroup], quantities: Sequence[str]) -> Table:
    """One row for each sampler and size, one column for each quantity that a row has.

    The caption names the other quantities, with the reasons that the cells give.
    """
    shown = list(groups)
    rows_of = [describe(name) for name in quantities if _known(shown, name)]
    left_out = [_absence(shown, name) for name in quantities if not _known(shown, name)]
    rows = [
        (*lead_entries(results, group), *(number(group.estimate(row.name), scale=row.scale) for row in rows_of))
        for group in shown
    ]
    if left_out:
        caption += f" Not in this run: {'; '.join(left_out)}."
    heads = (Column(row.heading, row.unit, key=row.name) for row in rows_of)
    return Table(caption, (*lead_columns(results), *heads), tuple(rows)).shorter()


def place_columns(results: Results) -> tuple[Column, ...]:
    """The columns of target, beta and L, each only if the report has several of them."""
    heads = (Column("target", numeric=False, key="place"), Column("β", key="place"), Column("L", key="size"))
    return tuple(head for head, shown in zip(heads, results.several, strict=True) if shown)


def place_entries(results: Results, problem: Problem, L: int) -> tuple[Entry, ...]:
    """The entries of `place_columns`."""
    entries = (plain(problem.target), beta_entry(problem.beta), plain(L))
    return tuple(entry for entry, shown in zip(entries, results.several, strict=True) if shown)


def place_text(results: Results) -> str:
    """What all rows share of target, beta and L, as `ising, β = 0.44`; empty if they share nothing."""
    if not results.rows:
        return ""
    first = results.rows[0]
    texts = (first.problem.target, f"β {beta_text(first.cell.beta)}", f"L = {first.cell.L}")
    return ", ".join(text for text, several in zip(texts, results.several, strict=True) if not several)


def lead_columns(results: Results) -> tuple[Column, ...]:
    """The columns that identify a row and its status: target, beta, L, sampler, status."""
    sampler = Column("sampler", numeric=False, key="sampler")
    return (*place_columns(results), sampler, Column("status", numeric=False))


def lead_entries(results: Results, group: SeedGroup) -> tuple[Entry, ...]:
    """The entries of `lead_columns`."""
    return (*place_entries(results, group.problem, group.L), plain(group.label), status_entry(group))


def status_entry(group: SeedGroup) -> Entry:
    """The status, for several seeds with their numbers (`2 ok, 1 untrusted`), with a link to the reasons.

    A trusted group whose two sides differ is `ok, weak`.
    """
    counts = Counter(str(member.state) for member in group.members)
    several = len(group.members) > 1
    text = ", ".join(f"{count} {name}" if several else name for name, count in counts.items())
    if doubt(group):
        return Entry(f"{text}, weak", f"{text}, weak", tone="weak", link=REASONS)
    doubtful = not group.trusted or timing_doubts(group)
    return Entry(text, text, tone=status_tone(group.members), link=REASONS if doubtful else "")


def status_tone(rows: Iterable[CellRow]) -> str:
    """The worst tone among the rows: `bad`, `untrusted`, `waiting` or `ok`."""
    tones = {_TONES.get(row.status, "waiting") for row in rows}
    return next(tone for tone in _TONES_WORST_FIRST if tone in tones)


def _known(groups: Sequence[SeedGroup], name: str) -> bool:
    """True if at least one group has a value of the quantity."""
    estimates = [group.estimate(name) for group in groups]
    return any(estimate is not None and estimate.value is not None for estimate in estimates)


def _absence(groups: Sequence[SeedGroup], name: str) -> str:
    """The heading of a quantity that no row has, with the reasons that the cells give."""
    estimates = [group.estimate(name) for group in groups]
    reasons = dict.fromkeys(estimate.reason for estimate in estimates if estimate is not None and estimate.reason)
    because = f" ({'; '.join(filter(None, reasons))})" if reasons else ""
    return f"{describe(name).axis}{because}"
