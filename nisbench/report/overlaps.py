"""Blocks on the overlap of two configurations: its distribution and its moments."""

from collections.abc import Iterator

from nisbench.contract.quantities import ABS_OVERLAP, Part, select
from nisbench.report.charts import figure, uncrowded
from nisbench.report.document import Block
from nisbench.report.histogram import Histogram, overlap_histogram
from nisbench.report.palette import marks
from nisbench.report.panels import Panel, Point, Role, Series
from nisbench.report.selection import panel_name, problem_title, shown_labels, shown_problems, shown_sizes
from nisbench.report.tables import size_table
from nisbench.results.cells import Results
from nisbench.results.rows import CellRow, Problem

__all__ = ["overlap_blocks"]

_QUANTITIES = select(Part.OVERLAP)
_TABLE = (
    "Overlap q = Σ s t / N of two independent configurations s and t, and link overlap, the mean of s s' t t' over "
    "bonds. Pairs of draws of q are weighted by the product of their weights. No configuration is in two pairs. τ_int "
    "is that of pairs of chains."
)
_FIGURE = (
    "Overlap of pairs of raw draws, first seed of each sampler. Draws of a model come from q and are not reweighted; "
    "weighted draws are reweighted. Shaded: the baseline, the cheapest trusted sampler without training."
)


def overlap_blocks(results: Results) -> list[Block]:
    """The histograms of q at each target and size, and a table of the moments; empty if no cell has an overlap."""
    groups = [g for g in results.groups if g.measured and any(g.estimate(name) for name in _QUANTITIES)]
    if not groups:
        return []
    panels = [
        _panel(results, problem, L)
        for problem in shown_problems(results)
        for L in shown_sizes(results.at(problem))
        if any((group.problem, group.L) == (problem, L) for group in groups)
    ]
    drawn = figure(panels, _FIGURE)
    return [*([drawn] if drawn else []), size_table(_TABLE, results, groups, _QUANTITIES)]


def _panel(results: Results, problem: Problem, L: int) -> Panel | None:
    found = list(_histograms(results, problem, L))
    if not found:
        return None
    bases = [results.baselines.at(problem, L, device) for device in ("cpu", "cuda")]
    shaded = next((base.label for base in bases if base), None)
    looks, series = marks(results.labels), []
    for row, histogram in found:
        role: Role = "reference" if row.label == shaded else "sampler"
        series.append(Series(row.label, _stairs(histogram), looks[row.label], role, "steps"))
    series.sort(key=lambda one: one.role != "reference")  # drawn first, so that the lines lie above the shade
    return Panel(
        name=panel_name(results, problem, f"overlap-L{L}"),
        title=problem_title(results, problem, f"L = {L}"),
        x_label="overlap q",
        y_label="density",
        series=uncrowded(series),
        x_scale="linear",
    )


def _histograms(results: Results, problem: Problem, L: int) -> Iterator[tuple[CellRow, Histogram]]:
    """The histogram of the first seed of each sampler that has a series."""
    here = [row for row in results.at(problem) if row.cell.L == L and ABS_OVERLAP in row.quantities]
    shown = shown_labels(results)
    for label in (label for label in results.labels if label in shown):
        for row in (row for row in here if row.label == label):
            histogram = overlap_histogram(row.run.store.series(row.cell.cell_id), L)
            if histogram is not None:
                yield row, histogram
                break


def _stairs(histogram: Histogram) -> tuple[Point, ...]:
    """The left edges with the densities, followed by the last edge."""
    heights = [*histogram.density, 0.0]
    return tuple(Point(float(x), float(y)) for x, y in zip(histogram.edges, heights, strict=True))
