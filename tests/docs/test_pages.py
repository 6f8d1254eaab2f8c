"""The programs and plugins on the pages about draws, targets, foreign code and Python do what the pages say."""

import importlib
import math
import re
import runpy
import shlex
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from fakes.runs import cell_of, run_here
from fakes.spin_net_training import publish

from nisbench.cli import cli
from nisbench.conformance.checks import clauses
from nisbench.contract import plugin_files
from nisbench.contract.catalog import load_catalog
from nisbench.contract.records import Status
from nisbench.physics.couplings_file import read_couplings

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


def test_chains_of_a_finished_cell_become_reference_configurations(files):
    folder = files("draws.md")
    run_here(folder / "RUN", plugins="wolff", sizes=4, beta=0.44, draws=400)
    runner = CliRunner()
    drawn = runner.invoke(cli, ["draw", "RUN", "wolff-L4", "-n", "100", "--out", "wolff.npz"])
    assert drawn.exit_code == 0, drawn.output
    code = re.search(r"```python\n(spins = np.load.*?)```", (DOCS / "draws.md").read_text(), re.DOTALL)[1]
    scope = {"np": np}
    exec(code, scope)
    m = len(scope["reference_spins"])
    assert m >= 100
    assert scope["reference_chain"].tolist()[:9] == [*range(8), 0]  # 8 chains
    log_prob = np.full(m, -16 * math.log(2))  # independent spins
    own = {"spins": scope["reference_spins"], "log_prob": log_prob, "reference_log_prob": log_prob}
    np.savez("own.npz", **own, **{name: scope[name] for name in ("reference_spins", "reference_chain")})
    judged = runner.invoke(cli, ["evaluate", "own.npz", "--beta", "0.44", "--out", "RUN"])
    assert judged.exit_code == 0, judged.output


def test_a_file_of_couplings_is_read(files):
    folder = files("conventions.md")
    runpy.run_path(str(folder / "couplings.py"))
    right, down = (np.load("couplings.npz")[name] for name in ("right", "down"))
    lattice = read_couplings("couplings.npz", 8)
    first, second, coupling = (getattr(lattice.bonds, name) for name in ("first", "second", "coupling"))
    assert {(a, b): J for a, b, J in zip(first, second, coupling, strict=True)} == {
        **{(8 * i + j, 8 * i + j + 1): right[i, j] for i in range(8) for j in range(7)},
        **{(8 * i + j, 8 * (i + 1) + j): down[i, j] for i in range(7) for j in range(8)},
    }


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


@pytest.fixture
def published(files, monkeypatch):
    """The folder of the published network, with weights."""
    monkeypatch.setattr(plugin_files, "_FILES", {})
    monkeypatch.setattr(sys, "path", [*sys.path])
    folder = files("foreign-code.md")
    publish(importlib.import_module("spin_net").SpinNet, folder / "spin_net.npz", beta=0.3)
    return folder


def test_a_published_network_of_one_size_is_evaluated_and_checked(published):
    given = {"plugins": "published", "sizes": 6, "beta": 0.3, "train_steps": 0, "draws": 20_000, "reference": "wolff"}
    store = run_here(published / "r", **given, plugin_files=[published / "published.py"])
    cell = cell_of(store, plugin="published")
    result = store.result(cell.cell_id)
    assert result.status is Status.OK, result.reason
    assert result.quantities["n_parameters"].value == 2 * 36 * 36 + 2 * 36
    assert result.quantities["train_s"].value == 3600  # declared
    for side in ("ess_fraction", "ess_fraction_p"):
        assert result.quantities[side].value > 0.5
    assert all(abs(result.quantities[name].z) < 5 for name in ("log_z_per_site", "energy", "sample_exponent"))
    command = ["check", "published", "--plugin-file", "published.py", "--sizes", "6", "--beta", "0.3"]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    assert re.search(r"n/a +pooled_fit: .*it sums over all states of L = 4, which the plugin refuses", done.output)
    assert done.output.splitlines()[-1] == "published: 21 checks: 16 passed, 0 failed, 5 not applicable"
    refused = CliRunner().invoke(cli, command[:4])
    assert refused.exit_code != 0
    assert "the weights are those of L = 6 and beta = 0.3" in refused.output


@pytest.mark.slow
def test_the_external_program_passes_every_check(files):
    files("foreign-code.md")
    catalog = load_catalog([EntryPoint("external", "external", "nisbench")])
    results = [clause.run() for clause in clauses("external", catalog)]
    assert {r.name: r.message for r in results if r.outcome == "FAIL"} == {}


@pytest.mark.slow
def test_widths_and_temperatures_are_scanned_and_plotted_in_five_lines(tmp_path, monkeypatch):
    page = (DOCS / "python.md").read_text()
    (command, code) = re.search(
        r"```\n(nisbench run [^\n]*)\n```.*?# scan: five lines\n(.*?)```", page, re.DOTALL
    ).groups()
    assert len(list(filter(None, code.splitlines()))) == 5
    monkeypatch.chdir(tmp_path)
    words = iter(shlex.split(command)[2:])
    given = {word.removeprefix("--").replace("-", "_"): next(words) for word in words}
    folder, (option, values) = given.pop("out"), given.pop("option").split("=")
    run_here(tmp_path / folder, **given, options={option: values})  # in this process, without references
    scope = {}
    exec(code, scope)
    assert (tmp_path / "scan.png").stat().st_size > 0
    lines = {line.get_label(): list(line.get_xdata()) for line in scope["axes"].get_lines()}
    assert lines == {"1": [0.2, 0.3, 0.4], "2": [0.2, 0.3, 0.4]}
