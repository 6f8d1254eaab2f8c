"""Tests of the import rules, on the source and in fresh interpreters."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from nisbench.contract.catalog import load_catalog

ROOT = Path(__file__).parents[2]
CORE = sorted((ROOT / "nisbench").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins" / "nisbench_plugins").rglob("*.py"))
SOURCES = CORE + PLUGINS
TORCH_FREE = [
    "nisbench",
    "nisbench.__main__",
    "nisbench.cli",
    "nisbench.errors",
    "nisbench.contract.records",
    "nisbench.contract.quantities",
    "nisbench.contract.hookspecs",
    "nisbench.contract.catalog",
    "nisbench.harness.plan",
    "nisbench.harness.planner",
    "nisbench.harness.exact",
    "nisbench.harness.store",
    "nisbench.harness.seeds",
    "nisbench.harness.execute",
    "nisbench.statistics",
    "nisbench.results",
    "nisbench.report",
    "nisbench.physics.kaufman",
    "nisbench.physics.enumeration",
    "nisbench.physics.transfer_matrix",
    "nisbench.physics.lattice",
    "nisbench.physics.kac_ward",
    "nisbench.physics.options",
    "nisbench.physics.couplings_file",
    "nisbench.physics.observables",
    "nisbench_plugins.registration",
]
"""Modules; a package stands for all modules in it."""
TOP = {"nisbench/__init__.py"}
PRINTS = {"nisbench/cli.py"}
ENVIRONMENT = {
    "nisbench/cli.py",
    "nisbench/harness/environment.py",
    "nisbench/harness/execute.py",
    "nisbench/contract/probe.py",
    "nisbench/contract/surroundings.py",
}
PLOTTING = {
    f"nisbench/report/{name}.py"
    for name in ("axes", "dots", "figures", "fonts", "grid", "labels", "lettering", "mosaic", "plot", "sheet")
}
PLOTTING_MODULES = {"matplotlib", "seaborn", "plotly"}
HEAVY = {"torch", "matplotlib", "seaborn", "numba", "pandas"}


def name_of(path: Path) -> str:
    """Return the path as it stands in the lists above."""
    relative = path.relative_to(ROOT)
    return str(relative.relative_to("plugins") if relative.parts[0] == "plugins" else relative)


def module_of(path: Path) -> str:
    parts = Path(name_of(path)).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def imported(path: Path) -> set[str]:
    """Return the top-level names of all imports in the file, also inside functions."""
    names = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def calls(path: Path) -> set[str]:
    return {node.func.id for node in ast.walk(tree(path)) if isinstance(node, ast.Call) and hasattr(node.func, "id")}


def attributes(path: Path) -> set[str]:
    """Return `a.b` for every attribute access of a name."""
    nodes = (node for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute))
    return {f"{node.value.id}.{node.attr}" for node in nodes if isinstance(node.value, ast.Name)}


def expanded(names: list[str]) -> list[str]:
    modules = [module_of(path) for path in SOURCES]
    missing = [name for name in names if name not in modules]
    assert not missing, f"modules in the list that do not exist: {missing}"
    packages = [name for name in names if name.count(".")]
    inside = [m for m in modules if any(m.startswith(f"{name}.") for name in packages)]
    return sorted({*names, *inside})


def loaded_after(statement: str, names: set[str]) -> set[str]:
    """Return which of `names` a fresh interpreter has loaded after the statement."""
    code = f"import sys\n{statement}\nprint(*(set({sorted(names)!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


TRAINING = """
import tempfile, torch
from pathlib import Path
from nisbench.contract.records import Budget
from nisbench.harness.cell_files import CellFiles
from nisbench.harness.clock import Clock
from nisbench.harness.train import train
from nisbench.physics.ising import Ising
from nisbench_plugins.registration import HierOptions
options = HierOptions(batch_size=4, clip_norm=1.0)
model = nisbench_plugins.hier.Hier(Ising(4), options)
with tempfile.TemporaryDirectory() as folder:
    train(model, beta=0.3, budget=Budget(steps=2), options=options, seeds=len, files=CellFiles(Path(folder)),
          clock=Clock(torch.device("cpu")), exact_log_z=None)
