"""Section that lists every cell that is not ok, with its reason."""

from nisbench.report.document import Column, Entry, Paragraph, Section, Table, plain
from nisbench.report.tables import status_tone
from nisbench.results.cells import CellRow, Results

__all__ = ["failures_section"]


def failures_section(results: Results) -> Section:
    """Every cell that is not ok, with its reason."""
    rows = [row for row in results.rows if not row.trusted]
    if not rows:
        return Section("failures", "What did not work", (Paragraph("Every cell of this run is ok."),))
    heads = (
        Column("sampler", numeric=False),
        Column("L"),
        Column("β"),
        Column("seed"),
        Column("device", numeric=False),
        Column("status", numeric=False),
        Column("reason", numeric=False),
        Column("cell", numeric=False),
    )
    caption = f"{len(rows)} of {len(results.rows)} cells are not ok. Numbers of untrusted cells are shown and marked."
    return Section("failures", "What did not work", (Table(caption, heads, tuple(_line(row) for row in rows)),))


def _line(row: CellRow) -> tuple[Entry, ...]:
    cell = row.cell
    return (
        plain(row.label),
        plain(cell.L),
        plain(cell.beta),
        plain(cell.seed),
        plain(cell.device),
        Entry(str(row.state), str(row.state), tone=status_tone([row])),
        plain(row.reason or "waiting for its turn"),
        plain(cell.cell_id, "code"),
    )
