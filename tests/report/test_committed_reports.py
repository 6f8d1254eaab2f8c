"""Every report in reports/ is what its raw results give, byte by byte, under the versions of constraints.txt."""

import importlib.util
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

import click
import pytest
from synthetic_store import StoreMaker, quick

from nisbench.harness.store import Store
from nisbench.report.page import build_report

ROOT = Path(__file__).parents[2]
COMMITTED = sorted(path.parent for path in (ROOT / "reports").rglob("plan.json"))
DECIDING = ("contourpy", "Jinja2", "MarkupSafe", "matplotlib", "numpy", "pandas", "pillow", "scipy", "seaborn")
"""What the bytes of a report depend on."""


def other_versions() -> list[str]:
    """What is installed in another version than the pinned one."""
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    found = {}
    for name in DECIDING:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return [f"{name} {found[name]} for {pins[name]}" for name in DECIDING if found[name] != pins[name]]


def written(folder: Path) -> dict[str, bytes]:
    """What a report consists of, by name."""
    files = [folder / "report.html", folder / "report.md", *sorted((folder / "figures").iterdir())]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def differing(folder: Path, out: Path) -> list[str]:
    """The files of the committed report that its raw results do not give."""
    build_report([Store.open(folder)], out)
    committed, made = written(folder), written(out)
    return sorted(name for name in committed.keys() | made.keys() if committed.get(name) != made.get(name))


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """reports/make.py."""
    spec = importlib.util.spec_from_file_location("make_reports", ROOT / "reports" / "make.py")
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("folder", COMMITTED, ids=lambda folder: folder.name)
def test_committed_report_is_what_its_raw_results_give(folder: Path, script: ModuleType, tmp_path: Path):
    raw = [path for pattern in script.RAW for path in folder.glob(pattern)]
    assert sum(path.stat().st_size for path in raw) <= script.LIMIT_BYTES
    allowed = {*raw, *(folder / name for name in written(folder))}
    assert [path for path in folder.rglob("*") if path.is_file() and path not in allowed] == []
    if others := other_versions():
        pytest.skip(f"made with other versions: {', '.join(others)}")
    assert differing(folder, tmp_path / "out") == []


def test_folder_is_made_from_a_run_and_a_touched_number_is_seen(script: ModuleType, tmp_path: Path):
    run = quick(sizes=(4,), draws=400).write(tmp_path / "run").path
    for cell in (run / "cells").iterdir():
        (cell / "checkpoint.safetensors").write_bytes(b"weights")
        (cell / "log.txt").write_text("said")
    folder = tmp_path / "reports" / "one"
    size = script.collect(run, folder)
    assert 0 < size < script.LIMIT_BYTES
    assert not [*folder.rglob("checkpoint*"), *folder.rglob("log.txt"), *folder.rglob("lock")]
    assert differing(folder, tmp_path / "again") == []
    result = next((folder / "cells").glob("hier-*/result.json"))
    result.write_text(re.sub(r'("kl_nats": \{\s*"value": )[-\d.e]+', r"\g<1>0.5", result.read_text()))
    changed = differing(folder, tmp_path / "third")
    assert {"report.html", "report.md", "figures/kl-nats.svg", "figures/kl-nats.pdf"} <= set(changed)
    script.rebuild(folder)
    assert written(folder) == written(tmp_path / "third")


def test_too_much_raw_data_and_paths_are_refused_and_nothing_is_touched(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    maker = StoreMaker(draws=400)
    maker.sampler(4)
    run = maker.write(tmp_path / "run").path
    folder = tmp_path / "reports" / "one"
    monkeypatch.setattr(script, "LIMIT_BYTES", 100)
    with pytest.raises(click.ClickException, match="MB of raw data, more than"):
        script.collect(run, folder)
    monkeypatch.setattr(script, "LIMIT_BYTES", 5_000_000)
    environment = run / "environment.json"
    environment.write_text(environment.read_text().replace("nisbench run", "nisbench run --out /somewhere/run"))
    with pytest.raises(click.ClickException, match="names /somewhere/run"):
        script.collect(run, folder)
    assert not folder.exists()
