"""Section with histograms of the magnetisation, in which a model that collapsed onto one phase can be seen."""

from nisbench.contract.quantities import ABS_MAGNETISATION
from nisbench.report.charts import figure
from nisbench.report.densities import density_panel, first_histograms
from nisbench.report.document import Block, Column, Entry, Section, Table, plain
from nisbench.report.histogram import Histogram, magnetisation_histogram
from nisbench.report.panels import Panel
from nisbench.report.selection import (
    absence,
    problem_note,
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
        found = {L: _histograms(results, problem, L) for L in shown_sizes(results.at(problem))}
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


def _histograms(results: Results, problem: Problem, L: int) -> _Found:
    return list(first_histograms(results, problem, L, needs=ABS_MAGNETISATION, read=magnetisation_histogram))


def _panel(results: Results, problem: Problem, L: int, found: _Found) -> Panel | None:
    return density_panel(results, problem, L, found, name="magnetisation", x_label="magnetisation per site")


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
