"""Section on cost: time and memory against L, fitted exponents beside the predicted ones."""

from collections.abc import Sequence

from nisbench.contract.quantities import (
    BREAK_EVEN_SAMPLES,
    DRAW_S,
    DRAW_S_PER_1000,
    FLOPS_PER_DRAW,
    MATMUL_FLOPS_PER_S,
    N_PARAMETERS,
    PEAK_DEVICE_TRAIN_BYTES,
    PEAK_HOST_DRAW_BYTES,
    PEAK_HOST_TRAIN_BYTES,
    QUANTITIES,
    S_PER_EFFECTIVE_SAMPLE,
    TRAIN_S,
    TRAIN_STEP_S,
    Part,
    describe,
    select,
)
from nisbench.report.charts import figure, problem_note, shown_problems, size_panel
from nisbench.report.comparison import Exponent, Group, exponents, grouped
from nisbench.report.document import ABSENT, Block, Column, Entry, Paragraph, Section, Table, number, plain
from nisbench.report.numbers import concise
from nisbench.report.published import published
from nisbench.report.quality import MARKS, undrawn
from nisbench.report.results import Results
from nisbench.report.tables import lead_columns, lead_entries, size_table
from nisbench.report.verdict import devices

__all__ = ["cost_section"]

_TIMES = (TRAIN_S, TRAIN_STEP_S, DRAW_S_PER_1000, S_PER_EFFECTIVE_SAMPLE)
_MEMORY = (N_PARAMETERS, PEAK_HOST_TRAIN_BYTES, PEAK_HOST_DRAW_BYTES, PEAK_DEVICE_TRAIN_BYTES)
_NO_COLUMN = (DRAW_S, BREAK_EVEN_SAMPLES, MATMUL_FLOPS_PER_S)
"""Left out of the table of times: draw_s follows from the time of 1000 draws, the other two have their own tables."""
_TIME_COLUMNS = tuple(name for name in select(Part.TIME, Part.COUNT) if name not in _NO_COLUMN)


def cost_section(results: Results) -> Section:
    """Seconds and bytes, always with the hardware they were measured on."""
    fits = exponents(results.contest)
    hardware = devices(results)
    groups = [group for group in grouped(results.contest) if group.measured]
    blocks: list[Block] = [
        Paragraph(
            f"Measured on {hardware}. Training, preparation and drawing are timed apart and without evaluation; "
            "loading and first-call compilation are apart again. A host peak is the high-water mark above what was "
            "resident when the phase began."
        ),
        *problem_note(results),
    ]
    for problem in shown_problems(results):
        for quantities, what in ((_TIMES, "Time"), (_MEMORY, "Size and memory")):
            panels = [size_panel(results, problem, name, fits=fits, log=True) for name in quantities]
            caption = f"{what} against L on {hardware}, with fitted powers of L (dotted). {MARKS}"
            if drawn := figure(panels, caption):
                blocks.append(drawn)
            blocks += undrawn(quantities, panels)
    blocks.append(_exponents(results, fits, hardware))
    if groups:
        found = {name for row in results.contest for name in row.quantities} - set(QUANTITIES)
        of_plugins = sorted(name for name in found if describe(name).part is Part.COUNT)
        blocks.append(size_table(f"Time on {hardware}.", results, groups, (*_TIME_COLUMNS, *of_plugins)))
        blocks += _rates(results, groups, hardware)
        blocks.append(size_table(f"Memory on {hardware}.", results, groups, select(Part.MEMORY)))
    return Section("cost", "Training time, drawing time and memory", tuple(blocks))


def _rates(results: Results, groups: Sequence[Group], hardware: str) -> list[Block]:
    """Operations per second while drawing beside the rate of a matrix product measured in the same process."""
    rows = []
    for group in groups:
        operations, seconds = group.estimate(FLOPS_PER_DRAW), group.estimate(DRAW_S_PER_1000)
        rates = [float(m.notes[MATMUL_FLOPS_PER_S]) for m in group.members if MATMUL_FLOPS_PER_S in m.notes]
        if not (operations and operations.value and seconds and seconds.value and rates):
            continue
        rate, yardstick = 1000 * operations.value / seconds.value, sum(rates) / len(rates)
        values = (operations.value, rate / 1e9, yardstick / 1e9, rate / yardstick)
        rows.append((*lead_entries(results, group), *(Entry(concise(value, digits=3), value) for value in values)))
    heads = (
        Column("operations per draw"),
        Column("drawing", "GFLOP/s"),
        Column("matrix product", "GFLOP/s"),
        Column("fraction reached"),
    )
    caption = (
        f"How close drawing comes to the machine, on {hardware}. Useful operations alone: masked zeros are left out, a "
        "multiply-add counts two. The yardstick is a product of two square float32 matrices (of side 1024, GPU: 8192) "
        "in the process of the cell; matrices of other shapes can be somewhat faster."
    )
    return [Table(caption, (*lead_columns(results), *heads), tuple(rows))] if rows else []


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
        Column("a between the two largest"),
        Column("predicted a, this form"),
        Column("form", numeric=False),
        Column("a by the paper's counting"),
    )
    rows = [(*((plain(fit.scale.problem),) if several else ()), *_exponent_row(results, fit)) for fit in fits]
    caption = (
        f"Exponents a of cost ~ L^a on {hardware}. The prediction is the slope of its form over the same sizes and "
        "counts operations; small sizes are ruled by overheads that do not grow. The paper counts a full pass of the "
        "network per spin, the form what the implementation does."
    )
    return Table.of(caption, heads, rows)


def _exponent_row(results: Results, fit: Exponent) -> tuple[Entry, ...]:
    scale = fit.scale
    cell = next(row.cell for row in results.contest if row.label == scale.label)
    prediction = published().prediction(cell, scale.quantity)
    none = Entry(ABSENT, tone="missing")
    slope = prediction.exponent(scale.sizes) if prediction else None
    paper = prediction.paper if prediction else None
    return (
        plain(scale.label),
        plain(describe(scale.quantity).heading),
        plain(", ".join(map(str, scale.sizes))),
        number(fit.fitted, digits=3),
        none if fit.last_two is None else Entry(concise(fit.last_two, digits=3), fit.last_two),
        none if slope is None else Entry(concise(slope, digits=3), slope),
        plain(prediction.form) if prediction else none,
        none if paper is None else plain(f"{paper:g}"),
    )
