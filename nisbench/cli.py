"""The command line: parse the arguments, call the library, set the exit code.

Each command imports what it needs, so that `nisbench --help` is fast.
"""

import errno
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from nisbench import __version__
from nisbench.errors import NisbenchError, UserError

__all__ = ["main"]


@click.group(no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Benchmark samplers of lattice models: train, draw, measure, and report with honest error bars."""


def main() -> None:
    """Entry point. Bad input gives one line on stderr and exit code 2; a run that was stopped gives 130."""
    _open_closed_streams()
    try:
        code = cli.main(standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has gone, as in `nisbench export RUN | head`
        _close_output()
        sys.exit(0)
    except click.ClickException as error:
        _fail(error.format_message())
    except click.Abort:
        sys.exit(130)
    except NisbenchError as error:
        _fail(str(error))
    except OSError as error:  # a path that the system refuses, or a full disk behind standard output
        if error.filename is None and error.errno not in (errno.ENOSPC, errno.EIO):
            raise
        _close_output()
        _fail(f"{error.filename or 'standard output'}: {error.strerror}")
    sys.exit(code if isinstance(code, int) else 0)


def _open_closed_streams() -> None:
    """Open /dev/null for each standard stream that the caller closed, or the next file opened would take its place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115


def _close_output() -> None:
    """Send the rest of standard output to /dev/null; Python would complain when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _fail(message: str) -> None:
    click.echo("nisbench: " + " ".join(message.split()), err=True)
    sys.exit(2)


class _PlanOption(click.Option):
    """The option --plan, whose help lists the plans that come with nisbench."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the help with the names of the plans; they are read only when the help is shown."""
        from nisbench.harness.plan_files import plan_names

        self.help = f"A TOML file, or one of: {', '.join(plan_names())} [quick]."
        return super().get_help_record(ctx)


def _plan_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that `run` and `plan` share; their names are the arguments of `select_plan`."""
    options = [
        click.option("--plan", "source", metavar="NAME|FILE", cls=_PlanOption),
        click.option("--plugins", metavar="hier,van,wolff", help="What to measure."),
        click.option("--sizes", metavar="8,16", help="Extents L of the lattice."),
        click.option("--beta", metavar="0.44|critical|...", help="Inverse temperatures."),
        click.option("--seeds", metavar="1,2,3", help="Each cell is run once per seed."),
        click.option("--train-steps", metavar="N", help="Training budget in steps; 0 evaluates as it is."),
        click.option("--train-seconds", metavar="S", help="Training budget in seconds (90, 30m, 2h)."),
        click.option("--draws", metavar="N", help="Draws for the estimates, all chains together."),
        click.option("--target", metavar="ising", help="The target of every cell."),
        click.option("--reference", metavar="wolff|none", help="The sampler that draws from p to judge models."),
        click.option("--option", "options", multiple=True, metavar="hier.width=2", help="Of a plugin or target."),
        click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True),
        click.option("--memory-limit", metavar="8G", help="Memory that one cell may take."),
        click.option("--timeout", metavar="30m", help="Time that one cell may take."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@cli.command()
@_plan_options
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Cells at a time.")
@click.option("--executor", type=click.Choice(["local"]), default="local", show_default=True, help="Where cells run.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder [runs/<plan>-<hash of the cells>].")
@click.option("--resume/--fresh", default=True, show_default=True, help="Continue, or delete the run and start over.")
@click.option("--keep", is_flag=True, help="Keep finished cells although the source of their plugin has changed.")
@click.option("--no-report", is_flag=True, help="Do not write the report.")
def run(
    workers: int, executor: str, out: Path | None, resume: bool, keep: bool, no_report: bool, **selection: Any
) -> None:
    """Run a plan and write its report. The same command continues where it was stopped."""
    from nisbench.harness.execute import StoppedError
    from nisbench.harness.launch import run_plan
    from nisbench.harness.selection import select_plan
    from nisbench.terminal import show_progress, summarise

    del executor  # only one exists
    chosen = select_plan(**selection)
    folder = out or Path("runs") / chosen.folder_name
    # The recorded command is what a user repeats to continue, and --fresh would delete the finished cells.
    command = shlex.join(["nisbench", *(word for word in sys.argv[1:] if word != "--fresh")])
    try:
        store = run_plan(
            chosen, folder, command=command, workers=workers, fresh=not resume, keep=keep, display=show_progress
        )
    except StoppedError as stopped:
        click.echo(f"nisbench: stopped by {stopped.name}; the same command continues this run", err=True)
        sys.exit(130)
    page = None
    if not no_report:
        from nisbench.contract.catalog import load_catalog
        from nisbench.report.page import build_report

        page = build_report(
            [store], folder, catalog=load_catalog()
        )  # before anything is printed: the reader of a pipe may have gone
    summarise(store, chosen.cells)
    if page is not None:
        click.echo(str(page))


@cli.command()
@_plan_options
def plan(**selection: Any) -> None:
    """Show the cells of a plan without running them."""
    from nisbench.harness.selection import select_plan
    from nisbench.results.status import labels
    from nisbench.terminal import number_of_cells

    made = select_plan(**selection)
    named = labels(made.cells)
    click.echo(f"{made.name}: {made.title}")
    for group in made.groups:
        if group.claim:
            click.echo(f"  claim ({group.name}): {group.claim}")
    for cell in made.cells:
        budget = f", trained for {cell.budget}" if cell.budget else ""
        click.echo(f"{cell.cell_id}  {named[cell.cell_id]}, {cell.draws} draws{budget}, {cell.device}")
    click.echo(f"{number_of_cells(len(made.cells))}; default folder: {Path('runs') / made.folder_name}")


@cli.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the report [the run folder].")
@click.option("--paper", is_flag=True, help="Also write paper/: figures for one column as PDF, tables as LaTeX.")
def report(runs: Sequence[Path], out: Path | None, paper: bool) -> None:
    """Write report.html, report.md and figures from one or several runs."""
    from nisbench.contract.catalog import load_catalog
    from nisbench.harness.store import Store
    from nisbench.report.page import build_report

    if len(runs) > 1 and out is None:
        raise UserError("a report on several runs needs a folder of its own; give --out DIR")
    stores = [Store.open(path) for path in runs]
    click.echo(str(build_report(stores, out or runs[0], catalog=load_catalog(), paper=paper)))


@cli.command()
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
def status(run_folder: Path) -> None:
    """Show where each cell of a run stands, and how to go on."""
    from nisbench.harness.store import Store
    from nisbench.results.status import counts
    from nisbench.terminal import summarise

    store = Store.open(run_folder)
    cells = store.cells()
    summarise(store, cells)
    found = counts(store, cells)
    if "running" not in found and set(found) - {"ok", "untrusted", "unavailable"}:
        command = store.environment().get("command") or store.plan().get("command") or "nisbench run"
        click.echo(f"no cell is running; if the run has ended, to go on: {command}")


@cli.command()
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


@cli.command()
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["csv", "json", "parquet"]), default="json", show_default=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write [standard output].")
def export(run_folder: Path, form: str, out: Path | None) -> None:
    """Print all quantities of a run, one row per cell and quantity."""
    import functools

    from nisbench.harness.atomic import guard
    from nisbench.harness.store import Store
    from nisbench.results.export import exported

    if form == "parquet" and out is None and sys.stdout.isatty():
        raise UserError("parquet is no text for a terminal; give --out FILE or send it to a file")
    content = exported([Store.open(run_folder)], form)
    if out is None:
        sys.stdout.buffer.write(content)
    else:
        guard(out, functools.partial(out.write_bytes, content))


@cli.command()
@click.argument("before", metavar="A", type=click.Path(path_type=Path))
@click.argument("after", metavar="B", type=click.Path(path_type=Path))
@click.option(
    "--threshold", type=click.FloatRange(min=1.0), default=4.0, show_default=True, help="Least combined errors."
)
@click.option("--fail-on-regression", is_flag=True, help="Exit code 1 if anything became worse.")
@click.option("--ignore-timings", is_flag=True, help="Timings and memory are shown and do not count as regressions.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def compare(
    before: Path, after: Path, threshold: float, fail_on_regression: bool, ignore_timings: bool, form: str
) -> None:
    """What became better or worse from A to B beyond the errors: run folders, exported JSON or report.html.

    Cells are the same where all their settings are: plugin, version and options, target, size, beta, seed, budget,
    draws and device.
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


@cli.command()
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


@cli.command()
@click.argument("name", required=False)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def plugins(name: str | None, form: str) -> None:
    """List what is installed: plugins, targets, and broken plugins with the reason.

    With NAME: the options of one plugin or target, and the publication to cite.
    """
    from nisbench.contract.catalog import load_catalog
    from nisbench.contract.listing import details, overview, record

    catalog = load_catalog()
    entries = catalog.entries if name is None else (catalog.entry(name),)
    if form == "json":
        click.echo(json.dumps([record(entry) for entry in entries], indent=1))
        return
    for line in overview(catalog) if name is None else details(entries[0]):
        click.echo(line)


@cli.command()
@click.argument("name")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="Of a model.")
@click.option("--option", "options", multiple=True, metavar="couplings.file=F", help="Option of the target NAME.")
def check(name: str, device: str, options: Sequence[str]) -> None:
    """Check that a plugin or a target keeps the contract; one line per named check."""
    from nisbench.conformance.checks import run_checks
    from nisbench.contract.catalog import load_catalog
    from nisbench.harness.values import options as read_options

    failed = 0
    for result in run_checks(name, load_catalog(), device, read_options("--option", options)):
        failed += not result.passed
        said = f": {result.message}" if result.message else ""
        click.echo(f"{'ok  ' if result.passed else 'FAIL'} {result.name}{said}")
    if failed:
        click.echo(f"{name}: {failed} checks failed", err=True)
        sys.exit(1)
