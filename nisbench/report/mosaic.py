"""Draws rows of configurations as pictures of their spins."""

from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from nisbench.report.lettering import printable, shortened, wrapped
from nisbench.report.panels import ConfigurationPanel
from nisbench.report.sheet import Sheet

__all__ = ["draw_configurations"]

_SPINS = ("#27405e", "#e9edf1")
_SIDE, _LABEL, _GAP = 75.6, 17.3, 5.8  # points
_LINE = 12.0


def draw_configurations(panel: ConfigurationPanel, sheet: Sheet) -> Figure:
    """The rows from top to bottom, each under its name; every text is inside the figure.

    The figure has the width of its pictures; on a sheet without a title, the pictures fill the width of the sheet.
    """
    columns = max(len(spins) for _, spins in panel.rows)
    side = _SIDE if sheet.titled else (sheet.width - _GAP) / columns - _GAP
    width = columns * (side + _GAP) + _GAP
    lines = wrapped(printable(panel.title), sheet.title_size, width - 2 * _GAP, 4, bold=True)
    title = lines if sheet.titled else []
    top = 8.0 + _LINE * len(title)
    height = len(panel.rows) * (side + _LABEL + _GAP) + top
    figure = Figure(figsize=(width / 72, height / 72))
    for k, line in enumerate(title):
        figure.text(
            _GAP / width, 1 - (11.0 + k * _LINE) / height, line, weight="bold", size=sheet.title_size, va="center"
        )
    for r, (name, pictures) in enumerate(panel.rows):
        upper = height - top - r * (side + _LABEL + _GAP)
        label = shortened(printable(name), sheet.size, width - 2 * _GAP)
        figure.text(_GAP / width, (upper - 8.6) / height, label, size=sheet.size, va="center")
        for c, spins in enumerate(pictures):
            x = _GAP + c * (side + _GAP)
            place = (x / width, (upper - _LABEL - side) / height, side / width, side / height)
            axes = figure.add_axes(place)
            axes.imshow(spins, cmap=ListedColormap(_SPINS), vmin=-1, vmax=1, interpolation="none")
            axes.set_axis_off()
    return figure
