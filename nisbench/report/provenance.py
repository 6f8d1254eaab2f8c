"""Sections on where the numbers come from: published values, failures, versions, hardware, how to repeat a row."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from nisbench.contract.quantities import (
    DRAW_S_PER_1000,
    ESS_FRACTION,
    ESS_FRACTION_P,
    FREE_ENERGY_NIS,
    FREE_ENERGY_VARIATIONAL,
    KL_NATS,
    LOG_Z_PER_SITE,
    RELATIVE_FREE_ENERGY_ERROR,
    TAU_INT_ABS_MAGNETISATION,
    TAU_INT_ENERGY,
    TRAIN_S,
    describe,
)
from nisbench.contract.records import Budget, Cell, Estimate, canonical_json
from nisbench.report.document import Block, Code, Column, Entry, Paragraph, Section, Table, number, plain, z_entry
from nisbench.report.numbers import as_printed, significant
from nisbench.report.published import Value, published
from nisbench.report.results import Measured, Results, Run
from nisbench.report.tables import status_name, status_tone

__all__ = ["failures_section", "provenance_section", "published_section"]

_PUBLISHED_QUANTITIES = (
    KL_NATS,
    RELATIVE_FREE_ENERGY_ERROR,
    FREE_ENERGY_VARIATIONAL,
    FREE_ENERGY_NIS,
    ESS_FRACTION,
    ESS_FRACTION_P,
    TAU_INT_ENERGY,
    TAU_INT_ABS_MAGNETISATION,
    TRAIN_S,
    DRAW_S_PER_1000,
)
_ENVIRONMENT = ("started", "nisbench", "python", "torch", "numpy", "scipy", "numba", "cpu", "cores", "gpu", "platform")
_GIB = 2.0**30


def published_section(results: Results) -> Section:
    """What others print, with sources; independent of the run."""
    known = published()
    drawn = sorted({value.method for problem in results.problems for value in known.at(problem.target, problem.beta)})
    heads = (
        Column("method", numeric=False),
        Column("L"),
        Column("β"),
        Column("mean(ln q + β E)"),
        *(Column(describe(name).heading, describe(name).unit) for name in _PUBLISHED_QUANTITIES),
        Column("hardware", numeric=False),
    )
    blocks: list[Block] = [
        Paragraph(
            "Not measured here. The values at a β of this run are the grey marks in the figures"
            f"{': ' + ', '.join(drawn) if drawn else '; there are none'}. τ_int in the convention of this report."
        ),
        Table.of("Published values.", heads, (_published_row(value) for value in known.values)),
        Table(
            "Published statements.",
            (Column("statement", numeric=False), Column("source", numeric=False)),
            tuple((plain(statement.text), plain(statement.source)) for statement in known.statements),
        ),
    ]
    return Section("published", "Published values", tuple(blocks))


def failures_section(results: Results) -> Section:
    """Every cell that is not ok, with its reason."""
    rows = [row for row in results.rows if not row.trusted]
    if not rows:
        return Section("failures", "What did not work", (Paragraph("Every cell of this run is ok."),))
    heads = (
        Column("sampler", numeric=False),
        Column("L"),
        Column("β"),
        Column("seed"),
        Column("device", numeric=False),
        Column("status", numeric=False),
        Column("reason", numeric=False),
        Column("cell", numeric=False),
    )
    lines = tuple(
        (
            plain(row.label),
            plain(row.cell.L),
            plain(row.cell.beta),
            plain(row.cell.seed),
            plain(row.cell.device),
            Entry(status_name(row), status_name(row), tone=status_tone([row])),
            plain(row.reason or "waiting for its turn"),
            plain(row.cell.cell_id, "code"),
        )
        for row in rows
    )
    caption = (
        f"{len(rows)} of {len(results.rows)} cells are not ok. The numbers of untrusted ones are shown and marked."
    )
    return Section("failures", "What did not work", (Table(caption, heads, lines),))


def provenance_section(results: Results) -> Section:
    """Commands, versions, hardware, settings and the cells."""
    blocks: list[Block] = []
    for run in results.runs:
        blocks += _run(run, len(results.runs) > 1)
    if results.repeated:
        blocks.append(
            Paragraph(
                f"{results.repeated} cells are in more than one of these runs; each is shown once, from the first run "
                "that finished it."
            )
        )
    blocks += [
        Paragraph(
            "To repeat one row, delete the folder cells/<cell> in the folder of its run and give the command of the "
            "run again: every other finished cell is kept. With a budget in steps, on the same hardware and versions, "
            "the series and quantities come out the same, timings apart. The cell's name is a hash of every setting "
            "below."
        ),
        _settings(results),
        _cells(results),
    ]
    return Section("provenance", "Provenance, and how to repeat each row", tuple(blocks))


def _published_row(value: Value) -> tuple[Entry, ...]:
    absent = Entry("–", "", tone="missing")
    signal = value.quantities.get("signal")
    held = [(value.quantities.get(name), describe(name).scale) for name in _PUBLISHED_QUANTITIES]
    numbers = [_printed(estimate, scale) if estimate else absent for estimate, scale in held]
    note = f"{value.source}{'; ' if value.remark else ''}{value.remark}"
    return (
        Entry(value.method, value.method, note),
        plain(value.L),
        Entry(significant(value.beta, 7).rstrip("0"), value.beta),
        _printed(signal, 1.0) if signal else absent,
        *numbers,
        plain(value.device) if value.device else absent,
    )


def _printed(estimate: Estimate, scale: float) -> Entry:
    """The number as its source prints it."""
    if estimate.error is not None or estimate.value is None:
        return number(estimate, scale=scale)
    return Entry(as_printed(estimate.value / scale), estimate.value / scale)


def _run(run: Run, several: bool) -> Iterator[Block]:
    title = str(run.plan.get("title") or run.name)
    yield Paragraph(f"{f'Run {run.number}: ' if several else 'Run: '}plan {run.name}, {title}. The exact command:")
    yield Code(str(run.environment.get("command") or run.plan.get("command") or "not recorded"))
    yield Table(
        f"Versions and hardware of {f'run {run.number}' if several else 'the run'}.",
        (Column("what", numeric=False), Column("value", numeric=False)),
        tuple((plain(name), plain(value)) for name, value in _facts(run.environment)),
    )
    yield Table(
        f"The plan of {f'run {run.number}' if several else 'the run'}.",
        (
            Column("group", numeric=False),
            Column("plugins", numeric=False),
            Column("L", numeric=False),
            Column("β", numeric=False),
            Column("seeds", numeric=False),
            Column("cells"),
        ),
        tuple(_group_row(group) for group in run.plan.get("groups", ())),
    )


def _facts(environment: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The environment as names and texts, the usual entries first."""
    rest = sorted(key for key in environment if key not in (*_ENVIRONMENT, "command", "resumed", "memory_bytes"))
    for key in (*_ENVIRONMENT, *rest):
        if key in environment:
            value = environment[key]
            yield key, "none" if value is None else value if isinstance(value, str) else canonical_json(value)
    if isinstance(memory := environment.get("memory_bytes"), int | float):
        yield "memory", f"{significant(memory / _GIB, 3)} GiB"
    for i, later in enumerate(environment.get("resumed", ())):
        changes = "; ".join(f"{key} {value}" for key, value in sorted(later.items()))
        yield f"resumed, {i + 1}", changes or "nothing had changed"


