"""The programs and plugins on the pages about draws, foreign code and Python do what the pages say."""

import re
import runpy
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from fakes.runs import run_here

import nisbench
from nisbench.cli import cli
from nisbench.conformance.checks import clauses
from nisbench.contract.catalog import load_catalog

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"```python\n# file: (\S+)\n(.*?)```", re.DOTALL)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Writes the files of a page into a folder on the import path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    names = []

    def write(page):
        for name, text in BLOCK.findall((DOCS / page).read_text()):
            (tmp_path / name).write_text(text)
            names.append(name.removesuffix(".py"))
        return tmp_path

    yield write
    for name in names:
        sys.modules.pop(name, None)


def test_draws_of_a_program_that_knows_numpy_alone(files):
    folder = files("draws.md")
    runpy.run_path(str(folder / "independent.py"))
    command = ["evaluate", "independent.npz", "--beta", "0.05", "--draw-seconds", "0.01", "--out", "r"]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    assert "independent L=4 beta=0.05 seed=0: ok" in done.output


@pytest.mark.parametrize(
    ("module", "name", "checks"),
    [
        ("global_generator", "uniform", ("loads", "draw_shapes", "same_seed", "no_global_state", "normalisation")),
        ("external", "external", ("loads", "draw_shapes", "continuing", "series", "same_seed", "no_global_state")),
    ],
)
def test_foreign_code_keeps_the_contract(files, module, name, checks):
    files("foreign-code.md")
    catalog = load_catalog([EntryPoint(module, module, "nisbench")])
    found = clauses(name, catalog, beta=0.1)  # where uniform draws have a usable weight
    results = [clause.run() for clause in found if clause.name in checks]
    assert {r.name: r.outcome for r in results} == dict.fromkeys(checks, "ok"), [r.message for r in results]


@pytest.mark.slow
def test_the_external_program_passes_every_check(files):
    files("foreign-code.md")
    catalog = load_catalog([EntryPoint("external", "external", "nisbench")])
    results = [clause.run() for clause in clauses("external", catalog)]
    assert {r.name: r.message for r in results if r.outcome == "FAIL"} == {}


@pytest.mark.slow
def test_widths_and_temperatures_are_scanned_and_plotted_in_five_lines(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n# scan: five lines\n(.*?)```", (DOCS / "python.md").read_text(), re.DOTALL)
    assert len(code.splitlines()) == 5
    monkeypatch.chdir(tmp_path)

    def run(**selection):
        return nisbench.load(run_here(tmp_path / "r", **selection).path)  # in this process, without references

    scope = {"nisbench": SimpleNamespace(run=run)}
    exec(code, scope)
    assert (tmp_path / "scan.png").stat().st_size > 0
    lines = {line.get_label(): list(line.get_xdata()) for line in scope["axes"].get_lines()}
    assert lines == {"1": [0.2, 0.3, 0.4], "2": [0.2, 0.3, 0.4]}
