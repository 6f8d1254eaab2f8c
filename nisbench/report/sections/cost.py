"""Section on cost: time and memory against L, and fitted exponents beside the predicted ones."""

from collections.abc import Sequence

from nisbench.contract.quantities import (
    DRAW_S,
    DRAW_S_PER_1000,
    FLOPS_PER_DRAW,
    MATMUL_FLOPS_PER_S,
    N_PARAMETERS,
    PEAK_DEVICE_TRAIN_BYTES,
    PEAK_HOST_DRAW_BYTES,
    PEAK_HOST_TRAIN_BYTES,
    QUANTITIES,
    TRAIN_S,
    TRAIN_STEP_S,
    Part,
    describe,
    select,
)
from nisbench.report.charts import figure, quantity_panel, undrawn
from nisbench.report.document import (
    MISSING,
    Block,
    Column,
    Entry,
    Paragraph,
    Section,
    Table,
    number,
    plain,
    value_entry,
)
from nisbench.report.growth import FIRST_COSTS, costs_alone
from nisbench.report.sweeps import sweep_note, sweeps
from nisbench.report.tables import lead_columns, lead_entries, size_table
from nisbench.report.words import AS_ABOVE
from nisbench.results.cells import Results
from nisbench.results.derived import DERIVED
from nisbench.results.exponents import MISFIT, Exponent, exponents
from nisbench.results.groups import SeedGroup

__all__ = ["cost_section"]

_DRAWN = {
    "Time": (TRAIN_S, TRAIN_STEP_S, DRAW_S_PER_1000),
    "Size and memory": (N_PARAMETERS, PEAK_HOST_TRAIN_BYTES, PEAK_HOST_DRAW_BYTES, PEAK_DEVICE_TRAIN_BYTES),
}
"""Quantities that are drawn here, by the beginning of the caption, unless they are drawn at the top."""
_NO_COLUMN = (DRAW_S, *DERIVED, MATMUL_FLOPS_PER_S)
"""Left out of the table of times: draw_s follows from the time of 1000 draws, the others have their own tables."""
_TIME_COLUMNS = tuple(name for name in select(Part.TIME, Part.COUNT) if name not in _NO_COLUMN)


def cost_section(results: Results) -> Section:
    """Seconds and bytes, always with the hardware on which they were measured."""
    fits = exponents(results.groups)
    hardware = results.hardware
    groups = [group for group in results.groups if group.measured]
    blocks: list[Block] = [
        Paragraph(
            f"Measured on {hardware}. Training, preparation and drawing are timed separately and without evaluation. "
            "Loading and warm-up is the time of the first draw and, for a model, of the first training step in a new "
            "process, in which kernels are compiled; it is paid once per process and is not part of any other time. A "
            "host peak is the high-water mark of memory above the resident size at the start of the phase."
        ),
        *sweep_note(results),
        *_figures(results, fits, hardware),
        _exponents(results, fits, hardware),
    ]
    if groups:
        columns = (*_TIME_COLUMNS, *_plugin_costs(results))
        blocks.append(size_table(f"Time on {hardware}.", results, groups, columns))
        blocks += _rates(results, groups, hardware)
        blocks.append(size_table(f"Memory on {hardware}.", results, groups, select(Part.MEMORY)))
    return Section("cost", "Where do the time and the memory go?", tuple(blocks), "Time and memory")


def _figures(results: Results, fits: Sequence[Exponent], hardware: str) -> list[Block]:
    blocks: list[Block] = []
    above = FIRST_COSTS if costs_alone(results) else ()
    for sweep in sweeps(results):
        for title, names in _DRAWN.items():
            quantities = [name for name in names if name not in above]
            panels = [quantity_panel(sweep, name, fits=fits, log=True) for name in quantities]
            fitted = (
                ", with the powers of L that describe them (dotted)" if sweep.axis == "L" and not sweep.single else ""
            )
            caption = f"{title} on {hardware}{fitted}. {AS_ABOVE}"
            if drawn := figure(panels, caption):
                blocks.append(drawn)
            blocks += undrawn(quantities, panels)
    return blocks


