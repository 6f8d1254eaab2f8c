"""Section with a few configurations of every sampler."""

import numpy as np
from numpy.typing import NDArray

from nisbench.report.charts import figure
from nisbench.report.document import Block, Section
from nisbench.report.panels import ConfigurationPanel
from nisbench.report.selection import absence, panel_name, problem_note, problem_title, shown_labels, shown_problems
from nisbench.results.cells import Results
from nisbench.results.numbers import join
from nisbench.results.rows import Problem

__all__ = ["configurations_section"]

_PICTURES = 5


def configurations_section(results: Results) -> Section:
    """The first configurations of every sampler, at the size that most of the samplers share."""
    blocks: list[Block] = [*problem_note(results)]
    for problem in shown_problems(results):
        caption = (
            f"The first {_PICTURES} configurations of each sampler, not selected, at the size that most samplers "
            "share. Dark: spin down; light: spin up."
        )
        if drawn := figure([_panel(results, problem)], caption, wide=True):
            blocks.append(drawn)
    return Section(
        "configurations",
        "What do the configurations look like?",
        tuple(blocks) or (absence("a configuration"),),
        "Configurations",
    )


def _panel(results: Results, problem: Problem) -> ConfigurationPanel | None:
    by_size = _pictures(results, problem)
    if not by_size:
        return None
    # The size with the most samplers; among equals the largest.
    L = max(by_size, key=lambda size: (len(by_size[size]), size))
    pictures = by_size[L]
    references = {row.cell.reference for row in results.at(problem) if row.cell.reference}
    plugins = {row.cell.plugin for row in results.rows if row.cell.cell_id in references}
    names = {row.label: f"{row.label}, the reference" for row in results.rows if row.cell.plugin in plugins}
    rows = tuple((names.get(label, label), pictures[label]) for label in results.labels if label in pictures)
    missing = [label for label in results.labels if label in shown_labels(results) and label not in pictures]
    without = f"; none of {join(missing)} at this size" if missing else ""
    title = problem_title(results, problem, f"L = {L}{without}")
    return ConfigurationPanel(panel_name(results, problem, "configurations"), title, rows)


def _pictures(results: Results, problem: Problem) -> dict[int, dict[str, NDArray[np.int8]]]:
    """L -> label -> (k, L, L) configurations of the first seed that has any, k <= _PICTURES."""
    found: dict[int, dict[str, NDArray[np.int8]]] = {}
    shown = shown_labels(results)
    for row in results.at(problem):
        wanted = row.measured and row.label in shown and row.label not in found.get(row.cell.L, {})
        samples = row.run.store.samples(row.cell.cell_id) if wanted else None
        if samples is not None and len(samples):
            found.setdefault(row.cell.L, {}).setdefault(row.label, samples[:_PICTURES])
    return found
