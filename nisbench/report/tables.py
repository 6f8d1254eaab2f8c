"""Results -> tables: the long table that is exported, and tables with one row per sampler and size."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pandas as pd

from nisbench.contract.quantities import describe, exponent_name
from nisbench.contract.records import Estimate, Status
from nisbench.harness.store import Store
from nisbench.report.comparison import Exponent, Group, compared, exponents
from nisbench.report.document import Column, Entry, Table, number, plain
from nisbench.report.results import Measured, Results, load

__all__ = [
    "LONG_COLUMNS",
    "lead_columns",
    "lead_entries",
    "long_rows",
    "long_table",
    "size_table",
    "status_entry",
    "status_name",
    "status_tone",
]

LONG_COLUMNS = (
    *("cell", "plugin", "kind", "plugin_version", "target", "L", "beta", "seed", "device"),
    *("status", "reason", "quantity", "value", "error", "n", "exact", "z"),
)


def long_table(stores: Sequence[Store]) -> pd.DataFrame:
    """One row per cell and quantity, in LONG_COLUMNS; numbers are float64 with NaN for null and inf kept.

    A cell without any quantity has one row with quantity null, so that no failure is lost. `reason` says why the
    quantity has no value where it has none, and why the cell is not `ok` otherwise. Made here, not stored in a cell:
    break_even_samples of every model, and exponent_<cost>, whose rows belong to no cell (cell, L and seed are null).
    """
    table = pd.DataFrame(long_rows(compared(load(stores))), columns=list(LONG_COLUMNS))
    kinds = dict.fromkeys(("L", "seed", "n"), "Int64")
    kinds |= dict.fromkeys(("beta", "value", "error", "exact", "z"), "float64")
    return table.astype({name: kinds.get(name, "object") for name in LONG_COLUMNS})


def long_rows(results: Results) -> list[dict[str, object]]:
    """The rows of the long table; a column that a row does not have is null."""
    rows = [line for row in results.rows for line in _lines(row)]
    return rows + [_exponent_line(found, results) for found in exponents(results.contest)]


def size_table(caption: str, results: Results, groups: Iterable[Group], names: Sequence[str]) -> Table:
    """One row per sampler and size with these quantities; the caption names those that no row holds, and why."""
    shown = list(groups)
    held = [name for name in names if _held(shown, name)]
    left_out = [_absence(shown, name) for name in names if name not in held]
    kinds = [describe(name) for name in held]
    rows = [
        (
            *lead_entries(results, group),
            *(number(group.estimate(name), scale=kind.scale) for name, kind in zip(held, kinds, strict=True)),
        )
        for group in shown
    ]
    if left_out:
        caption += f" Not in this run: {'; '.join(left_out)}."
    heads = (Column(kind.heading, kind.unit, key=name) for name, kind in zip(held, kinds, strict=True))
    return Table(caption, (*lead_columns(results), *heads), tuple(rows))


def lead_columns(results: Results) -> tuple[Column, ...]:
    """The columns that say which row it is; target and beta only where they differ."""
    several = len(results.problems) > 1
    problem = (Column("target", numeric=False, key="place"), Column("β", key="place")) if several else ()
    place, sampler = Column("L", key="place"), Column("sampler", numeric=False, key="sampler")
    return (*problem, place, sampler, Column("status", numeric=False))


def lead_entries(results: Results, group: Group, *, reasons: bool = False) -> tuple[Entry, ...]:
    """The entries of `lead_columns`, with the reasons of the status where they are asked for."""
    problem = (plain(group.problem.target), plain(group.problem.beta)) if len(results.problems) > 1 else ()
    status = status_entry(group)
    return (*problem, plain(group.L), plain(group.label), status if reasons else replace(status, note=""))


def status_entry(group: Group) -> Entry:
    """`ok`, or how many seeds ended how, with the reasons."""
    counts = Counter(status_name(member) for member in group.members)
    several = len(group.members) > 1
    text = ", ".join(f"{count} {name}" if several else name for name, count in counts.items())
    doubtful = [member for member in group.members if member.reason and not member.trusted]
    reasons = [f"seed {m.cell.seed}: {_reason(m)}" if several else _reason(m) for m in doubtful]
    return Entry(text, text, "; ".join(reasons), status_tone(group.members))


def _reason(row: Measured) -> str:
    return f"at the stage {row.reason}" if row.status is None else row.reason or ""


def status_name(row: Measured) -> str:
    """The status in words, of a cell that has not ended too."""
    if row.status is None:
        return "running" if row.reason else "not started"
    return str(row.status)


def status_tone(rows: Iterable[Measured]) -> str:
    """`bad`, `untrusted`, `waiting` or `ok`: the worst there is."""
    tones = {_TONES.get(row.status, "waiting") for row in rows}
    return next(tone for tone in ("bad", "untrusted", "waiting", "ok") if tone in tones)


_TONES: dict[Status | None, str] = {
    Status.OK: "ok",
    Status.UNTRUSTED: "untrusted",
    Status.FAILED: "bad",
    Status.TIMEOUT: "bad",
}


def _held(groups: Sequence[Group], name: str) -> bool:
    found = [group.estimate(name) for group in groups]
    return any(estimate is not None and estimate.value is not None for estimate in found)


def _absence(groups: Sequence[Group], name: str) -> str:
    """The quantity that no row holds, with the reason that its cells give."""
    found = [group.estimate(name) for group in groups]
    reasons = dict.fromkeys(estimate.reason for estimate in found if estimate is not None and estimate.reason)
    because = f" ({'; '.join(filter(None, reasons))})" if reasons else ""
    return f"{describe(name).axis}{because}"


def _lines(row: Measured) -> list[dict[str, object]]:
    """The lines of one cell, quantities in the order of the result."""
    cell = row.cell
    fixed: dict[str, object] = {
        "cell": cell.cell_id,
        "plugin": cell.plugin,
        "kind": cell.kind,
        "plugin_version": cell.plugin_version,
        "target": cell.target,
        "L": cell.L,
        "beta": cell.beta,
        "seed": cell.seed,
        "device": cell.device,
        "status": str(row.status) if row.status is not None else None,
    }
    if not row.quantities:
        return [{**fixed, "reason": row.reason or status_name(row)}]
    return [
        {**fixed, "reason": estimate.reason or row.reason, "quantity": name, **_numbers(estimate)}
        for name, estimate in row.quantities.items()
    ]


def _exponent_line(found: Exponent, results: Results) -> dict[str, object]:
    scale = found.scale
    cell = next(row.cell for row in results.contest if row.label == scale.label)
    return {
        "plugin": cell.plugin,
        "kind": cell.kind,
        "plugin_version": cell.plugin_version,
        "target": scale.problem.target,
        "beta": scale.problem.beta,
        "device": scale.device,
        "status": str(Status.OK),
        "reason": found.fitted.reason,
        "quantity": exponent_name(scale.quantity),
        **_numbers(found.fitted),
    }


def _numbers(estimate: Estimate) -> dict[str, object]:
    return {
        "value": estimate.value,
        "error": estimate.error,
        "n": estimate.n,
        "exact": estimate.exact,
        "z": estimate.z,
    }