"""


def test_torch_free_modules_load_without_torch():
    imports = "\n".join(f"import {name}" for name in expanded(TORCH_FREE) if name != "nisbench.__main__")
    assert loaded_after(imports, {"torch"}) == set()


def test_results_load_neither_torch_nor_drawing_nor_templates():
    """Also indirectly: `export`, `compare` and `status` need nothing else."""
    imports = "\n".join(f"import {name}" for name in expanded(["nisbench.results"]))
    assert loaded_after(imports, {"torch", "matplotlib", "seaborn", "jinja2", "numba"}) == set()


def test_catalog_of_all_installed_plugins_loads_no_torch():
    statement = "from nisbench.contract.catalog import load_catalog\nassert load_catalog().plugins"
    assert loaded_after(statement, {"torch", "numba"}) == set()


def test_help_loads_nothing_heavy():
    assert loaded_after("import nisbench.cli", HEAVY) == set()


@pytest.mark.parametrize("path", [p for p in SOURCES if p.name == "__init__.py"], ids=name_of)
def test_package_init_is_empty(path):
    if name_of(path) not in TOP:
        assert path.read_text() == ""


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_prints_stay_in_the_command_line(path):
    if name_of(path) not in PRINTS:
        assert not calls(path) & {"print", "input"}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_environment_is_read_in_the_command_line_and_in_execute(path):
    if name_of(path) not in ENVIRONMENT:
        assert not attributes(path) & {"os.environ", "os.getenv", "os.putenv"}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_plotting_stays_in_figures(path):
    if name_of(path) not in PLOTTING:
        assert not imported(path) & PLOTTING_MODULES


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_pickle_and_no_global_switches(path):
    assert not imported(path) & {"pickle", "shelve", "joblib", "dill"}
    switches = {"torch.manual_seed", "torch.set_default_dtype", "torch.set_default_device"}
    found = {name for node in tree(path).body for name in _attributes_of_statement(node)} & switches
    assert not found, f"module-level side effects: {found}"


@pytest.mark.parametrize("path", PLUGINS, ids=name_of)
def test_plugins_import_the_api_and_the_networks_alone(path):
    modules = {node.module for node in ast.walk(tree(path)) if isinstance(node, ast.ImportFrom) and node.module} | {
        alias.name for node in ast.walk(tree(path)) if isinstance(node, ast.Import) for alias in node.names
    }
    plugins = {entry.factory.partition(":")[0] for entry in load_catalog().plugins.values()}
    shared = {module_of(other) for other in PLUGINS} - plugins  # registration, kernels and helpers of several plugins
    allowed = {"nisbench", "nisbench.api"} | shared
    own = {m for m in modules if m.split(".")[0] in ("nisbench", "nisbench_plugins")}
    assert {m for m in own if not m.startswith("nisbench.nn.")} <= allowed


def test_a_worker_of_wolff_loads_no_network_and_a_training_no_compiler_of_torch():
    """The probe sees torch, and the networks and the compiler once something has loaded them."""
    wolff = "import nisbench.harness.worker, nisbench_plugins.wolff"
    early = f"{wolff}\nearly = 'nisbench.nn.kernels.jit' in sys.modules, 'nisbench_plugins.hier' in sys.modules"
    statement = f"{early}\nimport nisbench_plugins.hier\nassert early == (False, False)"
    statement += f"\n{TRAINING}\nassert 'torch._dynamo' not in sys.modules\ntorch.optim.Adam(model.parameters())"
    modules = {"torch", "nisbench.nn.kernels.jit", "nisbench.api", "nisbench_plugins.wolff", "nisbench_plugins.hier"}
    modules.add("torch._dynamo")
    assert loaded_after(statement, modules) == modules


@pytest.mark.parametrize("path", [p for p in SOURCES if p.name not in ("__init__.py", "__main__.py")], ids=name_of)
def test_public_modules_list_what_they_export(path):
    """Hook modules are read by pluggy, which takes functions by their marker."""
    if path.name in ("hookspecs.py", "registration.py"):
        return
    module = importlib.import_module(module_of(path))
    assert isinstance(module.__all__, list), f"{name_of(path)} has no __all__"
    missing = [name for name in module.__all__ if not hasattr(module, name)]
    assert not missing
    assert len(set(module.__all__)) == len(module.__all__)
    assert not [name for name in module.__all__ if name.startswith("_")]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_star_imports_and_no_modules_for_leftovers(path):
    stars = [node for node in ast.walk(tree(path)) if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"]
    assert not stars
    assert not {"utils", "helpers", "common", "core", "misc"} & set(Path(name_of(path)).with_suffix("").parts)


def test_import_contracts_hold():
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert " 0 broken" in done.stdout


def test_import_contracts_see_a_violation(tmp_path):
    """In a copy of the code the bottom room imports a room above it; the same contracts must fail there."""
    for package in ("nisbench", "plugins/nisbench_plugins"):
        for path in (ROOT / package).rglob("*.py"):
            copy = tmp_path / Path(name_of(path))
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(path.read_text())
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    errors = tmp_path / "nisbench" / "errors.py"
    errors.write_text(errors.read_text() + "\nimport nisbench.contract.records\n")
    code = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports_command; "
    command = [sys.executable, "-c", code + "lint_imports_command()", "--no-cache"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "nisbench.errors is not allowed to import nisbench.contract" in done.stdout


def _attributes_of_statement(node: ast.stmt) -> set[str]:
    """Return the attribute accesses that run at import; those in the bodies of functions do not."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return set()
    found = (inner for inner in ast.walk(node) if isinstance(inner, ast.Attribute))
    return {f"{inner.value.id}.{inner.attr}" for inner in found if isinstance(inner.value, ast.Name)}


@pytest.mark.parametrize("name", sorted(n for n, e in load_catalog().plugins.items() if e.kind == "model"))
def test_a_built_in_model_is_built_without_memory(name):
    """The harness builds a model on `meta` to refuse what does not fit."""
    import torch

    from nisbench.physics.ising import Ising

    entry = load_catalog().plugin(name)
    with torch.device("meta"):
        skeleton = entry.load()(Ising(16), entry.options())
    real = entry.load()(Ising(16), entry.options())
    assert all(p.device.type == "meta" for p in skeleton.parameters())
    assert sum(p.numel() for p in skeleton.parameters()) == sum(p.numel() for p in real.parameters())
