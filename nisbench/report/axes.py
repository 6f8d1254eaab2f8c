"""Scales, limits and ticks of the axes of a panel."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from nisbench.report.lettering import width
from nisbench.report.palette import INK, MUTED
from nisbench.report.panels import Panel, Point, Role
from nisbench.results.numbers import power_of_ten

__all__ = ["BESIDE", "set_position_axis", "set_value_axis", "spread_ticks", "tick_labels"]

BESIDE = 14.0
"""Points at the right of the axes, which half of the label of a tick at the edge may take."""
_GAP = 4.0
"""Smallest distance in points between two labels of an axis."""
_NEAR = 3.0
"""Distance in points below which two marks lie on each other."""


def set_position_axis(axes: Axes, panel: Panel, room: float, size: float) -> None:
    """Sets the x axis of a panel; `room` is its length and `size` the size of its labels, both in points.

    An axis of sizes or of values has its ticks at the sizes or values of the samplers and, in grey, at those of
    published values; never at the points of a fit. Where the labels would overlap, those of the samplers come first,
    and of these the larger size keeps its label. Values whose marks lie on each other share one label.
    """
    x = [point.x for point in _points(panel)]
    low, high = min(x), max(x)
    if panel.x_scale == "log":
        axes.set_xscale("log")
        axes.set_xlim(low / _beside(low, high), high * _beside(low, high))
        _log_ticks(axes.xaxis, low, high)
        spread_ticks(axes.xaxis, room, size)
        return
    if panel.x_scale == "size":
        axes.set_xscale("log", base=2)
        low, high = low / 1.3, high * 1.3
    else:
        margin = (0.08 if panel.x_scale == "values" else 0.04) * (high - low) or 1.0
        low, high = low - margin, high + margin
    axes.set_xlim(low, high)
    if panel.x_scale == "linear":
        _linear_ticks(axes.xaxis, high - low)
        spread_ticks(axes.xaxis, room, size)
        return
    own, published = _places(panel, "sampler"), _places(panel, "published")
    names = _together(axes.xaxis, own, room) if panel.x_scale == "values" else {}
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: names.get(value, f"{value:.4g}")))
    kept = _thinned(axes.xaxis, list(names) or own, room, size)
    ticks = _filled(axes.xaxis, kept, sorted(set(published) - set(own)), room, size)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    for tick, label in zip(ticks, axes.xaxis.get_ticklabels(), strict=True):
        label.set_color(INK if tick in kept else MUTED)


def _beside(low: float, high: float) -> float:
    """Factor of the margin at each end of a logarithmic axis: 3 % of its length, or a quarter for a single place."""
    return max(float((high / low) ** 0.03), 1.02) if high > low else 1.25


def _places(panel: Panel, role: Role) -> list[float]:
    """The places of the points of this role, sorted, each once."""
    return sorted({point.x for series in panel.series if series.role == role for point in series.points})


def _together(axis: Axis, places: Sequence[float], room: float) -> dict[float, str]:
    """Place of a tick -> its label. Places closer than _NEAR share the tick of the largest: `0.44, 0.4407`."""
    low, high = axis.get_view_interval()
    groups: list[list[float]] = []
    for place in places:
        if groups and room * (place - groups[-1][0]) / (high - low) < _NEAR:
            groups[-1].append(place)
        else:
            groups.append([place])
    names = [list(dict.fromkeys(f"{place:.4g}" for place in group)) for group in groups]
    texts = [
        name[0] if len(name) == 1 else (", " if len(name) == 2 else " to ").join((name[0], name[-1])) for name in names
    ]
    return {group[-1]: text for group, text in zip(groups, texts, strict=True)}


def _filled(axis: Axis, kept: list[float], others: Sequence[float], room: float, size: float) -> list[float]:
    """The ticks `kept`, with those of `others` whose labels overlap none of them, from the largest on."""
    ticks = kept
    for other in sorted(others, reverse=True):
        more = sorted([*ticks, other])
        ticks = more if _thinned(axis, more, room, size) == more else ticks
    return ticks


def spread_ticks(axis: Axis, room: float, size: float) -> None:
    """Leaves out every second label, or more, of a horizontal axis with even ticks until the labels do not overlap."""
    low, high = sorted(axis.get_view_interval())
    ticks = [float(tick) for tick in axis.get_majorticklocs() if low <= tick <= high]
    step = 1
    while step < len(ticks) and _thinned(axis, ticks[::step], room, size) != ticks[::step]:
        step += 1
    if step > 1:
        axis.set_major_locator(FixedLocator(ticks[::step]))


def set_value_axis(axes: Axes, panel: Panel, direction: Literal["x", "y"]) -> None:
    """Sets scale, limits and ticks of the axis of the values."""
    low, high = panel.y_limits or _limits(panel)
    axis = axes.xaxis if direction == "x" else axes.yaxis
    if panel.y_scale == "log":
        axes.set(**{f"{direction}scale": "log"})
        _log_ticks(axis, low, high)
    else:
        _linear_ticks(axis, high - low)
    axes.set(**{f"{direction}lim": (low, high)})


def tick_labels(axis: Axis) -> list[str]:
    """The labels of the ticks inside the limits of the axis."""
    low, high = sorted(axis.get_view_interval())
    formatter = axis.get_major_formatter()
    return [formatter(tick) for tick in axis.get_majorticklocs() if low <= tick <= high]


def _thinned(axis: Axis, ticks: Sequence[float], room: float, size: float) -> list[float]:
    """The ticks whose labels do not overlap and do not leave the figure, from the largest on."""
    scaled, formatter = axis.get_transform().transform, axis.get_major_formatter()
    low, high = scaled(np.array(axis.get_view_interval()))
    places = room * (scaled(np.array(ticks)) - low) / (high - low)
    kept: list[float] = []
    free = room + BESIDE
    for tick, place in zip(reversed(ticks), reversed(places.tolist()), strict=True):
        half = width(formatter(tick), size) / 2
        if place + half <= free:
            kept.append(tick)
            free = place - half - _GAP
    return kept[::-1]


def _linear_ticks(axis: Axis, span: float) -> None:
    axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _plain(value, span)))


def _plain(value: float, span: float) -> str:
    """Label of a tick on a linear axis of this length."""
    if abs(value) < 1e-9 * span:  # ticks are computed by additions, so zero can come out as 1e-17
        return "0"
    size = abs(value)
    text = f"{size:.6g}" if 1e-3 <= size < 1e5 else power_of_ten(float(f"{size:.6g}"))
    return f"\N{MINUS SIGN}{text}" if value < 0 else text


def _log_ticks(axis: Any, low: float, high: float) -> None:
    decades = math.log10(high / low)
    # Less than two decades would show one or two labels, so 2 and 5 get labels as well; less than half a decade
    # contains few of these, so it has the ticks of a linear axis.
    if decades < 0.5:
        axis.set_major_locator(MaxNLocator(4))
        axis.set_major_formatter(FuncFormatter(lambda value, _: _plain(value, high - low)))
        axis.set_minor_locator(NullLocator())
        return
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 1.7 else (1.0,), numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))
    axis.set_minor_formatter(NullFormatter())
    if not 1.7 <= decades < 3.2:
        axis.set_minor_locator(NullLocator())


def _points(panel: Panel) -> list[Point]:
    return [point for series in panel.series for point in series.points]


def _limits(panel: Panel) -> tuple[float, float]:
    """The range of all finite values with their errors, with a margin."""
    points = [point for point in _points(panel) if math.isfinite(point.y)]
    if panel.y_scale == "log":
        points = [point for point in points if point.y > 0]
    if not points:
        return (0.5, 2.0)
    high = max(point.y + (point.error or 0.0) for point in points)
    # Room for the arrows of limits.
    above, below = (0.12 if any(point.limit == kind for point in points) else 0.0 for kind in ("lower", "upper"))
    if panel.y_scale == "log":
        # A bar longer than its value would reach minus infinity; it counts down to 0.3 of the value.
        low = min(max(point.y - (point.error or 0.0), 0.3 * point.y) for point in points)
        wide = max((high / low) ** 0.08, 1.15)
        span = high / low * wide
        return low / wide / span**below, high * wide * span**above
    low = min(point.y - (point.error or 0.0) for point in points)
    margin = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return low - margin - below * (high - low + margin), high + margin + above * (high - low + margin)
