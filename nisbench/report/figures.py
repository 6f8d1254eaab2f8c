"""Draws panels as SVG and PDF with matplotlib and the style of seaborn. The same panel gives the same bytes.

Text stays text and colours come from a fixed palette, so that the page can replace them by its own fonts and by its
light or dark colours. Error bars are the errors of the panel; nothing is estimated here. No state of pyplot is used.
"""

import io
import math
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from nisbench.report.axes import set_scales
from nisbench.report.panels import ConfigurationPanel, Drawing, Panel, Point, Series, Traced, visible
from nisbench.results.numbers import as_printed, concise, significant

__all__ = ["GRID", "INK", "MUTED", "PALETTE", "PAPER", "draw"]

PALETTE = ("#1b62b5", "#c4420f", "#0b7a55", "#8a3fb0", "#946300", "#0c7489", "#b3245f", "#56616e")
"""Colours of the samplers; each has a contrast of at least 4.5 on white."""
INK, MUTED, GRID, PAPER = "#1b1f24", "#646d79", "#dde1e6", "#fefefe"
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
_PUBLISHED_MARKERS = ("D", "s", "^", "v", "p", "h")
_SPINS = ("#27405e", "#e9edf1")
_WIDTH, _HEIGHT = 4.7, 2.75  # inches, of the axes with their labels
_LEGEND_ROW = 0.19


def draw(panel: Panel | ConfigurationPanel, *, pdf: bool = True) -> Drawing:
    """The panel as PDF and as one SVG element, without XML prologue and metadata; its ids begin with its name."""
    with _style(panel.name):
        figure = _draw_panel(panel) if isinstance(panel, Panel) else _draw_configurations(panel)
        svg, printed = io.StringIO(), io.BytesIO()
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        if pdf:
            figure.savefig(printed, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
    traced = _traced(panel, figure) if isinstance(panel, Panel) else ()
    return Drawing(_tidy(svg.getvalue(), panel.name), printed.getvalue(), traced)


@contextmanager
def _style(salt: str) -> Iterator[None]:
    settings: Any = {
        **sns.axes_style("ticks"),
        "svg.hashsalt": salt,
        "svg.fonttype": "none",
        "pdf.fonttype": 3,  # fonts of type 42 take half a second for each drawing
        "text.parse_math": False,  # the name of a plugin may contain a dollar sign
        "axes.unicode_minus": True,
        "font.family": ["DejaVu Sans"],
        "font.size": 9.0,
        "axes.titlesize": 9.5,
        "axes.titleweight": "bold",
        "axes.labelsize": 9.0,
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        "legend.fontsize": 8.5,
        "axes.facecolor": PAPER,
        "figure.facecolor": PAPER,
        "axes.edgecolor": MUTED,
        "axes.grid": True,
        "grid.color": GRID,
        "grid.linewidth": 0.7,
        "text.color": INK,
        "axes.labelcolor": INK,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "lines.linewidth": 1.4,
        "errorbar.capsize": 2.0,
    }
    with mpl.rc_context(settings), warnings.catch_warnings():
        # Text is not drawn from this font. A letter that the font lacks only makes its width a guess.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _draw_panel(panel: Panel) -> Figure:
    named = [index for index, series in enumerate(panel.series) if series.named and series.points]
    longest = max((len(panel.series[index].label) for index in named), default=0)
    columns = 1 if longest > 34 else 2 if longest > 17 else 3
    legend = 0.08 + _LEGEND_ROW * math.ceil(len(named) / columns)
    height = _HEIGHT + legend + 0.25
    figure = Figure(figsize=(_WIDTH, height))
    axes = figure.add_axes((0.68 / _WIDTH, 0.48 / height, (_WIDTH - 0.8) / _WIDTH, (_HEIGHT - 0.5) / height))
    set_scales(axes, panel)
    for level in panel.levels:
        axes.axhline(level, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    for index, series in enumerate(panel.series):
        before = len(_artists(axes))
        _draw_series(axes, panel, series, _shifted(panel, series))
        for part, artist in enumerate(_artists(axes)[before:]):
            artist.set_gid(f"s{index}-{part}")  # the script of the page hides a series by these ids
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    figure.text(0.1 / _WIDTH, 1 - 0.18 / height, _printable(panel.title), weight="bold", size=9.5, va="center")
    if named:
        _name_series(axes, panel, named, columns)
    sns.despine(ax=axes)
    return figure


def _name_series(axes: Axes, panel: Panel, named: Sequence[int], columns: int) -> None:
    """The legend of the series with these numbers."""
    legend = axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.5 / (_WIDTH - 0.8), 1.0),
        ncols=columns,
        frameon=False,
        borderaxespad=0.1,
        handlelength=2.3,
        columnspacing=1.2,
        labelspacing=0.25,
    )
    for index, handle, text in zip(named, legend.legend_handles, legend.get_texts(), strict=True):
        if handle is not None:
            handle.set_gid(f"legend-{index}-mark")
        text.set_gid(f"legend-{index}-name")