def _group_row(group: Mapping[str, Any]) -> tuple[Entry, ...]:
    listed = [", ".join(f"{item}" for item in group.get(key, ())) for key in ("plugins", "sizes", "beta", "seeds")]
    return (plain(group.get("name") or "–"), *(plain(text) for text in listed), plain(len(group.get("cells", ()))))


def _settings(results: Results) -> Table:
    """The options of every sampler, one row for all cells that share them."""
    shared: dict[tuple[str, ...], list[Measured]] = {}
    for row in results.rows:
        shared.setdefault(_setting(row.cell, row.label), []).append(row)
    rows = [
        (*(plain(text) for text in key[:-1]), plain(_sorted_sizes(members)), Entry(key[-1], key[-1], tone="code"))
        for key, members in shared.items()
    ]
    heads = ("sampler", "plugin", "version", "dtype", "training budget", "draws", "L", "options")
    caption = "Settings; a name says how a variant differs from what more than half of them have."
    return Table(caption, tuple(Column(head, numeric=False) for head in heads), tuple(rows))


def _setting(cell: Cell, label: str) -> tuple[str, ...]:
    options = " ".join(f"{key}={value}" for key, value in sorted(cell.options.items())) or "none"
    draws = f"{cell.draws}" + (f", and {cell.reference_draws} as the reference" if cell.reference_draws else "")
    return label, cell.plugin, cell.plugin_version, cell.dtype, _budget(cell.budget), draws, options


def _budget(budget: Budget | None) -> str:
    return "–" if budget is None else str(budget)


def _sorted_sizes(rows: Iterable[Measured]) -> str:
    return ", ".join(str(L) for L in sorted({row.cell.L for row in rows}))


def _cells(results: Results) -> Table:
    several = len(results.runs) > 1
    heads = (
        Column("cell", numeric=False),
        *((Column("run"),) if several else ()),
        Column("sampler", numeric=False),
        Column("L"),
        Column("β"),
        Column("seed"),
        Column("status", numeric=False),
        Column("ESS q side"),
        Column("ESS p side"),
        Column("z of ln Z"),
        Column("reference cell", numeric=False),
        Column("device", numeric=False),
        Column("notes", numeric=False),
    )
    lines = (_cell_row(row, several) for row in results.rows)
    return Table.of("The cells, every seed by itself.", heads, lines)


def _cell_row(row: Measured, several: bool) -> tuple[Entry, ...]:
    cell = row.cell
    notes = "; ".join(f"{key}: {value}" for key, value in sorted(row.notes.items()) if key != "device_name")
    return (
        plain(cell.cell_id, "code"),
        *((plain(row.run.number),) if several else ()),
        plain(row.label),
        plain(cell.L),
        plain(cell.beta),
        plain(cell.seed),
        Entry(status_name(row), status_name(row), tone=status_tone([row])),
        *(replace(number(row.quantities.get(name)), note="") for name in (ESS_FRACTION, ESS_FRACTION_P)),
        z_entry(row.quantities.get(LOG_Z_PER_SITE)),
        plain(cell.reference or "–", "code" if cell.reference else ""),
        plain(f"{cell.device}: {row.device_name}"),
        plain(notes or "–"),
    )
