"""Section on the origin of the numbers: commands, versions, hardware, settings, and how to repeat a row."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from nisbench.contract.quantities import ESS_FRACTION, ESS_FRACTION_P, LOG_Z_PER_SITE
from nisbench.contract.records import Cell, canonical_json
from nisbench.report.document import (
    Block,
    Code,
    Column,
    Entry,
    Paragraph,
    Section,
    Table,
    beta_entry,
    number,
    plain,
    z_entry,
)
from nisbench.report.tables import status_tone
from nisbench.results.cells import Results
from nisbench.results.numbers import significant
from nisbench.results.rows import CellRow, StoredRun
from nisbench.results.targets import beta_text

__all__ = ["provenance_section"]

_ENVIRONMENT = ("started", "nisbench", "python", "torch", "numpy", "scipy", "numba", "cpu", "cores", "gpu", "platform")
"""Entries of the environment that come first, in this order."""
_SHOWN_ELSEWHERE = ("command", "resumed", "memory_bytes")
_GIB = 2.0**30


def provenance_section(results: Results) -> Section:
    """Commands, versions, hardware, settings and all cells."""
    blocks: list[Block] = []
    for run in results.runs:
        blocks += _run(run, len(results.runs) > 1)
    if results.repeated:
        blocks.append(
            Paragraph(
                f"{results.repeated} cells are in more than one of these runs. Each is shown once, from the first run "
                "that finished it."
            )
        )
    blocks += [
        Paragraph(
            "To repeat one row, delete the folder cells/<cell> in the folder of its run and repeat the command of the "
            "run; every other finished cell is kept. With a budget in steps, on the same hardware and versions, the "
            "series and quantities are the same, except for timings. The name of a cell is a hash of all settings "
            "below."
        ),
        _settings(results),
        _cells(results),
    ]
    return Section("provenance", "How was this measured, and how can you repeat it?", tuple(blocks), "Provenance")


def _run(run: StoredRun, several: bool) -> Iterator[Block]:
    title, name = str(run.plan.get("title") or run.name), f"run {run.number}" if several else "the run"
    yield Paragraph(f"{f'Run {run.number}: ' if several else 'Run: '}plan {run.name}, {title}. The exact command:")
    yield Code(str(run.environment.get("command") or run.plan.get("command") or "not recorded"))
    yield Table(
        f"Versions and hardware of {name}.",
        (Column("entry", numeric=False), Column("value", numeric=False)),
        tuple((plain(key), plain(value)) for key, value in _facts(run.environment)),
    )
    heads = ("group", "plugins", "L", "β", "seeds")
    yield Table(
        f"The plan of {name}.",
        (*(Column(head, numeric=False) for head in heads), Column("cells")),
        tuple(_group_row(group) for group in run.plan.get("groups", ())),
    )


def _facts(environment: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and texts of the environment, the usual entries first."""
    rest = sorted(key for key in environment if key not in (*_ENVIRONMENT, *_SHOWN_ELSEWHERE))
    for key in (*_ENVIRONMENT, *rest):
        if key in environment:
            value = environment[key]
            yield key, "none" if value is None else value if isinstance(value, str) else canonical_json(value)
    if isinstance(memory := environment.get("memory_bytes"), int | float):
        yield "memory", f"{significant(memory / _GIB, 3)} GiB"
    for i, later in enumerate(environment.get("resumed", ())):
        changes = "; ".join(f"{key} {value}" for key, value in sorted(later.items()))
        yield f"resumed, {i + 1}", changes or "no changes"


def _group_row(group: Mapping[str, Any]) -> tuple[Entry, ...]:
    betas = [beta_text(float(beta)) for beta in group.get("beta", ())]
    lists = (group.get("plugins", ()), group.get("sizes", ()), betas, group.get("seeds", ()))
    listed = [", ".join(f"{item}" for item in items) for items in lists]
    return (plain(group.get("name") or "–"), *(plain(text) for text in listed), plain(len(group.get("cells", ()))))


def _settings(results: Results) -> Table:
    """The options of every sampler, one row for all cells that share them."""
    sizes: dict[tuple[str, ...], set[int]] = {}
    for row in results.rows:
        sizes.setdefault(_setting(row.cell, row.label), set()).add(row.cell.L)
    rows = [
        (
            *(plain(text) for text in key[:-1]),
            plain(", ".join(map(str, sorted(Ls)))),
            Entry(key[-1], key[-1], tone="code"),
        )
        for key, Ls in sizes.items()
    ]
    heads = ("sampler", "plugin", "version", "dtype", "training budget", "draws", "L", "options")
    caption = "Settings. The name of a variant lists the settings that more than half of the variants do not share."
    return Table(caption, tuple(Column(head, numeric=False) for head in heads), tuple(rows)).shorter()


def _setting(cell: Cell, label: str) -> tuple[str, ...]:
    """All settings of a cell except L, as texts; the options come last."""
    options = " ".join(f"{key}={value}" for key, value in sorted(cell.options.items())) or "none"
    draws = f"{cell.draws}" + (f", and {cell.reference_draws} as the reference" if cell.reference_draws else "")
    budget = "–" if cell.budget is None else str(cell.budget)
    return label, cell.plugin, cell.plugin_version, cell.dtype, budget, draws, options


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
    return Table.of(
        "All cells, each seed separately.", heads, (_cell_row(row, several) for row in results.rows)
    ).shorter()


def _cell_row(row: CellRow, several: bool) -> tuple[Entry, ...]:
    cell = row.cell
    notes = "; ".join(f"{key}: {value}" for key, value in sorted(row.notes.items()))
    return (
        plain(cell.cell_id, "code"),
        *((plain(row.run.number),) if several else ()),
        plain(row.label),
        plain(cell.L),
        beta_entry(cell.beta),
        plain(cell.seed),
        Entry(str(row.state), str(row.state), tone=status_tone([row])),
        *(replace(number(row.quantities.get(name)), note="") for name in (ESS_FRACTION, ESS_FRACTION_P)),
        z_entry(row.z(LOG_Z_PER_SITE)),
        plain(cell.reference or "–", "code" if cell.reference else ""),
        plain(f"{cell.device}: {row.device_name}"),
        plain(notes or "–"),
    )
