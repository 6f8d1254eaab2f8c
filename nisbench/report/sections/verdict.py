"""Section with the verdict table: trust, quality and cost of each sampler at each size, and the claims of the plan."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

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
from nisbench.report.document import Block, Column, Entry, Paragraph, Section, Table, number, plain, z_entry
from nisbench.report.tables import lead_columns, lead_entries
from nisbench.results.break_even import break_even_of
from nisbench.results.cells import CellRow, Results, status_counts
from nisbench.results.costs import SAMPLES_TO_SPREAD, TIMING_CHANGE, cheapest, with_training
from nisbench.results.groups import SeedGroup, grouped
from nisbench.results.numbers import join, power_of_ten

__all__ = ["verdict_section"]

_BASIS = {
    ESS_FRACTION: "time per draw / ESS per draw",
    ESS_FRACTION_P: "time per draw / ESS per draw of the p side, the lower one,",
    "tau_int": "time per draw × 2 τ_int",
}
"""Formula of the cost per effective sample, by the basis that a cell records."""


def verdict_section(results: Results) -> Section:
    """The verdict table, how to read it, and the claims that the plan set out to check."""
    blocks: list[Block] = [_table(results), Paragraph(_reading(results)), *_claims(results)]
    return Section("verdict", "Which sampler, at which size", tuple(blocks))


def _table(results: Results) -> Table:
    groups = grouped(results.contest)
    kl = describe(KL_NATS)
    heads = (
        *lead_columns(results),
        Column(kl.heading, kl.unit, key=KL_NATS),
        Column("ESS q side", key=ESS_FRACTION),
        Column("ESS p side", key=ESS_FRACTION_P),
        Column("z of ln Z"),
        Column("z of energy"),
        Column("per eff. sample", "s", key=S_PER_EFFECTIVE_SAMPLE),
        Column("with training", "s", key="with_training"),
        Column("break-even", "samples", key=BREAK_EVEN_SAMPLES),
        *((Column("device", numeric=False),) if _several_devices(results) else ()),
    )
    caption = f"Measured on {results.hardware}. Bold: the cheapest trusted samplers at that size."
    return Table(caption, heads, tuple(_row(results, groups, group) for group in groups))


def _row(results: Results, groups: Sequence[SeedGroup], group: SeedGroup) -> tuple[Entry, ...]:
    rivals = [g for g in groups if (g.problem, g.device) == (group.problem, group.device)]
    cost = number(group.estimate(S_PER_EFFECTIVE_SAMPLE), digits=3)
    return (
        *lead_entries(results, group, reasons=True),
        number(group.estimate(KL_NATS)),
        number(group.estimate(ESS_FRACTION)),
        number(group.estimate(ESS_FRACTION_P)),
        z_entry(group.z(LOG_Z_PER_SITE)),
        z_entry(group.z(ENERGY)),
        replace(cost, tone="best") if group in cheapest(rivals, group.L) else cost,
        number(with_training(group), digits=3),
        number(break_even_of(results, group), digits=3),
        *((plain(_device(group)),) if _several_devices(results) else ()),
    )


def _reading(results: Results) -> str:
    return (
        "How to read the table. The number in parentheses is one standard error in the last digits. For several seeds, "
        "it is the larger of the propagated errors of the seeds and of their spread; errors of the p side do not "
        "average out if the seeds share a reference. z = (value − exact)/error. ESS: effective samples per draw; 1 is "
        "perfect. Both sides must agree: if one of them is at least 0.3, |ln(ESS q side/ESS p side)| must be at most "
        "0.3 or three errors; otherwise KL(p‖q) must be at most −ln(ESS q side) plus the same margin. "
        f"Per effective sample: seconds for one effectively independent configuration, {_basis(results)}. With "
        "training: the same, with training and preparation spread over "
        f"{power_of_ten(SAMPLES_TO_SPREAD)} effective samples. Break-even: training time / (cost of the cheapest "
        "cluster sampler − own cost), in effective samples; ∞ means never. We call two costs different only if they "
        f"differ by more than two errors and by more than {TIMING_CHANGE:.0%}, because processes on one machine differ "
        "by more than the spread within each. If a device has no cluster sampler, that of another device is used and "
        "named."
    )


def _basis(results: Results) -> str:
    """The formula of the cost per effective sample, for each sampler."""
    found: dict[str, list[str]] = {}
    for row in results.contest:
        basis = _BASIS[row.cost_basis] if row.cost_basis else ""
        if basis and row.label not in found.setdefault(basis, []):
            found[basis].append(row.label)
    parts = [f"{basis} for {join(labels)}" for basis, labels in found.items()]
    return f"which is {', '.join(parts)}" if parts else "not known here"


def _device(group: SeedGroup) -> str:
    return f"{group.device}: {join(list(dict.fromkeys(member.device_name for member in group.members)))}"


def _several_devices(results: Results) -> bool:
    return len({(row.cell.device, row.device_name) for row in results.contest}) > 1


def _claims(results: Results) -> list[Block]:
    """The claims that the plans set out to check, with the status of the cells behind each claim."""
    by_id = {row.cell.cell_id: row for row in results.rows}
    groups = [group for run in results.runs for group in run.plan.get("groups", ())]
    rows = [line for group in groups if (line := _claim(group, by_id))]
    if not rows:
        return []
    heads = ("claim", "samplers", "L", "states")
    return [
        Paragraph(
            "The claims that the plan sets out to check. The states show whether the numbers of the cells can be "
            "trusted. Whether a claim is true, the reader must judge from the numbers."
        ),
        Table(
            "The claims of the plan and the states of their cells.",
            tuple(Column(head, numeric=False) for head in heads),
            tuple(rows),
        ),
    ]


def _claim(group: Mapping[str, Any], by_id: Mapping[str, CellRow]) -> tuple[Entry, ...] | None:
    """The row of one group of a plan; None if the group has no claim or none of its cells was loaded."""
    members = [by_id[cell_id] for cell_id in group.get("cells", ()) if cell_id in by_id]
    if not group.get("claim") or not members:
        return None
    labels = join(list(dict.fromkeys(member.label for member in members)))
    sizes = join(sorted({member.cell.L for member in members}))
    return plain(group["claim"]), plain(labels), plain(sizes), plain(status_counts(members))
