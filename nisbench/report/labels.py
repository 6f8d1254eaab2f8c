"""Texts inside the axes of a panel: names at the ends of lines in place of a legend, and marked places."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from nisbench.report.lettering import printable, width
from nisbench.report.palette import INK, MUTED, PALETTE, PAPER
from nisbench.report.panels import Panel, Series
from nisbench.report.sheet import Sheet

__all__ = ["draw_notes", "ends_room", "name_ends"]

_WIDEST = 0.26
"""Largest fraction of the width of the sheet that names beside the axes take."""
_MOST = 6
"""Largest number of names beside the axes."""
_SAMPLE = 11.0
"""Length in points of the sample of a line in front of its name."""
_SAME_END = 0.04
"""Lines that end within this fraction of the x axis from each other end at the same place."""
_GAP = 5.0
"""Points between the axes and the names beside them."""


def ends_room(panel: Panel, named: Sequence[int], sheet: Sheet) -> float:
    """Points beside the axes for the names of the lines; 0 if there is no room, so that a legend names them.

    There is room if every series is a line without marks and all lines end at the right edge.
    """
    series = [panel.series[k] for k in named]
    if not 0 < len(series) <= _MOST or any(one.shape != "curve" or one.role == "other" for one in series):
        return 0.0
    longest = max(width(printable(one.label), sheet.small) for one in series)
    return (
        longest + 2 * _GAP + _SAMPLE + 3 if longest <= _WIDEST * sheet.width and _end_together(panel, series) else 0.0
    )


def name_ends(axes: Axes, panel: Panel, named: Sequence[int], sheet: Sheet) -> None:
    """Writes each name beside the end of its line, behind a sample of it; names are moved apart if they overlap."""
    box = axes.get_window_extent()
    points = 72 / axes.figure.get_dpi()
    ends = {k: _height(axes, panel.series[k]) * points for k in named}
    pitch, high, long = 1.15 * sheet.small, box.height * points, box.width * points
    places = _apart(ends, pitch, high)
    for k, place in places.items():
        one = panel.series[k]
        start, end, height = 1 + _GAP / long, 1 + (_GAP + _SAMPLE) / long, place / high
        look: dict[str, Any] = {"color": PALETTE[one.mark.colour] if one.role == "sampler" else MUTED}
        look |= {"linestyle": one.mark.dash, "linewidth": 1.3, "transform": axes.transAxes, "clip_on": False}
        axes.plot([start, end], [height, height], gid=f"legend-{k}-mark", **look)
        text = axes.text(end + 3 / long, height, printable(one.label), transform=axes.transAxes, va="center", color=INK)
        text.set(size=sheet.small, gid=f"legend-{k}-name")


def draw_notes(axes: Axes, panel: Panel, inner: float, sheet: Sheet) -> None:
    """A ring at each marked place, a line down to the x axis, and the text beside the line where it fits."""
    low, high = axes.get_xlim()
    bottom, _ = axes.get_ylim()
    places = [math.log(note.x / low) / math.log(high / low) * inner for note in panel.notes]
    for k, note in enumerate(panel.notes):
        axes.plot([note.x, note.x], [bottom, note.y], color=INK, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1.5)
        ring: dict[str, Any] = {
            "markerfacecolor": PAPER,
            "markeredgecolor": INK,
            "markersize": 5.5,
            "linestyle": "none",
        }
        axes.plot([note.x], [note.y], marker="o", zorder=4, **ring)
        end = places[k] + 6 + width(note.text, sheet.small)
        left = end > inner or any(places[k] < other < end for other in places)
        axes.annotate(
            note.text,
            (note.x, bottom),
            (-3 if left else 3, 5 + 1.3 * sheet.small * k),
            textcoords="offset points",
            ha="right" if left else "left",
            size=sheet.small,
            color=INK,
        )


def _end_together(panel: Panel, series: Sequence[Series]) -> bool:
    """True if the last points of all lines are close to the largest x of the panel."""
    scaled = math.log if panel.x_scale == "log" else float
    places = [[scaled(point.x) for point in one.points] for one in series]
    low, high = min(map(min, places)), max(map(max, places))
    return all(high - max(own) <= _SAME_END * (high - low) for own in places)


def _height(axes: Axes, series: Series) -> float:
    """Height of the end of a line above the lower end of the y axis, in pixels."""
    bottom, top = axes.get_ylim()
    y = min(max(series.points[-1].y, bottom), top)
    (_, at), (_, base) = axes.transData.transform([(series.points[-1].x, y), (series.points[-1].x, bottom)])
    return float(at - base)


def _apart(ends: dict[int, float], pitch: float, high: float) -> dict[int, float]:
    """The heights, moved so that neighbours are at least `pitch` apart and all lie between 0 and `high`."""
    order = sorted(ends, key=lambda k: ends[k])
    places = [ends[k] for k in order]
    for _ in range(50):
        for i in range(len(places) - 1):
            if (short := pitch - (places[i + 1] - places[i])) > 0:
                places[i] -= short / 2
                places[i + 1] += short / 2
        places = [min(max(place, 0.3 * pitch), high - 0.3 * pitch) for place in places]
    return dict(zip(order, places, strict=True))
