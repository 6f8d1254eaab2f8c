"""report.md and the figures in reports/ are, byte by byte, what the committed raw results give."""

import re
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

import click
import numpy as np
import pytest
from fakes.stores import StoreMaker

from nisbench.contract.records import CellResult
from nisbench.harness.atomic import check_seal, read_json, write_json
from nisbench.harness.cell_files import CellFiles
from nisbench.harness.store import Store

ROOT = Path(__file__).parents[2]
COMMITTED = sorted(path.parent for path in (ROOT / "reports").rglob("plan.json"))
ALWAYS = ("quick", "paper-cpu", "hier-exact", "free-edges")
"""Reports that the default run of the tests builds again; `-m slow` builds all."""
Rebuild = Callable[[Path], tuple[Path, dict[str, bytes]]]
DECIDING = ("contourpy", "Jinja2", "MarkupSafe", "matplotlib", "numpy", "pandas", "pillow", "scipy", "seaborn")
"""Packages that decide the bytes of a report."""


def other_versions() -> list[str]:
    """The packages whose installed version differs from the pinned one."""
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    found = {}
    for name in DECIDING:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return [f"{name} {found[name]} for {pins[name]}" for name in DECIDING if found[name] != pins[name]]


def written(folder: Path) -> dict[str, bytes]:
    """What is committed of a report beside its raw data, by file name."""
    files = [folder / "report.md", *sorted((folder / "figures").iterdir())]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def differing(folder: Path, made: dict[str, bytes]) -> list[str]:
    """The committed files of a report that differ from `made`, or that only one of the two has."""
    kept = written(folder)
    return sorted(name for name in kept.keys() | made.keys() if kept.get(name) != made.get(name))


@pytest.mark.parametrize(
    "folder",
    [pytest.param(one, id=one.name, marks=() if one.name in ALWAYS else pytest.mark.slow) for one in COMMITTED],
)
def test_committed_report_is_what_its_raw_results_give(folder: Path, script: ModuleType, rebuilt: Rebuild):
    raw = [path for pattern in script.RAW for path in folder.glob(pattern)]
    allowed = {*raw, *(folder / name for name in written(folder))}
    assert [path for path in folder.rglob("*") if path.is_file() and path not in allowed] == []
    assert len([*(folder / "figures").iterdir()]) <= 4
    if others := other_versions():
        pytest.skip(f"made with other versions: {', '.join(others)}")
    assert differing(folder, rebuilt(folder)[1]) == []


def test_all_reports_together_are_small(script: ModuleType):
    files = [path for path in (ROOT / "reports").glob("*/**/*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= script.LIMIT_BYTES


@pytest.mark.parametrize("folder", COMMITTED, ids=lambda folder: folder.name)
def test_committed_figures_are_those_that_the_markdown_shows(folder: Path):
    shown = re.findall(r"!\[.*\]\((.*?)\)", (folder / "report.md").read_text())
    assert sorted(shown) == sorted(f"figures/{path.name}" for path in (folder / "figures").iterdir())


def test_estimates_of_the_full_report_can_be_computed_again_from_its_series():
    """ln Z, both effective sample sizes and a chain's energy of paper-cpu, from the committed draws alone."""
    store = Store.open(ROOT / "reports" / "paper-cpu")
    checked = 0
    for cell in store.cells():
        result = store.result(cell.cell_id)
        if result is None or not (series := store.series(cell.cell_id)):
            continue
        n_sites, energy = cell.L**2, series["energy"].astype(np.float64)
        if cell.kind == "model":
            log_weight = -cell.beta * energy - series["log_prob"]
            weight = np.exp(log_weight - log_weight.max())
            log_z = (log_weight.max() + np.log(weight.mean())) / n_sites
            assert result.quantities["log_z_per_site"].value == pytest.approx(log_z, rel=1e-12)
            ess_fraction = weight.sum() ** 2 / (weight.size * (weight**2).sum())
            assert result.quantities["ess_fraction"].value == pytest.approx(ess_fraction, rel=1e-9)
        else:
            assert result.quantities["energy"].value == pytest.approx(energy.mean() / n_sites, rel=1e-12)
        checked += 1
    assert checked > 25


def page_files(pages: Path) -> set[str]:
    """The files of the full report of the run named `one`."""
    return {str(path.relative_to(pages / "one")) for path in (pages / "one").rglob("*")}


def test_folder_is_made_from_a_run_and_a_touched_number_is_seen(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(script, "PAGES", tmp_path / "pages")
    maker = StoreMaker(draws=400)
    maker.model("hier", 4)
    run = maker.write(tmp_path / "run").path
    for cell in (run / "cells").iterdir():
        (cell / "checkpoint.safetensors").write_bytes(b"weights")
        (cell / "log.txt").write_text("said")
    folder = tmp_path / "reports" / "one"
    size = script.collect(run, folder)
    assert 0 < size < script.LIMIT_BYTES
    assert not [*folder.rglob("checkpoint*"), *folder.rglob("log.txt"), *folder.rglob("lock")]
    assert {"report.html", "figures/kl-nats.pdf", "figures/configurations.svg"} <= page_files(tmp_path / "pages")
    before = written(folder)
    assert len(before) == 1 + 4
    assert differing(folder, script.committed(folder, tmp_path / "again")) == []
    result = next((folder / "cells").glob("hier-*/result.json"))
    record = check_seal(result, read_json(result))
    record["quantities"]["kl_nats"]["value"] = 0.5
    CellFiles(result.parent).write_result(CellResult.from_json(record))
    assert {"report.md", "figures/kl-nats.svg"} <= set(differing(folder, script.committed(folder, tmp_path / "third")))
    script.collect(folder, folder)
    assert written(folder) != before
    assert differing(folder, script.committed(folder, tmp_path / "fourth")) == []


def test_compact_report_is_a_run_and_compacting_it_again_changes_nothing(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(script, "PAGES", tmp_path / "pages")
    maker = StoreMaker(draws=400)
    maker.model("hier", 4)
    maker.sampler(4)
    run = maker.write(tmp_path / "run")
    folder = tmp_path / "reports" / "one"
    script.collect(run.path, folder)
    compact = Store.open(folder)
    for cell in run.cells():
        assert compact.result(cell.cell_id) == run.result(cell.cell_id)
        assert compact.history(cell.cell_id) == run.history(cell.cell_id)
        kept, full = compact.series(cell.cell_id), run.series(cell.cell_id)
        assert kept.keys() <= {"magnetisation", "log_weight"}
        if "magnetisation" in full:
            np.testing.assert_array_equal(np.sort(kept["magnetisation"], None), np.sort(full["magnetisation"], None))
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    script.collect(folder, folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == files


def test_too_much_raw_data_and_paths_are_refused_and_nothing_is_touched(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    maker = StoreMaker(draws=400)
    maker.sampler(4)
    run = maker.write(tmp_path / "run").path
    folder = tmp_path / "reports" / "one"
    monkeypatch.setattr(script, "LIMIT_BYTES", 100)
    with pytest.raises(click.ClickException, match="MB of raw data, at most"):
        script.collect(run, folder)
    monkeypatch.setattr(script, "LIMIT_BYTES", 5_000_000)
    environment = run / "environment.json"
    write_json(environment, read_json(environment) | {"command": "nisbench run --out /somewhere/run"})
    with pytest.raises(click.ClickException, match="names /somewhere/run"):
        script.collect(run, folder)
    assert not folder.exists()
