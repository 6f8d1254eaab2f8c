"""Results -> panels: a quantity against L for every sampler, with the published marks and fitted exponents."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from nisbench.contract.quantities import (
    describe,
)
from nisbench.contract.records import Estimate
from nisbench.report.comparison import Exponent, Group, grouped
from nisbench.report.document import Figure, Paragraph, Picture, join
from nisbench.report.figures import draw
from nisbench.report.numbers import concise
from nisbench.report.panels import ConfigurationPanel, Panel, Point, Series, visible
from nisbench.report.published import Value, published
from nisbench.report.results import Problem, Results

__all__ = ["figure", "fraction_limits", "panel_name", "problem_note", "problem_title", "shown_problems", "size_panel"]

_SHOWN_PROBLEMS = 4
"""So many targets and betas are drawn; the tables hold all."""
_FIT_POINTS = 13
"""A power law is no straight line on a linear axis."""
_PUBLISHED_REACH = 2.0
"""Published marks are drawn up to this multiple of the largest size of the run."""


def shown_problems(results: Results) -> tuple[Problem, ...]:
    """The problems that are drawn: those with the most measured cells, in order."""
    counts = {p: sum(row.measured for row in results.at(p)) for p in results.problems}
    most = sorted(results.problems, key=lambda p: -counts[p])[:_SHOWN_PROBLEMS]
    return tuple(p for p in results.problems if p in most)


def problem_note(results: Results) -> list[Paragraph]:
    """That not every target and beta is drawn, where that is so."""
    shown = shown_problems(results)
    if len(shown) == len(results.problems):
        return []
    return [
        Paragraph(
            f"Drawn are {len(shown)} of {len(results.problems)} targets and temperatures, those with the most measured "
            f"cells: {join(shown)}. The tables hold all."
        )
    ]


def problem_title(results: Results, problem: Problem, title: str) -> str:
    """The title, with the problem where the report holds several."""
    return f"{title} ({problem})" if len(results.problems) > 1 else title


def panel_name(results: Results, problem: Problem, name: str) -> str:
    """A file name that no other panel of the report has."""
    number = results.problems.index(problem) + 1
    return f"{_slug(name)}-{number}" if len(results.problems) > 1 else _slug(name)


def _slug(name: str) -> str:
    """Letters, digits and hyphens."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in name)


def figure(panels: Iterable[Panel | ConfigurationPanel | None], caption: str, *, wide: bool = False) -> Figure | None:
    """The drawn panels under one caption; None where there is nothing to draw."""
    present = [panel for panel in panels if panel is not None]
    pictures = tuple(_picture(panel) for panel in present)
    return Figure(pictures, caption, wide) if pictures else None


def _picture(panel: Panel | ConfigurationPanel) -> Picture:
    made = Picture(panel.name, visible(panel.alt), draw(panel), title=visible(panel.title))
    if isinstance(panel, ConfigurationPanel) or not panel.switchable:
        return made
    other = _switched(panel)
    return replace(made, other=draw(other, pdf=False), other_scale=other.y_scale)


def _switched(panel: Panel) -> Panel:
    """The panel on the other scale of y."""
    log = panel.y_scale == "linear"
    scale: Literal["linear", "log"] = "log" if log else "linear"
    limits = fraction_limits(log=log) if panel.y_limits else None
    return replace(panel, name=f"{panel.name}-{scale}", y_scale=scale, y_limits=limits)


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
    """The quantity against L with its errors, one series a sampler; None where no cell holds it.

    Parameters
    ----------
    fits
        Fitted exponents; those of this quantity are drawn and named.
    also
        A second quantity on the same axis, dashed, and what to add to the names of its series.
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
        switchable=_is_positive(series),
    )


def _is_positive(series: Iterable[Series]) -> bool:
    """Whether a logarithmic axis has anything to show."""
    return any(point.y > 0 for one in series if one.role == "sampler" for point in one.points)


def _sampler_series(
    results: Results, problem: Problem, quantity: str, fits: Sequence[Exponent], suffix: str
) -> list[Series]:
    groups = grouped(results.at(problem))
    made = []
    for colour, label in enumerate(results.labels):
        points = [_point(group, quantity) for group in groups if group.label == label]
        held = tuple(sorted((point for point in points if point), key=lambda point: point.x))
        if held:
            exponent = _exponent_text(_fit_of(fits, problem, label, quantity))
            name = f"{label}{suffix}{exponent}"
            made.append(Series(name, held, colour, dashed=bool(suffix), group=label))
    return made


def _point(group: Group, quantity: str) -> Point | None:
    estimate: Estimate | None = group.estimate(quantity)
    if estimate is None or estimate.value is None:
        return None
    scale = describe(quantity).scale
    error = estimate.error / scale if estimate.error is not None and math.isfinite(estimate.error) else None
    return Point(float(group.L), estimate.value / scale, error, group.trusted)


def _fit_of(fits: Sequence[Exponent], problem: Problem, label: str, quantity: str) -> Exponent | None:
    for fit in fits:
        key = (fit.scale.problem, fit.scale.label, fit.scale.quantity)
        if key == (problem, label, quantity) and fit.fitted.value is not None:
            return fit
    return None


def _exponent_text(fit: Exponent | None) -> str:
    if fit is None or fit.fitted.value is None:
        return ""
    return f": L^{concise(fit.fitted.value, fit.fitted.error, 3)}"


def _fit_series(results: Results, problem: Problem, quantity: str, fits: Sequence[Exponent]) -> list[Series]:
    """The fitted power laws through the geometric mean of their costs."""
    made = []
    for colour, label in enumerate(results.labels):
        fit = _fit_of(fits, problem, label, quantity)
        if fit is None or fit.fitted.value is None:
            continue
        sizes, costs, scale = fit.scale.sizes, fit.scale.costs, describe(quantity).scale
        centre = sum(map(math.log, sizes)) / len(sizes)
        height = sum(math.log(cost / scale) for cost in costs) / len(costs)
        line = np.geomspace(sizes[0], sizes[-1], _FIT_POINTS)
        points = tuple(Point(float(L), math.exp(height + fit.fitted.value * (math.log(L) - centre))) for L in line)
        made.append(Series(label, points, colour, role="fit", shape="line", named=False))
    return made


def _published_series(problem: Problem, quantity: str, largest: float) -> list[Series]:
    by_method: dict[str, list[Value]] = {}
    for value in published().at(problem.target, problem.beta):
        if quantity in value.quantities and value.L / largest <= _PUBLISHED_REACH:
            by_method.setdefault(value.method, []).append(value)
    methods = tuple(dict.fromkeys(value.method for value in published().values))
    made = []
    for method, values in by_method.items():
        points = tuple(_published_point(value, quantity) for value in sorted(values, key=lambda v: v.L))
        on = f" on {values[0].device}" if values[0].device and describe(quantity).timed else ""
        group = f"{method}, published"
        made.append(Series(f"{group}{on}", points, methods.index(method), role="published", group=group))
    return made


def _published_point(value: Value, quantity: str) -> Point:
    estimate, scale = value.quantities[quantity], describe(quantity).scale
    assert estimate.value is not None  # published.toml holds numbers only
    return Point(float(value.L), estimate.value / scale, None if estimate.error is None else estimate.error / scale)


def fraction_limits(*, log: bool) -> tuple[float, float]:
    """The axis of a quantity between 0 and 1, the same in every panel; on a logarithmic one less than 1e-4 is lost."""
    return (1e-4, 1.7) if log else (-0.03, 1.08)
