"""The claims that the plans set out to check, as blocks of the report."""

from collections.abc import Mapping
from typing import Any

from nisbench.report.document import Block, Column, Entry, Paragraph, Table, plain
from nisbench.results.cells import CellRow, Results, status_counts
from nisbench.results.numbers import join

__all__ = ["claim_blocks"]


def claim_blocks(results: Results) -> list[Block]:
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
