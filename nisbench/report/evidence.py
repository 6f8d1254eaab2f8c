"""Sections that let a reader check: training curves, and observables with their z-scores."""

import math
from collections.abc import Iterator, Sequence

from nisbench.contract.quantities import (
    ABS_MAGNETISATION,
    BINDER_CUMULANT,
    ENERGY,
    ENTROPY,
    ESS_FRACTION,
    KL_NATS,
    SPECIFIC_HEAT,
    SUSCEPTIBILITY,
    describe,
)
from nisbench.contract.records import Estimate
from nisbench.report.charts import figure, fraction_limits, panel_name, problem_note, problem_title, shown_problems
from nisbench.report.comparison import Group, baseline, grouped
from nisbench.report.document import ABSENT, Block, Column, Entry, Paragraph, Section, Table, join, number, plain
from nisbench.report.numbers import concise, score
from nisbench.report.panels import Panel, Point, Series
from nisbench.report.quality import MARKS, undrawn
from nisbench.report.results import Measured, Problem, Results
from nisbench.report.tables import lead_columns, lead_entries

__all__ = ["absence", "observables_section", "shown_sizes", "size_note", "training_section"]

_OBSERVABLES = (ENERGY, SPECIFIC_HEAT, ENTROPY, ABS_MAGNETISATION, SUSCEPTIBILITY, BINDER_CUMULANT)
_Z_EDGE = 7.0
_ON_LOG = "Values at or below zero, which the noise of a small KL can give, are not on a logarithmic axis."
_LOW = 0.1
"""Below this an ESS per draw is drawn on a logarithmic axis."""
_MAX_SIZES = 6


def training_section(results: Results) -> Section:
    """KL and ESS against seconds of training, one line a cell."""
    blocks: list[Block] = [*problem_note(results)]
    for problem in shown_problems(results):
        models = [row for row in results.at(problem) if row.cell.kind == "model"]
        sizes = shown_sizes(models)
        blocks += size_note(models)
        for quantity in (KL_NATS, ESS_FRACTION):
            panels = [_training_panel(results, problem, L, quantity) for L in sizes]
            heading = describe(quantity).heading
            caption = (
                f"{heading} against seconds of training, evaluated at the β of the target with the clock stopped; "
                f"one line a cell. {_ON_LOG if quantity == KL_NATS else ''}"
            )
            if drawn := figure(panels, caption.strip()):
                blocks.append(drawn)
            elif sizes:
                blocks.append(Paragraph(f"{heading}: no training history of this run holds it."))
    return Section("training", "Training", tuple(blocks) or (Paragraph("Nothing was trained in this run."),))


def observables_section(results: Results) -> Section:
    """z-scores of every cell, and the values."""
    rows = [row for row in results.contest if row.measured]
    zs = [z for row in rows for name in _OBSERVABLES if (z := _exact_z(row, name)) is not None]
    blocks: list[Block] = []
    if zs:
        blocks.append(Paragraph(_spread(zs)))
    blocks += problem_note(results)
    for problem in shown_problems(results):
        panels = [_z_panel(results, problem, name) for name in _OBSERVABLES]
        caption = (
            "z-scores, one mark a cell: (value − exact)/error where the exact value is known, and against the cheapest "
            "trusted cluster sampler elsewhere, whose error the marks of one size then have in common. Nine in ten "
            f"independent ones should lie within ±1.6; the dashed lines are 0 and ±5. {MARKS}"
        )
        if drawn := figure(panels, caption):
            blocks.append(drawn)
        blocks += undrawn(_OBSERVABLES, panels)
    groups = [group for group in grouped(results.contest) if group.measured]
    if groups:
        blocks.append(_observable_table(results, groups))
    return Section("observables", "Observables against exact values", tuple(blocks) or (absence("an observable"),))


def absence(what: str) -> Paragraph:
    """That no cell holds `what`."""
    return Paragraph(f"No cell of this run holds {what}.")


def size_note(rows: Sequence[Measured]) -> list[Paragraph]:
    """That not every size is drawn, where that is so."""
    sizes = sorted({row.cell.L for row in rows})
    left_out = [L for L in sizes if L not in shown_sizes(rows)]
    if not left_out:
        return []
    return [Paragraph(f"Drawn are the {_MAX_SIZES} largest of {len(sizes)} sizes; not L = {join(left_out)}.")]


def shown_sizes(rows: Sequence[Measured]) -> list[int]:
    """The sizes that are drawn: the largest ones."""
    return sorted({row.cell.L for row in rows})[-_MAX_SIZES:]


