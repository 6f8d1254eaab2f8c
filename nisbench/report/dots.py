"""Draws a panel as a dot plot: one row for each series, its name at the left, its values on the horizontal axis."""

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator

from nisbench.report.axes import BESIDE, set_value_axis, spread_ticks
from nisbench.report.lettering import printable, shortened, width, wrapped
from nisbench.report.palette import MUTED
from nisbench.report.panels import Panel
from nisbench.report.plot import draw_marks, tag
from nisbench.report.sheet import Sheet

__all__ = ["draw_dots", "row_places"]

_BELOW = 35.0
_PAD = 8.0
"""Points between the names and the axis, which an arrow at its edge needs."""
_NAMES = 0.42
"""Largest fraction of the width that the names take."""


def draw_dots(panel: Panel, sheet: Sheet) -> Figure:
    """The rows of the panel from top to bottom in the order of its series; every text is inside the figure."""
    title = sheet.title(panel.title)
    names = [wrapped(printable(series.label), sheet.small, _NAMES * sheet.width, 2) for series in panel.series]
    pitch = 1.1 * sheet.small * max(map(len, names)) + 5
    inner_height, above = pitch * len(names), 10 + sheet.line(len(title))
    height = above + inner_height + _BELOW
    figure = Figure(figsize=(sheet.width / 72, height / 72))
    left = sheet.margin + _PAD + max(width(line, sheet.small) for name in names for line in name)
    inner = sheet.width - left - BESIDE
    place = (left / sheet.width, _BELOW / height, inner / sheet.width, inner_height / height)
    axes = figure.add_axes(place)
    set_value_axis(axes, panel, "x")
    spread_ticks(axes.xaxis, inner, sheet.small)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.yaxis.set_major_locator(FixedLocator(list(range(len(names)))))
    axes.yaxis.set_major_formatter(FixedFormatter(["\n".join(name) for name in names]))
    axes.tick_params(axis="y", length=0, pad=_PAD)
    for level in panel.levels:
        axes.axvline(level, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    if panel.default is not None:
        axes.axvline(panel.default, color=MUTED, linewidth=1.1, zorder=1)
    for row, series in enumerate(panel.series):
        with tag(axes, row):
            draw_marks(axes, panel, series, row_places(panel, row), across=True)
    axes.set_xlabel(shortened(printable(panel.y_label), sheet.size, inner))
    sheet.write_title(figure, title)
    sns.despine(ax=axes, left=True)
    return figure


def row_places(panel: Panel, row: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Vertical positions of the points of one row: points of several cells lie beside each other."""
    n = len(panel.series[row].points)
    spread = 0.0 if n == 1 else min(0.28, 0.1 * (n - 1))
    return row + np.linspace(-spread, spread, n)