def _artists(axes: Axes) -> list[Any]:
    """The artists drawn into the axes so far, in order; the frame and the titles follow them among the children."""
    children = axes.get_children()
    return children[: children.index(next(iter(axes.spines.values())))]


def _shifted(panel: Panel, series: Series) -> Any:
    """The x of the points, shifted a little for each sampler so that marks at equal sizes do not hide each other."""
    x = np.array([point.x for point in series.points])
    samplers = [one for one in panel.series if one.role == "sampler"]
    if panel.x_scale != "size" or series.shape != "points" or series not in samplers:
        return x
    # Equal factors are equal shifts on the logarithmic axis of sizes, centred on the true size.
    return x * 1.03 ** (samplers.index(series) - (len(samplers) - 1) / 2)


def _traced(panel: Panel, figure: Figure) -> tuple[Traced, ...]:
    """Positions of the points in the view box (units of 1/72 inch, y downwards); points beyond an edge lie on it."""
    axes = figure.axes[0]
    low, high = axes.get_ylim()
    height = 72 * figure.get_size_inches()[1]
    traced = []
    for series in panel.series:
        x, points, shown_x = _shifted(panel, series), series.points, [point.x for point in series.points]
        if series.shape == "steps":
            # The points of a histogram are edges; its values belong to the middles of the bins.
            x, points = (x[1:] + x[:-1]) / 2, points[:-1]
            shown_x = x.tolist()
        kept = [i for i, point in enumerate(points) if _shown(panel, series, point)]
        y = np.clip([points[i].y for i in kept], low, high)
        # (k, 2) data coordinates -> pixels -> points of 1/72 inch
        places = axes.transData.transform(np.column_stack([x[kept], y])) * 72 / figure.dpi if kept else ()
        found = tuple(
            (round(float(across), 1), round(height - float(up), 1), significant(shown_x[i]), _value(series, points[i]))
            for i, (across, up) in zip(kept, places, strict=True)
        )
        traced.append(Traced(series.label, series.group or series.label, found))
    return tuple(traced)


def _shown(panel: Panel, series: Series, point: Point) -> bool:
    """True if the page shows the value of the point; of a fit it shows the exponent."""
    return series.role != "fit" and not math.isnan(point.y) and (panel.y_scale == "linear" or point.y > 0)


def _value(series: Series, point: Point) -> str:
    """The number with its error; a published number has the digits of its source."""
    bare = series.role == "published" and point.error is None
    number = as_printed(point.y) if bare else concise(point.y, point.error)
    return number + ("" if point.trusted else ", untrusted")


def _draw_series(axes: Axes, panel: Panel, series: Series, x: Any) -> None:
    """Draws one series with its points at these x."""
    label = _printable(series.label) if series.named else "_"
    style: dict[str, Any] = {"color": _colour(series), "label": label}
    y = np.array([point.y for point in series.points])
    if series.shape == "steps":
        fill = series.role == "reference"
        axes.stairs(y[:-1], x, fill=fill, alpha=0.3 if fill else 1.0, linewidth=1.5, **style)
    elif series.shape == "curve":
        above = (y > 0) | (panel.y_scale == "linear")
        axes.plot(x[above], y[above], linewidth=1.2, alpha=0.9, **style)
    elif series.shape == "line":
        axes.plot(x, y, linewidth=1.0, linestyle=":", **style)
    else:
        _draw_points(axes, panel, series, x, style)