def _plugin_costs(results: Results) -> list[str]:
    """Quantities that only a plugin knows, sorted; they count as costs."""
    unknown = {name for row in results.contest for name in row.quantities} - set(QUANTITIES)
    return sorted(name for name in unknown if describe(name).part is Part.COUNT)


def _rates(results: Results, groups: Sequence[SeedGroup], hardware: str) -> list[Block]:
    """Operations per second while drawing, beside the rate of a matrix product in the same process."""
    rows = []
    for group in groups:
        operations, seconds = group.value(FLOPS_PER_DRAW), group.value(DRAW_S_PER_1000)
        ceiling = group.value(MATMUL_FLOPS_PER_S)
        if not (operations > 0 and seconds > 0 and ceiling > 0):
            continue
        rate = 1000 * operations / seconds
        scale = describe(MATMUL_FLOPS_PER_S).scale
        values = (operations, rate / scale, ceiling / scale, rate / ceiling)
        rows.append((*lead_entries(results, group), *(value_entry(value, digits=3) for value in values)))
    unit = describe(MATMUL_FLOPS_PER_S).unit
    heads = (
        Column(describe(FLOPS_PER_DRAW).heading),
        Column("drawing", unit),
        Column(describe(MATMUL_FLOPS_PER_S).heading, unit),
        Column("ratio of the two rates"),
    )
    caption = (
        f"The rate of operations while drawing, compared with the machine, on {hardware}. Only useful operations "
        "count: masked zeros are left out, and a multiply-add counts as two. The machine is measured by the product of "
        "two square float32 matrices (side 1024; on a GPU 8192) in the process of the cell. This product is not an "
        "upper limit: matrices of other shapes can be faster, and the ratio can exceed 1."
    )
    return [Table(caption, (*lead_columns(results), *heads), tuple(rows)).shorter()] if rows else []


def _exponents(results: Results, fits: Sequence[Exponent], hardware: str) -> Block:
    if not fits:
        return Paragraph("No exponents: no sampler has a cost at two sizes or more.")
    several = len(results.problems) > 1
    heads = (
        *((Column("target and β", numeric=False),) if several else ()),
        Column("sampler", numeric=False),
        Column("cost", numeric=False),
        Column("sizes", numeric=False),
        Column("fitted a"),
        Column("predicted a"),
        Column("a between the two largest"),
        Column("predicted, the two largest"),
        Column("form", numeric=False),
        Column("a by the paper's counting"),
    )
    rows = [(*((plain(fit.series.problem),) if several else ()), *_exponent_row(fit)) for fit in fits]
    caption = (
        f"Exponents a of cost ~ L^a on {hardware}. A fitted a is printed if a power law describes the costs: three "
        f"sizes or more, each cost within {100 * MISFIT:.0f} % of the law. Otherwise only the exponent between the "
        "two largest sizes is printed. The prediction is the slope of its form over the same sizes; it counts "
        "operations, for memory the numbers to keep. At small sizes, overheads that do not grow dominate. The paper "
        "counts a full pass of the network for each spin; the form counts the operations of this implementation."
    )
    return Table.of(caption, heads, rows).shorter()


def _exponent_row(fit: Exponent) -> tuple[Entry, ...]:
    series, prediction = fit.series, fit.prediction
    paper = prediction.paper if prediction else None
    return (
        plain(series.label),
        plain(describe(series.quantity).heading),
        plain(", ".join(map(str, series.sizes))),
        _fitted(fit),
        value_entry(fit.predicted if fit.describes else None, digits=3),
        number(fit.last_two, digits=3),
        value_entry(fit.predicted_last_two, digits=3),
        plain(prediction.form) if prediction else MISSING,
        MISSING if paper is None else plain(f"{paper:g}"),
    )


def _fitted(fit: Exponent) -> Entry:
    """The fitted exponent; if no power law describes the costs, how far they lie from it."""
    if fit.describes:
        return number(fit.fitted, digits=3)
    if len(fit.series.sizes) < 3:
        return Entry("none", note="two sizes do not show whether the cost is a power law", tone="missing")
    off = f"no power law: a cost lies {100 * fit.misfit:.0f} % from the best one"
    return Entry("none", note=off, tone="missing")
