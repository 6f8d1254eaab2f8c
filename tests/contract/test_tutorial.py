"""The code of docs/plugin-tutorial.md is a plugin that passes every check."""

import re
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from nisbench.conformance.checks import checks_for, run_checks
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
    for module in [name for name in sys.modules if name.split(".")[0] == "nisbench_logistic"]:
        del sys.modules[module]


def test_page_has_its_three_files():
    assert [name.split("/")[-1] for name, _ in BLOCK.findall(PAGE)] == ["pyproject.toml", "registration.py", "model.py"]


def test_tutorial_passes_every_check(project):
    points = tomllib.loads((project / "pyproject.toml").read_text())["project"]["entry-points"]["nisbench"]
    catalog = load_catalog([EntryPoint(name, value, "nisbench") for name, value in points.items()])
    assert not catalog.broken
    results = list(run_checks("logistic", catalog))
    assert {r.name: r.message for r in results if not r.passed} == {}
    assert len(results) == len(checks_for("model"))


def test_registration_of_the_tutorial_is_free_of_torch(project):
    text = (project / "nisbench_logistic" / "registration.py").read_text()
    assert "torch" not in text
