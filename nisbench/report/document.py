"""The report as plain values: sections of paragraphs, tables and figures. HTML and Markdown are printed from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from nisbench.contract.records import Estimate
from nisbench.report.methods import Method
from nisbench.report.panels import AnyPanel, Drawing, Grid, Panel, visible
from nisbench.results.numbers import concise, score
from nisbench.results.targets import beta_text

__all__ = [
    "ABSENT",
    "MISSING",
    "Block",
    "Code",
    "Column",
    "Document",
    "Entry",
    "Figure",
    "Fold",
    "Paragraph",
    "Picture",
    "Related",
    "Section",
    "Table",
    "beta_entry",
    "number",
    "plain",
    "value_entry",
    "z_entry",
]


ABSENT = "n/a"
"""Text of an entry if the kind of sampler cannot have the quantity."""
_LONGEST_ALT = 240
"""Largest number of letters of a text that replaces a drawing; a longer text cannot be skipped by its listener."""
_MAIN_PICTURES = 4
"""Number of drawings in the Markdown."""


@dataclass(frozen=True)
class Entry:
    """One entry of a table."""

    text: str
    sort: float | str = ""
    """Value by which the column is sorted."""
    note: str = ""
    """Reason why there is no number, or a remark about it; printed in a list under the table."""
    tone: str = ""
    """`ok`, `weak`, `untrusted`, `bad` or `waiting` for a status, `best` for emphasis, `missing`, `code`."""
    error: float | None = None
    """One standard error, in the unit of `sort`."""
    link: str = ""
    """Anchor of the page that explains the entry."""


MISSING = Entry(ABSENT, tone="missing")
_NAMING = ("place", "size", "sampler")
"""Keys of the columns that name a row."""


@dataclass(frozen=True)
class Column:
    """Heading of a column, with the unit of its numbers."""

    heading: str
    unit: str = ""
    numeric: bool = True
    key: str = ""
    """Name by which the script of the page finds the column: `place`, `size` or `sampler` for a column that names the
    row, or the quantity if its ratio to a baseline is meaningful."""


@dataclass(frozen=True)
class Table:
    """A table. The notes of its entries are numbered in the order in which they occur."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, ...], ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """All notes, each once."""
        return tuple(self._marks)

    def mark(self, entry: Entry) -> str:
        """The number of the entry's note; empty if it has none."""
        return self._marks[entry.note] if entry.note else ""

    @cached_property
    def _marks(self) -> dict[str, str]:
        """The number of each note, counted from 1 in the order of the entries."""
        notes = dict.fromkeys(entry.note for row in self.rows for entry in row if entry.note)
        return {note: str(i + 1) for i, note in enumerate(notes)}

    @classmethod
    def of(cls, caption: str, columns: Iterable[Column], rows: Iterable[Sequence[Entry]]) -> Table:
        """The table without the columns that contain neither a number nor a note in any row."""
        heads, lines = list(columns), [tuple(row) for row in rows]
        used = [i for i in range(len(heads)) if any(line[i].text != ABSENT or line[i].note for line in lines)]
        return cls(caption, tuple(heads[i] for i in used), tuple(tuple(line[i] for i in used) for line in lines))

    @property
    def headers(self) -> tuple[int, ...]:
        """Positions of the columns that name a row: those with such a key, otherwise the first column."""
        return tuple(i for i, one in enumerate(self.columns) if one.key in _NAMING) or (0,)

    def shorter(self) -> Table:
        """The table without columns that have one text in all rows; the caption states these texts except `n/a`.

        Columns that name the row stay. A table with a single row stays as it is.
        """
        if len(self.rows) < 2:
            return self
        same = [i for i in range(len(self.columns)) if i not in self.headers and self._constant(i)]
        shown = [(self.columns[i], self.rows[0][i].text) for i in same if self.rows[0][i].text != ABSENT]
        told = [f"{one.heading}: {text}{f' {one.unit}' if one.unit else ''}" for one, text in shown]
        left = [i for i in range(len(self.columns)) if i not in same]
        caption = f"{self.caption} In all rows: {'; '.join(told)}." if told else self.caption
        rows = tuple(tuple(row[i] for i in left) for row in self.rows)
        return Table(caption, tuple(self.columns[i] for i in left), rows)

    def first(self, most: int) -> Table:
        """The first `most` rows; the caption states how many rows are left out."""
        if len(self.rows) <= most:
            return self
        caption = f"{self.caption} The first {most} of {len(self.rows)} rows; nisbench export RUN writes all numbers."
        return Table(caption, self.columns, self.rows[:most])

    def _constant(self, i: int) -> bool:
        return len({(row[i].text, row[i].note) for row in self.rows}) == 1 and not self.rows[0][i].note


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

    @property
    def note(self) -> str:
        """How to read the drawing where it has no caption; empty if it explains itself."""
        return self.panel.note if isinstance(self.panel, Grid) else ""

    @property
    def short_alt(self) -> str:
        """The drawing in one short text: its title and its series. The values are in the tables and at the pointer."""
        labels = list(dict.fromkeys(one.group or one.label for one in self.drawing.series))
        text = f"{self.title}: {', '.join(labels)}" if labels else self.alt
        return visible(text if len(text) <= _LONGEST_ALT else f"{text[: _LONGEST_ALT - 2]} …")


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


