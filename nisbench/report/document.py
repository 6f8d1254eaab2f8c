"""The report as plain values: sections of paragraphs, tables and figures, of which HTML and Markdown are two prints."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nisbench.contract.records import Estimate
from nisbench.report.numbers import concise, score
from nisbench.report.panels import Drawing

__all__ = [
    "ABSENT",
    "Block",
    "Code",
    "Column",
    "Document",
    "Entry",
    "Figure",
    "Paragraph",
    "Picture",
    "Section",
    "Table",
    "join",
    "number",
    "plain",
    "z_entry",
]


ABSENT = "n/a"
"""Shown where a kind of sampler cannot have a quantity."""


@dataclass(frozen=True)
class Entry:
    """One entry of a table."""

    text: str
    sort: float | str = ""
    """What the column is sorted by."""
    note: str = ""
    """Why there is no number, or what to know about it; printed under the table."""
    tone: str = ""
    """`ok`, `untrusted`, `bad` or `waiting` for a status, `best` for emphasis, `missing`, `code`."""
    error: float | None = None
    """One standard error, in the unit of `sort`."""


@dataclass(frozen=True)
class Column:
    """The heading of a column, with the unit of its numbers."""

    heading: str
    unit: str = ""
    numeric: bool = True
    key: str = ""
    """What the page knows the column by: a part of the row's name, or a quantity whose ratio to a baseline tells."""


@dataclass(frozen=True)
class Table:
    """A table; the notes of its entries are numbered in the order in which they are met."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, ...], ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """Every note once."""
        return tuple(dict.fromkeys(entry.note for row in self.rows for entry in row if entry.note))

    def mark(self, entry: Entry) -> str:
        """The number of the entry's note; empty if it has none."""
        return str(self.notes.index(entry.note) + 1) if entry.note else ""

    @classmethod
    def of(cls, caption: str, columns: Iterable[Column], rows: Iterable[Sequence[Entry]]) -> "Table":
        """The table without the columns that hold no number and no note in any row."""
        heads, lines = list(columns), [tuple(row) for row in rows]
        held = [i for i in range(len(heads)) if any(line[i].text != ABSENT or line[i].note for line in lines)]
        return cls(caption, tuple(heads[i] for i in held), tuple(tuple(line[i] for i in held) for line in lines))


@dataclass(frozen=True)
class Picture:
    """One drawing; `name` is its file name without the suffix."""

    name: str
    alt: str
    drawing: Drawing
    other: Drawing | None = None
    """The same on the other scale of y, to switch to."""
    other_scale: str = ""
    """What that scale is called."""
    title: str = ""


@dataclass(frozen=True)
class Figure:
    """Drawings that belong together, under one caption."""

    pictures: tuple[Picture, ...]
    caption: str
    wide: bool = False
    """Whether a drawing takes the whole width."""


@dataclass(frozen=True)
class Paragraph:
    """Plain text."""

    text: str


@dataclass(frozen=True)
class Code:
    """Commands, to be copied as they are."""

    text: str


Block = Paragraph | Code | Table | Figure


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    anchor: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A whole report."""

    title: str
    lead: tuple[str, ...]
    """What the run is."""
    verdict: tuple[str, ...]
    """What it found, the most important first."""
    sections: tuple[Section, ...]

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """Every drawing, in order."""
        blocks = [block for section in self.sections for block in section.blocks]
        return tuple(picture for block in blocks if isinstance(block, Figure) for picture in block.pictures)


def join(parts: Sequence[object]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    texts = [str(part) for part in parts]
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def plain(value: object, tone: str = "") -> Entry:
    """Text or a whole number, sorted as it is."""
    return Entry(str(value), value if isinstance(value, int | float) else str(value), tone=tone)


def number(estimate: Estimate | None, *, scale: float = 1.0, digits: int = 4, tone: str = "") -> Entry:
    """The estimate divided by `scale`, its reason as the note; `n/a` where there is none to be had."""
    if estimate is None:
        return Entry(ABSENT, tone="missing")
    note = estimate.reason or ""
    if estimate.value is None:
        return Entry("none", note=note, tone="missing")
    error = None if estimate.error is None else estimate.error / scale
    return Entry(concise(estimate.value / scale, error, digits), estimate.value / scale, note, tone, error)


def z_entry(estimate: Estimate | None) -> Entry:
    """(value - exact)/error."""
    if estimate is None or estimate.z is None:
        return Entry(ABSENT, tone="missing")
    return Entry(score(estimate.z), estimate.z, tone="bad" if abs(estimate.z) > 5 else "")
