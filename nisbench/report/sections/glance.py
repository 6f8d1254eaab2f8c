"""Section with the main figures: quality of the models and cost of an effective sample, or costs against L alone."""

import math
from collections.abc import Sequence

from nisbench.contract.quantities import ESS_FRACTION, ESS_FRACTION_P, KL_NATS, S_PER_EFFECTIVE_SAMPLE
from nisbench.report.charts import MARKS, figure, quantity_panel, undrawn
from nisbench.report.document import Block, Fold, Section
from nisbench.report.growth import cost_figures, cost_table, costs_alone
from nisbench.report.selection import absence
from nisbench.report.sweeps import Sweep, sweep_note, sweeps
from nisbench.results.cells import Results
from nisbench.results.exponents import Exponent, exponents

__all__ = ["glance_section"]

_SIDES = (ESS_FRACTION, ESS_FRACTION_P)
_SHOWN = (KL_NATS, *_SIDES, S_PER_EFFECTIVE_SAMPLE)
_LOW = 0.1
"""If an ESS per draw is below this value, both sides are drawn on a logarithmic axis."""


def glance_section(results: Results) -> Section:
    """KL, both ESS and the cost of an effective sample; figures after the first one are folded.

    If no model was trained for more than a few steps, time and memory against L take their place.
    """
    fits = exponents(results.groups)
    drawn = [block for sweep in sweeps(results) for block in _figure(results, sweep, fits)]
    if costs_alone(results):
        return _costs(results, fits, drawn)
    rest = (Fold("The other targets, temperatures and sizes", tuple(drawn[1:])),) if drawn[1:] else ()
    blocks: tuple[Block, ...] = (*sweep_note(results), *drawn[:1], *rest)
    title = "How good are the models, and what does a sample cost?"
    return Section("figures", title, blocks or (absence("a number"),), "Quality and cost")


def _costs(results: Results, fits: Sequence[Exponent], quality: Sequence[Block]) -> Section:
    """Times and memory against L; the quality of models that have learned nothing is folded."""
    drawn: list[Block] = [*cost_figures(results, fits)] or [absence("a time")]
    first, *others = drawn
    folds = [
        Fold(title, tuple(blocks))
        for title, blocks in (
            ("The other targets, temperatures and sizes", others),
            ("Quality of models that were trained for a few steps", quality),
        )
        if blocks
    ]
    title = "How do time and memory grow with the size?"
    blocks: tuple[Block, ...] = (*sweep_note(results), first, cost_table(results, fits), *folds)
    return Section("figures", title, blocks, "Growth of costs")


def _figure(results: Results, sweep: Sweep, fits: Sequence[Exponent]) -> list[Block]:
    low = _any_low(sweep)
    panels = [quantity_panel(sweep, name, fits=fits, log=name not in _SIDES or low) for name in _SHOWN]
    caption = (
        f"Kullback-Leibler divergence (KL) from the target, effective sample size (ESS) per draw from both sides, and "
        f"time of an effective sample on {results.hardware}. {MARKS}"
    )
    found = figure(panels, caption)
    return [found] if found else undrawn(_SHOWN, panels)


def _any_low(sweep: Sweep) -> bool:
    """True if a value on either side is low; both sides then share the axis, so that they can be compared by eye."""
    known = [group.value(side) for group in sweep.groups for side in _SIDES]
    return any(value < _LOW for value in known if not math.isnan(value))
