"""Panels of the distribution of a scalar, one line for each sampler, for the magnetisation and the overlap."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from nisbench.report.charts import uncrowded
from nisbench.report.histogram import Histogram
from nisbench.report.palette import marks
from nisbench.report.panels import Panel, Point, Role, Series
from nisbench.report.selection import panel_name, problem_title, shown_labels
from nisbench.results.cells import Results
from nisbench.results.rows import CellRow, Problem

__all__ = ["density_panel", "first_histograms"]


def first_histograms(
    results: Results,
    problem: Problem,
    L: int,
    *,
    needs: str,
    read: Callable[[Mapping[str, NDArray[Any]], int], Histogram | None],
) -> Iterator[tuple[CellRow, Histogram]]:
    """The histogram of the first seed of each sampler that has a series; the series of later seeds are not read.

    A cell without the quantity `needs` is left out: the scalar is no order parameter of its target. `read` makes the
    histogram from the series of a cell and L.
    """
    here = [row for row in results.at(problem) if row.cell.L == L and needs in row.quantities]
    shown = shown_labels(results)
    for label in (label for label in results.labels if label in shown):
        for row in (row for row in here if row.label == label):
            histogram = read(row.run.store.series(row.cell.cell_id), L)
            if histogram is not None:
                yield row, histogram
                break


def density_panel(
    results: Results,
    problem: Problem,
    L: int,
    found: Sequence[tuple[CellRow, Histogram]],
    *,
    name: str,
    x_label: str,
) -> Panel | None:
    """The panel of these histograms, with the baseline shaded; None if there are none."""
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
        name=panel_name(results, problem, f"{name}-L{L}"),
        title=problem_title(results, problem, f"L = {L}"),
        x_label=x_label,
        y_label="density",
        series=uncrowded(series),
        x_scale="linear",
    )


def _stairs(histogram: Histogram) -> tuple[Point, ...]:
    """The left edges with the densities, followed by the last edge."""
    heights = [*histogram.density, 0.0]
    return tuple(Point(float(x), float(y)) for x, y in zip(histogram.edges, heights, strict=True))
