"""Blocks on the overlap of two configurations: its distribution and its moments."""

from nisbench.contract.quantities import ABS_OVERLAP, Part, select
from nisbench.report.charts import figure
from nisbench.report.densities import density_panel, first_histograms
from nisbench.report.document import Block
from nisbench.report.histogram import overlap_histogram
from nisbench.report.panels import Panel
from nisbench.report.selection import shown_problems, shown_sizes
from nisbench.report.tables import size_table
from nisbench.results.cells import Results
from nisbench.results.rows import Problem

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
    found = list(first_histograms(results, problem, L, needs=ABS_OVERLAP, read=overlap_histogram))
    return density_panel(results, problem, L, found, name="overlap", x_label="overlap q")
