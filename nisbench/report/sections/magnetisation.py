"""Section with histograms of the magnetisation, in which a model that collapsed onto one phase can be seen."""

from collections.abc import Iterator

from nisbench.contract.quantities import ABS_MAGNETISATION
from nisbench.report.charts import figure, uncrowded
from nisbench.report.document import Block, Column, Entry, Section, Table, plain
from nisbench.report.histogram import Histogram, magnetisation_histogram
from nisbench.report.palette import marks
from nisbench.report.panels import Panel, Point, Role, Series
from nisbench.report.selection import (
    absence,
    panel_name,
    problem_note,
    problem_title,
    shown_labels,
    shown_problems,
    shown_sizes,
    size_note,
)
from nisbench.results.cells import Results
from nisbench.results.rows import CellRow, Problem

__all__ = ["magnetisation_section"]

_Found = list[tuple[CellRow, Histogram]]


def magnetisation_section(results: Results) -> Section:
    """Histograms of the magnetisation of raw draws at each size, and the same in numbers."""
    blocks: list[Block] = [*problem_note(results)]
    lines: list[tuple[Entry, ...]] = []
    for problem in shown_problems(results):
        blocks += size_note(results.at(problem))
        found = {L: list(_histograms(results, problem, L)) for L in shown_sizes(results.at(problem))}
        caption = (
            "Magnetisation per site of raw draws, first seed of each sampler. Draws of a model come from q and are not "
            "reweighted; weighted draws are reweighted. Shaded: the baseline, the cheapest trusted sampler "
            "without training. A model that has collapsed lacks a peak."
        )
        if drawn := figure([_panel(results, problem, L, here) for L, here in found.items()], caption):
            blocks.append(drawn)
        lines += [_line(results, row, histogram) for here in found.values() for row, histogram in here]
    if lines:
        blocks.append(_table(results, lines))
    title = "Has a model collapsed onto one phase?"
    return Section("magnetisation", title, tuple(blocks) or (absence("a series"),), "Magnetisation")


def _histograms(results: Results, problem: Problem, L: int) -> Iterator[tuple[CellRow, Histogram]]:
    """The histogram of the first seed of each sampler that has a series; the series of later seeds are not read."""
    # A target without a magnetisation as order parameter has no such quantity.
    here = [row for row in results.at(problem) if row.cell.L == L and ABS_MAGNETISATION in row.quantities]
    shown = shown_labels(results)
    for label in (label for label in results.labels if label in shown):
        for row in (row for row in here if row.label == label):
            histogram = magnetisation_histogram(row.run.store.series(row.cell.cell_id), L)
            if histogram is not None:
                yield row, histogram
                break


def _panel(results: Results, problem: Problem, L: int, found: _Found) -> Panel | None:
    if not found:
        return None
    bases = [results.baselines.at(problem, L, device) for device in ("cpu", "cuda")]
    shaded = next((base.label for base in bases if base), None)
    series, looks = [], marks(results.labels)
    for row, histogram in found:
        role: Role = "reference" if row.label == shaded else "sampler"
        series.append(Series(row.label, _stairs(histogram), looks[row.label], role, "steps"))
    series.sort(key=lambda one: one.role != "reference")  # drawn first, so that the lines lie above the shade
    return Panel(
        name=panel_name(results, problem, f"magnetisation-L{L}"),
        title=problem_title(results, problem, f"L = {L}"),
        x_label="magnetisation per site",
        y_label="density",
        series=uncrowded(series),
        x_scale="linear",
    )


def _stairs(histogram: Histogram) -> tuple[Point, ...]:
    """The left edges with the densities, followed by the last edge."""
    heights = [*histogram.density, 0.0]
    return tuple(Point(float(x), float(y)) for x, y in zip(histogram.edges, heights, strict=True))


def _line(results: Results, row: CellRow, histogram: Histogram) -> tuple[Entry, ...]:
    return (
        *((plain(row.problem),) if len(results.problems) > 1 else ()),
        plain(row.cell.L),
        plain(row.label),
        Entry(f"{100 * histogram.share_positive:.1f}", histogram.share_positive),
        Entry(f"{histogram.mean_abs:.4f}", histogram.mean_abs),
        plain(row.cell.seed),
    )


def _table(results: Results, lines: list[tuple[Entry, ...]]) -> Table:
    heads = (
        *((Column("target and β", numeric=False),) if len(results.problems) > 1 else ()),
        Column("L", key="size"),
        Column("sampler", numeric=False, key="sampler"),
        Column("draws with m > 0", "%"),
        Column("mean |m| of raw draws"),
        Column("seed"),
    )
    return Table("The same in numbers. Without a field, half of the draws have m > 0.", heads, tuple(lines)).shorter()
