"""Draws a panel with two axes: layout, series, legend."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nisbench.report.axes import BESIDE, set_position_axis, set_value_axis, tick_labels
from nisbench.report.labels import draw_notes, ends_room, name_ends
from nisbench.report.lettering import printable, shortened, width, wrapped
from nisbench.report.palette import MUTED, PALETTE, PAPER
from nisbench.report.panels import Panel, Series
from nisbench.report.sheet import Sheet

__all__ = ["colour", "draw_marks", "draw_plot", "shifted", "tag"]

_AXES_HEIGHT = 162.0
_BELOW = 35.0
"""Points below the axes, for the labels of the ticks and of the axis."""
_TICKS = 10.0
"""Points between the axis and the y label, without the width of the labels of the ticks."""
_HANDLE, _HANDLE_GAP, _COLUMN_GAP = 2.6, 0.8, 1.2
"""Lengths in the legend in units of its text: the mark, the gap behind it, and the gap between two columns."""


def draw_plot(panel: Panel, sheet: Sheet) -> Figure:
    """The panel with its title and legend above the axes; every text is inside the figure."""
    title, named = sheet.title(panel.title), [k for k, one in enumerate(panel.series) if one.named and one.points]
    beside = ends_room(panel, named, sheet)
    columns, room = _columns(panel, named, sheet)
    legend = 5 if beside else 1.2 * sheet.small * math.ceil(len(named) / columns) + 5
    above = 8 + sheet.line(len(title)) + legend
    height = above + _AXES_HEIGHT + _BELOW
    figure = Figure(figsize=(sheet.width / 72, height / 72))
    axes = figure.add_axes((0, 0, 1, 1))
    set_value_axis(axes, panel, "y")
    y_label = wrapped(printable(panel.y_label), sheet.size, _AXES_HEIGHT, 2)
    ticks = max((width(text, sheet.small) for text in tick_labels(axes.yaxis)), default=0.0)
    left = sheet.margin + sheet.line(len(y_label)) + ticks + _TICKS
    inner = sheet.width - left - (beside or BESIDE)
    axes.set_position((left / sheet.width, _BELOW / height, inner / sheet.width, _AXES_HEIGHT / height))
    set_position_axis(axes, panel, inner, sheet.small)
    for level in panel.levels:
        axes.axhline(level, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    for index, series in enumerate(panel.series):
        with tag(axes, index):
            label = shortened(printable(series.label), sheet.small, room) if series.named else "_"
            _draw_series(axes, panel, series, label)
    axes.set_xlabel(shortened(printable(panel.x_label), sheet.size, inner))
    axes.set_ylabel("\n".join(y_label), linespacing=1.15)
    axes.yaxis.set_label_coords(-(ticks + _TICKS) / inner, 0.5)
    sheet.write_title(figure, title)
    draw_notes(axes, panel, inner, sheet)
    if beside:
        name_ends(axes, panel, named, sheet)
    elif named:
        _name_series(axes, named, columns, (sheet.margin - left) / inner)
    sns.despine(ax=axes)
    return figure


@contextmanager
def tag(axes: Axes, index: int) -> Iterator[None]:
    """Gives the artists that are drawn inside the block the ids by which the page hides series `index`."""
    before = len(_artists(axes))
    yield
    for part, artist in enumerate(_artists(axes)[before:]):
        artist.set_gid(f"s{index}-{part}")


def _artists(axes: Axes) -> list[Any]:
    """The artists drawn into the axes so far, in order; the frame and the titles follow them among the children."""
    children = axes.get_children()
    return children[: children.index(next(iter(axes.spines.values())))]


def _columns(panel: Panel, named: Sequence[int], sheet: Sheet) -> tuple[int, float]:
    """Number of columns of the legend, and the width that each name may have."""
    whole, extra = sheet.width - 2 * sheet.margin, (_HANDLE + _HANDLE_GAP) * sheet.small
    longest = max((width(printable(panel.series[k].label), sheet.small) for k in named), default=0.0)
    for columns in (4, 3, 2):
        if columns * (longest + extra + _COLUMN_GAP * sheet.small) <= whole:
            return columns, whole
    return 1, whole - extra


def _name_series(axes: Axes, named: Sequence[int], columns: int, left: float) -> None:
    """The legend of the series with these numbers."""
    legend = axes.legend(
        loc="lower left",
        bbox_to_anchor=(left, 1.0),
        ncols=columns,
        frameon=False,
        borderpad=0.2,
        borderaxespad=0.1,
        handlelength=_HANDLE,
        handletextpad=_HANDLE_GAP,
        columnspacing=_COLUMN_GAP,
        labelspacing=0.25,
    )
    for index, handle, text in zip(named, legend.legend_handles, legend.get_texts(), strict=True):
        if handle is not None:
            handle.set_gid(f"legend-{index}-mark")
        text.set_gid(f"legend-{index}-name")


def shifted(panel: Panel, series: Series) -> NDArray[np.float64]:
    """The x of the points, shifted a little for each sampler so that marks at equal places do not hide each other."""
    x = np.array([point.x for point in series.points], dtype=np.float64)
    samplers = [one for one in panel.series if one.role == "sampler"]
    if panel.x_scale in ("linear", "log") or series.shape != "points" or series not in samplers:
        return x
    steps = samplers.index(series) - (len(samplers) - 1) / 2
    if panel.x_scale == "size":  # equal factors are equal shifts on a logarithmic axis, centred on the true size
        return x * float(1.03**steps)
    every = [point.x for one in samplers for point in one.points]
    return x + 0.008 * (max(every) - min(every)) * steps


def colour(series: Series) -> str:
    """Colour of the series; published values and shaded references are grey."""
    return PALETTE[series.mark.colour] if series.role in ("sampler", "fit") else MUTED


def _draw_series(axes: Axes, panel: Panel, series: Series, label: str) -> None:
    """Draws one series; `label` is its name in the legend."""
    style: dict[str, Any] = {"color": colour(series), "label": label}
    x = shifted(panel, series)
    wide, dash = (0.6, "-") if series.role == "other" or series.thin else (1.3, series.mark.dash)
    y = np.array([point.y for point in series.points])
    if series.shape == "steps":
        fill = series.role == "reference"
        axes.stairs(y[:-1], x, fill=fill, alpha=0.3 if fill else 1.0, linewidth=wide, linestyle=dash, **style)
    elif series.shape == "curve":
        low, high = axes.get_ylim()
        axes.plot(x, np.where(y > low, y, np.nan), linewidth=wide, linestyle=dash, **style)
        _shade(axes, series, x, y)
        _draw_arrows(axes, x, y, (low, high), (colour(series), colour(series)))
    elif series.shape == "band":
        _shade(axes, series, x, y, label=label)
    elif series.shape == "line":
        axes.plot(x, y, linewidth=1.0, linestyle=":", **style)
    else:
        joined = panel.joined and series.role != "published"
        if joined:
            inside = np.isfinite(y) & (y >= axes.get_ylim()[0]) & (y <= axes.get_ylim()[1])
            inside &= np.array([not point.limit for point in series.points])
            axes.plot(x[inside], y[inside], color=style["color"], linestyle=series.mark.dash, zorder=2)
        axes.plot([], [], linestyle=series.mark.dash if joined else "none", **_mark_style(series), **style)
        draw_marks(axes, panel, series, x)


def _shade(axes: Axes, series: Series, x: NDArray[np.float64], y: NDArray[np.float64], **style: Any) -> None:
    """A shaded band of one standard error on each side of y; nothing where no point has an error."""
    error = np.array([point.error or 0.0 for point in series.points])
    if error.any():
        low = np.maximum(y - error, 0.3 * y) if axes.get_yscale() == "log" else y - error  # stays on a logarithmic axis
        axes.fill_between(x, low, y + error, color=colour(series), alpha=0.2, linewidth=0, zorder=1, **style)


def draw_marks(axes: Axes, panel: Panel, series: Series, places: NDArray[np.float64], *, across: bool = False) -> None:
    """Marks and error bars at these places; `across`: the values are on the horizontal axis.

    Values beyond the limits of the axis are arrows at its edge.
    """
    low, high = axes.get_xlim() if across else axes.get_ylim()
    y = np.array([point.y for point in series.points])
    error = np.array([point.error or 0.0 for point in series.points])
    inside = (y >= low) & (y <= high)
    trusted = np.array([point.trusted for point in series.points])
    below = np.minimum(error, 0.999 * (y - low) if panel.y_scale == "log" else np.inf)  # keeps the bar on a log axis
    bars: dict[str, Any] = {"xerr" if across else "yerr": [below[inside], error[inside]], "fmt": "none"}
    x, values = places[inside], y[inside]
    pair = (values, x) if across else (x, values)
    axes.errorbar(*pair, color=colour(series), elinewidth=1.1, zorder=2.5, **bars)
    style = {"linestyle": "none", "zorder": 3, **_mark_style(series)}
    for chosen, hollow in ((inside & trusted, False), (inside & ~trusted, True)):
        if not chosen.any():
            continue
        pair = (y[chosen], places[chosen]) if across else (places[chosen], y[chosen])
        axes.plot(*pair, **(style | ({"markerfacecolor": PAPER} if hollow else {})))
    for chosen, fill in ((trusted, colour(series)), (~trusted, PAPER)):
        _draw_arrows(axes, places[chosen], y[chosen], (low, high), (colour(series), fill), across=across)
    _draw_limits(axes, places, y, series, across=across)


def _draw_limits(
    axes: Axes, places: NDArray[np.float64], y: NDArray[np.float64], series: Series, *, across: bool
) -> None:
    """An arrow of 7 % of the axis at each limit: upwards from a lower one, downwards from an upper one."""
    low, high = axes.get_xlim() if across else axes.get_ylim()
    log = (axes.get_xscale() if across else axes.get_yscale()) == "log"
    for kind, sign in (("lower", 1), ("upper", -1)):
        chosen = np.array([point.limit == kind for point in series.points])
        if not chosen.any():
            continue
        start = y[chosen]
        end = start * (high / low) ** (0.07 * sign) if log else start + 0.07 * sign * (high - low)
        pair = (start, places[chosen]) if across else (places[chosen], start)
        name = f"{'x' if across else ''}{'lo' if sign > 0 else 'up'}lims"
        arrows: dict[str, Any] = {"xerr" if across else "yerr": np.abs(end - start), name: True}
        axes.errorbar(*pair, fmt="none", color=colour(series), elinewidth=1.2, capsize=3.0, zorder=2.5, **arrows)


def _mark_style(series: Series) -> dict[str, Any]:
    return {
        "marker": series.mark.marker,
        "markersize": 5.0 if series.role != "published" else 6.5,
        "markeredgecolor": colour(series),
        "markerfacecolor": colour(series),
    }


def _draw_arrows(
    axes: Axes,
    places: NDArray[np.float64],
    y: NDArray[np.float64],
    limits: tuple[float, float],
    colours: tuple[str, str],
    *,
    across: bool = False,
) -> None:
    """Arrows at the edge of the axis for the values beyond its limits; `colours`: of the edge and of the face."""
    low, high = limits
    for chosen, edge, arrow in ((y > high, high, ">" if across else "^"), (y < low, low, "<" if across else "v")):
        if not chosen.any():
            continue
        ends = np.full(int(chosen.sum()), edge)
        pair = (ends, places[chosen]) if across else (places[chosen], ends)
        axes.plot(
            *pair,
            marker=arrow,
            markersize=5.0,
            markeredgecolor=colours[0],
            markerfacecolor=colours[1],
            linestyle="none",
            clip_on=False,
            zorder=3,
        )
