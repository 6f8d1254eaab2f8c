"""Selects the targets and sizes that are drawn, names their panels, and states in words what is left out."""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

from nisbench.report.document import Paragraph
from nisbench.results.cells import Results
from nisbench.results.costs import cost_of
from nisbench.results.numbers import join
from nisbench.results.rows import CellRow, Problem

__all__ = [
    "absence",
    "drawn_seeds",
    "panel_name",
    "problem_note",
    "problem_title",
    "sampler_note",
    "shown_labels",
    "shown_problems",
    "shown_seeds",
    "shown_sizes",
    "size_note",
]

_SHOWN_PROBLEMS = 4
"""Largest number of targets and betas that are drawn; the tables contain all."""
_SHOWN_SIZES = 6
"""Largest number of sizes for which there is one panel each."""
_SHOWN_SAMPLERS = 16
"""Largest number of samplers in a figure; the page stays readable and below 10 MB."""
_SHOWN_LINES = 80
"""Largest number of lines, or of marks at one place, over all samplers of a figure."""


@lru_cache(maxsize=1)
def shown_problems(results: Results) -> tuple[Problem, ...]:
    """The problems that are drawn: those with the most measured cells, in order."""
    counts = {p: sum(row.measured for row in results.at(p)) for p in results.problems}
    most = sorted(results.problems, key=lambda p: -counts[p])[:_SHOWN_PROBLEMS]
    return tuple(p for p in results.problems if p in most)


def problem_note(results: Results) -> list[Paragraph]:
    """Sentences on the problems and samplers that are not drawn; empty if all are drawn."""
    shown = shown_problems(results)
    if len(shown) == len(results.problems):
        return sampler_note(results)
    return [
        *sampler_note(results),
        Paragraph(
            f"The figures show {len(shown)} of {len(results.problems)} targets and temperatures, those with the most "
            f"measured cells: {join(shown)}. The tables contain all."
        ),
    ]


@lru_cache(maxsize=1)
def shown_labels(results: Results) -> frozenset[str]:
    """The samplers that are drawn: those whose name lists no option, then those with the smallest cost at any size."""
    if len(results.labels) <= _SHOWN_SAMPLERS:
        return frozenset(results.labels)
    costs: dict[str, float] = {}
    for group in results.groups:
        cost = cost_of(group)
        costs[group.label] = min(costs.get(group.label, math.inf), math.inf if math.isnan(cost) else cost)
    ranked = sorted(costs, key=lambda label: (" (" in label, costs[label], label))
    return frozenset(ranked[:_SHOWN_SAMPLERS])


def sampler_note(results: Results) -> list[Paragraph]:
    """A sentence on the samplers that are not drawn; empty if all are drawn."""
    shown = shown_labels(results)
    if len(shown) == len(results.labels):
        return []
    return [
        Paragraph(
            f"The figures show {len(shown)} of {len(results.labels)} samplers: those with default options, and those "
            "with the smallest cost of an effective sample. The export contains all."
        )
    ]


def drawn_seeds(results: Results, most: int) -> int:
    """Number of seeds of one sampler and size in a figure: `most`, or fewer if there are many samplers."""
    return max(1, min(most, _SHOWN_LINES // max(1, len(shown_labels(results)))))


def shown_seeds(rows: Sequence[CellRow], most: int, worst: Callable[[CellRow], float]) -> tuple[CellRow, ...]:
    """The rows of one seed group that are drawn: the first `most`, and the seed with the largest value of `worst`."""
    first = tuple(rows[:most])
    if len(rows) == len(first):
        return first
    return (*first, max(rows[most:], key=worst))


def problem_title(results: Results, problem: Problem, title: str) -> str:
    """The title of a panel, followed by the problem if the report has several."""
    return f"{title} ({problem})" if len(results.problems) > 1 else title


def panel_name(results: Results, problem: Problem, name: str) -> str:
    """File name of a panel, unique within the report: letters, digits and hyphens."""
    slug = "".join(c if c.isascii() and c.isalnum() else "-" for c in name)
    return f"{slug}-{results.problems.index(problem) + 1}" if len(results.problems) > 1 else slug


def shown_sizes(rows: Sequence[CellRow]) -> list[int]:
    """The sizes that are drawn: the largest ones."""
    return sorted({row.cell.L for row in rows})[-_SHOWN_SIZES:]


def size_note(rows: Sequence[CellRow]) -> list[Paragraph]:
    """A sentence on the sizes that are not drawn; empty if all are drawn."""
    sizes = sorted({row.cell.L for row in rows})
    left_out = [L for L in sizes if L not in shown_sizes(rows)]
    if not left_out:
        return []
    return [
        Paragraph(f"The figures show the {_SHOWN_SIZES} largest of {len(sizes)} sizes, without L = {join(left_out)}.")
    ]


def absence(content: str) -> Paragraph:
    """The sentence that no cell has `content`."""
    return Paragraph(f"No cell of this run has {content}.")
