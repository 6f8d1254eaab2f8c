"""Panels of a quantity against L, beta or an option for every sampler, with published values and fitted exponents."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

from nisbench.contract.quantities import ESS_FRACTION, ESS_FRACTION_P, describe
from nisbench.report.document import Block, Figure, Paragraph, Picture
from nisbench.report.figures import draw
from nisbench.report.palette import DOTTED, Mark, marks
from nisbench.report.panels import AnyPanel, Panel, Point, Series, visible
from nisbench.report.references import fit_series, fit_text, published_series
from nisbench.report.sweeps import Sweep, sweep_note, sweeps
from nisbench.results.cells import Results
from nisbench.results.exponents import Exponent
from nisbench.results.groups import SeedGroup

__all__ = [
    "MARKS",
    "figure",
    "fraction_limits",
    "quantity_figures",
    "quantity_panel",
    "uncrowded",
    "undrawn",
    "with_limits",
]

MARKS = (
    "Filled marks: every seed passed every validity gate. Hollow marks: untrusted. Grey crosses and stars: published "
    "values, up to twice the largest size. A mark with an arrow down or to the left: the value is zero within two "
    "errors, and the mark is the upper limit, the value plus two errors. A solid line across sorted rows: the variant "
    "whose name lists no option. An arrow at an edge: the value is beyond the axis, or infinite. Error bars: one "
    "standard error."
)
"""Explanation of the marks, added to the captions."""

_CROWD = 8
"""Largest number of samplers whose lines in one panel can be told apart."""
_NEAR_ONE = 0.9
"""If every ESS per draw of a figure is above this value, 1 - ESS is drawn."""


def figure(panels: Iterable[AnyPanel | None], caption: str, *, wide: bool = False) -> Figure | None:
    """Draws the panels under one caption; None if there is nothing to draw."""
    pictures = tuple(_picture(panel) for panel in panels if panel is not None)
    return Figure(pictures, caption, wide) if pictures else None


def fraction_limits(*, log: bool) -> tuple[float, float]:
    """Limits of the axis of a quantity between 0 and 1, equal in all panels; a logarithmic axis starts at 1e-4."""
    return (1e-4, 1.7) if log else (-0.03, 1.08)


def quantity_figures(results: Results, quantities: Sequence[str], caption: str, *, log: bool = False) -> list[Block]:
    """For each sweep one figure with a panel for each quantity, and a sentence on quantities without a panel."""
    blocks: list[Block] = [*sweep_note(results)]
    for sweep in sweeps(results):
        panels = [quantity_panel(sweep, quantity, log=log) for quantity in quantities]
        if drawn := figure(panels, caption):
            blocks.append(drawn)
        blocks += undrawn(quantities, panels)
    return blocks


def undrawn(quantities: Sequence[str], panels: Sequence[Panel | None]) -> list[Block]:
    """A sentence with the quantities for which there is no panel; empty if there are none."""
    missing = [describe(name).heading for name, panel in zip(quantities, panels, strict=True) if panel is None]
    return [Paragraph(f"Not drawn, because no cell of this run has it: {'; '.join(missing)}.")] if missing else []


def uncrowded(series: Sequence[Series]) -> tuple[Series, ...]:
    """The series; if there are too many, the variants are grey lines with one entry in the legend.

    Samplers whose label names no option keep their look and lie on top. The page shows the name of a grey line at the
    pointer.
    """
    labels = {one.label for one in series}
    variants = sorted(label for label in labels if " (" in label)
    if len(labels) <= _CROWD or not variants:
        return tuple(series)
    grey = [replace(one, role="other", named=False) for one in series if one.label in variants]
    name = f"{len(variants)} variants with other options"
    first = replace(grey[0], label=name, points=grey[0].points[:2], named=True, group=grey[0].label)
    return (first, *grey, *(one for one in series if one.label not in variants))


def quantity_panel(
    sweep: Sweep,
    quantity: str,
    *,
    fits: Sequence[Exponent] = (),
    also: tuple[str, str] | None = None,
    log: bool = False,
    levels: tuple[float, ...] = (),
) -> Panel | None:
    """The quantity with its errors, one series for each sampler; None if no cell has the quantity.

    All cells at one place make a dot plot, sorted by value, best first, with a line at the variant whose name lists no
    option. An ESS that is near 1 for every sampler is drawn as 1 - ESS on a logarithmic axis.

    Parameters
    ----------
    fits
        Fitted exponents. Those that describe this quantity are drawn, and the legend shows their values.
    also
        A second quantity on the same axis, dotted, and the suffix of the names of its series.
    levels
        Values at which a line is drawn.
    """
    row = describe(quantity)
    series = _sampler_series(sweep, quantity, fits)
    if also:
        series += [_second(one, also[1]) for one in _sampler_series(sweep, also[0], ())]
    if not series:
        return None
    series += fit_series(sweep, quantity, fits) + published_series(sweep, quantity)
    panel = Panel(
        name=sweep.file(quantity),
        title=sweep.title(row.heading),
        x_label=sweep.axis,
        y_label=row.axis,
        series=tuple(series),
        x_scale="values" if sweep.axis == "β" else "size",
        y_scale="log" if log else "linear",
        y_limits=fraction_limits(log=log) if row.fraction else None,
        levels=levels,
        switchable=any(point.y > 0 for one in series if one.role == "sampler" for point in one.points),
        noisy=not row.timed,
    )
    panel = _complement(panel, sweep) if row.fraction and _near_one(sweep) else panel
    return _dots(panel, row.better == "higher") if sweep.single else panel


def _near_one(sweep: Sweep) -> bool:
    """True if every ESS per draw, on both sides, is near 1; the two sides then share the axis."""
    known = [group.value(side) for group in sweep.groups for side in (ESS_FRACTION, ESS_FRACTION_P)]
    return min((value for value in known if not math.isnan(value)), default=0.0) > _NEAR_ONE


def _complement(panel: Panel, sweep: Sweep) -> Panel:
    """The panel with 1 - y on a logarithmic axis with the limits of both sides, published values included."""
    sides = (ESS_FRACTION, ESS_FRACTION_P)
    known = [value for group in sweep.groups for side in sides if (value := _value(group, side))]
    known += [point for side in sides for one in published_series(sweep, side) for point in one.points]
    every = [_bounded(replace(point, y=1 - point.y)).y for point in known]
    above = [value for value in every if value > 0] or [1e-3]
    turned = tuple(
        replace(one, points=tuple(replace(point, y=1 - point.y) for point in one.points)) for one in panel.series
    )
    # The factors leave room for the arrow of an upper limit.
    limits = (min(above) / 3, max(above) * 2)
    label, title = f"1 − {panel.y_label}", sweep.title(f"1 − {panel.y_label} (0 is perfect)")
    return replace(panel, title=title, y_label=label, series=turned, y_scale="log", y_limits=limits)


def with_limits(panel: Panel) -> Panel:
    """The panel, where on a logarithmic axis a value below two errors is an upper limit: the value plus two errors."""
    if not (panel.noisy and panel.y_scale == "log"):
        return panel
    return replace(panel, series=tuple(replace(one, points=tuple(map(_bounded, one.points))) for one in panel.series))


def _bounded(point: Point) -> Point:
    """The point, or its upper limit; a value below zero counts as zero."""
    if point.limit or not point.error or point.y >= 2 * point.error:
        return point
    return replace(point, y=max(point.y, 0.0) + 2 * point.error, error=None, limit="upper")


def _dots(panel: Panel, highest_first: bool) -> Panel:
    """The panel as a dot plot, sorted by value, with a line at the variant whose label names no option."""
    samplers = [one for one in panel.series if one.role == "sampler"]
    labels = [one.label for one in samplers]
    default = [one for one in samplers if any(label.startswith(f"{one.label} (") for label in labels)]
    line = default[0].points[0].y if len(default) == 1 else None
    reversed_ = highest_first and not panel.y_label.startswith("1 ")

    def height(series: Series) -> float:
        mean = sum(point.y for point in series.points) / len(series.points)
        return -mean if reversed_ else mean

    shown = sorted((one for one in panel.series if one.role != "fit"), key=height)
    return replace(panel, series=tuple(shown), rows=True, default=line)


def _picture(panel: AnyPanel) -> Picture:
    shown = with_limits(panel) if isinstance(panel, Panel) else panel
    picture = Picture(panel.name, visible(shown.alt), draw(shown), title=visible(panel.title), panel=shown)
    if not isinstance(panel, Panel) or not panel.switchable:
        return picture
    other = with_limits(_switched(panel))
    return replace(picture, other=draw(other, pdf=False), other_scale=other.y_scale)


def _switched(panel: Panel) -> Panel:
    """The panel on the other scale of y."""
    log = panel.y_scale == "linear"
    scale: Literal["linear", "log"] = "log" if log else "linear"
    usual = panel.y_limits == fraction_limits(log=not log)
    limits = fraction_limits(log=log) if usual else None
    return replace(panel, name=f"{panel.name}-{scale}", y_scale=scale, y_limits=limits)


def _sampler_series(sweep: Sweep, quantity: str, fits: Sequence[Exponent]) -> list[Series]:
    """One series for each sampler; a sampler without the option of the axis is a grey line across the panel."""
    looks = marks([*sweep.results.labels, *(sweep.name(group) for group in sweep.groups)])
    every = [place for group in sweep.groups if (place := sweep.place(group)) is not None]
    series = []
    for name in dict.fromkeys(sweep.name(group) for group in _ordered(sweep)):
        groups = [group for group in sweep.groups if sweep.name(group) == name]
        known = [(sweep.place(group), value) for group in groups if (value := _value(group, quantity))]
        placed = [replace(value, x=place) for place, value in known if place is not None]
        points = tuple(sorted(placed, key=lambda point: point.x))
        if points:
            label = f"{name}{fit_text(sweep, fits, name, quantity)}"
            series.append(Series(label, points, looks[name], group=name))
        elif known:
            flat = tuple(replace(known[0][1], x=place, error=None) for place in (min(every), max(every)))
            series.append(Series(name, flat, looks[name], role="reference", shape="line", group=name))
    return series


def _ordered(sweep: Sweep) -> list[SeedGroup]:
    """The groups in the order of the labels of the report."""
    labels = sweep.results.labels
    return sorted(sweep.groups, key=lambda group: labels.index(group.label))


def _second(series: Series, suffix: str) -> Series:
    """The series of a second quantity: dotted, with a suffix."""
    mark = Mark(series.mark.colour, series.mark.marker, DOTTED)
    return replace(series, label=f"{series.label}{suffix}", mark=mark)


def _value(group: SeedGroup, quantity: str) -> Point | None:
    """The mean over seeds in the unit of its axis, at x = 0; None if there is none."""
    estimate = group.estimate(quantity)
    if estimate is None or estimate.value is None:
        return None
    scale = describe(quantity).scale
    error = estimate.error / scale if estimate.error is not None and math.isfinite(estimate.error) else None
    return Point(0.0, estimate.value / scale, error, group.trusted)
