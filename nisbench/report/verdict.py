"""The answer first: which sampler at which size, can it be trusted, and what does an effective sample cost."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from nisbench.contract.quantities import (
    BREAK_EVEN_SAMPLES,
    ENERGY,
    ESS_FRACTION,
    ESS_FRACTION_P,
    KL_NATS,
    LOG_Z_PER_SITE,
    S_PER_EFFECTIVE_SAMPLE,
    TRAIN_S,
)
from nisbench.contract.records import Estimate
from nisbench.report.comparison import (
    SAMPLES_TO_SPREAD,
    TIMING_CHANGE,
    Group,
    break_even_against,
    grouped,
    rival,
    told_apart,
    with_training,
)
from nisbench.report.document import Block, Column, Entry, Paragraph, Section, Table, join, number, plain, z_entry
from nisbench.report.numbers import power_of_ten, significant
from nisbench.report.results import Measured, Problem, Results
from nisbench.report.tables import lead_columns, lead_entries, status_name

__all__ = ["devices", "verdict_section", "verdict_sentences"]

_COST = S_PER_EFFECTIVE_SAMPLE
_SENTENCE_PROBLEMS = 3


def verdict_sentences(results: Results) -> tuple[str, ...]:
    """What the run found, in words; the first sentence is the verdict."""
    if not any(row.measured for row in results.rows):
        return (_nothing(results),)
    told = [
        sentence
        for problem in results.problems[:_SENTENCE_PROBLEMS]
        for device in sorted({row.cell.device for row in results.at(problem)})
        for sentence in _place(results, problem, device)
    ]
    if len(results.problems) > _SENTENCE_PROBLEMS:
        told.append(
            f"The other {len(results.problems) - _SENTENCE_PROBLEMS} targets and temperatures are in the table."
        )
    return (*told, *_unfinished(results))


def verdict_section(results: Results) -> Section:
    """The verdict table, and the claims that the plan set out to check."""
    blocks: list[Block] = [_table(results), Paragraph(_reading(results)), *_claims(results)]
    return Section("verdict", "Which sampler, at which size", tuple(blocks))


def devices(results: Results) -> str:
    """The hardware behind all timings, in words."""
    cells = [row for row in results.rows if row.measured] or list(results.rows)
    names = dict.fromkeys(f"{row.cell.device.upper()} {row.device_name}{_threads(row)}" for row in cells)
    return join(sorted(names)) or "no device"


def break_even_of(results: Results, group: Group) -> Estimate | None:
    """break_even_samples of the means over seeds; None for what is not trained."""
    if group.kind != "model" or not group.measured:
        return None
    costs = group.estimate(TRAIN_S), group.estimate(_COST)
    return break_even_against(results.contest, group.problem, group.L, group.device, *costs)


def _threads(row: Measured) -> str:
    return f" ({row.threads} threads)" if row.threads != 1 else ""


def _nothing(results: Results) -> str:
    counts = _counts(results)
    return (
        f"No cell of this run has numbers ({counts}); there is nothing to recommend."
        if results.rows
        else ("This run has no cells; there is nothing to recommend.")
    )


def _counts(results: Results) -> str:
    names = [status_name(row) for row in results.rows]
    return ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))


def _place(results: Results, problem: Problem, device: str) -> list[str]:
    """The sentences about one problem on one device."""
    groups = [group for group in grouped(results.at(problem)) if group.device == device]
    where = f"{problem} on {device.upper()}"
    trusted = [group for group in groups if group.trusted]
    doubtful = [group for group in groups if group.measured and not group.trusted]
    if not trusted:
        told = [f"{where}: no sampler passed every validity gate, so none is recommended."] if groups else []
    else:
        told = [f"{where}: {_cheapest(trusted)}.", *_crossed(results, trusted), *_paying(results, trusted)]
        told.append(f"Passed every validity gate: {_by_label(trusted)}.")
    if doubtful:
        told.append(f"Not to be trusted: {_by_label(doubtful)}; the table says why.")
    return told


def _cheapest(groups: Sequence[Group]) -> str:
    """Who gives the cheapest effective sample at which sizes, once trained."""
    winners: dict[str, list[Group]] = {}
    for size in sorted({group.L for group in groups}):
        if best := best_at(groups, size):
            winners.setdefault(" or ".join(group.label for group in best), []).append(best[0])
    if not winners:
        return "the cost of an effective sample is not known"
    ranked = sorted(winners.items(), key=lambda item: item[1][-1].L)
    parts = [f"{label} at {_sizes(group.L for group in won)}" for label, won in ranked]
    verb = "gives" if len(parts) == 1 else "give"
    largest = ranked[-1][1][-1]
    return f"{join(parts)} {verb} the cheapest effectively independent configurations{_lead(groups, largest)}"


def _lead(groups: Sequence[Group], best: Group) -> str:
    """By how much the best is ahead at its largest size."""
    tied = best_at(groups, best.L)
    others = [group for group in groups if group.L == best.L and group not in tied and math.isfinite(_cost(group))]
    price = f": {significant(_cost(best), 2)} s each at L = {best.L}"
    if not others:
        return price
    rival = min(others, key=_cost)
    aside = " without its training" if rival.kind == "model" else ""
    return f"{price}, {significant(_cost(rival) / _cost(best), 2)} times cheaper than {rival.label}{aside}"


def _crossed(results: Results, trusted: Sequence[Group]) -> list[str]:
    """Which sizes have no cluster sampler on this device, and what stands in for it."""
    stand_ins: dict[str, list[tuple[int, float]]] = {}
    for group in trusted:
        base, name = rival(results.contest, group.problem, group.L, group.device)
        if base is not None and base.device != group.device:
            stand_ins.setdefault(name, []).append((group.L, _cost(base)))
    told = []
    for name, places in stand_ins.items():
        prices = [f"{significant(price, 2)} s each at L = {L}" for L, price in dict(places).items()]
        told.append(
            f"No cluster sampler passed on {trusted[0].device.upper()} at {_sizes(L for L, _ in places)}; the baseline "
            f"there is {name}, a comparison across devices: {join(prices)}."
        )
    return told


def best_at(groups: Iterable[Group], size: int) -> tuple[Group, ...]:
    """The trusted samplers with the least seconds per effective sample at that size, all that are not told apart."""
    priced = [group for group in groups if group.trusted and size == group.L and math.isfinite(_cost(group))]
    ranked = sorted(priced, key=_cost)
    return tuple(g for g in ranked if g is ranked[0] or not told_apart(g.estimate(_COST), ranked[0].estimate(_COST)))


def _cost(group: Group) -> float:
    estimate = group.estimate(_COST)
    return math.nan if estimate is None or estimate.value is None else estimate.value


def _paying(results: Results, trusted: Sequence[Group]) -> list[str]:
    """Whether training pays, sampler by sampler."""
    told = []
    for label in dict.fromkeys(group.label for group in trusted if group.kind == "model"):
        found = [(g.L, break_even_of(results, g)) for g in trusted if g.label == label]
        known = [(L, estimate.value) for L, estimate in found if estimate is not None and estimate.value is not None]
        never = [L for L, value in known if math.isinf(value)]
        parts = [
            f"after {significant(float(f'{v:.1e}'), 2)} effective samples at L = {L}"
            for L, v in known
            if math.isfinite(v)
        ]
        parts += [f"never at {_sizes(never)}"] if never else []
        if parts:
            told.append(f"{label} {join(parts)}")
    return [f"Training pays for itself against the cheapest cluster sampler: {'; '.join(told)}."] if told else []


def _unfinished(results: Results) -> tuple[str, ...]:
    missing = [row for row in results.rows if not row.measured]
    if not missing:
        return ()
    names = [status_name(row) for row in missing]
    counts = ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))
    return (f"{len(missing)} of {len(results.rows)} cells have no numbers ({counts}).",)


def _by_label(groups: Sequence[Group]) -> str:
    labels = dict.fromkeys(group.label for group in groups)
    return join([f"{label} at {_sizes(g.L for g in groups if g.label == label)}" for label in labels])


def _sizes(sizes: Iterable[int]) -> str:
    return f"L = {join(sorted(set(sizes)))}"


def _table(results: Results) -> Table:
    groups = grouped(results.contest)
    heads = (
        *lead_columns(results),
        Column("KL(q‖p)", "nats", key=KL_NATS),
        Column("ESS q side", key=ESS_FRACTION),
        Column("ESS p side", key=ESS_FRACTION_P),
        Column("z of ln Z"),
        Column("z of energy"),
        Column("per eff. sample", "s", key=_COST),
        Column("with training", "s", key="with_training"),
        Column("break-even", "samples", key=BREAK_EVEN_SAMPLES),
        *((Column("device", numeric=False),) if _several_devices(results) else ()),
    )
    caption = f"Measured on {devices(results)}. Bold: the cheapest trusted samplers at that size."
    return Table(caption, heads, tuple(_row(results, groups, group) for group in groups))


def _reading(results: Results) -> str:
    return (
        "How to read it. In parentheses: one standard error in the last digits; with several seeds, the larger of the "
        "seeds' own errors (those of the p side do not average out where the seeds share a reference) and of their "
        "spread. z = (value − exact)/error. ESS: effective samples per draw; 1 is perfect. Both sides "
        "must agree: |ln(ESS q side/ESS p side)| is at most 0.3 or three errors where one of them is at least 0.3, and "
        "below that KL(p‖q) at most −ln(ESS q side) plus as much. "
        f"Per effective sample: seconds for one effectively independent configuration, {_basis(results)}. With "
        f"training: the same, with training and preparation spread over {power_of_ten(SAMPLES_TO_SPREAD)} of them. "
        "Break-even: training time / (cost of the cheapest cluster sampler − own cost), in effective samples; ∞ is "
        "never. Two costs are told apart where they differ by more than two errors and by more than "
        f"{TIMING_CHANGE:.0%}, for processes on one machine differ by more than each one's own spread. Where a device "
        "has no cluster sampler, that of another one stands in and is named."
    )


def _row(results: Results, groups: Sequence[Group], group: Group) -> tuple[Entry, ...]:
    here = [g for g in groups if (g.problem, g.device) == (group.problem, group.device)]
    best = best_at(here, group.L)
    cost = number(group.estimate(_COST), digits=3)
    marked = replace(cost, tone="best") if group in best else cost
    return (
        *lead_entries(results, group, reasons=True),
        number(group.estimate(KL_NATS)),
        number(group.estimate(ESS_FRACTION)),
        number(group.estimate(ESS_FRACTION_P)),
        z_entry(group.estimate(LOG_Z_PER_SITE)),
        z_entry(group.estimate(ENERGY)),
        marked,
        number(with_training(group), digits=3),
        number(break_even_of(results, group), digits=3),
        *((plain(_device(group)),) if _several_devices(results) else ()),
    )


def _basis(results: Results) -> str:
    """On what the cost per effective sample rests, sampler by sampler."""
    words = {
        ESS_FRACTION: "time per draw / ESS per draw",
        ESS_FRACTION_P: "time per draw / ESS per draw of the p side, the lower one,",
        "tau_int": "time per draw × 2 τ_int",
    }
    found: dict[str, list[str]] = {}
    for row in results.contest:
        basis = words.get(row.cost_basis)
        if basis and row.label not in found.setdefault(basis, []):
            found[basis].append(row.label)
    parts = [f"{basis} for {join(labels)}" for basis, labels in found.items()]
    return f"which is {', '.join(parts)}" if parts else "not known here"


def _device(group: Group) -> str:
    return f"{group.device}: {join(list(dict.fromkeys(member.device_name for member in group.members)))}"


def _several_devices(results: Results) -> bool:
    return len({(row.cell.device, row.device_name) for row in results.contest}) > 1


def _claims(results: Results) -> list[Block]:
    """What the plans set out to check, with the state of the cells behind each claim."""
    by_id = {row.cell.cell_id: row for row in results.rows}
    rows = []
    for run in results.runs:
        for group in run.plan.get("groups", ()):
            members = [by_id[cell_id] for cell_id in group.get("cells", ()) if cell_id in by_id]
            if not group.get("claim") or not members:
                continue
            names = [status_name(member) for member in members]
            state = ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))
            sizes = join(sorted({member.cell.L for member in members}))
            labels = join(list(dict.fromkeys(member.label for member in members)))
            rows.append((plain(group["claim"]), plain(labels), plain(sizes), plain(state)))
    if not rows:
        return []
    heads = (
        Column("claim", numeric=False),
        Column("samplers", numeric=False),
        Column("L", numeric=False),
        Column("states", numeric=False),
    )
    return [
        Paragraph(
            "What the plan sets out to check. The states tell whether the numbers of the cells are to be trusted; "
            "whether a claim holds is for the reader to see in them."
        ),
        Table("The claims of the plan and the states of their cells.", heads, tuple(rows)),
    ]
