"""The commands that make and watch runs: run, plan, status."""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from nisbench.contract.records import Cell

__all__ = ["plan", "run", "status"]


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
        click.option("--beta", metavar="0.44|critical|0.3:0.6:0.05", help="Inverse temperatures."),
        click.option("--seeds", metavar="1,2,3", help="Each cell is run once per seed."),
        click.option("--train-steps", metavar="N", help="Training budget in steps; 0 evaluates as it is."),
        click.option("--train-seconds", metavar="S", help="Training budget in seconds (90, 30m, 2h)."),
        click.option("--draws", metavar="N", help="Draws for the estimates, all chains together."),
        click.option("--target", metavar="ising", help="The target of every cell."),
        click.option("--reference", metavar="wolff|none", help="The sampler that draws from p to judge models."),
        click.option(
            "--option",
            "options",
            multiple=True,
            metavar="hier.width=2",
            help="Option of a plugin or target; 1,2 runs both values.",
        ),
        click.option(
            "--plugin-file",
            "plugin_files",
            multiple=True,
            metavar="FILE",
            help="A file with plugins or targets that are not installed.",
        ),
        click.option(
            "--python",
            multiple=True,
            metavar="NAME=PATH",
            help="The Python of another environment, with which the cells of plugin NAME run.",
        ),
        click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True),
        click.option("--memory-limit", metavar="8G", help="Memory that one cell may take (8G, 512M)."),
        click.option("--timeout", metavar="30m", help="Time that one cell may take (90, 30m, 2h)."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@_plan_options
@click.option(
    "--workers", metavar="N", type=click.IntRange(min=1), default=1, show_default=True, help="Cells at a time."
)
@click.option(
    "--executor",
    type=click.Choice(["local", "dask", "slurm"]),
    default="local",
    show_default=True,
    help="Where cells run. slurm submits them and returns.",
)
@click.option("--scheduler", metavar="ADDRESS", help="Address of a Dask cluster [a cluster of this machine alone].")
@click.option("--slurm", "slurm", multiple=True, metavar="KEY=VALUE", help="time=2:00:00, or an option of sbatch.")
@click.option(
    "--shard", metavar="I/N", help="Only part I of N of the cells, from 1/N to N/N; all parts may share one folder."
)
@click.option("--out", type=click.Path(path_type=Path), help="Run folder [runs/<plan>-<hash of the cells>].")
@click.option("--resume/--fresh", default=True, show_default=True, help="Continue, or delete the run and start over.")
@click.option("--keep", is_flag=True, help="Keep finished cells although the source of their plugin has changed.")
@click.option("--no-report", is_flag=True, help="Do not write the report.")
@click.option("--strict", is_flag=True, help="Exit code 1 unless every cell is ok.")
def run(
    workers: int,
    executor: str,
    scheduler: str | None,
    slurm: tuple[str, ...],
    shard: str | None,
    out: Path | None,
    resume: bool,
    keep: bool,
    no_report: bool,
    strict: bool,
    **selection: Any,
) -> None:
    """Run a plan and write its report. The same command continues where it was stopped.

    With the same --out and more sizes, seeds or draws or a longer budget, the folder keeps its finished cells.
    """
    from nisbench.contract.records import Status
    from nisbench.harness.engines.choice import choose_engine
    from nisbench.harness.execute import StoppedError
    from nisbench.harness.launch import Shard, run_plan
    from nisbench.harness.selection import select_plan
    from nisbench.terminal import number_of_cells, show_progress, summarise

    engine = choose_engine(executor, workers=workers, scheduler=scheduler, slurm=slurm)
    part = None if shard is None else Shard.parse(shard)
    chosen = select_plan(**selection)
    folder = out or Path("runs") / chosen.folder_name
    # The recorded command is what a user repeats to continue, and --fresh would delete the finished cells.
    command = shlex.join(["nisbench", *(word for word in sys.argv[1:] if word != "--fresh")])
    try:
        store = run_plan(
            chosen,
            folder,
            command=command,
            engine=engine,
            shard=part,
            fresh=not resume,
            keep=keep,
            display=show_progress,
        )
    except StoppedError as stopped:
        click.echo(f"nisbench: stopped by {stopped.name}; the same command continues this run", err=True)
        sys.exit(130)
    page = None
    if not no_report and all(store.state(cell.cell_id).status is not None for cell in chosen.cells):
        from nisbench.contract.catalog import load_catalog
        from nisbench.report.page import build_report

        # before anything is printed: the reader of a pipe may have gone
        page = build_report([store], folder, catalog=load_catalog())
    summarise(store, [cell.cell_id for cell in chosen.cells])
    if page is not None:
        click.echo(str(page))
    if executor == "slurm":
        click.echo(f"nisbench status {shlex.quote(str(folder))} shows how far the jobs are; run again to resume")
        return
    if strict and (others := [cell for cell in chosen.cells if store.state(cell.cell_id).status is not Status.OK]):
        click.echo(f"nisbench: {number_of_cells(len(others))} of {len(chosen.cells)} not ok (--strict)", err=True)
        sys.exit(1)


@click.command()
@_plan_options
@click.option(
    "--estimate",
    metavar="[RUN]",
    is_flag=False,
    flag_value="",
    help="Time and memory of each cell, from the finished cells of a run, or roughly from operation counts.",
)
def plan(estimate: str | None, **selection: Any) -> None:
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
    lines = {cell.cell_id: _planned(cell, named[cell.cell_id]) for cell in made.cells}
    summary: list[str] = []
    if estimate is not None:
        from nisbench.planned_costs import estimated

        lines, summary = estimated(made, lines, Path(estimate) if estimate else None)
    click.echo("\n".join([*lines.values(), *summary]))
    click.echo(f"{number_of_cells(len(made.cells))}; default folder: {Path('runs') / made.folder_name}")


def _planned(cell: "Cell", name: str) -> str:
    """Return the line of a planned cell."""
    budget = f", trained for {cell.budget}" if cell.budget else ""
    return f"{cell.cell_id}  {name}, {cell.draws} draws{budget}, {cell.device}"


@click.command()
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
def status(run_folder: Path) -> None:
    """Show where each cell of a run stands, and how to go on."""
    from nisbench.harness.store import Store
    from nisbench.terminal import summarise

    store = Store(run_folder)
    plan = store.plan()
    found = summarise(store, plan["cells"])
    if {"running", "queued"}.isdisjoint(found) and set(found) - {"ok", "untrusted", "unavailable"}:
        command = plan.get("command") or store.environment().get("command") or "nisbench run"
        click.echo(f"no cell is running; if the run has ended, to go on: {command}")
