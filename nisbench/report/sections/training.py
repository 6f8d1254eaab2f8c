"""Section on training: KL and ESS against seconds of training."""

from collections import Counter
from collections.abc import Iterator

from nisbench.contract.quantities import ESS_FRACTION, KL_NATS, describe
from nisbench.report.charts import figure, fraction_limits, uncrowded
from nisbench.report.document import Block, Paragraph, Section
from nisbench.report.palette import marks
from nisbench.report.panels import Panel, Point, Series
from nisbench.report.selection import (
    drawn_seeds,
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

__all__ = ["training_section"]

_ON_LOG = "Arrows at the lower edge: values at or below zero, which the noise of a small KL can give."
_SHOWN_SEEDS = 10
"""Largest number of seeds of a sampler with a line each."""
_LOW = 0.1
"""An ESS per draw is drawn on a logarithmic axis if its largest value is below this."""


def training_section(results: Results) -> Section:
    """KL and ESS against seconds of training, one line for each cell."""
    blocks: list[Block] = [*problem_note(results)]
    for problem in shown_problems(results):
        models = [row for row in results.at(problem) if row.history]
        sizes = shown_sizes(models)
        blocks += size_note(models)
        for quantity in (KL_NATS, ESS_FRACTION):
            heading = describe(quantity).heading
            caption = (
                f"{heading} against seconds of training, evaluated at the β of the target while the clock is stopped; "
                f"one line for each cell{_seed_note(results)}. {_ON_LOG if quantity == KL_NATS else ''}"
            )
            if drawn := figure([_panel(results, problem, L, quantity) for L in sizes], caption.strip()):
                blocks.append(drawn)
            elif sizes:
                blocks.append(Paragraph(f"{heading}: no training history of this run has it."))
    nothing = (Paragraph("No cell of this run has a training history."),)
    return Section("training", "How fast does the training converge?", tuple(blocks) or nothing, "Training")


def _panel(results: Results, problem: Problem, L: int, quantity: str) -> Panel | None:
    looks = marks(results.labels)
    series: list[Series] = []
    for row in _shown_cells(results, problem, L):
        points = tuple(_curve(row, quantity))
        if points:
            first = row.label not in [one.label for one in series]
            series.append(Series(row.label, points, looks[row.label], shape="curve", named=first))
    if not series:
        return None
    heading = describe(quantity)
    largest = max(point.y for one in series for point in one.points)
    log = largest > 0 and (not heading.fraction or largest < _LOW)
    return Panel(
        name=panel_name(results, problem, f"training-{quantity}-L{L}"),
        title=problem_title(results, problem, f"{heading.heading}, L = {L}"),
        x_label="training time (s)",
        y_label=heading.axis,
        series=uncrowded(series),
        x_scale="linear",
        y_scale="log" if log else "linear",
        y_limits=fraction_limits(log=log) if heading.fraction else None,
        switchable=largest > 0,
    )


def _shown_cells(results: Results, problem: Problem, L: int) -> list[CellRow]:
    """The cells of one panel: the samplers that are drawn, with their first seeds if there are many lines."""
    labels, most = shown_labels(results), drawn_seeds(results, _SHOWN_SEEDS)
    counts: Counter[str] = Counter()
    found = []
    for row in results.at(problem):
        if row.cell.L == L and row.label in labels and row.cell.kind != "sampler":
            counts[row.label] += 1
            if counts[row.label] <= most:
                found.append(row)
    return found


def _seed_note(results: Results) -> str:
    """The words that some seeds are not drawn; empty if all are drawn."""
    most = max((len(group.members) for group in results.groups), default=0)
    first = drawn_seeds(results, _SHOWN_SEEDS)
    return f", the first {first} seeds of each sampler" if most > first else ""


def _curve(row: CellRow, quantity: str) -> Iterator[Point]:
    """The points of one cell; lines of the history without a number are left out."""
    for line in row.history:
        x, y = line.get("seconds"), line.get(quantity)
        if isinstance(x, int | float) and isinstance(y, int | float) and x > 0:
            yield Point(float(x), float(y))