def _draw_points(axes: Axes, panel: Panel, series: Series, x: Any, style: dict[str, Any]) -> None:
    published = series.role == "published"
    markers = _PUBLISHED_MARKERS if published else _MARKERS
    marker = markers[series.colour % len(markers)]
    low, high = axes.get_ylim()
    y = np.array([point.y for point in series.points])
    error = np.array([point.error or 0.0 for point in series.points])
    inside = (y >= low) & (y <= high)
    trusted = np.array([point.trusted for point in series.points])
    if panel.joined and not published:
        axes.plot(x[inside], y[inside], color=style["color"], linestyle="--" if series.dashed else "-", zorder=2)
    below = np.minimum(error, 0.999 * (y - low) if panel.y_scale == "log" else np.inf)  # keeps the bar on a log axis
    bars = [below[inside], error[inside]]
    axes.errorbar(x[inside], y[inside], bars, fmt="none", color=style["color"], elinewidth=1.1, zorder=2.5)
    marks = {"linestyle": "none", "markeredgecolor": style["color"], "markersize": 5.0, "zorder": 3}
    axes.plot(
        [],
        [],
        marker=marker,
        markerfacecolor=PAPER if published else style["color"],
        **(marks | _joint(panel, series)),
        **style,
    )
    for chosen, face in ((inside & trusted, style["color"]), (inside & ~trusted, PAPER)):
        axes.plot(x[chosen], y[chosen], marker=marker, markerfacecolor=PAPER if published else face, **marks)
    for chosen, edge, arrow in ((y > high, high, "^"), (y < low, low, "v")):
        axes.plot(x[chosen], np.full(chosen.sum(), edge), marker=arrow, markerfacecolor=PAPER, clip_on=False, **marks)


def _joint(panel: Panel, series: Series) -> dict[str, str]:
    """Style of the line beside the mark in the legend."""
    return {"linestyle": ("--" if series.dashed else "-") if panel.joined and series.role != "published" else "none"}


def _colour(series: Series) -> str:
    if series.role in ("published", "reference"):
        return MUTED
    return PALETTE[series.colour % len(PALETTE)]


def _draw_configurations(panel: ConfigurationPanel) -> Figure:
    columns = max(len(spins) for _, spins in panel.rows)
    side, label, gap, top = 1.05, 0.24, 0.08, 0.34
    width = columns * (side + gap) + gap
    height = len(panel.rows) * (side + label + gap) + top
    figure = Figure(figsize=(width, height))
    figure.text(gap / width, 1 - 0.16 / height, _printable(panel.title), weight="bold", size=9.5, va="center")
    for r, (name, pictures) in enumerate(panel.rows):
        upper = height - top - r * (side + label + gap)
        figure.text(gap / width, (upper - 0.12) / height, _printable(name), size=9, va="center")
        for c, spins in enumerate(pictures):
            x = gap + c * (side + gap)
            axes = figure.add_axes((x / width, (upper - label - side) / height, side / width, side / height))
            axes.imshow(spins, cmap=ListedColormap(_SPINS), vmin=-1, vmax=1, interpolation="none")
            axes.set_axis_off()
    return figure


def _printable(text: str) -> str:
    """The text on one line, without characters that XML forbids; long names are cut after 60 characters.

    matplotlib hides a legend entry that begins with an underscore, so a space is put before it.
    """
    kept = visible(" ".join(text.split()))
    short = kept if len(kept) <= 60 else f"{kept[:59]}…"
    return f" {short}" if short.startswith("_") else short


def _tidy(svg: str, name: str) -> str:
    """The bare SVG element; every id and every reference to an id begins with `name`."""
    body = svg[svg.index("<svg") :].strip()
    body = re.sub(r"\s*<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = body.replace("font-family: 'DejaVu Sans'", "font-family: 'DejaVu Sans', Verdana, sans-serif")
    body = re.sub(r"<[^>]+>", lambda tag: _IDS.sub(rf"\1{name}-", tag[0]), body)
    seen: Counter[str] = Counter()
    return re.sub(r"(?<=\bid=\")[^\"]+", lambda found: _unique(found[0], seen), body)


def _unique(name: str, seen: Counter[str]) -> str:
    """The id, with a number if it occurred before. matplotlib gives equal images equal ids and never refers to them."""
    seen[name] += 1
    return name if seen[name] == 1 else f"{name}-{seen[name]}"


_IDS = re.compile(r'(\bid="|xlink:href="#|url\(#)')
