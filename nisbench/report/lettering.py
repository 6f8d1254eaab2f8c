"""Widths of texts, and texts broken into lines or shortened so that they stay inside their figure."""

import unicodedata
from functools import lru_cache

from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font

from nisbench.report.panels import visible

__all__ = ["printable", "shortened", "width", "wrapped"]

_MEASURED = 100.0
"""Size in points at which letters are measured."""
_MISSING = 1.05
"""Width in units of the size of a letter that the font lacks: East Asian letters and pictures are as wide as high."""


def printable(text: str) -> str:
    """The text on one line, without characters that XML forbids.

    matplotlib hides a legend entry that begins with an underscore, so a space is put before it.
    """
    kept = visible(" ".join(text.split()))
    return f" {kept}" if kept.startswith("_") else kept


def width(text: str, size: float, *, bold: bool = False) -> float:
    """Width in points in DejaVu Sans, which is wider than the usual fonts of a browser."""
    return size * sum(_advance(letter, bold) for letter in text)


def shortened(text: str, size: float, room: float, *, bold: bool = False) -> str:
    """The text, with an ellipsis in its middle if it is wider than `room`: variants often differ at the end."""
    if width(text, size, bold=bold) <= room:
        return text
    kept = len(text) - 1
    while kept > 1 and width(_cut(text, kept), size, bold=bold) > room:
        kept -= 1
    return _cut(text, kept)


def wrapped(text: str, size: float, room: float, lines: int, *, bold: bool = False) -> list[str]:
    """At most this many lines no wider than `room`; what does not fit into the last line is shortened."""
    words, done, line = text.split(" "), list[str](), ""
    for k, word in enumerate(words):
        longer = f"{line} {word}" if line else word
        if line and width(longer, size, bold=bold) > room:
            if len(done) == lines - 1:
                line = " ".join([line, *words[k:]])
                break
            done.append(line)
            longer = word
        line = longer
    return [shortened(one, size, room, bold=bold) for one in [*done, line]]


def _cut(text: str, kept: int) -> str:
    head = (kept + 1) // 2
    return f"{text[:head]}…{text[len(text) - (kept - head) :]}"


@lru_cache(maxsize=4096)
def _advance(letter: str, bold: bool) -> float:
    """Advance width of one letter in units of the font size."""
    font = _font(bold)
    if unicodedata.east_asian_width(letter) in "WF" or not font.get_char_index(ord(letter)):
        return 0.0 if unicodedata.combining(letter) else _MISSING
    return float(font.load_char(ord(letter)).linearHoriAdvance) / 65536.0 / _MEASURED


@lru_cache(maxsize=2)
def _font(bold: bool) -> FT2Font:
    # A font object of its own: matplotlib changes the size of those that it shares.
    font = FT2Font(findfont(FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")))
    font.set_size(_MEASURED, 72.0)
    return font
