"""Section on the cost of an effective sample relative to the baseline, against L."""

from nisbench.report.charts import figure
from nisbench.report.document import Section
from nisbench.report.palette import Mark, marks
from nisbench.report.panels import Panel, Point, Series
from nisbench.report.places import Place, measured_places, place_file, place_title
from nisbench.report.selection import absence
from nisbench.results.cells import Results
from nisbench.results.numbers import join
from nisbench.results.relative_costs import RelativeCost, relative_costs

__all__ = ["relative_cost_section"]

_CAPTION = (
    "Seconds per effective sample divided by those of the cheapest trusted cluster sampler of the same size and "
    "machine, training left out; trusted samplers only. Below 1: cheaper. Shaded: no difference that counts, two "
    "standard errors of the cluster sampler or 20 %, whichever is larger. Error bars: one standard error."
)


def relative_cost_section(results: Results) -> Section:
    """The ratio against L, one panel for each target and machine."""
    drawn = figure([_panel(results, place) for place in measured_places(results)], _CAPTION)
    blocks = (drawn,) if drawn else (absence("a trusted sampler beside a trusted cluster sampler on one machine"),)
    return Section("relative-cost", "How does the cost compare with a cluster sampler?", blocks)


def _panel(results: Results, place: Place) -> Panel | None:
    """The ratios with their errors; a dot plot if there is one size."""
    found = relative_costs(results, [group for at in place for group in at.groups])
    if not found:
        return None
    looks = marks(results.labels)
    series = []
    for label in dict.fromkeys(one.group.label for one in found):
        own = [one for one in found if one.group.label == label]
        points = tuple(Point(float(one.group.L), one.ratio.value or 0.0, one.ratio.error) for one in own)
        series.append(Series(label, points, looks[label]))
    rows = len({one.group.L for one in found}) == 1
    names = join(sorted({one.base.label for one in found}))
    if rows:
        series.sort(key=lambda one: one.points[0].y)
    else:
        series.append(_band(found, names))
    size = f", L = {found[0].group.L}" if rows else ""
    return Panel(
        name=place_file(results, place[0], "relative-cost", sized=False),
        title=place_title(results, place[0], f"Cost of an effective sample relative to {names}{size}"),
        x_label="L",
        y_label=f"cost / cost of {names}",
        series=tuple(series),
        y_scale="log",
        levels=(1.0,),
        rows=rows,
    )


def _band(found: tuple[RelativeCost, ...], names: str) -> Series:
    """The costs that count as equal to the baseline."""
    wide = {one.group.L: one.band for one in found}
    points = tuple(Point(float(L), 1.0, wide[L]) for L in sorted(wide))
    return Series(f"as cheap as {names}", points, Mark(), role="reference", shape="band")
