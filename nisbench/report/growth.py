"""Costs against L at the top of a report on a run that trains too few steps to learn and so measures costs alone."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from nisbench.contract.quantities import (
    DRAW_S_PER_1000,
    PEAK_HOST_DRAW_BYTES,
    PEAK_HOST_TRAIN_BYTES,
    TRAIN_STEP_S,
    describe,
)
from nisbench.contract.records import Estimate
from nisbench.report.charts import MARKS, figure, quantity_panel
from nisbench.report.document import MISSING, Column, Entry, Figure, Table, number, plain, value_entry
from nisbench.report.sweeps import sweeps
from nisbench.results.cells import Results
from nisbench.results.exponents import Exponent
from nisbench.results.groups import SeedGroup

__all__ = ["FIRST_COSTS", "cost_figures", "cost_table", "costs_alone"]

FIRST_COSTS = (TRAIN_STEP_S, DRAW_S_PER_1000, PEAK_HOST_TRAIN_BYTES, PEAK_HOST_DRAW_BYTES)
"""The costs at the top of such a report."""
_FEW_STEPS = 20
"""Largest number of training steps after which a model is taken to have learned nothing."""
_SHOWN_SIZES = 8
"""Largest number of sizes with a column; the section on time and memory has all."""


@lru_cache(maxsize=1)
def costs_alone(results: Results) -> bool:
    """True if models were trained at several sizes, and none for more than _FEW_STEPS steps."""
    trained = [row.cell for row in results.contest if row.cell.budget is not None]
    steps = [cell.budget.steps for cell in trained if cell.budget is not None]
    return len({cell.L for cell in trained}) > 1 and all(n is not None and n <= _FEW_STEPS for n in steps)


def cost_figures(results: Results, fits: Sequence[Exponent]) -> list[Figure]:
    """One figure for each sweep with a panel for each of FIRST_COSTS."""
    fitted = ", with the powers of L that describe them (dotted)" if _describing(fits) else ""
    caption = (
        f"Time of a training step, time of 1000 draws, and peaks of host memory on {results.hardware}{fitted}. {MARKS}"
    )
    panels = ([quantity_panel(sweep, name, fits=fits, log=True) for name in FIRST_COSTS] for sweep in sweeps(results))
    return [drawn for here in panels if (drawn := figure(here, caption))]


def cost_table(results: Results, fits: Sequence[Exponent]) -> Table:
    """One row for each sampler and cost, one column for each size, and the exponents a of cost ~ L^a."""
    sizes = sorted({group.L for group in results.groups if group.measured})[-_SHOWN_SIZES:]
    several = len(results.problems) > 1
    heads = (
        *((Column("target and β", numeric=False),) if several else ()),
        Column("sampler", numeric=False),
        Column("cost", numeric=False),
        *(Column(f"L = {L}") for L in sizes),
        Column("fitted a"),
        Column("a between the two largest"),
        Column("predicted, the two largest"),
    )
    fitted = (
        "A fitted a is printed if a power law describes the costs at all sizes."
        if _describing(fits)
        else "No power law describes the costs at all sizes."
    )
    caption = (
        f"Costs on {results.hardware}, and exponents a of cost ~ L^a. {fitted} The prediction counts operations, "
        "for memory the numbers to keep. Peaks: memory above the resident size at the start of the phase; draws are "
        "taken in parts, so that their peak does not follow a power law."
    )
    return Table.of(caption, heads, _rows(results, fits, sizes, several))


def _describing(fits: Sequence[Exponent]) -> bool:
    """True if a power law describes one of the costs."""
    return any(fit.describes for fit in fits if fit.series.quantity in FIRST_COSTS)


def _rows(
    results: Results, fits: Sequence[Exponent], sizes: Sequence[int], several: bool
) -> Iterator[tuple[Entry, ...]]:
    by_sampler: dict[tuple[object, str, str], list[SeedGroup]] = {}
    for group in results.groups:
        by_sampler.setdefault((group.problem, group.device, group.label), []).append(group)
    for (problem, device, label), groups in by_sampler.items():
        for quantity in FIRST_COSTS:
            known = {group.L: group.estimate(quantity) for group in groups}
            if any(estimate is not None and estimate.value is not None for estimate in known.values()):
                row, series = describe(quantity), (problem, device, label, quantity)
                fit = next((fit for fit in fits if series == _series(fit)), None)
                values = (_cost(known.get(L), row.scale) for L in sizes)
                place = (plain(problem),) if several else ()
                yield (*place, plain(label), plain(row.axis), *values, *_exponents(fit))


def _cost(estimate: Estimate | None, scale: float) -> Entry:
    return number(estimate, scale=scale, digits=3)


def _series(fit: Exponent) -> tuple[object, str, str, str]:
    return fit.series.problem, fit.series.device, fit.series.label, fit.series.quantity


def _exponents(fit: Exponent | None) -> tuple[Entry, Entry, Entry]:
    """The fitted exponent if a power law describes the costs, the local one, and the predicted one."""
    if fit is None:
        return MISSING, MISSING, MISSING
    return (
        number(fit.fitted, digits=3) if fit.describes else MISSING,
        number(fit.last_two, digits=3),
        value_entry(fit.predicted_last_two, digits=3),
    )
