"""Section that lists every cell that is not ok, with its reasons."""

from nisbench.report.document import Column, Entry, Paragraph, Section, Table, beta_entry, plain
from nisbench.report.tables import status_tone
from nisbench.results.cells import Results
from nisbench.results.rows import CellRow

__all__ = ["failures_section"]


def failures_section(results: Results) -> Section:
    """Every cell that is not ok, with its reasons."""
    title, short = "Which runs failed or are untrusted, and why?", "Failures"
    rows = [row for row in results.rows if not row.trusted]
    if not rows:
        return Section("failures", title, (Paragraph("Every cell of this run is ok."),), short)
    heads = (
        Column("sampler", numeric=False, key="sampler"),
        Column("L", key="size"),
        Column("β"),
        Column("seed"),
        Column("device", numeric=False),
        Column("status", numeric=False),
        Column("reasons", numeric=False),
        Column("cell", numeric=False),
    )
    caption = f"{len(rows)} of {len(results.rows)} runs are not ok. The numbers of untrusted runs are shown and marked."
    return Section("failures", title, (Table(caption, heads, tuple(_line(row) for row in rows)).shorter(),), short)


def _line(row: CellRow) -> tuple[Entry, ...]:
    cell = row.cell
    return (
        plain(row.label),
        plain(cell.L),
        beta_entry(cell.beta),
        plain(cell.seed),
        plain(cell.device),
        Entry(str(row.state), str(row.state), tone=status_tone([row])),
        plain(row.reason or "waiting for its turn"),
        plain(cell.cell_id, "code"),
    )