def _training_panel(results: Results, problem: Problem, L: int, quantity: str) -> Panel | None:
    series = []
    named: set[str] = set()
    for row in results.at(problem):
        if row.cell.L != L or row.cell.kind != "model":
            continue
        points = tuple(_curve(row, quantity))
        if points:
            colour = results.labels.index(row.label)
            series.append(Series(row.label, points, colour, shape="curve", named=row.label not in named))
            named.add(row.label)
    if not series:
        return None
    fraction = quantity == ESS_FRACTION
    largest = max(point.y for one in series for point in one.points)
    log = largest > 0 and (not fraction or largest < _LOW)
    return Panel(
        name=panel_name(results, problem, f"training-{quantity}-L{L}"),
        title=problem_title(results, problem, f"{describe(quantity).heading}, L = {L}"),
        x_label="training time (s)",
        y_label=describe(quantity).axis,
        series=tuple(series),
        x_scale="log",
        y_scale="log" if log else "linear",
        y_limits=fraction_limits(log=log) if fraction else None,
        switchable=largest > 0,
    )


def _curve(row: Measured, quantity: str) -> Iterator[Point]:
    for line in row.run.store.history(row.cell.cell_id):
        x, y = line.get("seconds"), line.get(quantity)
        if isinstance(x, int | float) and isinstance(y, int | float) and x > 0:
            yield Point(float(x), float(y))


def _spread(zs: Sequence[float]) -> str:
    within = sum(abs(z) <= 2 for z in zs)
    return (
        f"{len(zs)} z-scores against exact values: {within} within ±2 (about {0.954 * len(zs):.0f} expected if all "
        f"errors are right), the largest |z| is {max(map(abs, zs)):.1f}."
    )


def _exact_z(row: Measured, name: str) -> float | None:
    estimate = row.quantities.get(name)
    return estimate.z if estimate else None


def _z(results: Results, problem: Problem, L: int, own: Estimate | None, name: str, label: str) -> float | None:
    """z against exact, or against the cheapest trusted cluster sampler of the same problem where nothing is exact."""
    if own is None or own.exact is not None:
        return own.z if own else None
    if own.value is None or not own.error:
        return None
    for device in ("cpu", "cuda"):
        base = baseline(results.contest, problem, L, device)
        other = base.estimate(name) if base and base.label != label else None
        if other and other.value is not None and other.error:
            z = (own.value - other.value) / math.hypot(own.error, other.error)
            return z if math.isfinite(z) else None
    return None


def _z_panel(results: Results, problem: Problem, name: str) -> Panel | None:
    series = []
    exact = False
    for colour, label in enumerate(results.labels):
        points = []
        for row in results.at(problem):
            estimate = row.quantities.get(name)
            if row.label != label or not row.measured:
                continue
            z = _z(results, problem, row.cell.L, estimate, name, label)
            exact |= estimate is not None and estimate.exact is not None
            if z is not None:
                points.append(Point(float(row.cell.L), z, None, row.trusted))
        if points:
            series.append(Series(label, tuple(points), colour))
    if not series:
        return None
    heading = describe(name).heading
    return Panel(
        name=panel_name(results, problem, f"z-{name}"),
        title=problem_title(results, problem, heading),
        x_label="L",
        y_label="z against exact" if exact else "z against the cluster sampler",
        series=tuple(series),
        y_limits=(-_Z_EDGE, _Z_EDGE),
        levels=(-5.0, 0.0, 5.0),
        joined=False,
    )


def _observable_table(results: Results, groups: Sequence[Group]) -> Table:
    heads = [*lead_columns(results)]
    for name in _OBSERVABLES:
        short = describe(name).heading.removesuffix(" per site")
        heads += [Column(short), Column(f"z: {short}")]
    rows: list[tuple[Entry, ...]] = []
    place = None
    for group in groups:
        if place != (group.problem, group.L):
            place = (group.problem, group.L)
            rows += _exact_row(results, [g for g in groups if (g.problem, g.L) == place])
        entries: list[Entry] = []
        for name in _OBSERVABLES:
            estimate = group.estimate(name)
            z = _z(results, group.problem, group.L, estimate, name, group.label)
            entries += [number(estimate), _score(z)]
        rows.append((*lead_entries(results, group), *entries))
    caption = (
        "Observables per site (means over seeds). A model's are reweighted (NIS). z is against the exact value, and "
        "for |m|, susceptibility and Binder cumulant, which have none, against the cheapest trusted cluster sampler."
    )
    return Table.of(caption, heads, rows)


def _exact_row(results: Results, groups: Sequence[Group]) -> list[tuple[Entry, ...]]:
    """One row with the exact values of the place, if there are any."""
    entries: list[Entry] = []
    for name in _OBSERVABLES:
        found = [e.exact for group in groups if (e := group.estimate(name)) and e.exact is not None]
        absent = Entry(ABSENT, tone="missing")
        entries += [Entry(concise(found[0], digits=8), found[0]) if found else absent, absent]
    if all(entry.text == ABSENT for entry in entries):
        return []
    lead = lead_entries(results, groups[0])
    return [(*lead[:-2], plain("exact"), Entry("", ""), *entries)]


def _score(z: float | None) -> Entry:
    if z is None:
        return Entry(ABSENT, tone="missing")
    return Entry(score(z), z, tone="bad" if abs(z) > 5 else "")
