"""Plugins of a file that is not installed: in plans, workers, checks and lists; and files that cannot be used."""

import json
import sys

import pytest
from click.testing import CliRunner
from fakes.runs import cell_of, run_here

from nisbench.cli import cli
from nisbench.contract import plugin_files
from nisbench.contract.catalog import load_catalog
from nisbench.contract.plugin_files import use_plugin_file
from nisbench.contract.records import Status
from nisbench.errors import InvalidValue
from nisbench.harness.resume import outdated
from nisbench.harness.store import Store

FILE = """
import math
import torch
from nisbench import hookimpl
from nisbench.api import Density, ModelDraws

@hookimpl
def register_densities(register):
    register("coins", factory="{name}:Coins", summary="fair coins")

class Coins(Density):
    def sample(self, n, *, beta, generator):
        L = self.target.L
        spins = (2 * torch.randint(2, (n, L, L), generator=generator) - 1).to(torch.int8)
        return ModelDraws(spins, self.log_prob(spins, beta=beta))
    def log_prob(self, spins, *, beta):
        return torch.full(spins.shape[:1], -spins[0].numel() * math.log(2), dtype=torch.float64)
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A plugin file; this process forgets it afterwards."""
    monkeypatch.setattr(plugin_files, "_FILES", {})
    monkeypatch.setattr(sys, "path", [*sys.path])
    path = tmp_path / "coin_plugin.py"
    path.write_text(FILE.format(name="coin_plugin"))
    yield path
    sys.modules.pop("coin_plugin", None)


def test_a_run_records_the_file_and_its_source(file, tmp_path):
    store = run_here(tmp_path / "r", plugins="coins", draws=2000, beta=0.1, plugin_files=[file])
    assert store.plan()["plugin_files"] == [str(file)]
    cell = cell_of(store)
    assert (cell.plugin_version, store.state(cell.cell_id).status) == ("file", Status.OK)
    assert "coin_plugin" in store.result(cell.cell_id).source.modules
    assert outdated(store) == ((), ())
    file.write_text(file.read_text() + "# changed\n")
    assert outdated(store)[1] == ("coins",)


def test_the_worker_of_a_run_loads_the_file(file, nisbench, tmp_path):
    command = ["run", "--plugin-file", file, "--plugins", "coins", "--sizes", 2, "--beta", 0.1, "--draws", 2000]
    code, out, err = nisbench(tmp_path, *command, "--reference", "none", "--out", "r", "--no-report", "--strict")
    assert code == 0, err + out
    store = Store.open(tmp_path / "r")
    assert store.state(cell_of(store).cell_id).status is Status.OK
    assert "coins" not in load_catalog().plugins  # nothing is installed


def test_plan_plugins_and_check_take_the_file(file):
    run = CliRunner()
    shown = run.invoke(cli, ["plugins", "coins", "--plugin-file", str(file), "--format", "json"])
    (record,) = json.loads(shown.output)
    assert (record["distribution"], record["version"]) == ("coin_plugin.py", "file")
    planned = run.invoke(cli, ["plan", "--plugin-file", str(file), "--plugins", "coins", "--sizes", "4"])
    assert "coins-L4-" in planned.output
    checked = run.invoke(cli, ["check", "coins", "--plugin-file", str(file), "--beta", "0.1", "--format", "json"])
    assert {r["outcome"] for r in json.loads(checked.stdout)} == {"ok"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("missing.py", None, "give a Python file"),
        ("my-file.py", "", "name that can be imported"),
        ("random.py", "", "there is another module 'random'"),
        ("faulty.py", "raise RuntimeError('two\\nlines')", "cannot be used: RuntimeError: two"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path, monkeypatch, name, text, message):
    monkeypatch.setattr(sys, "path", [*sys.path])
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InvalidValue, match=message) as refused:
        use_plugin_file(tmp_path / name)
    assert "\n" not in str(refused.value)
