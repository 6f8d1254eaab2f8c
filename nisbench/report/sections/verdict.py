"""Section with the verdict table: what to use each sampler for, its cost and quality, and the claims of the plan."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from nisbench.contract.quantities import (
    BREAK_EVEN_SAMPLES,
    ENERGY,
    ESS_FRACTION,
    ESS_FRACTION_P,
    KL_NATS,
    LOG_Z_PER_SITE,
    S_PER_EFFECTIVE_SAMPLE,
    describe,
)
from nisbench.report.claims import claim_blocks
from nisbench.report.document import (
    MISSING,
    Block,
    Column,
    Entry,
    Fold,
    Paragraph,
    Section,
    Table,
    number,
    plain,
    z_entry,
)
from nisbench.report.tables import REASONS, place_columns, place_entries, place_text, status_entry
from nisbench.report.words import by_label
from nisbench.results.advice import Advice, advice
from nisbench.results.break_even import best_break_even, break_even_of, undecided
from nisbench.results.cells import Results
from nisbench.results.costs import SAMPLES_TO_SPREAD, TIMING_CHANGE, cheapest, with_training
from nisbench.results.doubts import causes
from nisbench.results.groups import SeedGroup
from nisbench.results.numbers import in_words, join, power_of_ten, seconds_text
from nisbench.results.totals import USABLE, history_draws
from nisbench.statistics.effective import history_error

__all__ = ["claims_section", "verdict_section", "verdict_table"]

_BASIS = {ESS_FRACTION: "ESS of q side", ESS_FRACTION_P: "ESS of p side", "tau_int": "2 τ_int"}
"""Number of draws for one effective sample, by the basis that a cell records: 1/ESS, or 2 τ_int."""


def verdict_section(results: Results) -> Section:
    """The verdict table, the reasons of its states, and how to read it."""
    reading = Fold("How to read this table", tuple(Paragraph(text) for text in _reading(results)), "reading")
    blocks: tuple[Block, ...] = (verdict_table(results).shorter(), *_reasons(results), reading)
    return Section("verdict", "What does each sampler cost, and how good is it?", blocks, "Main table")


def claims_section(results: Results) -> Section:
    """The claims that the plan set out to check."""
    blocks = claim_blocks(results) or [Paragraph("The plan of this run makes no claim.")]
    return Section("claims", "Do the claims of the plan hold?", tuple(blocks), "Claims", brief=True)


def _reasons(results: Results) -> list[Block]:
    """The causes why runs are not ok, one row for each gate, behind one line; empty if all are ok."""
    found = causes(results.groups)
    if not found:
        return []
    heads = (
        Column("gate or cause", numeric=False),
        Column("runs"),
        Column("samplers", numeric=False),
        Column("the first reason", numeric=False),
    )
    rows = [(plain(one.text), plain(one.runs), plain(by_label(one.groups)), plain(one.example)) for one in found]
    caption = "Why runs are not ok, by gate. A run can fail several gates."
    told = "Why are some runs not ok? The gates that they did not pass"
    return [Fold(told, (Table(caption, heads, tuple(rows)),), REASONS)]


def verdict_table(results: Results) -> Table:
    """One row for each sampler and size: use, cost, break-even, quality."""
    kl = describe(KL_NATS)
    heads = (
        *place_columns(results),
        Column("sampler", numeric=False, key="sampler"),
        Column("use it for", "samples", numeric=False),
        Column("per eff. sample", "s", key=S_PER_EFFECTIVE_SAMPLE),
        Column("with training", "s", key="with_training"),
        Column("break-even, best stop (at)", "samples"),
        Column("break-even, whole budget", "samples", key=BREAK_EVEN_SAMPLES),
        Column("status", numeric=False),
        Column(kl.heading, kl.unit, key=KL_NATS),
        Column("ESS q side", key=ESS_FRACTION),
        Column("ESS p side", key=ESS_FRACTION_P),
        Column("z of ln Z"),
        Column("z of energy"),
        Column("cost based on", numeric=False),
        *((Column("device", numeric=False),) if _several_devices(results) else ()),
    )
    places = {g.members[0].cell.cell_id: (at, g) for place in advice(results) for at in place for g in at.groups}
    ordered = [places[group.members[0].cell.cell_id] for group in results.groups]
    rows = tuple(_row(results, at, group) for at, group in ordered)
    return Table(_caption(results, rows), heads, rows)


def _caption(results: Results, rows: Sequence[Sequence[Entry]]) -> str:
    """Where the costs were measured, and the meaning of the words and of the bold print in these rows."""
    told = [f"Measured on {'; '.join(filter(None, (results.hardware, place_text(results))))}."]
    told.append(
        "With training: cost of an effective sample, with training and preparation spread over "
        f"{power_of_ten(SAMPLES_TO_SPREAD)} samples."
    )
    if any(group.trained for group in results.groups):
        told.append(
            "Break-even: number of samples after which the training has paid off against the cheapest trusted sampler "
            "without training; undecided: the two costs are equal within errors; not cheaper: the trained sampler "
            "costs no less; n/a: not trained."
        )
    if any(entry.tone == "best" for row in rows for entry in row):
        told.append(
            "Bold, where at least two samplers are trusted: the smallest cost of a trusted sampler at that size, and "
            f"costs within {TIMING_CHANGE:.0%} of it."
        )
    if any(entry.text == "none" for row in rows for entry in row):
        told.append("none: no value; report.html gives the reason.")
    return " ".join(told)


def _row(results: Results, at: Advice, group: SeedGroup) -> tuple[Entry, ...]:
    cost = number(group.estimate(S_PER_EFFECTIVE_SAMPLE), digits=3)
    best = not at.alone and not at.alone_trusted and group in cheapest(at.groups, group.L)
    return (
        *place_entries(results, group.problem, group.L),
        plain(group.label),
        _use(at, group),
        replace(cost, tone="best") if best else cost,
        number(with_training(group), digits=3),
        _best_stop(results, group),
        _break_even(results, group),
        status_entry(group),
        number(group.estimate(KL_NATS)),
        number(group.estimate(ESS_FRACTION)),
        number(group.estimate(ESS_FRACTION_P)),
        z_entry(group.z(LOG_Z_PER_SITE)),
        z_entry(group.z(ENERGY)),
        _basis(group),
        *((plain(_device(group)),) if _several_devices(results) else ()),
    )


def _use(at: Advice, group: SeedGroup) -> Entry:
    """The numbers of effective samples for which the sampler has the smallest total time."""
    if not group.measured:
        return MISSING
    if not group.trusted:
        return Entry("nothing", "nothing", tone="missing")
    if at.alone or (at.alone_trusted and at.contenders[0].group is group):
        return plain("the only one run" if at.alone else "the only one trusted")
    ranges = []
    for span in at.spans:
        if group in [rival.group for rival in span.best]:
            first = "" if span is at.spans[0] else f"from {in_words(span.first.value or 0.0)}"
            last = f"up to {in_words(span.last.value or 0.0)}" if math.isfinite(span.last.value or 0.0) else ""
            tie = ", a tie" if span.tied else ""
            ranges.append((" ".join(filter(None, (first, last))) or "any number") + tie)
    if ranges:
        return plain("; ".join(ranges))
    equal = group in [rival.group for rival in at.equal_once_trained]
    return plain("as cheap once trained" if equal else "not the cheapest here", tone="missing")


def _basis(group: SeedGroup) -> Entry:
    """The estimate behind the cost; a note if the seeds recorded different ones."""
    basis = group.cost_basis
    if basis is None:
        return MISSING
    own = {_BASIS[m.cost_basis] for m in group.members if m.cost_basis is not None}
    note = f"the seeds were judged on {join(sorted(own))}; the basis with the largest cost counts for all"
    return Entry(_BASIS[basis], _BASIS[basis], note if len(own) > 1 else "")


def _break_even(results: Results, group: SeedGroup) -> Entry:
    """The break-even; `not cheaper` or `undecided` if a sample does not cost less than one of the baseline."""
    estimate = break_even_of(results, group)
    entry = number(estimate, digits=3)
    if estimate is not None and estimate.value is not None and math.isinf(estimate.value):
        return replace(entry, text="not cheaper", tone="missing")
    return replace(entry, text="undecided") if undecided(results, group) else entry


def _best_stop(results: Results, group: SeedGroup) -> Entry:
    """The break-even of the best stop, followed by the time of the stop."""
    found = best_break_even(results, group)
    if found is None:
        return MISSING
    estimate, stop = found
    entry = number(estimate, digits=3)
    return replace(entry, text=f"{entry.text} ({'the end' if stop.whole else seconds_text(stop.train_s)})")


def _reading(results: Results) -> list[str]:
    """How to read the table, in paragraphs."""
    quality = (
        "The number in parentheses is one standard error in the last digits. For several seeds, "
        "it is the larger of the propagated errors of the seeds and of their spread; errors of the p side do not "
        "average out if the seeds share a reference. z = (value − exact)/error. ESS: effective samples per draw; 1 is "
        "perfect. Both sides must agree: if one of them is at least 0.3, |ln(ESS q side/ESS p side)| must be at most "
        "0.3 or three errors; otherwise KL(p‖q) must be at most −ln(ESS q side) plus the same margin. A cell that "
        "passes is weak if this ratio still exceeds 0.3 or if the two sides differ by more than three errors."
    )
    cost = (
        "Per effective sample: seconds for one effectively independent configuration, which is the time per draw "
        "divided by the ESS, or times 2 τ_int for a chain. All seeds of a sampler are judged on one basis. Total time "
        "of n samples: preparation + training + n × time per effective sample. With training: total time / n for "
        f"n = {power_of_ten(SAMPLES_TO_SPREAD)}. Break-even, whole budget: time of the whole training / (cost of the "
        "baseline − own cost), in effective samples; it depends on the budget of the plan. We call a "
        f"sampler cheaper only if the gap exceeds two errors and {TIMING_CHANGE:.0%}, because processes on one machine "
        "differ by more than the spread within each. If a device has no baseline, that of another device is "
        "used and named."
    )
    return [quality, cost, *_history(results)]


def _history(results: Results) -> list[str]:
    """The paragraph on the best stop and on the precision of the training history; empty without a history."""
    trained = [group for group in results.groups if group.trained]
    draws = sorted({n for group in trained if (n := history_draws(group)) is not None})
    if not draws:
        return []
    n = draws[0]
    return [
        "Break-even, best stop: the same for a training that ends at the step of its history that needs the fewest "
        f"samples. An ESS of the history is estimated from {join(draws)} draws per evaluation, q side alone: with "
        f"{n} draws its relative error is {history_error(0.9, n):.1%} at ESS 0.9 and {history_error(0.5, n):.0%} at "
        f"ESS 0.5 if ln w is Gaussian. Values with an error above {USABLE:.0%} are not used, nor is the history of a "
        "sampler that is untrusted, weak or judged on the p side. The schedules of the training were those of the "
        "whole budget, so that a training planned to end at the stop can be better."
    ]


def _device(group: SeedGroup) -> str:
    return f"{group.device}: {group.machine}"


@lru_cache(maxsize=1)
def _several_devices(results: Results) -> bool:
    return len({(row.cell.device, row.device_name) for row in results.contest}) > 1
