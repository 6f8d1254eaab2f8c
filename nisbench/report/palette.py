"""Colours, marks and dashes of the series: a sampler has the same ones in every figure of every report.

The palette was found by a random search. Under normal, protan, deutan and tritan vision (Machado et al. 2009) all
colours are at least 15 apart in CIELAB, those of the five plugins of this package at least 25; in grey print these five
differ by at least 10 in lightness. Marks and dashes separate the rest.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

__all__ = ["DEFAULT", "DOTTED", "GRID", "INK", "MUTED", "PALETTE", "PAPER", "PUBLISHED_MARKERS", "Mark", "marks"]

_T = TypeVar("_T")

PALETTE = ("#0270fa", "#a12e10", "#4d1896", "#0b1318", "#05aa5c", "#a68423", "#6d3032", "#046c84")
"""Colours on white; the style sheet of the page has one for the dark scheme for each."""

INK, MUTED, GRID, PAPER = "#1b1f24", "#646d79", "#dde1e6", "#fefefe"

Dash = str | tuple[float, tuple[float, ...]]
"""Line style in the form of matplotlib."""

_SOLID: Dash = "-"
DOTTED: Dash = (0, (1.0, 1.2))
"""Dashes of a second quantity of a sampler on the same axes."""
_DASHES: tuple[Dash, ...] = (_SOLID, (0, (6, 1.5)), (0, (3, 1.5)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1.2, 1, 1.2, 1, 1.2)))


@dataclass(frozen=True)
class Mark:
    """The look of one series."""

    colour: int = 0
    """Index in PALETTE"""
    marker: str = "o"
    """Name of the marker in matplotlib"""
    dash: Dash = _SOLID


DEFAULT = Mark()

_FIXED: Mapping[str, Mark] = {
    "hier": Mark(0, "o", _DASHES[0]),
    "hier-exact": Mark(1, "s", _DASHES[1]),
    "van": Mark(2, "^", _DASHES[2]),
    "wolff": Mark(3, "D", _DASHES[0]),
    "boundary-mps": Mark(4, "v", _DASHES[3]),
}
_FREE_COLOURS = range(len(_FIXED), len(PALETTE))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "h", "<", ">", "*", "H", "d", "8")
PUBLISHED_MARKERS = ("x", "+", "1", "2", "3", "4", "|", "_")
"""Marks of published values; no sampler has one of them."""


def marks(labels: Iterable[str]) -> dict[str, Mark]:
    """label -> its mark. A plugin of this package has a fixed mark, any other plugin a mark by a hash of its name.

    A variant (`plugin (width=2)`) has the colour of its plugin, and a marker and dashes by a hash of its label. Where
    two labels of one report get the same colour and marker by chance, the second takes the next free marker. The first
    variants of a plugin also differ in their dashes.
    """
    found: dict[str, Mark] = {}
    # Bare names go first, so that a variant never takes the mark of its plugin.
    for label in sorted(set(labels), key=lambda one: (" (" in one, one)):
        options, taken = _options(label), found.values()
        free = [m for m in options if all((m.colour, m.marker) != (one.colour, one.marker) for one in taken)]
        # Lines without marks are told apart by their dashes, so variants of one plugin also differ in these.
        dashed = [m for m in free if all((m.colour, m.dash) != (one.colour, one.dash) for one in taken)]
        found[label] = next(iter((" (" in label and dashed) or free or options))
    return found


def _options(label: str) -> Sequence[Mark]:
    """Every mark that the label can have, the preferred one first."""
    if label in _FIXED:
        return (_FIXED[label],)
    plugin = label.partition(" (")[0]
    colours = [_FIXED[plugin].colour] if plugin in _FIXED else [_rotated(_FREE_COLOURS, plugin)[0]]
    dashes = _rotated(_DASHES, label)
    pairs = product(colours, _rotated(_MARKERS, label))
    return tuple(Mark(colour, marker, dashes[k % len(dashes)]) for k, (colour, marker) in enumerate(pairs))


def _rotated(entries: Sequence[_T], name: str) -> list[_T]:
    """The entries, starting at a place that a hash of the name decides; Python's own hash differs between processes."""
    start = int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:4], "big") % len(entries)
    return [*entries[start:], *entries[:start]]
