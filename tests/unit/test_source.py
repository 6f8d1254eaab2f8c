"""A plugin's source is known by its contents, and a change of it runs finished cells again."""

import sys
from pathlib import Path

import pytest

from nisbench.contract.records import Budget, Cell, CellResult, PluginSource, Status
from nisbench.harness.launch import run_plan
from nisbench.harness.plan import Plan
from nisbench.harness.resume import outdated
from nisbench.harness.source import has_changed, loaded_source
from nisbench.harness.store import Store


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of two modules that is loaded in this process; its folder."""
    folder = tmp_path / "made_up_plugin"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "sampler.py").write_text("from made_up_plugin import kernel\n")
    (folder / "kernel.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    __import__("made_up_plugin.sampler")
    yield folder
    for name in [name for name in sys.modules if name.startswith("made_up_plugin")]:
        del sys.modules[name]


def test_the_source_holds_the_loaded_modules_of_the_package(package):
    source = loaded_source("made_up_plugin.sampler:Sampler")
    assert {name for name in source.modules if name.startswith("made_up_plugin")} == {
        "made_up_plugin",
        "made_up_plugin.kernel",
        "made_up_plugin.sampler",
    }
    assert not has_changed(source)


@pytest.mark.parametrize("name", ["sampler.py", "kernel.py", "__init__.py"])
def test_a_change_of_any_file_is_noticed(package, name):
    source = loaded_source("made_up_plugin.sampler:Sampler")
    (package / name).write_text("x = 2\n")
    assert has_changed(source)


def test_a_lost_file_is_a_change_and_a_lost_package_is_not(package):
    source = loaded_source("made_up_plugin.sampler:Sampler")
    (package / "kernel.py").unlink()
    assert has_changed(source)
    assert not has_changed(PluginSource(("no_such_package_at_all",), "0"))


def test_the_toolkit_of_the_networks_counts():
    __import__("nisbench_plugins.hier")
    modules = loaded_source("nisbench_plugins.hier:Hier").modules
    assert "nisbench_plugins.hier" in modules
    assert "nisbench.nn.dense" in modules
    assert not [name for name in modules if name.startswith("nisbench.harness")]


def test_finished_cells_of_a_changed_plugin_run_again(package, tmp_path, monkeypatch):
    reference = Cell("r", "sampler", "1", {}, "ising", 2, 0.3, 0, 10, reference_draws=5)
    model = Cell("m", "model", "1", {}, "ising", 2, 0.3, 1, 10, Budget(steps=1), reference=reference.cell_id)
    other = Cell("o", "sampler", "1", {}, "ising", 2, 0.3, 1, 10)
    store = Store.create(tmp_path / "run", Plan("p", "t", "d", groups=(), cells=(reference, model, other)), {})
    source = loaded_source("made_up_plugin.sampler:Sampler")
    for cell, known in ((reference, source), (model, None), (other, None)):
        store.files(cell.cell_id).write_result(CellResult(cell.cell_id, Status.OK, source=known))
    plan = Plan("p", "t", "d", groups=(), cells=(reference, model, other))
    ran = []

    class Engine:
        def run(self, store, cells, *_):
            ran.append(cells)

    assert outdated(store) == ((), ())
    Path(package / "kernel.py").write_text("x = 2\n")
    assert outdated(store) == ((reference, model), ("r",))  # the model was judged on draws of the old reference
    run_plan(plan, store.path, command="", engine=Engine(), keep=True)
    run_plan(plan, store.path, command="", engine=Engine())
    run_plan(plan, store.path, command="", engine=Engine())  # the first of these two was stopped before the model ran
    assert ran == [(), (reference, model), (reference, model)]
