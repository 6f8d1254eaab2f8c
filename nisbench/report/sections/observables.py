"""Section on observables: their z-scores against exact values, and the values themselves."""

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import lru_cache

from nisbench.contract.quantities import ENTROPY, Part, describe, select
from nisbench.contract.records import Estimate
from nisbench.report.charts import MARKS, figure, undrawn
from nisbench.report.document import (
    ABSENT,
    MISSING,
    Block,
    Column,
    Entry,
    Paragraph,
    Section,
    Table,
    number,
    plain,
    value_entry,
    z_entry,
)
from nisbench.report.overlaps import overlap_blocks
from nisbench.report.panels import Panel, Point, Series
from nisbench.report.selection import absence, drawn_seeds, shown_seeds
from nisbench.report.sweeps import Sweep, sweep_note, sweeps
from nisbench.report.tables import lead_columns, lead_entries
from nisbench.results.cells import Results
from nisbench.results.groups import SeedGroup
from nisbench.results.rows import CellRow, Problem

__all__ = ["observables_section"]

_OBSERVABLES = select(Part.OBSERVABLE)
_COUNTED = tuple(name for name in _OBSERVABLES if name != ENTROPY)
"""Observables whose z-scores are counted; the error of the entropy is mostly that of the energy."""
_WITHIN_TWO = math.erf(math.sqrt(2))
"""Probability of |z| <= 2 for a normal z, 0.954."""
_SHOWN_SEEDS = 20
"""Largest number of seeds of one sampler and size in a figure, beside the worst."""
_Z_EDGE = 7.0
"""Largest |z| on the axis."""


def observables_section(results: Results) -> Section:
    """z-scores of every cell as figures, and the means over seeds as a table."""
    rows = [row for row in results.contest if row.trusted]
    zs = [z for row in rows for name in _COUNTED if (z := row.z(name)) is not None]
    blocks: list[Block] = []
    if zs:
        blocks.append(Paragraph(_spread(zs)))
    blocks += sweep_note(results)
    for sweep in sweeps(results):
        panels = [_z_panel(sweep, name) for name in _shown(results)]
        caption = (
            "z-scores, one mark for each cell: (value − exact)/error if the exact value is known. Otherwise the value "
            "is compared with the baseline, the cheapest trusted sampler without training, and all marks of one size "
            "share its error. Nine in ten independent z-scores should lie within ±1.6; the dashed lines are 0 and ±5. "
            f"{_seed_note(results)}{MARKS}"
        )
        if drawn := figure(panels, caption):
            blocks.append(drawn)
        blocks += undrawn(_shown(results), panels)
    groups = [group for group in results.groups if group.measured]
    if groups:
        blocks.append(_table(results, groups))
    blocks += overlap_blocks(results)
    title = "Do the observables agree with exact values?"
    return Section("observables", title, tuple(blocks) or (absence("an observable"),), "Observables")


def _seed_note(results: Results) -> str:
    """The sentence that some seeds are not drawn; empty if all are drawn."""
    most = max((len(group.members) for group in results.groups), default=0)
    first = drawn_seeds(results, _SHOWN_SEEDS)
    return (
        f"At most {first + 1} seeds of a sampler are drawn: the first {first} and the worst. " if most > first else ""
    )


@lru_cache(maxsize=1)
def _shown(results: Results) -> tuple[str, ...]:
    """The observables that a cell has: a spin glass has none of the magnetisation."""
    having = {name for row in results.contest for name in row.quantities}
    return tuple(name for name in _OBSERVABLES if name in having)


def _spread(zs: Sequence[float]) -> str:
    """The number of z-scores within 2, beside the number that right errors give on average."""
    within = sum(abs(z) <= 2 for z in zs)
    expected = _WITHIN_TWO * len(zs)
    spread = math.sqrt(expected * (1 - _WITHIN_TWO))
    usual = "as expected" if abs(within - expected) <= max(2 * spread, 1) else "not as expected"
    return (
        f"{within} of {len(zs)} z-scores of trusted runs against exact values are within ±2, {usual}: right errors "
        f"give {expected:.0f} on average. The largest |z| is {max(map(abs, zs)):.1f}. The entropy is left out, "
        "because its error is mostly that of the energy."
    )


