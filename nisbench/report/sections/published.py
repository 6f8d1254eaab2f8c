"""Section with published values and statements, which do not depend on the run."""

from dataclasses import replace

from nisbench.contract.quantities import (
    DRAW_S_PER_1000,
    ESS_FRACTION,
    ESS_FRACTION_P,
    FREE_ENERGY_NIS,
    FREE_ENERGY_VARIATIONAL,
    KL_NATS,
    RELATIVE_FREE_ENERGY_ERROR,
    TAU_INT_ABS_MAGNETISATION,
    TAU_INT_ENERGY,
    TRAIN_S,
    describe,
)
from nisbench.contract.records import Estimate
from nisbench.report.document import Block, Column, Entry, Paragraph, Section, Table, beta_entry, number, plain
from nisbench.results.cells import Results
from nisbench.results.numbers import as_printed
from nisbench.results.published import PublishedValue, published

__all__ = ["published_section"]

_COLUMNS = (
    *(KL_NATS, RELATIVE_FREE_ENERGY_ERROR, FREE_ENERGY_VARIATIONAL, FREE_ENERGY_NIS, ESS_FRACTION, ESS_FRACTION_P),
    *(TAU_INT_ENERGY, TAU_INT_ABS_MAGNETISATION, TRAIN_S, DRAW_S_PER_1000),
)
_SIGNAL = "signal"
"""mean(ln q + β E), which some sources print in place of a free energy."""
_ABSENT = Entry("–", "", tone="missing")


def published_section(results: Results) -> Section:
    """Tables of published values and statements with their sources."""
    known = published()
    drawn = sorted({value.method for problem in results.problems for value in known.at(problem.target, problem.beta)})
    heads = (
        Column("method", numeric=False),
        Column("L"),
        Column("β"),
        Column("mean(ln q + β E)"),
        *(Column(describe(name).heading, describe(name).unit) for name in _COLUMNS),
        Column("hardware", numeric=False),
    )
    blocks: list[Block] = [
        Paragraph(
            "These values were not measured here. Those at a β of this run are the grey marks in the figures"
            f"{': ' + ', '.join(drawn) if drawn else '; there are none'}. τ_int is in the convention of this report. "
            "Times are those of the machines of the sources; they cannot be compared with the times of this run."
        ),
        Table.of("Published values.", heads, (_row(value) for value in known.values)),
        Table(
            "Published statements.",
            (Column("statement", numeric=False), Column("source", numeric=False)),
            tuple((plain(statement.text), plain(statement.source)) for statement in known.statements),
        ),
    ]
    return Section("published", "What do published sources report?", tuple(blocks), "Published values")


def _row(value: PublishedValue) -> tuple[Entry, ...]:
    note = f"{value.source}{'; ' if value.remark else ''}{value.remark}"
    return (
        Entry(value.method, value.method, note),
        plain(value.L),
        beta_entry(value.beta),
        *(_number(value, name) for name in (_SIGNAL, *_COLUMNS)),
        plain(value.device) if value.device else _ABSENT,
    )


def _number(value: PublishedValue, name: str) -> Entry:
    """The number as its source prints it. A time is dimmed and gets the machine as its note."""
    entry = _printed(value.quantities.get(name), describe(name).scale)
    if entry is _ABSENT or not describe(name).timed:
        return entry
    machine = f"measured on {value.device}" if value.device else "measured on a machine that the source does not name"
    return replace(entry, tone="missing", note=f"{machine}, not comparable with the times of this run")


def _printed(estimate: Estimate | None, scale: float) -> Entry:
    """The number as its source prints it."""
    if estimate is None:
        return _ABSENT
    if estimate.error is not None or estimate.value is None:
        return number(estimate, scale=scale)
    return Entry(as_printed(estimate.value / scale), estimate.value / scale)
