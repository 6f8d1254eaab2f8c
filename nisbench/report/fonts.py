"""A small copy of DejaVu Sans, which matplotlib embeds into a PDF thirty times faster than the whole font."""

from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from fontTools.subset import Options, Subsetter  # type: ignore[import-untyped]
from fontTools.ttLib import TTFont  # type: ignore[import-untyped]
from matplotlib.font_manager import FontProperties, findfont, fontManager

__all__ = ["WHOLE", "small_font"]

WHOLE = "DejaVu Sans"
_SMALL = "nisbench Sans"
_LETTERS = (
    *map(chr, (*range(0x20, 0x7F), *range(0xA0, 0x100), *range(0x391, 0x3CA))),
    *"‐–—‖‘’“”•…′″\u202f⁰⁴⁵⁶⁷⁸⁹⁺⁻₀₁₂₃₄ℓ←↑→↓⇒∂∈∏∑−√∝∞∫≈≠≡≤≥⋅",
)
"""Latin and Greek letters, punctuation, raised digits and signs of the reports. Each letter costs time in every PDF."""


@lru_cache(maxsize=1)
def small_font() -> str:
    """The family name of the copy, which is made once in a process and registered under a name of its own.

    matplotlib takes letters that the copy lacks from the next font of the list.
    """
    folder = TemporaryDirectory(prefix="nisbench-font-")
    _KEPT.append(folder)
    for weight in ("normal", "bold"):
        font = TTFont(findfont(FontProperties(family=WHOLE, weight=weight)), recalcTimestamp=False)
        dropped = ["GSUB", "GPOS", "GDEF", "MATH", "FFTM", "kern"]
        subsetter = Subsetter(Options(layout_features=[], drop_tables=dropped, hinting=False))
        subsetter.populate(unicodes={ord(letter) for letter in _LETTERS})
        subsetter.subset(font)
        for record in font["name"].names:
            if record.nameID in (1, 4, 6, 16):
                record.string = record.toUnicode().replace(WHOLE, _SMALL).replace("DejaVuSans", "nisbenchSans")
        path = Path(folder.name) / f"{weight}.ttf"
        font.save(path)
        fontManager.addfont(path)
    return _SMALL


_KEPT: list[TemporaryDirectory[str]] = []
"""Folders with fonts; they are deleted when the process ends."""
