"""Draws a grid: one row of coloured cells for each label; neighbours with the same name share one frame."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from nisbench.report.lettering import printable, shortened, width, wrapped
from nisbench.report.palette import GRID, INK, MUTED, PALETTE
from nisbench.report.panels import Grid, GridCell
from nisbench.report.sheet import Sheet

__all__ = ["draw_grid"]

_TEXT = 0.83
"""Size of the text in the cells in units of the size of the sheet."""
_LINE = 1.25
"""Height of a line in the cells in units of its text."""
_BELOW, _RIGHT = 32.0, 6.0
"""Points below the cells, for their numbers and the label of the axis, and at their right."""
_NARROWEST = 36.0
"""Smallest width of a column in points, which a time or a factor needs."""
_GAP = 1.5
"""Points between two frames."""
_SMALLEST = 0.8
"""Size of a long name in units of the text of the cells; a name that is still too long is shortened."""
_SIGN = 10.0
"""Points in front of a name for the mark of its sampler."""


def draw_grid(grid: Grid, sheet: Sheet) -> Figure:
    """The rows from top to bottom; every text is inside the figure. A narrow sheet shows every second column."""
    title, text = sheet.title(grid.title), _TEXT * sheet.size
    names = [shortened(printable(name), sheet.small, 0.2 * sheet.width) for name, _ in grid.rows]
    left = sheet.margin + max(width(name, sheet.small) for name in names) + 6
    n_lines = 1 + max(len(cell.lines) for _, cells in grid.rows for cell in cells)
    cell_height = _LINE * text * n_lines + 8
    inner_height, above = cell_height * len(names), 10 + sheet.line(len(title))
    height = above + inner_height + _BELOW
    figure = Figure(figsize=(sheet.width / 72, height / 72))
    inner = sheet.width - left - _RIGHT
    axes = figure.add_axes((left / sheet.width, _BELOW / height, inner / sheet.width, inner_height / height))
    # One unit of the axes is one point, y downwards.
    axes.set(xlim=(0, inner), ylim=(inner_height, 0))
    step = 1 if inner / len(grid.columns) >= _NARROWEST else 2
    columns = grid.columns[::step]
    across = inner / len(columns)
    for r, (_, cells) in enumerate(grid.rows):
        _draw_row(axes, cells[::step], (across, cell_height, r * cell_height), text, n_lines)
    axes.set_xticks([(k + 0.5) * across for k in range(len(columns))], columns)
    axes.set_yticks([(r + 0.5) * cell_height for r in range(len(names))], names)
    axes.tick_params(length=0, pad=4)
    axes.grid(visible=False)
    axes.set_xlabel(shortened(printable(grid.x_label), sheet.size, inner))
    axes.spines[:].set_visible(False)
    sheet.write_title(figure, title)
    return figure


def _draw_row(
    axes: Axes, cells: Sequence[GridCell], box: tuple[float, float, float], size: float, n_lines: int
) -> None:
    """The frames of one row; `box`: width and height of a cell and the upper edge of the row."""
    across, high, top = box
    for first, together in _frames(cells):
        x, wide, cell = first * across, across * len(together), together[0]
        shade = MUTED if cell.mark is None else PALETTE[cell.mark.colour]
        corner, extent = (x + _GAP / 2, top + _GAP / 2), (wide - _GAP, high - _GAP)
        if not cell.empty:
            fill: dict[str, Any] = {"facecolor": "none", "linewidth": 0}
            fill |= {"hatch": "///", "edgecolor": GRID} if cell.mark is None else {"facecolor": shade, "alpha": 0.16}
            axes.add_patch(Rectangle(corner, *extent, **fill))
        dash = (0, (3, 2)) if cell.empty else "-"
        axes.add_patch(Rectangle(corner, *extent, facecolor="none", edgecolor=shade, linewidth=0.9, linestyle=dash))
        names, small = _name_lines(cell, wide - 5, size, n_lines - max(len(one.lines) for one in together))
        middle = top + 4 + 0.5 * _LINE * size
        for k, name in enumerate(names):
            _write_name(axes, cell, name, (x + wide / 2, middle + k * _LINE * size), small)
        for k, one in enumerate(together):
            for line, words in enumerate(one.lines, len(names)):
                place = (x + (k + 0.5) * across, middle + line * _LINE * size)
                shown = shortened(printable(words), size, across - 3)
                axes.text(*place, shown, size=size, ha="center", va="center", color=INK)


def _frames(cells: Sequence[GridCell]) -> Iterator[tuple[int, list[GridCell]]]:
    """The index of the first cell of each frame, and its cells."""
    for _, found in groupby(enumerate(cells), key=lambda pair: (pair[1].label, pair[1].mark, pair[1].empty)):
        together = list(found)
        yield together[0][0], [cell for _, cell in together]


def _name_lines(cell: GridCell, room: float, size: float, lines: int) -> tuple[list[str], float]:
    """The name in at most this many lines, and the size of its text, which is smaller if a long name then fits."""
    room -= _SIGN if cell.mark is not None else 0.0
    name, bold = printable(cell.label), _bold(cell)
    longest = max((width(word, size, bold=bold) for word in name.split(" ")), default=0.0)
    small = size * min(1.0, max(room / longest, _SMALLEST)) if longest else size
    return wrapped(name, small, room, lines, bold=bold), small


def _bold(cell: GridCell) -> bool:
    """True if the cell has a winner; the names of a tie are not bold."""
    return cell.mark is not None


def _write_name(axes: Axes, cell: GridCell, name: str, place: tuple[float, float], size: float) -> None:
    """One line of the name around `place`, with the mark of its sampler in front of it."""
    sign = _SIGN if cell.mark is not None else 0.0
    x, y = place
    look: dict[str, Any] = {"size": size, "weight": "bold" if _bold(cell) else "normal", "color": INK}
    axes.text(x + sign / 2, y, name, ha="center", va="center", **look)
    if cell.mark is not None:
        shade = PALETTE[cell.mark.colour]
        sign_look: dict[str, Any] = {"markersize": 4.5, "color": shade, "linestyle": "none"}
        left = x + sign / 2 - width(name, size, bold=True) / 2 - 0.5 * _SIGN
        axes.plot([left], [y], marker=cell.mark.marker, **sign_look)
