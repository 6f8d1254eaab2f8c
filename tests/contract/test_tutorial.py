"""The code of docs/plugin-tutorial.md is one plugin of each kind, and each passes every check."""

import re
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from nisbench.conformance.chains import CHAIN_CHECKS
from nisbench.conformance.checks import checks_for, run_checks
from nisbench.conformance.densities import DENSITY_CHECKS
from nisbench.conformance.models import MODEL_CHECKS
from nisbench.conformance.targets import TARGET_CHECKS
from nisbench.conformance.weighted import WEIGHTED_CHECKS
from nisbench.contract.catalog import load_catalog

PAGE = (Path(__file__).parents[2] / "docs" / "plugin-tutorial.md").read_text()
BLOCK = re.compile(r"```\w+\n# file: (\S+)\n(.*?)```", re.DOTALL)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The files of the page, on the import path."""
    for name, text in BLOCK.findall(PAGE):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for module in [name for name in sys.modules if name.split(".")[0] == "nisbench_tutorial"]:
        del sys.modules[module]


@pytest.fixture
def catalog(project):
    points = tomllib.loads((project / "pyproject.toml").read_text())["project"]["entry-points"]["nisbench"]
    return load_catalog([EntryPoint(name, value, "nisbench") for name, value in points.items()])


def test_page_has_a_file_for_each_kind():
    files = [name.split("/")[-1] for name, _ in BLOCK.findall(PAGE)]
    samplers = ["model.py", "chain.py", "weighted.py", "density.py"]
    assert files == ["pyproject.toml", "registration.py", *samplers, "target.py"]


def test_the_plugins_are_one_of_each_kind(catalog):
    assert not catalog.broken
    assert {name: checks_for(entry.load()) for name, entry in catalog.plugins.items()} == {
        "logistic": MODEL_CHECKS,
        "heat-bath": CHAIN_CHECKS,
        "ais": WEIGHTED_CHECKS,
        "rows": DENSITY_CHECKS,
    }


@pytest.mark.parametrize("name", ["logistic", "heat-bath", "ais", "rows"])
def test_tutorial_passes_every_check(catalog, name, monkeypatch):
    catalog.plugin(name).load()
    if name == "ais":  # the same draws, with less of the time outside of torch
        monkeypatch.setattr(sys.modules["nisbench_tutorial.weighted"], "_TOGETHER", 2048)
    results = list(run_checks(name, catalog))
    assert {r.name: r.message for r in results if not r.passed} == {}
    assert len(results) == 1 + len(checks_for(catalog.plugin(name).load()))


def test_target_of_the_tutorial_passes_every_check(catalog):
    results = list(run_checks("j1-j2", catalog, "cpu", {"j1-j2": {"j2": "-0.3"}}))
    assert {r.name: r.message for r in results if not r.passed} == {}
    assert len(results) == 1 + len(TARGET_CHECKS)


def test_registration_of_the_tutorial_is_free_of_torch(project):
    text = (project / "nisbench_tutorial" / "registration.py").read_text()
    assert "torch" not in text
