"""Draws panels as SVG and PDF with matplotlib and the style of seaborn. The same panel gives the same bytes.

Text stays text and colours come from a fixed palette, so that the page can replace them by its own fonts and by its
light or dark colours. Error bars are the errors of the panel; nothing is estimated here. No state of pyplot is used.
"""

import io
import math
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from nisbench.report.dots import draw_dots, row_places
from nisbench.report.fonts import WHOLE, small_font
from nisbench.report.grid import draw_grid
from nisbench.report.mosaic import draw_configurations
from nisbench.report.panels import LIMITS, AnyPanel, ConfigurationPanel, Drawing, Grid, Panel, Point, Series, Traced
from nisbench.report.plot import draw_plot, shifted
from nisbench.report.sheet import PAGE, Sheet
from nisbench.results.numbers import as_printed, concise, significant

__all__ = ["draw"]


def draw(panel: AnyPanel, *, pdf: bool = True, sheet: Sheet = PAGE) -> Drawing:
    """The panel as PDF and as one SVG element, without XML prologue and metadata; its ids begin with its name.

    Parameters
    ----------
    sheet
        PAGE, or COLUMN for one column of a paper.
    """
    with _style(panel.name, sheet):
        figure = _figure(panel, sheet)
        svg, printed = io.StringIO(), io.BytesIO()
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        if pdf:
            for title in figure.texts:  # embedding a second font would take a third of the time of a PDF
                title.set_fontweight("normal")
            figure.savefig(printed, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
    traced = _traced(panel, figure) if isinstance(panel, Panel) else ()
    return Drawing(_tidy(svg.getvalue(), panel.name), printed.getvalue(), traced)


def _figure(panel: AnyPanel, sheet: Sheet) -> Figure:
    if isinstance(panel, ConfigurationPanel):
        return draw_configurations(panel, sheet)
    if isinstance(panel, Grid):
        return draw_grid(panel, sheet)
    return draw_dots(panel, sheet) if panel.rows else draw_plot(panel, sheet)


@contextmanager
def _style(salt: str, sheet: Sheet) -> Iterator[None]:
    settings: Any = {
        **sns.axes_style("ticks"),
        **sheet.settings,
        "svg.hashsalt": salt,
        "svg.fonttype": "none",
        "pdf.fonttype": 42,  # journals refuse fonts of type 3
        "text.parse_math": False,  # the name of a plugin may contain a dollar sign
        "axes.unicode_minus": True,
        "font.family": [small_font(), WHOLE],
    }
    with mpl.rc_context(settings), warnings.catch_warnings():
        # Text is not drawn from this font. A letter that the font lacks only makes its width a guess.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _traced(panel: Panel, figure: Figure) -> tuple[Traced, ...]:
    """Positions of the points in the view box (units of 1/72 inch, y downwards); points beyond an edge lie on it."""
    axes = figure.axes[0]
    limits = axes.get_xlim() if panel.rows else axes.get_ylim()
    height = 72 * figure.get_size_inches()[1]
    traced = []
    for row, series in enumerate(panel.series):
        places = row_places(panel, row) if panel.rows else shifted(panel, series)
        points, shown_x = series.points, [point.x for point in series.points]
        if series.shape == "steps":
            # The points of a histogram are edges; its values belong to the middles of the bins.
            places, points = (places[1:] + places[:-1]) / 2, points[:-1]
            shown_x = places.tolist()
        # Of a fit the page shows the exponent, not the points; a band has no value of its own.
        told = series.role != "fit" and series.shape != "band"
        kept = [i for i, point in enumerate(points) if told and not math.isnan(point.y)]
        values = np.clip([points[i].y for i in kept], *limits)
        pair = (values, places[kept]) if panel.rows else (places[kept], values)
        # (k, 2) data coordinates -> pixels -> points of 1/72 inch
        spots = axes.transData.transform(np.column_stack(pair)) * 72 / figure.dpi if kept else ()
        found = tuple(
            (round(float(across), 1), round(height - float(up), 1), significant(shown_x[i]), _value(series, points[i]))
            for i, (across, up) in zip(kept, spots, strict=True)
        )
        # The rows of a dot plot are not hidden one by one.
        traced.append(Traced(series.label, "" if panel.rows else series.group or series.label, found))
    return tuple(traced)


def _value(series: Series, point: Point) -> str:
    """The number with its error; a published number has the digits of its source."""
    bare = series.role == "published" and point.error is None
    number = as_printed(point.y) if bare else concise(point.y, point.error)
    return f"{LIMITS[point.limit]}{number}{'' if point.trusted else ', untrusted'}"


def _tidy(svg: str, name: str) -> str:
    """The bare SVG element; every id and every reference to an id begins with `name`."""
    body = svg[svg.index("<svg") :].strip()
    body = re.sub(r"\s*<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    fonts = f"font-family: '{small_font()}', '{WHOLE}'"
    body = body.replace(fonts, f"font-family: '{WHOLE}', Verdana, sans-serif")
    body = re.sub(r"<[^>]+>", lambda tag: _IDS.sub(rf"\1{name}-", tag[0]), body)
    seen: Counter[str] = Counter()
    return re.sub(r"(?<=\bid=\")[^\"]+", lambda found: _unique(found[0], seen), body)


def _unique(name: str, seen: Counter[str]) -> str:
    """The id, with a number if it occurred before. matplotlib gives equal images equal ids and never refers to them."""
    seen[name] += 1
    return name if seen[name] == 1 else f"{name}-{seen[name]}"


_IDS = re.compile(r'(\bid="|xlink:href="#|url\(#)')
