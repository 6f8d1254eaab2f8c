"""The commands for draws in files: evaluate, draw."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import click

__all__ = ["draw", "evaluate"]


@click.command()
@click.argument("file", metavar="FILE.npz", type=click.Path(path_type=Path))
@click.option("--target", default="ising", show_default=True)
@click.option("--beta", required=True, metavar="0.44|critical")
@click.option("--option", "options", multiple=True, metavar="ising.field=0.1", help="Option of the target.")
@click.option("--name", help="Name of the sampler in tables [the name of the file].")
@click.option("--train-seconds", metavar="S", help="Declared time of the training.")
@click.option("--draw-seconds", metavar="S", help="Declared time of all draws in the file.")
@click.option("--device-name", metavar="TEXT", help="Processor or GPU of the declared times.")
@click.option(
    "--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="Kind of this device."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Run folder; a run there gets the cell.")
def evaluate(
    file: Path,
    target: str,
    beta: str,
    options: Sequence[str],
    name: str | None,
    train_seconds: str | None,
    draw_seconds: str | None,
    device_name: str | None,
    device: str,
    out: Path,
) -> None:
    """Evaluate draws that another program made: the estimates, gates and report row of a plugin.

    FILE.npz has spins (n, L, L) of -1 and +1, and one of: log_prob (n,), ln q of independent draws; log_weight (n,),
    ln w, with normalised = True if E[w] = Z; chain (n,), the number of the chain of each draw. Spins of shape
    (n, n_chains, L, L) are chains. reference_spins and reference_log_prob, ln q of configurations of p, add the p side.
    """
    from nisbench.evaluation import evaluate as evaluate_draws
    from nisbench.terminal import summarise

    run = evaluate_draws(
        file,
        target=target,
        beta=beta,
        options=tuple(options),
        name=name,
        train_seconds=train_seconds,
        draw_seconds=draw_seconds,
        device_name=device_name,
        device=device,
        out=out,
        command=shlex.join(["nisbench", *sys.argv[1:]]),
    )
    summarise(run.store, [cell.cell_id for cell in run.cells])


@click.command()
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("cell")
@click.option("-n", "n", metavar="N", type=click.IntRange(min=1), required=True, help="Number of draws.")
@click.option(
    "--seed", metavar="N", type=click.IntRange(min=0), default=0, show_default=True, help="Other draws for each seed."
)
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="File to write, .npz.")
def draw(run_folder: Path, cell: str, n: int, seed: int, out: Path) -> None:
    """Draw from a finished cell into a file that `evaluate` reads; a model has its trained weights.

    CELL is the id of the cell, as `nisbench plan` prints it, or its first letters.
    """
    from nisbench.harness.draw import draw as draw_from
    from nisbench.harness.draw import one_cell
    from nisbench.harness.draws_file import write_draws_file
    from nisbench.harness.store import Store

    store = Store.open(run_folder)
    found = one_cell(store, cell)
    write_draws_file(out, draw_from(store, found, n, seed=seed))
    click.echo(f"{out}: {n} draws of {found.cell_id}")
