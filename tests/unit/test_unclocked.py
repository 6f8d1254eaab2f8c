"""Work of a plugin is charged wherever it is done, or its row says that no cost contains it."""

import sys

import pytest
import torch
from fakes import hidden

from nisbench.contract.catalog import Catalog, Entry, TargetEntry
from nisbench.contract.records import Cell, CellResult
from nisbench.harness import unclocked
from nisbench.harness.clock import Clock
from nisbench.harness.plan import Plan
from nisbench.harness.store import Store
from nisbench.harness.unclocked import Compilation, ImportTimes
from nisbench.harness.worker import run_cell
from nisbench.physics.options import IsingOptions


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    """Half a second may stay off the clock, so that the tests are short."""
    monkeypatch.setattr(unclocked, "_SHORT_S", 0.4)


def measured(folder, factory, kind="sampler", draws=400):
    entry = Entry("hidden", kind, "d", "1", factory=factory)
    targets = {"ising": TargetEntry("ising", "nisbench.physics.ising:Ising", options=IsingOptions)}
    cell = Cell("hidden", kind, "1", {}, "ising", 4, 0.0, 1, draws)
    store = Store.create(folder / "run", Plan("p", "t", "d", groups=(), cells=(cell,)), {})
    return run_cell(store, cell, Catalog(plugins={"hidden": entry}, targets=targets))


def parts(result):
    return [each.part for each in result.timing.unclocked]


@pytest.mark.parametrize(
    ("name", "kind"), [("InConstructor", "sampler"), ("InFirstConstructor", "density"), ("InUnsupported", "sampler")]
)
def test_work_in_constructors_and_in_unsupported_is_charged_as_preparation(tmp_path, name, kind):
    result = measured(tmp_path, f"fakes.hidden:{name}", kind)
    for quantity in ("prepare_s", "prepare_cpu_s"):
        assert result.quantities[quantity].value >= hidden.SECONDS
    assert result.timing.phases["prepare"].cpu_s >= hidden.SECONDS
    assert parts(result) == []  # charged, so there is nothing to name


def test_work_in_the_first_calls_is_named(tmp_path):
    result = measured(tmp_path, "fakes.hidden:InFirstPrepare")
    assert parts(result) == ["first calls"]
    assert "the first calls took" in result.timing.unclocked[0].reason
    assert CellResult.from_json(result.to_json()) == result


def test_work_at_import_is_named_and_that_of_libraries_is_not(tmp_path, monkeypatch):
    (tmp_path / "works_at_import.py").write_text(hidden.AT_IMPORT)
    (tmp_path / "imports_a_slow_library.py").write_text("from works_at_import import AtImport\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    result = measured(tmp_path / "a", "works_at_import:AtImport")
    assert parts(result) == ["import"]
    for name in ("works_at_import", "imports_a_slow_library"):
        sys.modules.pop(name, None)
    assert parts(measured(tmp_path / "b", "imports_a_slow_library:AtImport")) == []


def test_a_thread_that_works_on_is_named(tmp_path):
    hidden.InBackground.over.clear()
    try:  # several times: one look of three may fall into a stop of the whole machine
        assert any("background" in parts(measured(tmp_path / str(k), "fakes.hidden:InBackground")) for k in range(5))
    finally:
        hidden.InBackground.over.set()


@pytest.mark.parametrize(("name", "kind"), [("Fair", "sampler"), ("FairDensity", "density")])
def test_honest_samplers_are_not_accused(tmp_path, name, kind):
    assert parts(measured(tmp_path, f"fakes.hidden:{name}", kind)) == []


def test_compilation_is_counted_once_and_with_its_nested_functions():
    from numba import njit

    @njit
    def inner(x):
        return x + 1

    @njit
    def outer(x):
        return inner(x) * 2

    compilation = Compilation()
    with compilation.counted():
        outer(1)
    first = compilation.seconds
    assert first > 0
    with compilation.counted():
        outer(1)
    assert compilation.seconds == first


def test_the_loader_of_modules_is_put_back():
    from importlib.machinery import SourceFileLoader

    before = SourceFileLoader.exec_module
    with ImportTimes(), ImportTimes():
        assert SourceFileLoader.exec_module is not before
    assert SourceFileLoader.exec_module is before


def test_parts_of_a_clock_may_lie_inside_phases():
    clock = Clock(torch.device("cpu"))
    with clock.phase("draw"), clock.part("a"):
        hidden.work(0.05)
    with clock.part("a"):
        hidden.work(0.05)
    assert clock.parts["a"].cpu_s >= 0.1
    assert clock.phases["draw"].timing.cpu_s >= 0.05
    assert clock.phases["draw"].timing.wall_s == clock.phases["draw"].seconds
