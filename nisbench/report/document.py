"""The report as plain values: sections of paragraphs, tables and figures. HTML and Markdown are printed from them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nisbench.contract.records import Estimate
from nisbench.report.panels import AnyPanel, Drawing
from nisbench.results.numbers import concise, score

__all__ = [
    "ABSENT",
    "MISSING",
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
    "number",
    "plain",
    "value_entry",
    "z_entry",
]


ABSENT = "n/a"
"""Text of an entry if the kind of sampler cannot have the quantity."""


@dataclass(frozen=True)
class Entry:
    """One entry of a table."""

    text: str
    sort: float | str = ""
    """Value by which the column is sorted."""
    note: str = ""
    """Reason why there is no number, or a remark about it; printed under the table."""
    tone: str = ""
    """`ok`, `weak`, `untrusted`, `bad` or `waiting` for a status, `best` for emphasis, `missing`, `code`."""
    error: float | None = None
    """One standard error, in the unit of `sort`."""


MISSING = Entry(ABSENT, tone="missing")


@dataclass(frozen=True)
class Column:
    """Heading of a column, with the unit of its numbers."""

    heading: str
    unit: str = ""
    numeric: bool = True
    key: str = ""
    """Name by which the script of the page finds the column: `place` or `sampler` for a column that names the row, or
    the quantity if its ratio to a baseline is meaningful."""


@dataclass(frozen=True)
class Table:
    """A table. The notes of its entries are numbered in the order in which they occur."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, ...], ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """All notes, each once."""
        return tuple(dict.fromkeys(entry.note for row in self.rows for entry in row if entry.note))

    def mark(self, entry: Entry) -> str:
        """The number of the entry's note; empty if it has none."""
        return str(self.notes.index(entry.note) + 1) if entry.note else ""

    @classmethod
    def of(cls, caption: str, columns: Iterable[Column], rows: Iterable[Sequence[Entry]]) -> "Table":
        """The table without the columns that contain neither a number nor a note in any row."""
        heads, lines = list(columns), [tuple(row) for row in rows]
        used = [i for i in range(len(heads)) if any(line[i].text != ABSENT or line[i].note for line in lines)]
        return cls(caption, tuple(heads[i] for i in used), tuple(tuple(line[i] for i in used) for line in lines))


@dataclass(frozen=True)
class Picture:
    """One drawing; `name` is its file name without the suffix."""

    name: str
    alt: str
    drawing: Drawing
    other: Drawing | None = None
    """The same panel on the other scale of y, to which the reader can switch."""
    other_scale: str = ""
    """Name of the other scale."""
    title: str = ""
    panel: AnyPanel | None = None
    """The content of the drawing, from which it is drawn again for a paper."""


@dataclass(frozen=True)
class Figure:
    """Drawings that belong together, under one caption."""

    pictures: tuple[Picture, ...]
    caption: str
    wide: bool = False
    """True if each drawing takes the whole width."""


@dataclass(frozen=True)
class Paragraph:
    """Plain text."""

    text: str


@dataclass(frozen=True)
class Code:
    """Commands, printed without change so that they can be copied."""

    text: str


Block = Paragraph | Code | Table | Figure


@dataclass(frozen=True)
class Section:
    """A heading and the blocks under it."""

    anchor: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A whole report."""

    title: str
    lead: tuple[str, ...]
    """Sentences on what was run."""
    verdict: tuple[str, ...]
    """Sentences on what was found, the most important first."""
    sections: tuple[Section, ...]

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """Every drawing, in order."""
        blocks = [block for section in self.sections for block in section.blocks]
        return tuple(picture for block in blocks if isinstance(block, Figure) for picture in block.pictures)


def plain(value: object, tone: str = "") -> Entry:
    """An entry with text or a whole number, sorted by its value."""
    return Entry(str(value), value if isinstance(value, int | float) else str(value), tone=tone)


def number(estimate: Estimate | None, *, scale: float = 1.0, digits: int = 4, tone: str = "") -> Entry:
    """An entry with the estimate divided by `scale` and its reason as the note; `n/a` if there is no estimate."""
    if estimate is None:
        return MISSING
    note = estimate.reason or ""
    if estimate.value is None:
        return Entry("none", note=note, tone="missing")
    error = None if estimate.error is None else estimate.error / scale
    return Entry(concise(estimate.value / scale, error, digits), estimate.value / scale, note, tone, error)


def value_entry(value: float | None, digits: int = 4) -> Entry:
    """An entry with a number without error; `n/a` for None."""
    return MISSING if value is None else Entry(concise(value, digits=digits), value)


def z_entry(z: float | None) -> Entry:
    """An entry with a z-score, marked as bad beyond 5; `n/a` for None."""
    return MISSING if z is None else Entry(score(z), z, tone="bad" if abs(z) > 5 else "")
