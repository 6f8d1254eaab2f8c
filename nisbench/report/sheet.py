"""The sheet on which a panel is drawn: its width, the size of its text, and its title."""

from dataclasses import dataclass

from matplotlib.figure import Figure

from nisbench.report.lettering import printable, wrapped
from nisbench.report.palette import GRID, INK, MUTED, PAPER

__all__ = ["COLUMN", "PAGE", "Sheet"]

_MARGIN = 7.0
"""Points between the edge of the sheet and its text."""


@dataclass(frozen=True)
class Sheet:
    """Sizes in points (1/72 inch)."""

    width: float = 338.4
    size: float = 9.0
    """Size of the text."""
    titled: bool = True

    def title(self, text: str) -> list[str]:
        """The lines of the title; none on a sheet without a title."""
        lines = wrapped(printable(text), self.title_size, self.width - 2 * _MARGIN, 3, bold=True)
        return lines if self.titled else []

    @property
    def title_size(self) -> float:
        """Size of the title."""
        return 1.05 * self.size

    @property
    def small(self) -> float:
        """Size of the labels of ticks and of the legend."""
        return 0.94 * self.size

    @property
    def margin(self) -> float:
        """Points between the edge of the sheet and its text."""
        return _MARGIN

    def line(self, n: int) -> float:
        """Height of n lines of text."""
        return 1.3 * self.size * n

    def write_title(self, figure: Figure, lines: list[str]) -> None:
        """Writes the lines of the title at the top of the figure."""
        height = 72 * figure.get_size_inches()[1]
        for k, line in enumerate(lines):
            y = 1 - (6.5 + self.line(k) + 0.5 * self.size) / height
            figure.text(_MARGIN / self.width, y, line, weight="bold", size=self.title_size, va="center")

    @property
    def settings(self) -> dict[str, object]:
        """Settings of matplotlib for this sheet."""
        return {
            "font.size": self.size,
            "axes.labelsize": self.size,
            "xtick.labelsize": self.small,
            "ytick.labelsize": self.small,
            "legend.fontsize": self.small,
            "axes.facecolor": PAPER,
            "figure.facecolor": PAPER,
            "axes.edgecolor": MUTED,
            "axes.grid": True,
            "grid.color": GRID,
            "grid.linewidth": 0.7,
            "text.color": INK,
            "axes.labelcolor": INK,
            "xtick.color": MUTED,
            "ytick.color": MUTED,
            "xtick.labelcolor": INK,
            "ytick.labelcolor": INK,
            **{f"{axis}tick.major.size": 3.0 for axis in "xy"},
            **{f"{axis}tick.minor.size": 1.5 for axis in "xy"},
            "lines.linewidth": 1.4,
            "errorbar.capsize": 2.0,
        }


PAGE = Sheet()
"""The sheet of the figures of a page."""
COLUMN = Sheet(width=3.4 * 72, size=8.0, titled=False)
"""The sheet of a figure that fills one column of a paper; its caption replaces the title."""
