"""A generated package installs, passes its own test, and is one of the kinds that were asked for."""

import os
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from nisbench.conformance.checks import run_checks
from nisbench.contract.catalog import load_catalog
from nisbench.errors import UserError
from nisbench.scaffold import KINDS, write_package

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=KINDS)
def package(request, tmp_path, monkeypatch):
    """The name and the catalogue of a generated package of each kind, on the import path."""
    folder = write_package(f"my-{request.param}", request.param, tmp_path / "package")
    monkeypatch.syspath_prepend(folder)
    points = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["entry-points"]["nisbench"]
    yield f"my-{request.param}", load_catalog([EntryPoint(name, value, "nisbench") for name, value in points.items()])
    for module in [name for name in sys.modules if name.startswith("nisbench_my_")]:
        del sys.modules[module]


def test_each_kind_registers_and_loads(package):
    name, catalog = package
    assert not catalog.broken
    assert catalog.entry(name).load()
    assert all(option.metadata["help"] for option in catalog.entry(name).options.__dataclass_fields__.values())


@pytest.mark.slow
def test_each_kind_passes_every_check(package):
    name, catalog = package
    assert {r.name: r.message for r in run_checks(name, catalog) if r.outcome != "ok"} == {}


@pytest.mark.slow
def test_the_package_installs_and_its_test_passes(tmp_path):
    folder = write_package("My.Rows", "density", tmp_path / "package")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", tmp_path / "site", folder], check=True, capture_output=True)
    path = [str(tmp_path / "site"), str(ROOT), str(ROOT / "plugins")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(tests, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {"README.md", ".github/workflows/contract.yml", "tests/test_contract.py"} <= files
    assert not [path for path in folder.rglob("*") if path.suffix in (".md", ".yml") and "$" in path.read_text()]


def test_what_cannot_be_made_is_one_line(tmp_path):
    for name in ("two words", "9lives", ""):
        with pytest.raises(UserError):
            write_package(name, "model", tmp_path / "x")
    assert not (tmp_path / "x").exists()
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match="is not empty"):
        write_package("mine", "model", tmp_path)
