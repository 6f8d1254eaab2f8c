"""Makes the folders of committed reports: `make.py RUN NAME` makes one from a run, `make.py` rebuilds those there are.

A folder holds what the run holds, but checkpoints, reference configurations, logs and the lock, and the report that is
made of it.
"""

import shutil
from pathlib import Path

import click

from nisbench.errors import NisbenchError
from nisbench.harness.store import Store
from nisbench.report.page import build_report

REPORTS = Path(__file__).parent
LIMIT_BYTES = 12_000_000
RAW = (
    *("plan.json", "environment.json"),
    *(f"cells/*/{name}" for name in ("cell.json", "status.json", "result.json", "history.jsonl")),
    *("cells/*/series.npz", "cells/*/samples.npz"),
)


def collect(run: Path, folder: Path) -> int:
    """Copies the raw results of `run` into `folder`, replacing what is there, and builds the report; bytes copied."""
    store = Store.open(run)
    words = str(store.environment().get("command", "")).split()
    if paths := [word for word in words if word.lstrip("'\"").startswith("/") or "=/" in word]:
        raise click.ClickException(f"the command of the run names {paths[0]}; run it with relative paths")
    files = sorted(path for pattern in RAW for path in run.glob(pattern))
    size = sum(path.stat().st_size for path in files)
    if size > LIMIT_BYTES:
        raise click.ClickException(f"{run} holds {size / 1e6:.1f} MB of raw data, more than {LIMIT_BYTES / 1e6:g} MB")
    if folder.exists():
        Store.open(folder)  # deletes nothing that is no run
        shutil.rmtree(folder)
    for path in files:
        target = folder / path.relative_to(run)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    rebuild(folder)
    return size


def rebuild(folder: Path) -> None:
    """Makes the report of a folder anew."""
    shutil.rmtree(folder / "figures", ignore_errors=True)
    build_report([Store.open(folder)], folder)


@click.command()
@click.argument("run", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("name", required=False)
def main(run: Path | None, name: str | None) -> None:
    """Makes reports/NAME from the run folder RUN; without arguments rebuilds every report there is."""
    try:
        if run is None:
            for plan in sorted(REPORTS.rglob("plan.json")):
                rebuild(plan.parent)
                click.echo(str(plan.parent.relative_to(REPORTS)))
        elif not name or not name.replace("-", "").replace("_", "").isalnum():
            raise click.ClickException("give a name of letters, digits and hyphens for the report")
        else:
            size = collect(run, REPORTS / name)
            click.echo(f"{name}: {size / 1e6:.2f} MB of raw data")
    except NisbenchError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
