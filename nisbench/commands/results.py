"""The commands that read finished runs, and exact values: report, export, verify, merge, compare, exact."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from nisbench.errors import UserError

__all__ = ["compare", "exact", "export", "merge", "report", "verify"]


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the report [the run folder].")
@click.option("--paper", is_flag=True, help="Also write paper/: figures for one column as PDF, tables as LaTeX.")
def report(runs: Sequence[Path], out: Path | None, paper: bool) -> None:
    """Write report.html, report.md and figures from one or several runs.

    Several runs make one report; it needs a folder of its own, --out.
    """
    from nisbench.contract.catalog import load_catalog
    from nisbench.harness.store import Store
    from nisbench.report.page import build_report

    if len(runs) > 1 and out is None:
        raise UserError("a report on several runs needs a folder of its own; give --out DIR")
    stores = [Store.open(path) for path in runs]
    click.echo(str(build_report(stores, out or runs[0], catalog=load_catalog(), paper=paper)))


@click.command()
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
def verify(run_folder: Path) -> None:
    """Check every file of a run against its checksum."""
    from nisbench.harness.store import Store

    store = Store.open(run_folder)
    store.environment()
    cells = store.cells()
    if changed := [line for cell in cells for line in store.changed_files(cell.cell_id)]:
        raise UserError("; ".join(changed))
    click.echo(f"{len(cells)} cells: every file is as it was written")


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="New folder for the merged run.")
def merge(runs: Sequence[Path], out: Path) -> None:
    """Join runs of one plan from several machines into a new run folder."""
    from nisbench.harness.merge import merge as merged
    from nisbench.terminal import number_of_cells

    store = merged(runs, out)
    click.echo(f"{store.path}: {number_of_cells(len(store.cells()))} of {len(runs)} runs")


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option(
    "--table",
    type=click.Choice(["quantities", "history"]),
    default="quantities",
    show_default=True,
    help="quantities: the estimates; history: the lines of the trainings.",
)
@click.option("--format", "form", type=click.Choice(["csv", "json", "parquet"]), default="json", show_default=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write [standard output].")
def export(runs: Sequence[Path], table: str, form: str, out: Path | None) -> None:
    """Print all quantities of one or several runs, one row per cell and quantity, or the training histories."""
    import functools

    from nisbench.harness.atomic import guard
    from nisbench.harness.store import Store
    from nisbench.results.export import exported

    if form == "parquet" and out is None and sys.stdout.isatty():
        raise UserError("parquet is no text for a terminal; give --out FILE or send it to a file")
    content = exported([Store.open(path) for path in runs], form, table)
    if out is None:
        sys.stdout.buffer.write(content)
    else:
        guard(out, functools.partial(out.write_bytes, content))


@click.command()
@click.argument("before", metavar="A", type=click.Path(path_type=Path))
@click.argument("after", metavar="B", type=click.Path(path_type=Path))
@click.option(
    "--threshold",
    metavar="X",
    type=click.FloatRange(min=1.0),
    default=4.0,
    show_default=True,
    help="A difference counts if it exceeds X combined errors.",
)
@click.option("--fail-on-regression", is_flag=True, help="Exit code 1 if anything became worse.")
@click.option("--ignore-timings", is_flag=True, help="Show timings and memory, but do not count them as regressions.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def compare(
    before: Path, after: Path, threshold: float, fail_on_regression: bool, ignore_timings: bool, form: str
) -> None:
    """Show what became better or worse from A to B beyond the errors: run folders, exported JSON or report.html.

    Cells are compared if all their settings but the versions are equal: plugin and options, target, size, beta, seed,
    budget, draws and device.
    """
    from nisbench.results.compare import compare as compare_sides
    from nisbench.results.compare import lines
    from nisbench.results.compare_sides import read_side

    found = compare_sides(read_side(before), read_side(after), threshold=threshold)
    for line in lines(found) if form == "text" else [json.dumps(found.to_json(), indent=1)]:
        click.echo(line)
    if fail_on_regression and not found.n_cells:
        raise UserError(f"no cell is both in {before} and in {after}, so nothing was compared")
    regressions = found.regressions(timings=not ignore_timings)
    if regressions and fail_on_regression:
        click.echo(f"{len(regressions)} regressions from {before} to {after}", err=True)
        sys.exit(1)


@click.command()
@click.option("--target", default="ising", show_default=True)
@click.option("--option", "options", multiple=True, metavar="ising.boundary=free", help="Option of the target.")
@click.option("--sizes", default="8,16", show_default=True, metavar="8,16")
@click.option("--beta", default="0.44", show_default=True, metavar="0.44|critical|...")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def exact(target: str, options: Sequence[str], sizes: str, beta: str, form: str) -> None:
    """Exact values of a target, per site but ln Z, or the reason why there are none.

    The Ising model on the torus has Kaufman's formula (1949); lattices with free edges have the Kac-Ward determinant.
    """
    from nisbench.harness.exact import exact_lines, exact_rows

    rows = exact_rows(target, options, sizes, beta)
    for line in exact_lines(rows) if form == "text" else [json.dumps(rows, indent=1)]:
        click.echo(line)
