"""Panels of a quantity against L for every sampler, with published values and fitted exponents."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from nisbench.contract.quantities import describe
from nisbench.report.document import Block, Figure, Paragraph, Picture
from nisbench.report.figures import draw
from nisbench.report.panels import ConfigurationPanel, Panel, Point, Series, visible
from nisbench.report.selection import panel_name, problem_note, problem_title, shown_problems
from nisbench.results.cells import Problem, Results
from nisbench.results.exponents import Exponent
from nisbench.results.groups import SeedGroup, grouped
from nisbench.results.numbers import concise
from nisbench.results.published import PublishedValue, published

__all__ = ["MARKS", "figure", "fraction_limits", "size_figures", "size_panel", "undrawn"]

MARKS = (
    "Filled marks: every seed passed every validity gate. Hollow marks: untrusted. Grey hollow marks: published "
    "values, up to twice the largest size. An arrow at an edge: the value is beyond the axis, or infinite. Error bars: "
    "one standard error."
)
"""Explanation of the marks, added to the captions."""

_FIT_POINTS = 13
"""Points of a fitted line; a power law is curved on a linear axis."""
_PUBLISHED_REACH = 2.0
"""Published values are drawn up to this multiple of the largest size of the run."""


def figure(panels: Iterable[Panel | ConfigurationPanel | None], caption: str, *, wide: bool = False) -> Figure | None:
    """Draws the panels under one caption; None if there is nothing to draw."""
    pictures = tuple(_picture(panel) for panel in panels if panel is not None)
    return Figure(pictures, caption, wide) if pictures else None


def fraction_limits(*, log: bool) -> tuple[float, float]:
    """Limits of the axis of a quantity between 0 and 1, equal in all panels; a logarithmic axis starts at 1e-4."""
    return (1e-4, 1.7) if log else (-0.03, 1.08)


def size_figures(results: Results, quantities: Sequence[str], caption: str, *, log: bool = False) -> list[Block]:
    """For each problem one figure with a panel for each quantity, and a sentence on quantities without a panel."""
    blocks: list[Block] = [*problem_note(results)]
    for problem in shown_problems(results):
        panels = [size_panel(results, problem, quantity, log=log) for quantity in quantities]
        if drawn := figure(panels, caption):
            blocks.append(drawn)
        blocks += undrawn(quantities, panels)
    return blocks


def undrawn(quantities: Sequence[str], panels: Sequence[Panel | None]) -> list[Block]:
    """A sentence with the quantities for which there is no panel; empty if there are none."""
    missing = [describe(name).heading for name, panel in zip(quantities, panels, strict=True) if panel is None]
    return [Paragraph(f"Not drawn, because no cell of this run has it: {'; '.join(missing)}.")] if missing else []


def size_panel(
    results: Results,
    problem: Problem,
    quantity: str,
    *,
    title: str = "",
    fits: Sequence[Exponent] = (),
    also: tuple[str, str] | None = None,
    log: bool = False,
    levels: tuple[float, ...] = (),
) -> Panel | None:
    """The quantity against L with its errors, one series for each sampler; None if no cell has the quantity.

    Parameters
    ----------
    fits
        Fitted exponents; those of this quantity are drawn, and the legend shows their values.
    also
        A second quantity on the same axis, dashed, and the suffix of the names of its series.
    levels
        Values at which a horizontal line is drawn.
    """
    heading = describe(quantity)
    series = _sampler_series(results, problem, quantity, fits, "")
    if also:
        series += _sampler_series(results, problem, also[0], (), also[1])
    if not series:
        return None
    series += _fit_series(results, problem, quantity, fits)
    largest = max(point.x for one in series for point in one.points)
    series += _published_series(problem, quantity, largest)
    return Panel(
        name=panel_name(results, problem, quantity),
        title=problem_title(results, problem, title or heading.heading),
        x_label="L",
        y_label=heading.axis,
        series=tuple(series),
        y_scale="log" if log else "linear",
        y_limits=fraction_limits(log=log) if heading.fraction else None,
        levels=levels,
        switchable=any(point.y > 0 for one in series if one.role == "sampler" for point in one.points),
    )


def _picture(panel: Panel | ConfigurationPanel) -> Picture:
    picture = Picture(panel.name, visible(panel.alt), draw(panel), title=visible(panel.title))
    if isinstance(panel, ConfigurationPanel) or not panel.switchable:
        return picture
    other = _switched(panel)
    return replace(picture, other=draw(other, pdf=False), other_scale=other.y_scale)


def _switched(panel: Panel) -> Panel:
    """The panel on the other scale of y."""
    log = panel.y_scale == "linear"
    scale: Literal["linear", "log"] = "log" if log else "linear"
    limits = fraction_limits(log=log) if panel.y_limits else None
    return replace(panel, name=f"{panel.name}-{scale}", y_scale=scale, y_limits=limits)


def _sampler_series(
    results: Results, problem: Problem, quantity: str, fits: Sequence[Exponent], suffix: str
) -> list[Series]:
    groups = grouped(results.at(problem))
    series = []
    for colour, label in enumerate(results.labels):
        points = [_point(group, quantity) for group in groups if group.label == label]
        known = tuple(sorted((point for point in points if point), key=lambda point: point.x))
        if known:
            exponent = _exponent_text(_fit_of(fits, problem, label, quantity))
            name = f"{label}{suffix}{exponent}"
            series.append(Series(name, known, colour, dashed=bool(suffix), group=label))
    return series


def _point(group: SeedGroup, quantity: str) -> Point | None:
    estimate = group.estimate(quantity)
    if estimate is None or estimate.value is None:
        return None
    scale = describe(quantity).scale
    error = estimate.error / scale if estimate.error is not None and math.isfinite(estimate.error) else None
    return Point(float(group.L), estimate.value / scale, error, group.trusted)


def _fit_of(fits: Sequence[Exponent], problem: Problem, label: str, quantity: str) -> Exponent | None:
    for fit in fits:
        key = (fit.series.problem, fit.series.label, fit.series.quantity)
        if key == (problem, label, quantity) and fit.fitted.value is not None:
            return fit
    return None


def _exponent_text(fit: Exponent | None) -> str:
    if fit is None or fit.fitted.value is None:
        return ""
    return f": L^{concise(fit.fitted.value, fit.fitted.error, 3)}"


def _fit_series(results: Results, problem: Problem, quantity: str, fits: Sequence[Exponent]) -> list[Series]:
    """The fitted power laws, each through the geometric mean of its costs."""
    series = []
    for colour, label in enumerate(results.labels):
        fit = _fit_of(fits, problem, label, quantity)
        if fit is None or fit.fitted.value is None:
            continue
        sizes, costs, scale = fit.series.sizes, fit.series.costs, describe(quantity).scale
        # A least-squares line passes through the mean of the logarithms.
        centre = sum(map(math.log, sizes)) / len(sizes)
        height = sum(math.log(cost / scale) for cost in costs) / len(costs)
        line = np.geomspace(sizes[0], sizes[-1], _FIT_POINTS)
        points = tuple(Point(float(L), math.exp(height + fit.fitted.value * (math.log(L) - centre))) for L in line)
        series.append(Series(label, points, colour, role="fit", shape="line", named=False))
    return series


def _published_series(problem: Problem, quantity: str, largest: float) -> list[Series]:
    by_method: dict[str, list[PublishedValue]] = {}
    for value in published().at(problem.target, problem.beta):
        if quantity in value.quantities and value.L / largest <= _PUBLISHED_REACH:
            by_method.setdefault(value.method, []).append(value)
    # The number among all published methods gives a method the same mark in every panel.
    methods = tuple(dict.fromkeys(value.method for value in published().values))
    series = []
    for method, values in by_method.items():
        points = tuple(_published_point(value, quantity) for value in sorted(values, key=lambda v: v.L))
        on = f" on {values[0].device}" if values[0].device and describe(quantity).timed else ""
        group = f"{method}, published"
        series.append(Series(f"{group}{on}", points, methods.index(method), role="published", group=group))
    return series


def _published_point(value: PublishedValue, quantity: str) -> Point:
    estimate, scale = value.quantities[quantity], describe(quantity).scale
    assert estimate.value is not None  # every value in published.toml is a number
    return Point(float(value.L), estimate.value / scale, None if estimate.error is None else estimate.error / scale)