@dataclass(frozen=True)
class Fold:
    """Blocks behind one line, which a click, a link to the anchor or the printer opens."""

    summary: str
    blocks: tuple[Block, ...]
    anchor: str = ""


Block = Paragraph | Code | Table | Figure | Fold


@dataclass(frozen=True)
class Section:
    """A heading, which is a question, and the blocks under it."""

    anchor: str
    title: str
    blocks: tuple[Block, ...]
    short: str = ""
    """Name of the section in the list of contents; empty: the title."""
    brief: bool = False
    """True if the Markdown contains the tables of the section although the page folds it."""

    @property
    def figures(self) -> tuple[Figure, ...]:
        """The figures of the section, also those in folds."""
        return tuple(block for block in _flat(self.blocks) if isinstance(block, Figure))


@dataclass(frozen=True)
class Related:
    """Another report on the same question; its page and its Markdown lie in `folder`."""

    title: str
    folder: str


@dataclass(frozen=True)
class Document:
    """A whole report."""

    title: str
    lead: tuple[str, ...]
    """Sentences on what was run."""
    verdict: tuple[Block, ...]
    """Sentences on what was found, the most important first; those of further places are folded."""
    open: tuple[Section, ...]
    """Sections that a reader sees at once."""
    folded: tuple[Section, ...]
    """Sections of which a reader first sees the heading."""
    methods: tuple[Method, ...] = ()
    related: tuple[Related, ...] = ()

    @property
    def sections(self) -> tuple[Section, ...]:
        """All sections, in order."""
        return self.open + self.folded

    @property
    def brief(self) -> tuple[Section, ...]:
        """The sections whose tables are in the Markdown."""
        return (*self.open, *(section for section in self.folded if section.brief))

    @property
    def answer(self) -> tuple[str, ...]:
        """All sentences of the verdict, also those in a fold."""
        return tuple(block.text for block in _flat(self.verdict) if isinstance(block, Paragraph))

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """Every drawing, in order."""
        return tuple(one for section in self.sections for figure in section.figures for one in figure.pictures)

    @property
    def main_pictures(self) -> tuple[Picture, ...]:
        """The drawings of the Markdown: the first of each open figure, then those of the last figure."""
        figures = [block for section in self.open for block in section.blocks if isinstance(block, Figure)]
        first = [figure.pictures[0] for figure in figures]
        rest = [one for figure in reversed(figures) for one in figure.pictures[1:]]
        return tuple([*first, *rest][:_MAIN_PICTURES])

    @property
    def sources(self) -> tuple[str, ...]:
        """Name and source of each series of published values in the drawings of the Markdown, in order."""
        panels = [one.panel for one in self.main_pictures if isinstance(one.panel, Panel)]
        series = [one for panel in panels for one in panel.series if one.source]
        return tuple(dict.fromkeys(f"{one.group}: {one.source}." for one in series))


def _flat(blocks: Iterable[Block]) -> Iterator[Block]:
    """The blocks, and those in folds."""
    for block in blocks:
        yield block
        if isinstance(block, Fold):
            yield from _flat(block.blocks)


def beta_entry(beta: float) -> Entry:
    """An entry with `critical` or four digits of beta, sorted by its value."""
    return Entry(beta_text(beta), beta)


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
