"""Section on the errors: the z-scores of all trusted runs beside the normal distribution."""

import math

from nisbench.report.charts import figure
from nisbench.report.document import Paragraph, Section
from nisbench.report.panels import Panel, Point, Series
from nisbench.report.selection import absence
from nisbench.results.cells import Results
from nisbench.results.z_scores import binned, normal_counts, z_scores

__all__ = ["error_bars_section"]

_EDGE = 4.0
_FEW = 100
"""With fewer z-scores the bins are 1 wide, else 0.5."""


def error_bars_section(results: Results) -> Section:
    """One histogram of all z-scores with the counts that right errors give."""
    zs = z_scores(results)
    if not zs:
        return Section("error-bars", "Are the error bars right?", (absence("an observable with an exact value"),))
    width = 1.0 if len(zs) < _FEW else 0.5
    edges, counts = binned(zs, width, _EDGE)
    beyond = sum(abs(z) > _EDGE for z in zs)
    caption = (
        f"z = (value − exact)/error of all {len(zs)} observables of trusted runs whose exact value is known; the "
        "entropy is left out, because its error is mostly that of the energy. Dotted: normal distribution, which right "
        f"errors give. The outer bins contain everything beyond ±{_EDGE:g}, {beyond} here. Observables of one run are "
        "correlated, so that the counts scatter more than independent ones."
    )
    drawn = figure([_panel(edges, counts, len(zs))], caption)
    sides = sum(abs(z) <= 1 for z in zs)
    text = f"{sides} of {len(zs)} z-scores are within ±1; right errors give {math.erf(1 / math.sqrt(2)) * len(zs):.0f}."
    return Section("error-bars", "Are the error bars right?", (Paragraph(text), *((drawn,) if drawn else ())))


def _panel(edges: list[float], counts: list[int], n: int) -> Panel:
    steps = tuple(Point(x, float(y)) for x, y in zip(edges, [*counts, 0], strict=True))
    width = edges[1] - edges[0]
    places = [edges[0] + 0.1 * k for k in range(round((edges[-1] - edges[0]) / 0.1) + 1)]
    curve = tuple(Point(z, n * width * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)) for z in places)
    expected = normal_counts(n, edges)
    words = ", ".join(
        f"{low:g} to {low + width:g}: {count}, expected {mean:.1f}"
        for low, count, mean in zip(edges, counts, expected, strict=False)
        if count or mean > 1
    )
    return Panel(
        name="z-histogram",
        title="z-scores of trusted runs",
        x_label="(value − exact) / error",
        y_label="number",
        series=(
            Series("measured", steps, role="reference", shape="steps"),
            Series("normal", curve, role="reference", shape="line"),
        ),
        x_scale="linear",
        y_limits=(0.0, 1.12 * max(*counts, *(point.y for point in curve))),
        words=f"{words}.",
    )