def _z(results: Results, problem: Problem, L: int, own: Estimate | None, name: str, label: str) -> float | None:
    """z against the exact value, or against the baseline if no exact value is known."""
    if own is None or own.exact is not None:
        return own.z if own else None
    if own.value is None or not own.error:
        return None
    for device in ("cpu", "cuda"):
        base = results.baselines.at(problem, L, device)
        # A sampler is not compared with itself.
        other = base.estimate(name) if base and base.label != label else None
        if other and other.value is not None and other.error:
            z = (own.value - other.value) / math.hypot(own.error, other.error)
            return z if math.isfinite(z) else None
    return None


def _z_panel(sweep: Sweep, name: str) -> Panel | None:
    """One mark for each cell; a dot plot if all cells lie at one place."""
    looks, most = sweep.marks, drawn_seeds(sweep.results, _SHOWN_SEEDS)
    series = []
    for label in dict.fromkeys(sweep.name(group) for group in sweep.groups):
        groups = [group for group in sweep.groups if sweep.name(group) == label]
        points = tuple(point for group in groups for point in _z_points(sweep, group, name, most))
        if points:
            series.append(Series(label, points, looks[label]))
    if not series:
        return None
    rows = [row for group in sweep.groups for row in group.members]
    exact = any(name in row.quantities and row.quantities[name].exact is not None for row in rows if row.measured)
    return Panel(
        name=sweep.file(f"z-{name}"),
        title=sweep.title(describe(name).heading),
        x_label=sweep.axis,
        y_label="z against exact" if exact else "z against the baseline",
        series=tuple(series),
        x_scale="values" if sweep.axis == "β" else "size",
        y_limits=(-_Z_EDGE, _Z_EDGE),
        levels=(-5.0, 0.0, 5.0),
        joined=False,
        rows=sweep.single,
    )


def _z_points(sweep: Sweep, group: SeedGroup, name: str, most: int) -> Iterator[Point]:
    place = sweep.place(group)
    if place is None:
        return

    def score(row: CellRow) -> float | None:
        return _z(sweep.results, group.problem, group.L, row.quantities.get(name), name, group.label)

    rows = [row for row in group.members if row.measured]
    for row in shown_seeds(rows, most, lambda row: abs(score(row) or 0.0)):
        z = score(row)
        if z is not None:
            yield Point(place, z, None, row.trusted)


def _table(results: Results, groups: Sequence[SeedGroup]) -> Table:
    heads = [*lead_columns(results)]
    for name in _shown(results):
        short = describe(name).heading.removesuffix(" per site")
        heads += [Column(short), Column(f"z: {short}")]
    rows: list[tuple[Entry, ...]] = []
    for _, together in itertools.groupby(groups, key=lambda group: (group.problem, group.L)):
        here = list(together)
        rows += _exact_row(results, here)
        rows += [(*lead_entries(results, group), *_entries(results, group)) for group in here]
    caption = (
        "Observables per site, means over seeds. The observables of a model are reweighted (NIS). z is against the "
        "exact value. |m|, susceptibility and Binder cumulant have no exact value; their z is against the "
        "baseline, the cheapest trusted sampler without training."
    )
    return Table.of(caption, heads, rows)


def _entries(results: Results, group: SeedGroup) -> list[Entry]:
    """Value and z-score of each observable."""
    entries: list[Entry] = []
    for name in _shown(results):
        estimate = group.estimate(name)
        z = _z(results, group.problem, group.L, estimate, name, group.label)
        entries += [number(estimate), z_entry(z)]
    return entries


def _exact_row(results: Results, groups: Sequence[SeedGroup]) -> list[tuple[Entry, ...]]:
    """One row with the exact values of a problem and size; empty if none is known."""
    entries: list[Entry] = []
    for name in _shown(results):
        exact = [e.exact for group in groups if (e := group.estimate(name)) and e.exact is not None]
        entries += [value_entry(exact[0] if exact else None, digits=8), MISSING]
    if all(entry.text == ABSENT for entry in entries):
        return []
    lead = lead_entries(results, groups[0])
    # The last two leading entries are sampler and status.
    return [(*lead[:-2], plain("exact"), Entry("", ""), *entries)]
