"""The command line: parse, call, exit code. Everything else is imported by the command that needs it."""

import json
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nisbench import __version__
from nisbench.errors import NisbenchError, UserError

if TYPE_CHECKING:
    from rich.table import Table

    from nisbench.contract.records import Cell
    from nisbench.harness.execute.local import Progress
    from nisbench.harness.plan import Plan
    from nisbench.harness.store import Store

__all__ = ["main"]

_REFRESH_S = 0.5


@click.group(no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Benchmark samplers of lattice models: train, draw, measure, and report with honest error bars."""


def main() -> None:
    """Entry point: bad input is one line on stderr and exit code 2, being stopped is 130."""
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        _fail(error.format_message())
    except click.Abort:
        sys.exit(130)
    except NisbenchError as error:
        _fail(str(error))
    except OSError as error:  # a path that the system refuses
        if error.filename is None:
            raise
        _fail(f"{error.filename}: {error.strerror}")
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> None:
    click.echo("nisbench: " + " ".join(message.split()), err=True)
    sys.exit(2)


def _plan_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What `run` and `plan` both take."""
    options = [
        click.option(
            "--plan",
            "source",
            metavar="NAME|FILE",
            help="A TOML file, or one of: critical, hier-exact, hier-exact-ablation, hier-exact-gpu, "
            "hier-exact-L128, hier-exact-range, learning-rate, paper, paper-cpu, quick, timing [quick].",
        ),
        click.option("--plugins", metavar="hier,van,wolff", help="What to measure."),
        click.option("--sizes", metavar="8,16", help="Extents L of the lattice."),
        click.option("--beta", metavar="0.44|critical|...", help="Inverse temperatures."),
        click.option("--seeds", metavar="1,2,3", help="Each cell is run once per seed."),
        click.option("--train-steps", metavar="N", help="Training budget in steps; 0 evaluates as it is."),
        click.option("--train-seconds", metavar="S", help="Training budget in seconds (90, 30m, 2h)."),
        click.option("--draws", metavar="N", help="Draws for the estimates, all chains together."),
        click.option("--option", "assignments", multiple=True, metavar="hier.width=2", help="Option of a plugin."),
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
@click.option("--no-report", is_flag=True, help="Do not write the report.")
def run(workers: int, executor: str, out: Path | None, resume: bool, no_report: bool, **selection: Any) -> None:
    """Run a plan and write its report. The same command continues where it was stopped."""
    from nisbench.harness.environment import available_cores, describe
    from nisbench.harness.execute.local import StoppedError, run_cells, unfinished
    from nisbench.harness.store import Store

    del executor  # there is one
    plan = _plan(**selection)
    folder = out or Path("runs") / plan.folder_name
    environment = describe(shlex.join(["nisbench", *sys.argv[1:]]))
    store = Store.create(folder, plan, environment, fresh=not resume)
    with store.lock():
        cells = unfinished(store, memory_limit=plan.memory_limit)
        if cells and store.environment() != environment:
            store.note_resumed(environment)
        kept = len(plan.cells) - len(cells)
        click.echo(f"{folder}: {_cells(len(cells))} to run" + (f", {kept} finished before" if kept else ""), err=True)
        try:
            with _Display(store, plan.cells, kept) as display:
                run_cells(
                    store,
                    cells,
                    workers=workers,
                    threads=max(1, available_cores() // workers),
                    timeout=plan.timeout,
                    memory_limit=plan.memory_limit,
                    watch=display.show,
                )
        except StoppedError as stopped:
            click.echo(f"nisbench: stopped by {stopped.name}; the same command continues this run", err=True)
            sys.exit(130)
        _summarise(store, plan.cells)
        if not no_report:
            from nisbench.report.page import build_report

            click.echo(str(build_report([store], folder)))


@cli.command()
@_plan_options
def plan(**selection: Any) -> None:
    """Show the cells of a plan without running them."""
    from nisbench.harness.progress import labels

    made = _plan(**selection)
    named = labels(made.cells)
    click.echo(f"{made.name}: {made.title}")
    for group in made.groups:
        if group.claim:
            click.echo(f"  claim ({group.name}): {group.claim}")
    for cell in made.cells:
        budget = f", trained for {cell.budget}" if cell.budget else ""
        click.echo(f"{cell.cell_id}  {named[cell.cell_id]}, {cell.draws} draws{budget}, {cell.device}")
    click.echo(f"{_cells(len(made.cells))}; default folder: {Path('runs') / made.folder_name}")


@cli.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the report [the run folder].")
def report(runs: Sequence[Path], out: Path | None) -> None:
    """Write report.html, report.md and figures from one or several runs."""
    from nisbench.harness.store import Store
    from nisbench.report.page import build_report

    if len(runs) > 1 and out is None:
        raise UserError("a report on several runs needs a folder of its own; give --out DIR")
    click.echo(str(build_report([Store.open(path) for path in runs], out or runs[0])))


@cli.command()
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
def status(run_folder: Path) -> None:
    """Show where each cell of a run stands, and how to go on."""
    from nisbench.harness.progress import counts
    from nisbench.harness.store import Store

    store = Store.open(run_folder)
    cells = store.cells()
    _summarise(store, cells)
    found = counts(store, cells)
    if "running" not in found and set(found) - {"ok", "untrusted", "unavailable"}:
        command = store.environment().get("command") or store.plan().get("command") or "nisbench run"
        click.echo(f"no cell is running; if the run has ended, to go on: {command}")


@cli.command()
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["csv", "json", "parquet"]), default="json", show_default=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write [standard output].")
def export(run_folder: Path, form: str, out: Path | None) -> None:
    """Print all quantities of a run, one row per cell and quantity."""
    import functools

    from nisbench.harness.atomic import guard
    from nisbench.harness.store import Store
    from nisbench.report.export import exported

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
    from nisbench.report.sides import read_side
    from nisbench.report.versus import compare as compare_sides
    from nisbench.report.versus import lines

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
@click.option("--sizes", default="8,16", show_default=True, metavar="8,16")
@click.option("--beta", default="0.44", show_default=True, metavar="0.44|critical|...")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def exact(sizes: str, beta: str, form: str) -> None:
    """Exact values of the 2-D Ising model on the periodic L x L torus (Kaufman 1949), per site but ln Z."""
    from nisbench.harness.values import items, parse_beta, parse_size
    from nisbench.physics.kaufman import exact_values, log_z

    rows = [
        {"L": L, "beta": b, "log_z": log_z(L, b), **exact_values(L, b)}
        for b in items("--beta", beta, parse_beta)
        for L in items("--sizes", sizes, parse_size)
    ]
    if form == "json":
        click.echo(json.dumps(rows, indent=1))
        return
    names = list(dict.fromkeys(name for row in rows for name in row))
    click.echo("  ".join(f"{name:>18}" for name in names))
    for row in rows:
        click.echo("  ".join(f"{row[name]:18.15g}" if name in row else " " * 18 for name in names))


@cli.command()
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def plugins(form: str) -> None:
    """List what is installed, broken plugins with the reason."""
    from nisbench.contract.catalog import load_catalog

    catalog = load_catalog()
    entries = [*catalog.plugins.values(), *catalog.broken]
    if form == "json":
        click.echo(json.dumps([_plugin_record(entry) for entry in entries], indent=1))
        return
    for entry in entries:
        said = f"broken: {entry.broken}" if entry.broken else entry.summary
        click.echo(f"{entry.name:<12} {entry.kind or '-':<8} {entry.distribution} {entry.version}  {said}")


@cli.command()
@click.argument("name")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="Of a model.")
def check(name: str, device: str) -> None:
    """Check that a plugin keeps the contract; one line per named check."""
    from nisbench.conformance.checks import run_checks
    from nisbench.contract.catalog import load_catalog

    failed = 0
    for result in run_checks(name, load_catalog(), device):
        failed += not result.passed
        said = f": {result.message}" if result.message else ""
        click.echo(f"{'ok  ' if result.passed else 'FAIL'} {result.name}{said}")
    if failed:
        click.echo(f"{name}: {failed} checks failed", err=True)
        sys.exit(1)


def _plan(source: str | None, device: str, **given: Any) -> "Plan":
    """The plan that the options of the command line ask for."""
    from nisbench.contract.catalog import load_catalog
    from nisbench.harness import values
    from nisbench.harness.environment import default_device
    from nisbench.harness.plan import Overrides, load_plan

    def read(option: str, parse: Callable[[str, str], Any]) -> Any:
        text = given[option.removeprefix("--").replace("-", "_")]
        return None if text is None else parse(option, text)

    def several(one: Callable[[str, Any], Any]) -> Callable[[str, str], Any]:
        return lambda where, text: values.items(where, text, one)

    if given["train_steps"] is not None and given["train_seconds"] is not None:
        raise UserError("--train-steps and --train-seconds exclude each other; give one")
    overrides = Overrides(
        plugins=read("--plugins", several(values.names)),
        sizes=read("--sizes", several(values.parse_size)),
        beta=read("--beta", several(values.parse_beta)),
        seeds=read("--seeds", several(values.integer(0, "seed"))),
        train_steps=read("--train-steps", values.integer(0, "number of steps")),
        train_seconds=read("--train-seconds", values.parse_seconds),
        draws=read("--draws", values.integer(1, "number of draws")),
        options=values.options("--option", given["assignments"]),
        memory_limit=read("--memory-limit", values.parse_bytes),
        timeout=read("--timeout", values.parse_seconds),
    )
    chosen = default_device() if device == "auto" else device
    return load_plan(source, overrides, load_catalog(), device=chosen)


def _plugin_record(entry: Any) -> dict[str, Any]:
    """One plugin as plain JSON values."""
    import dataclasses

    options = {
        field.name: {"default": field.default, "help": field.metadata.get("help", "")}
        for field in dataclasses.fields(entry.options)
    }
    return {
        "name": entry.name,
        "kind": entry.kind,
        "distribution": entry.distribution,
        "version": entry.version,
        "summary": entry.summary,
        "devices": list(entry.devices),
        "options": options,
        "broken": entry.broken,
    }


def _summarise(store: "Store", cells: Sequence["Cell"]) -> None:
    """The table of all cells and the number of those that are not ok."""
    from rich.console import Console

    from nisbench.harness.progress import counts, labels, row

    named = labels(cells)
    rows = [row(store, cell, named[cell.cell_id]) for cell in cells]
    if sys.stdout.isatty():
        Console().print(_table(rows))
    else:
        for each in rows:
            click.echo(each.line)
    found = ", ".join(f"{number} {status}" for status, number in counts(store, cells).items())
    click.echo(f"{_cells(len(cells))}: {found}")


def _cells(number: int) -> str:
    return f"{number} cell{'' if number == 1 else 's'}"


def _table(rows: Sequence[Any]) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    columns = {"cell": "cell", "status": "status", "ESS": "ess", "KL": "kl", "time": "time", "reason": "reason"}
    shown = {head: name for head, name in columns.items() if any(getattr(row, name) for row in rows)}
    for head in shown:
        table.add_column(head, justify="right" if head in ("ESS", "KL", "time") else "left")
    for row in rows:
        table.add_row(*(Text(getattr(row, name)) for name in shown.values()))
    return table


class _Display:
    """The running cells while a run lasts: live on a terminal, otherwise a line when a cell starts or ends."""

    def __init__(self, store: "Store", cells: Sequence["Cell"], kept: int) -> None:
        from nisbench.harness.progress import labels

        self.store, self.kept, self.total = store, kept, len(cells)
        self.cells = {cell.cell_id: cell for cell in cells}
        self.labels = labels(cells)
        self.live: Any = None
        self.begin = time.monotonic()
        self.drawn = 0.0
        self.told: set[str] = set()
        self.started: dict[str, float] = {}

    def __enter__(self) -> "_Display":
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self.live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.stop()

    def show(self, progress: "Progress") -> None:
        """Draws the state; on a terminal twice a second at most."""
        for cell_id in progress.running:
            if cell_id not in self.started:
                self.started[cell_id] = time.monotonic()
                if not self.live:
                    self._say(f"{self.labels[cell_id]}: started")
        for cell_id in progress.ended:
            if cell_id not in self.told:
                self.told.add(cell_id)
                self._ended(cell_id)
        if self.live and time.monotonic() - self.drawn > _REFRESH_S:
            from nisbench.harness.progress import span

            self.drawn = time.monotonic()
            table = _table([self._row(i, started=True) for i in progress.running])
            done = self.kept + len(progress.ended)
            table.caption = (
                f"{done} of {self.total} cells done, {progress.waiting} waiting; {span(self.drawn - self.begin)}"
            )
            table.caption_justify = "left"
            self.live.update(table, refresh=True)

    def _ended(self, cell_id: str) -> None:
        seconds = time.monotonic() - self.started.get(cell_id, time.monotonic())
        done = self.kept + len(self.told)
        self._say(f"[{done}/{self.total}] {self._row(cell_id).line} ({seconds:.1f} s)")

    def _row(self, cell_id: str, *, started: bool = False) -> Any:
        from nisbench.harness.progress import row

        return row(self.store, self.cells[cell_id], self.labels[cell_id], started=started)

    def _say(self, text: str) -> None:
        if self.live:
            self.live.console.print(text, markup=False, highlight=False)
        else:
            click.echo(text, err=True)
