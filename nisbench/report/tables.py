"""Tables with one row for each sampler and size: the leading columns, the status, and a table of given quantities."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from nisbench.contract.quantities import describe
from nisbench.contract.records import Status
from nisbench.report.document import Column, Entry, Table, number, plain
from nisbench.results.cells import CellRow, Results
from nisbench.results.doubts import doubt, timing_doubts
from nisbench.results.groups import SeedGroup

__all__ = ["lead_columns", "lead_entries", "size_table", "status_entry", "status_tone"]

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
    return Table(caption, (*lead_columns(results), *heads), tuple(rows))


def lead_columns(results: Results) -> tuple[Column, ...]:
    """The columns that identify a row: L, sampler, status; target and beta only if the report has several problems."""
    several = len(results.problems) > 1
    problem = (Column("target", numeric=False, key="place"), Column("β", key="place")) if several else ()
    place, sampler = Column("L", key="place"), Column("sampler", numeric=False, key="sampler")
    return (*problem, place, sampler, Column("status", numeric=False))


def lead_entries(results: Results, group: SeedGroup, *, reasons: bool = False) -> tuple[Entry, ...]:
    """The entries of `lead_columns`; with `reasons` the reasons of the status become a note."""
    problem = (plain(group.problem.target), plain(group.problem.beta)) if len(results.problems) > 1 else ()
    status = status_entry(group)
    return (*problem, plain(group.L), plain(group.label), status if reasons else replace(status, note=""))


def status_entry(group: SeedGroup) -> Entry:
    """The status, for several seeds with their numbers (`2 ok, 1 untrusted`); the reasons are the note.

    A trusted group whose two sides differ is `ok, weak`.
    """
    counts = Counter(str(member.state) for member in group.members)
    several = len(group.members) > 1
    text = ", ".join(f"{count} {name}" if several else name for name, count in counts.items())
    doubtful = [member for member in group.members if member.reason and not member.trusted]
    reasons = [f"seed {m.cell.seed}: {_reason(m)}" if several else _reason(m) for m in doubtful]
    timing = timing_doubts(group)
    if why := doubt(group):
        return Entry(f"{text}, weak", f"{text}, weak", "; ".join([f"weak: {why}", *timing]), "weak")
    return Entry(text, text, "; ".join([*reasons, *timing]), status_tone(group.members))


def status_tone(rows: Iterable[CellRow]) -> str:
    """The worst tone among the rows: `bad`, `untrusted`, `waiting` or `ok`."""
    tones = {_TONES.get(row.status, "waiting") for row in rows}
    return next(tone for tone in _TONES_WORST_FIRST if tone in tones)


def _reason(row: CellRow) -> str:
    return f"at the stage {row.reason}" if row.status is None else row.reason or ""


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
