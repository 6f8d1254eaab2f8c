"""Sections that show raw draws: magnetisation histograms, where a collapse is seen, and configurations."""

import numpy as np
from numpy.typing import NDArray

from nisbench.report.charts import figure, panel_name, problem_note, problem_title, shown_problems
from nisbench.report.comparison import baseline
from nisbench.report.document import Block, Column, Entry, Section, Table, join, plain
from nisbench.report.evidence import absence, shown_sizes, size_note
from nisbench.report.histogram import Histogram, magnetisation_histogram
from nisbench.report.panels import ConfigurationPanel, Panel, Point, Role, Series
from nisbench.report.results import Measured, Problem, Results

__all__ = ["configurations_section", "magnetisation_section"]

_PICTURES = 5


def magnetisation_section(results: Results) -> Section:
    """Histograms of the magnetisation of raw draws: a model that collapsed onto one phase shows here."""
    blocks: list[Block] = [*problem_note(results)]
    lines: list[tuple[Entry, ...]] = []
    for problem in shown_problems(results):
        blocks += size_note(results.at(problem))
        made = [_histogram_panel(results, problem, L) for L in shown_sizes(results.at(problem))]
        caption = (
            "Magnetisation per site of raw draws (of a model: from q, without reweighting; of weighted draws: "
            "reweighted), first seed of each sampler. Shaded: the trusted cluster sampler. A model that has collapsed "
            "lacks a peak."
        )
        if drawn := figure([panel for panel, _ in made], caption):
            blocks.append(drawn)
        lines += [line for _, found in made for line in found]
    if lines:
        heads = (
            *((Column("target and β", numeric=False),) if len(results.problems) > 1 else ()),
            Column("L"),
            Column("sampler", numeric=False),
            Column("draws with m > 0", "%"),
            Column("mean |m| of raw draws"),
            Column("seed"),
        )
        blocks.append(Table("The same in numbers; without a field, half of the draws have m > 0.", heads, tuple(lines)))
    return Section("magnetisation", "Magnetisation: has a model collapsed?", tuple(blocks) or (absence("a series"),))


def configurations_section(results: Results) -> Section:
    """A few configurations of every sampler, at the size that most of them share."""
    blocks: list[Block] = [*problem_note(results)]
    for problem in shown_problems(results):
        panel = _configuration_panel(results, problem)
        caption = (
            f"The first {_PICTURES} configurations of each sampler, not chosen, at the size that most samplers share; "
            "dark: spin down, light: spin up."
        )
        if drawn := figure([panel], caption, wide=True):
            blocks.append(drawn)
    return Section("configurations", "Configurations", tuple(blocks) or (absence("a configuration"),))


def _histogram_panel(results: Results, problem: Problem, L: int) -> tuple[Panel | None, list[tuple[Entry, ...]]]:
    """The histograms at one size, and the same in numbers."""
    here = [row for row in results.at(problem) if row.cell.L == L and row.measured]
    bases = [baseline(results.contest, problem, L, device) for device in ("cpu", "cuda")]
    shaded = next((base.label for base in bases if base), None)
    series, lines = [], []
    for colour, label in enumerate(results.labels):
        for row in (row for row in here if row.label == label):
            found = magnetisation_histogram(row.run.store.series(row.cell.cell_id), L)
            if found is None:
                continue
            role: Role = "reference" if label == shaded else "sampler"
            series.append(Series(label, _stairs(found), colour, role, "steps"))
            lines.append(((plain(problem),) if len(results.problems) > 1 else ()) + _histogram_line(row, found))
            break
    series.sort(key=lambda one: one.role != "reference")
    if not series:
        return None, []
    panel = Panel(
        name=panel_name(results, problem, f"magnetisation-L{L}"),
        title=problem_title(results, problem, f"L = {L}"),
        x_label="magnetisation per site",
        y_label="density",
        series=tuple(series),
        x_scale="linear",
    )
    return panel, lines


def _stairs(found: Histogram) -> tuple[Point, ...]:
    """Left edges with densities, and the last edge."""
    heights = [*found.density, 0.0]
    return tuple(Point(float(x), float(y)) for x, y in zip(found.edges, heights, strict=True))


def _histogram_line(row: Measured, found: Histogram) -> tuple[Entry, ...]:
    return (
        plain(row.cell.L),
        plain(row.label),
        Entry(f"{100 * found.share_positive:.1f}", found.share_positive),
        Entry(f"{found.mean_abs:.4f}", found.mean_abs),
        plain(row.cell.seed),
    )


def _configuration_panel(results: Results, problem: Problem) -> ConfigurationPanel | None:
    held: dict[int, dict[str, NDArray[np.int8]]] = {}
    references = {row.cell.reference for row in results.at(problem) if row.cell.reference}
    for row in results.at(problem):
        samples = row.run.store.samples(row.cell.cell_id) if row.measured else None
        if samples is not None and len(samples):
            held.setdefault(row.cell.L, {}).setdefault(row.label, samples[:_PICTURES])
    if not held:
        return None
    L = max(held, key=lambda size: (len(held[size]), size))
    plugins = {row.cell.plugin for row in results.rows if row.cell.cell_id in references}
    names = {row.label: f"{row.label}, the reference" for row in results.rows if row.cell.plugin in plugins}
    rows = tuple((names.get(label, label), held[L][label]) for label in results.labels if label in held[L])
    missing = [label for label in results.labels if label not in held[L]]
    without = f"; none of {join(missing)} at this size" if missing else ""
    title = problem_title(results, problem, f"L = {L}{without}")
    return ConfigurationPanel(panel_name(results, problem, "configurations"), title, rows)
