"""Build the committed reports: `make.py RUN NAME` adds one from a run folder, `make.py` rebuilds all of them.

`reports/NAME` holds compact raw data, report.md and its figures, at most four. The full page (HTML, and every figure as
SVG and PDF) is written to `build/reports/NAME`, which git ignores.
"""

import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
from numpy.typing import NDArray

from nisbench.contract.catalog import load_catalog
from nisbench.errors import NisbenchError
from nisbench.harness.store import Store
from nisbench.report.document import Related
from nisbench.report.page import build_report

REPORTS = Path(__file__).parent
PAGES = REPORTS.parent / "build" / "reports"
LIMIT_BYTES = 15_000_000
"""Limit on all committed reports together, and so on the raw data of each."""
FULL = frozenset({"paper-cpu"})
"""Reports that keep every series, so that all estimates can be computed again from the draws."""
N_PICTURES = 5
"""Configurations kept per cell; a page shows no more."""
QUESTIONS = (
    ("quick", "paper-cpu", "learning-rate", "timing"),
    ("hier-exact", "hier-exact-range", "hier-exact-ablation", "hier-exact-L128", "hier-exact-L256", "time-to-kl"),
    ("free-edges", "spin-glass", "collapse"),
)
"""Reports on one question, which link to each other: hier and van against a cluster sampler; what hier-exact gives;
other targets and temperatures."""
RAW = (
    *("plan.json", "environment.json"),
    *(f"cells/*/{name}" for name in ("cell.json", "status.json", "result.json", "history.jsonl")),
    *("cells/*/series.npz", "cells/*/samples.npz"),
)


def collect(run: Path, folder: Path) -> int:
    """Replace `folder` by the compact raw data of `run` and build its report; returns the bytes of raw data.

    `run` may be `folder` itself: compacting twice changes nothing.
    """
    words = str(Store.open(run).environment().get("command", "")).split()
    if paths := [word for word in words if word.lstrip("'\"").startswith("/") or "=/" in word]:
        raise click.ClickException(f"the command of the run names {paths[0]}; run it with relative paths")
    with TemporaryDirectory() as scratch:
        compacted = Path(scratch) / folder.name
        for path in (path for pattern in RAW for path in run.glob(pattern)):
            copy = compacted / path.relative_to(run)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        _compact(Store.open(compacted), full=folder.name in FULL)
        files = [path for path in compacted.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        if size > LIMIT_BYTES:
            raise click.ClickException(f"{run}: {size / 1e6:.1f} MB of raw data, at most {LIMIT_BYTES / 1e6:g} MB fit")
        if folder.exists():
            Store.open(folder)  # raises unless the folder is a run: nothing else is ever deleted
            shutil.rmtree(folder)
        shutil.copytree(compacted, folder)
    shutil.rmtree(PAGES / folder.name, ignore_errors=True)
    _write(committed(folder, PAGES / folder.name), folder)
    return size


def committed(folder: Path, page: Path) -> dict[str, bytes]:
    """Build the full report of `folder` in `page`; returns report.md and the figures to commit, by file name."""
    build_report([Store.open(folder)], page, catalog=load_catalog(), related=_related(folder.name))
    text = (page / "report.md").read_text(encoding="utf-8")
    shown = re.findall(r"^!\[.*\]\(figures/(.*)\.svg\)$", text, re.MULTILINE)
    files = {"report.md": _page(text).encode()}
    return files | {f"figures/{name}.svg": (page / "figures" / f"{name}.svg").read_bytes() for name in shown}


def _compact(store: Store, *, full: bool) -> None:
    """Keep what a page shows: a few configurations, and the histogram of the magnetisation; `full` keeps all series.

    The checksums of the cells are renewed, because weights and configurations of references are left out as well.
    """
    for cell in store.cells():
        files, state = store.files(cell.cell_id), store.state(cell.cell_id)
        samples, series = store.samples(cell.cell_id), store.series(cell.cell_id)
        if not full:
            if samples is not None:
                files.write_samples(samples[:N_PICTURES])
            kept = {name: _small(series[name]) for name in ("magnetisation", "log_weight") if name in series}
            if "overlap" in series:
                kept["overlap"] = series["overlap"].astype(np.float32)  # 24 bits for a multiple of 1/N
            if "log_weight" not in kept:  # a histogram needs no order, and sorted integers take a tenth of the bytes
                kept = {name: np.sort(values, axis=None) for name, values in kept.items()}
            if kept:
                files.write_series(kept)
        if state.status is not None:
            files.seal(state.status, state.reason)


def _small(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """The same values in the smallest signed integer type that represents all of them, or unchanged if none does."""
    for kind in (np.int8, np.int16, np.int32):
        with np.errstate(invalid="ignore"):  # NaN and values out of range fail the comparison
            if np.array_equal(values.astype(kind), values):
                return values.astype(kind)
    return values


def _related(name: str) -> list[Related]:
    """The other committed reports on the question of the report `name`."""
    names = next((names for names in QUESTIONS if name in names), ())
    folders = [REPORTS / other for other in names if other != name and (REPORTS / other / "plan.json").is_file()]
    return [Related(str(Store.open(one).plan()["title"]), f"../{one.name}") for one in folders]


def _page(text: str) -> str:
    """report.md whose last line says how to get the page, which is not committed."""
    body, last = text.rstrip().rsplit("\n", 1)
    if "report.html" not in last:
        raise click.ClickException(
            f"report.md ends with {last!r}, not with a line on report.html; adapt reports/make.py"
        )
    return f"{body.rstrip()}\n\n{_PAGE}\n"


_PAGE = (
    "`make reports` builds report.html with all tables and figures, the reasons of every status, and the BibTeX to "
    "cite, and every figure as SVG and PDF."
)


def _write(files: dict[str, bytes], folder: Path) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)


@click.command()
@click.argument("run", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("name", required=False)
def main(run: Path | None, name: str | None) -> None:
    """Makes reports/NAME from the run folder RUN; without arguments rebuilds every report there is."""
    try:
        if run is None:
            for plan in sorted(REPORTS.rglob("plan.json")):
                size = collect(plan.parent, plan.parent)
                click.echo(f"{plan.parent.relative_to(REPORTS)}: {size / 1e6:.2f} MB of raw data")
        elif not name or not name.replace("-", "").replace("_", "").isalnum():
            raise click.ClickException("give a name of letters, digits and hyphens for the report")
        else:
            size = collect(run, REPORTS / name)
            click.echo(f"{name}: {size / 1e6:.2f} MB of raw data")
    except NisbenchError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
