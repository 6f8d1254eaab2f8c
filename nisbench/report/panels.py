"""The content of a drawing as plain values: series of points on two axes, or rows of configurations."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nisbench.report.palette import DEFAULT, Mark
from nisbench.results.numbers import concise, significant

__all__ = [
    "LIMITS",
    "AnyPanel",
    "ConfigurationPanel",
    "Drawing",
    "Grid",
    "GridCell",
    "Note",
    "Panel",
    "Point",
    "Role",
    "Series",
    "Traced",
    "visible",
]

Role = Literal["sampler", "other", "published", "reference", "fit"]
"""other: a variant among many, drawn in grey; reference: the sampler with which the others are compared."""
Shape = Literal["points", "curve", "steps", "line", "band"]
"""curve: a line without marks, with a shaded band of its errors; band: the shaded band alone."""

LIMITS = {"": "", "lower": "above ", "upper": "below "}
"""Words in front of a number, by the kind of limit that it is."""


@dataclass(frozen=True)
class Point:
    """One mark; an infinite y is drawn as an arrow at the edge."""

    x: float
    y: float
    error: float | None = None
    trusted: bool = True
    limit: Literal["", "lower", "upper"] = ""
    """`lower`: the value is y or more; `upper`: y or less. Such a mark has an arrow."""


@dataclass(frozen=True)
class Note:
    """A place that a drawing marks with a ring and a line down to the x axis, where its text stands."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Series:
    """Points that belong together."""

    label: str
    points: tuple[Point, ...]
    mark: Mark = DEFAULT
    role: Role = "sampler"
    shape: Shape = "points"
    named: bool = True
    """True if the legend names the series; the seeds of one sampler are named once."""
    thin: bool = False
    """True for a thin line behind the marks."""
    group: str = ""
    """Name of the set of series that the page shows and hides together; empty: the label."""
    source: str = ""
    """Publications of a series of published values."""


@dataclass(frozen=True)
class Panel:
    """One drawing with two axes."""

    name: str
    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    x_scale: Literal["size", "values", "linear", "log"] = "size"
    """`size`: logarithmic, a tick at each x of a sampler. `values`: linear with such ticks. `linear`: even ticks.
    `log`: a tick at each power of ten."""
    y_scale: Literal["linear", "log"] = "linear"
    y_limits: tuple[float, float] | None = None
    levels: tuple[float, ...] = ()
    """Values of y at which a dashed line is drawn."""
    default: float | None = None
    """Value of the variant whose name lists no option, at which a dot plot has a line."""
    joined: bool = True
    """True if a line joins the points of a series."""
    rows: bool = False
    """True for a dot plot: one row for each series, in order, and the values on the horizontal axis."""
    switchable: bool = False
    """True if the page also offers the other scale of y."""
    noisy: bool = False
    """True if errors can put a value that is not negative at or below zero."""
    notes: tuple[Note, ...] = ()
    words: str = ""
    """The content in words, where it is more than a list of values."""

    @property
    def alt(self) -> str:
        """The drawing in words, for readers who cannot see it."""
        if self.words:
            return f"{self.title}: {self.words}"
        texts = [_in_words(series) for series in self.series if series.named and series.points and series.role != "fit"]
        return f"{self.title}: {self.y_label} against {self.x_label}. {' '.join(texts)}"


@dataclass(frozen=True)
class ConfigurationPanel:
    """Rows of configurations, one row for each sampler."""

    name: str
    title: str
    rows: tuple[tuple[str, NDArray[np.int8]], ...]
    """label and spins (k, L, L)"""

    @property
    def alt(self) -> str:
        """The drawing in words."""
        texts = [
            f"{label}: magnetisation per site {', '.join(f'{spins.mean():+.2f}' for spins in pictures)}."
            for label, pictures in self.rows
        ]
        return f"{self.title}. {' '.join(texts)}"


@dataclass(frozen=True)
class GridCell:
    """One cell of a grid. Neighbours in a row with the same label and mark share one frame and one name."""

    label: str
    lines: tuple[str, ...]
    """Short texts under the name."""
    mark: Mark | None = None
    """The look of the sampler; None for a tie, which is hatched."""
    empty: bool = False
    """True for a white cell with a dashed frame: nothing was chosen there."""


@dataclass(frozen=True)
class Grid:
    """A table of coloured cells."""

    name: str
    title: str
    x_label: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[GridCell, ...]], ...]
    """Label of the row, and one cell for each column."""
    words: str
    note: str = ""
    """How to read the cells, for a reader who has no caption."""

    @property
    def alt(self) -> str:
        """The drawing in words."""
        return f"{self.title}: {self.words}"


AnyPanel = Panel | ConfigurationPanel | Grid


@dataclass(frozen=True)
class Traced:
    """Positions and values of the points of one series, with which the page shows values and hides the series."""

    label: str
    group: str
    points: tuple[tuple[float, float, str, str], ...]
    """x and y in units of the view box of the drawing, the value of x as text, the value of y with its error as text"""


@dataclass(frozen=True)
class Drawing:
    """A drawn panel. The elements of series k have the ids `<name>-s<k>-...` and `<name>-legend-<k>-...`."""

    svg: str
    pdf: bytes
    """Empty if only the page shows the drawing."""
    series: tuple[Traced, ...] = ()


def visible(text: str) -> str:
    """The text in which \ufffd replaces control characters, lone surrogates and changes of the writing direction."""
    return _INVISIBLE.sub("\N{REPLACEMENT CHARACTER}", text)


_INVISIBLE = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\ud800-\\udfff\\ufffe\\uffff]"
)


def _in_words(series: Series) -> str:
    if series.shape != "points":
        return _extent(series)
    values = [
        f"{LIMITS[p.limit]}{concise(p.y, p.error)} at {significant(p.x)}" for p in series.points if not math.isnan(p.y)
    ]
    return f"{series.label}: {', '.join(values)}." if len(values) <= 12 else _extent(series)


def _extent(series: Series) -> str:
    """First, smallest, largest and last value of a long series."""
    y: Sequence[float] = [point.y for point in series.points if math.isfinite(point.y)]
    if not y:
        return ""
    shown = [significant(value, 3) for value in (y[0], min(y), max(y), y[-1])]
    return (
        f"{series.label}: {len(y)} values, first {shown[0]}, smallest {shown[1]}, largest {shown[2]}, last {shown[3]}."
    )
