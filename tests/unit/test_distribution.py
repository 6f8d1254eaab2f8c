"""A checkout that was not installed has the version and the plugins that its installation would have."""

import json
import os
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint, version
from pathlib import Path

import pytest

from nisbench.contract import distribution
from nisbench.contract.catalog import load_catalog
from nisbench.contract.distribution import UNKNOWN, metadata_files, own_version, plugin_points

ROOT = Path(__file__).parents[2]
HIDING = ROOT / "tests" / "gpu" / "bare"
PROBE = """
import importlib.metadata, json, nisbench
from nisbench.contract.catalog import load_catalog
entries = load_catalog().plugins.values()
try:
    installed = importlib.metadata.version("nisbench")
except importlib.metadata.PackageNotFoundError:
    installed = None
plugins = {entry.name: [entry.distribution, entry.version] for entry in entries}
print(json.dumps([installed, nisbench.__version__, plugins]))
"""


def test_a_bare_checkout_finds_its_plugins(tmp_path: Path) -> None:
    path = os.pathsep.join(map(str, (HIDING, ROOT, ROOT / "plugins")))
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-c", PROBE]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    installed, own, plugins = json.loads(done.stdout)
    assert installed is None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert own == project["version"]
    assert plugins == {e.name: [e.distribution, e.version] for e in load_catalog().plugins.values()}
    assert {"hier", "wolff"} <= set(plugins)


def test_an_installed_distribution_is_not_asked_twice() -> None:
    points = plugin_points()
    assert len(set(points)) == len(points)
    assert own_version() == version("nisbench")


def test_a_copy_without_metadata_has_an_unknown_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    copy = tmp_path / "nisbench" / "contract" / "distribution.py"
    monkeypatch.setattr(distribution, "__file__", str(copy))
    monkeypatch.setattr(distribution, "NAME", "nisbench-that-is-not-installed")
    assert own_version() == UNKNOWN
    assert plugin_points() == ()
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "another"\nversion = "3"\n')
    assert own_version() == UNKNOWN


def test_metadata_of_a_project_table(tmp_path: Path) -> None:
    project = {
        "name": "x",
        "version": "2",
        "scripts": {"run-x": "x:main"},
        "entry-points": {"nisbench": {"mine": "x.registration"}},
    }
    files = metadata_files(project)
    assert files["METADATA"] == "Metadata-Version: 2.1\nName: x\nVersion: 2\n"
    found = distribution._Checkout(tmp_path, project)
    assert (found.name, found.version) == ("x", "2")
    assert set(found.entry_points) == {
        EntryPoint("mine", "x.registration", "nisbench"),
        EntryPoint("run-x", "x:main", "console_scripts"),
    }
    assert found.locate_file("a") == tmp_path / "a"
    assert found.read_text("RECORD") is None
