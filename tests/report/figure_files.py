"""Reads the drawings of a report back from their SVG: texts with their extents, and the labels of the ticks."""

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from nisbench.report.lettering import width
from nisbench.results.published import published

SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True)
class Text:
    """A text and its box in points, y downwards."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    tick: str
    """`x` or `y` for the label of a tick, else empty."""

    def overlaps(self, other: "Text") -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def with_published(*sizes: float) -> set[float]:
    """The sizes, and those of published values up to twice the largest one, which an axis of L may show."""
    return {*sizes, *(float(value.L) for value in published().values if 2 * max(sizes) >= value.L)}


def texts(svg: str) -> tuple[list[Text], float, float]:
    """Every text of a drawing, and the width and height of the drawing."""
    root = ET.fromstring(svg)
    _, _, across, down = map(float, root.attrib["viewBox"].split())
    return list(_walk(root, "")), across, down


def faults(path: Path, sizes: set[float] | None = None) -> list[str]:
    """Faults of a drawing: a text outside of it, ticks on top of each other, a tick that is none of the sizes."""
    found, across, down = texts(path.read_text(encoding="utf-8"))
    said = [
        f"{path.name}: {one.text!r} leaves the figure"
        for one in found
        if one.left < 0 or one.top < 0 or one.right > across or one.bottom > down
    ]
    for axis in ("x", "y"):
        ticks = [one for one in found if one.tick == axis]
        said += [
            f"{path.name}: ticks {a.text!r} and {b.text!r} overlap"
            for k, a in enumerate(ticks)
            for b in ticks[k + 1 :]
            if a.overlaps(b)
        ]
    if sizes is not None and "L" in {one.text for one in found if not one.tick}:
        said += [
            f"{path.name}: tick {one.text!r} is no size of the run"
            for one in found
            if one.tick == "x" and float(one.text) not in sizes
        ]
    return said


def _walk(element: ET.Element, tick: str):
    name = re.search(r"-([xy])tick_\d+$", element.attrib.get("id", ""))
    inside = name[1] if name else tick
    if element.tag == f"{SVG}text":
        yield _text(element, inside)
    for child in element:
        yield from _walk(child, inside)


def _text(element: ET.Element, tick: str) -> Text:
    style = element.attrib["style"]
    size = float(re.search(r"([\d.]+)px", style)[1])
    bold = "bold" in style or "700" in style
    content = "".join(element.itertext())
    long = width(content, size, bold=bold)
    transform = element.attrib.get("transform", "")
    x, y = float(element.attrib.get("x", 0)), float(element.attrib.get("y", 0))
    if moved := re.search(r"translate\(([-\d.]+) ([-\d.]+)\)", transform):
        x, y = float(moved[1]), float(moved[2])
    anchor = re.search(r"text-anchor: (\w+)", style)
    before = {"middle": 0.5, "end": 1.0}.get(anchor[1] if anchor else "start", 0.0) * long
    turned = re.search(r"rotate\((-?[\d.]+)", transform)
    if turned and abs(float(turned[1])) == 90:
        return Text(content, x - 0.8 * size, y - (long - before), x + 0.2 * size, y + before, tick)
    return Text(content, x - before, y - 0.8 * size, x - before + long, y + 0.2 * size, tick)
