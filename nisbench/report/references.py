"""Series beside those of the samplers: fitted power laws and published values."""

from collections.abc import Sequence

import numpy as np

from nisbench.contract.quantities import describe
from nisbench.report.palette import PUBLISHED_MARKERS, Mark, marks
from nisbench.report.panels import Point, Series
from nisbench.report.sweeps import Sweep
from nisbench.results.exponents import Exponent
from nisbench.results.numbers import concise
from nisbench.results.published import PublishedValue, published

__all__ = ["fit_series", "fit_text", "published_series"]

_FIT_POINTS = 13
"""Points of a fitted line; a power law is curved on a linear axis."""
_PUBLISHED_REACH = 2.0
"""Published values are drawn up to this multiple of the largest size of the run."""


def fit_text(sweep: Sweep, fits: Sequence[Exponent], label: str, quantity: str) -> str:
    """The exponent as a suffix of the name in the legend; empty unless a power law describes the costs."""
    fit = _fit_of(sweep, fits, label, quantity)
    return f": L^{concise(fit.fitted.value or 0.0, fit.fitted.error, 3)}" if fit else ""


def fit_series(sweep: Sweep, quantity: str, fits: Sequence[Exponent]) -> list[Series]:
    """The power laws that describe the costs, each through the geometric mean of its costs."""
    looks = marks(sweep.results.labels)
    series = []
    for label in looks:
        fit = _fit_of(sweep, fits, label, quantity)
        if fit is None:
            continue
        sizes, scale = fit.series.sizes, describe(quantity).scale
        line = np.geomspace(sizes[0], sizes[-1], _FIT_POINTS).tolist()
        points = tuple(Point(L, cost / scale) for L, cost in zip(line, fit.law(line), strict=True))
        series.append(Series(label, points, looks[label], role="fit", shape="line", named=False))
    return series


def _fit_of(sweep: Sweep, fits: Sequence[Exponent], label: str, quantity: str) -> Exponent | None:
    if sweep.axis != "L":
        return None
    wanted = (sweep.problem, label, quantity)
    found = (fit for fit in fits if wanted == (fit.series.problem, fit.series.label, fit.series.quantity))
    return next((fit for fit in found if fit.describes), None)


def published_series(sweep: Sweep, quantity: str) -> list[Series]:
    """The published values at the places of this figure, one series for each method."""
    by_method: dict[str, list[tuple[float, PublishedValue]]] = {}
    for problem in dict.fromkeys(group.problem for group in sweep.groups):
        for value in published().at(problem.target, problem.beta):
            if quantity in value.quantities and (place := _place(sweep, value)) is not None:
                by_method.setdefault(value.method, []).append((place, value))
    # The number among all published methods gives a method the same mark in every panel.
    methods = tuple(dict.fromkeys(value.method for value in published().values))
    series = []
    for method, values in by_method.items():
        points = tuple(_point(place, value, quantity) for place, value in sorted(values, key=lambda pair: pair[0]))
        device = values[0][1].device
        on = f" on {device}" if device and describe(quantity).timed else ""
        mark = Mark(marker=PUBLISHED_MARKERS[methods.index(method) % len(PUBLISHED_MARKERS)])
        group = f"{method}, published"
        source = "; ".join(dict.fromkeys(value.source for _, value in values))
        series.append(Series(f"{group}{on}", points, mark, role="published", group=group, source=source))
    return series


def _place(sweep: Sweep, value: PublishedValue) -> float | None:
    """Position of a published value on the axis; None if it does not belong to the figure."""
    sizes = {group.L for group in sweep.groups}
    if sweep.axis == "L" and not sweep.single:
        return float(value.L) if _PUBLISHED_REACH * max(sizes) >= value.L else None
    if value.L not in sizes:
        return None
    return float(value.L) if sweep.axis == "L" else value.beta if sweep.axis == "β" else None


def _point(place: float, value: PublishedValue, quantity: str) -> Point:
    estimate, scale = value.quantities[quantity], describe(quantity).scale
    assert estimate.value is not None  # every value in published.toml is a number
    return Point(place, estimate.value / scale, None if estimate.error is None else estimate.error / scale)
