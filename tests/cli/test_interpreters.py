"""A plugin that is installed in another environment only: plan, run, report, and environments that cannot be used."""

import json
import os
import site
import subprocess
import sys
from pathlib import Path

import pytest

from nisbench.contract.catalog import load_catalog
from nisbench.contract.listing import entry_of, record
from nisbench.contract.records import PROTOCOL_VERSION, SCHEMA_VERSION
from nisbench.errors import InvalidValue, StoreError, UserError
from nisbench.harness.build import rebuild
from nisbench.harness.grow import extend
from nisbench.harness.interpreter import parse_pythons
from nisbench.harness.resume import outdated
from nisbench.harness.selection import select_plan
from nisbench.harness.store import Store

REGISTRATION = """
from dataclasses import dataclass
from typing import Literal
from nisbench import hookimpl

print("registered")  # a module may print

@dataclass(frozen=True)
class Options:
    shift: float = 0.0
    order: Literal["rows", "columns"] = "rows"

@hookimpl
def register_samplers(register):
    register("elsewhere", factory="elsewhere_sampler:Elsewhere", summary="uniform spins", options=Options)
"""
SAMPLER = """
import torch
from elsewhere_library import LOG_TWO
from nisbench.api import WeightedDraws, WeightedSampler

class Elsewhere(WeightedSampler):
    def prepare(self, *, beta, generator):
        self._beta = beta

    def draw(self, n, *, generator):
        L = self.target.L
        spins = (2 * torch.randint(2, (n, L, L), generator=generator) - 1).to(torch.int8)
        log_weight = L * L * LOG_TWO - self._beta * self.target.energy(spins)
        return WeightedDraws(spins, log_weight, normalised=True)
"""
METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Site-packages of another environment, in which `elsewhere` and its library are installed."""
    folder = tmp_path_factory.mktemp("other") / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    # the packages of this environment, torch among them, as --system-site-packages would add those of the system
    shared = [*site.getsitepackages(), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    lines = [f"import site; site.addsitedir({path!r})" for path in shared if path]
    (packages / "shared.pth").write_text("\n".join(lines) + "\n")
    for name, version in (("elsewhere", "3.1"), ("elsewhere-library", "2.5")):
        info = packages / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(METADATA.format(name=name, version=version))
    info = packages / "elsewhere-3.1.dist-info"
    with (info / "METADATA").open("a") as file:
        file.write("Requires-Dist: elsewhere-library>=2\nRequires-Dist: absent; extra == 'test'\n")
    (info / "entry_points.txt").write_text("[nisbench]\nelsewhere = elsewhere_registration\n")
    (packages / "elsewhere_library.py").write_text("LOG_TWO = 0.6931471805599453\n")
    (packages / "elsewhere_registration.py").write_text(REGISTRATION)
    (packages / "elsewhere_sampler.py").write_text(SAMPLER)
    return packages


@pytest.fixture(scope="module")
def python(packages):
    """The interpreter of this environment."""
    return packages.parents[2] / "bin" / "python"


@pytest.mark.slow
def test_a_plugin_of_another_environment_is_planned_run_and_reported(packages, python, nisbench, tmp_path):
    assert "elsewhere" not in load_catalog().plugins
    plan = tmp_path / "two.toml"
    plan.write_text(
        f'name = "two"\nreference = "none"\npython.elsewhere = "{python}"\n'
        '[[group]]\nplugins = ["elsewhere", "wolff"]\nsizes = [4]\nbeta = 0.1\ndraws = 4000\n'
        'options.elsewhere.order = "columns"\n'
    )
    code, out, err = nisbench(tmp_path, "run", "--plan", plan, "--out", "r", "--strict")
    assert code == 0, err + out
    store = Store.open(tmp_path / "r")
    planned = store.plan()["python"]["elsewhere"]
    assert planned["path"] == str(python)
    assert (planned["versions"]["elsewhere"], planned["versions"]["elsewhere-library"]) == ("3.1", "2.5")
    notes = {cell.plugin: store.result(cell.cell_id).notes.get("environment") for cell in store.cells()}
    assert notes["wolff"] is None
    assert "elsewhere-library 2.5" in notes["elsewhere"]
    assert "elsewhere 3.1" in (tmp_path / "r" / "report.html").read_text()
    (cell,) = (cell for cell in store.cells() if cell.plugin == "elsewhere")
    assert (cell.plugin_version, cell.options) == ("3.1", {"shift": 0.0, "order": "columns"})
    with pytest.raises(StoreError, match=r"belongs to the environment of .*python; use this command with that Python"):
        rebuild(store, cell)
    _its_source_is_watched(store, packages)


def _its_source_is_watched(store, packages):
    file = packages / "elsewhere_sampler.py"
    assert outdated(store) == ((), ())
    file.write_text(SAMPLER + "# changed\n")
    assert outdated(store)[1] == ("elsewhere",)
    file.write_text(SAMPLER)


def test_the_command_line_takes_the_place_of_the_plan(python, tmp_path):
    plan = tmp_path / "one.toml"
    plan.write_text('name = "one"\nreference = "none"\npython.elsewhere = "/nowhere"\n[[group]]\nplugins = ["wolff"]\n')
    given = {"sizes": 4, "beta": 0.1, "draws": 100, "device": "cpu"}
    made = select_plan(str(plan), plugins="elsewhere", python={"elsewhere": python}, **given)
    assert made.python["elsewhere"].path == str(python)
    assert select_plan(str(plan), plugins="wolff", **given).python == {}
    with pytest.raises(UserError, match="python elsewhere=/nowhere: there is no program at /nowhere"):
        select_plan(str(plan), plugins="elsewhere", **given)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo \"No module named 'nisbench'\" >&2; exit 1", "install nisbench in that environment, or add its folder"),
        ("echo \"No module named 'pluggy'\" >&2; exit 1", "install this requirement of nisbench"),
        ("echo nothing", "does not answer"),
        ("echo '{}'", "nisbench None with protocol version None, this one has"),
        ("echo '{answer}'", "there is no plugin 'wolff' in that environment; installed there: none"),
    ],
)
def test_an_environment_that_cannot_be_used_is_one_line(script, message, tmp_path):
    answer = {"protocol": PROTOCOL_VERSION, "schema": SCHEMA_VERSION, "entries": []}
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\n" + script.replace("{answer}", json.dumps(answer)) + "\n")
    program.chmod(0o755)
    with pytest.raises(UserError, match=message) as refused:
        select_plan(None, device="cpu", plugins="wolff", sizes=4, python=[f"wolff={program}"])
    assert "\n" not in str(refused.value)


def test_texts_that_name_no_interpreter():
    for given, message in (
        (["wolff"], "give NAME=PATH"),
        (["wolff=/bin/sh", "wolff=/bin/sh"], "given twice"),
        (["wolff=/nowhere/python"], "there is no program at /nowhere/python"),
        ({"wolff": 3}, "give NAME=PATH"),
    ):
        with pytest.raises(InvalidValue, match=message):
            parse_pythons("--python", given)
    assert parse_pythons("--python", ["wolff=sh"])["wolff"].endswith("/sh")
    assert Path(parse_pythons("--python", {"wolff": "/bin/sh"})["wolff"]) == Path("/bin/sh")


def test_a_record_gives_the_entry_back():
    for entry in load_catalog().plugins.values():
        again = entry_of(json.loads(json.dumps(record(entry))))
        assert again.fill({}) == entry.fill({})
        assert record(again) == record(entry)


def test_an_interpreter_without_cells_is_refused():
    with pytest.raises(UserError, match="--python hier: the plan has no cell of it"):
        select_plan(None, device="cpu", plugins="wolff", sizes=4, python=[f"hier={sys.executable}"])


def test_another_interpreter_is_recorded_by_the_next_start(tmp_path):
    given = {"plugins": "wolff", "sizes": 4, "draws": 100, "device": "cpu", "beta": 0.1}
    first = select_plan(None, **given)
    store = Store.create(tmp_path / "r", first, {"command": "c"})
    assert store.plan()["python"] == {}
    second = select_plan(None, python={"wolff": sys.executable}, **given)
    with store.lock():
        extend(store, second, "c")
    assert store.plan()["python"]["wolff"]["path"] == sys.executable
