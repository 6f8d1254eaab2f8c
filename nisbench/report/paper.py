"""Writes the figures and tables of a report for a paper: PDF of one column without titles, and LaTeX."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from nisbench.harness.atomic import guard, write_text
from nisbench.report.document import Block, Document, Table
from nisbench.report.figures import draw
from nisbench.report.latex import latex_table
from nisbench.report.sheet import COLUMN

__all__ = ["write_paper"]


def write_paper(document: Document, out: Path) -> None:
    """Writes figures/NAME.pdf (3.4 inch wide, text of 8 pt, no title) and tables/SECTION-K.tex into `out`.

    K counts the tables of a section from 1. Raises StoreError if the folder cannot be written.
    """
    for folder in (out / "figures", out / "tables"):
        _make(folder)
    for picture in document.pictures:
        if picture.panel is not None:
            _write(out / "figures" / f"{picture.name}.pdf", draw(picture.panel, sheet=COLUMN).pdf)
    for section in document.sections:
        for k, table in enumerate(_tables(section.blocks), 1):
            write_text(out / "tables" / f"{section.anchor}-{k}.tex", latex_table(table))


def _tables(blocks: Iterable[Block]) -> Iterator[Table]:
    """The tables in order, also those inside of other blocks."""
    for block in blocks:
        if isinstance(block, Table):
            yield block
        yield from _tables(getattr(block, "blocks", ()))


def _make(folder: Path) -> None:
    guard(folder, lambda: folder.mkdir(parents=True, exist_ok=True))


def _write(path: Path, content: bytes) -> None:
    guard(path, lambda: path.write_bytes(content))
