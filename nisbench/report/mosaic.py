"""Draws rows of configurations as pictures of their spins."""

from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from nisbench.report.lettering import printable, shortened, wrapped
from nisbench.report.panels import ConfigurationPanel

__all__ = ["draw_configurations"]

_SPINS = ("#27405e", "#e9edf1")
_SIDE, _LABEL, _GAP = 75.6, 17.3, 5.8  # points
_LINE = 12.0
_TITLE, _NAME = 9.5, 9.0
"""Sizes of the text."""


def draw_configurations(panel: ConfigurationPanel) -> Figure:
    """The rows from top to bottom, each under its name; every text is inside the figure."""
    columns = max(len(spins) for _, spins in panel.rows)
    width = columns * (_SIDE + _GAP) + _GAP
    title = wrapped(printable(panel.title), _TITLE, width - 2 * _GAP, 4, bold=True)
    top = 8.0 + _LINE * len(title)
    height = len(panel.rows) * (_SIDE + _LABEL + _GAP) + top
    figure = Figure(figsize=(width / 72, height / 72))
    for k, line in enumerate(title):
        figure.text(_GAP / width, 1 - (11.0 + k * _LINE) / height, line, weight="bold", size=_TITLE, va="center")
    for r, (name, pictures) in enumerate(panel.rows):
        upper = height - top - r * (_SIDE + _LABEL + _GAP)
        label = shortened(printable(name), _NAME, width - 2 * _GAP)
        figure.text(_GAP / width, (upper - 8.6) / height, label, size=_NAME, va="center")
        for c, spins in enumerate(pictures):
            x = _GAP + c * (_SIDE + _GAP)
            place = (x / width, (upper - _LABEL - _SIDE) / height, _SIDE / width, _SIDE / height)
            axes = figure.add_axes(place)
            axes.imshow(spins, cmap=ListedColormap(_SPINS), vmin=-1, vmax=1, interpolation="none")
            axes.set_axis_off()
    return figure
