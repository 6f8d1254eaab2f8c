"""Scales, limits and ticks of the axes of a panel."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from nisbench.report.panels import Panel
from nisbench.results.numbers import power_of_ten

__all__ = ["set_scales"]


def set_scales(axes: Axes, panel: Panel) -> None:
    """Sets scales, limits and ticks of both axes; the x axis of sizes is logarithmic with a label at each size."""
    points = [point for series in panel.series for point in series.points]
    x = sorted({point.x for point in points})
    if panel.x_scale == "size":
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(FixedLocator(_thinned(x)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlim(x[0] / 1.3, x[-1] * 1.3)
    elif panel.x_scale == "log":
        axes.set_xscale("log")
        _log_ticks(axes.xaxis, x[0], x[-1])
    low, high = panel.y_limits or _limits(panel)
    if panel.y_scale == "log":
        axes.set_yscale("log")
        _log_ticks(axes.yaxis, low, high)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.set_ylim(low, high)


def _thinned(sizes: Sequence[float]) -> list[float]:
    """The sizes whose labels do not overlap."""
    kept = [sizes[0]]
    for size in sizes[1:]:
        if size >= 1.18 * kept[-1]:  # closer labels run into each other at the font size of the figures
            kept.append(size)
    return kept


def _log_ticks(axis: Any, low: float, high: float) -> None:
    decades = math.log10(high / low) if low > 0 else 1.0
    # Less than two decades would show one or two labels, so 2 and 5 get labels as well.
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 1.7 else (1.0,), numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))
    axis.set_minor_formatter(NullFormatter())
    if not 1.7 <= decades < 3.2:
        axis.set_minor_locator(NullLocator())


def _limits(panel: Panel) -> tuple[float, float]:
    """The range of all finite values with their errors, with a margin."""
    points = [point for series in panel.series for point in series.points if math.isfinite(point.y)]
    if panel.y_scale == "log":
        points = [point for point in points if point.y > 0]
    if not points:
        return (0.5, 2.0)
    high = max(point.y + (point.error or 0.0) for point in points)
    if panel.y_scale == "log":
        # A bar longer than its value would reach minus infinity; it counts down to 0.3 of the value.
        low = min(max(point.y - (point.error or 0.0), 0.3 * point.y) for point in points)
        wide = max((high / low) ** 0.08, 1.15)
        return low / wide, high * wide
    low = min(point.y - (point.error or 0.0) for point in points)
    margin = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return low - margin, high + margin
