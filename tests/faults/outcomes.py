"""Run one case of the catalogue with one seed, in this process."""

import shutil
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

from fakes import faults, hidden, models

from nisbench.conformance import subject
from nisbench.conformance.checks import checks_for
from nisbench.contract.catalog import Catalog, Entry, load_catalog
from nisbench.contract.checks import kind_of
from nisbench.contract.interfaces import ChainSampler
from nisbench.contract.records import Budget, Cell, CellResult, Status
from nisbench.errors import PluginError
from nisbench.harness.plan import Plan
from nisbench.harness.store import Store
from nisbench.harness.worker import run_cell
from nisbench_plugins.registration import HierOptions
from tests.faults.cases import CHARGED, Case

__all__ = ["catalog_of", "outcome"]

hidden.SECONDS = 1.1
"""More than the second that may stay off the clock."""


def catalog_of(case: Case) -> Catalog:
    """The installed plugins with the sampler of the case, and a target whose energy is wrong."""
    installed = load_catalog()
    targets = {**installed.targets, "doubled": replace(installed.targets["ising"], name="doubled")}
    targets["doubled"] = replace(targets["doubled"], factory="fakes.faults:DoubledBondTarget")
    plugins = dict(installed.plugins)
    if isinstance(case.plugin, type):
        kind = kind_of(case.plugin)
        assert kind is not None
        options = {"model": models.LogisticOptions}.get(kind)
        options = HierOptions if issubclass(case.plugin, faults.Hier) else options
        options = faults.ChainOptions if issubclass(case.plugin, ChainSampler) else options
        given = {} if options is None else {"options": options}
        factory = f"{case.plugin.__module__}:{case.plugin.__name__}"
        plugins[case.name] = Entry(case.name, kind, "tests", "0", factory=factory, devices=("cpu",), **given)
    elif ":" in case.plugin:
        plugins[case.name] = Entry(case.name, "sampler", "tests", "0", factory=case.plugin, devices=("cpu",))
    return Catalog(plugins=plugins, targets=targets)


def outcome(case: Case, seed: int) -> str:
    """The reasons, the hidden work and the failures of one run, or the finding of the check; empty if nothing fired."""
    catalog = catalog_of(case)
    if case.check:
        return _checked(case, catalog, seed)
    with tempfile.TemporaryDirectory() as folder, hidden.renewed(case.plugin):
        try:
            return _words(case, _run(case, catalog, seed, Path(folder)))
        except PluginError as error:
            return f"failed: {error}"


def _run(case: Case, catalog: Catalog, seed: int, folder: Path) -> CellResult:
    """The result of the cell of the case; a density is judged on the configurations of a reference cell."""
    entry = catalog.plugins[case.name]
    judged = entry.kind != "sampler" and not case.options and case.target == "ising" and case.beta > 0
    reference = _reference(case.L, case.beta) if judged else None
    cell = Cell(
        *(case.name, entry.kind, entry.version, entry.fill(dict(case.own)), case.target, case.L, case.beta, seed),
        draws=case.draws,
        budget=Budget(steps=case.steps) if entry.takes_budget else None,
        reference=reference[1] if reference else None,
        target_options=dict(catalog.targets[case.target].fill(dict(case.options))),
        device="cpu",
    )
    if reference is None:
        return run_cell(Store.create(folder / "run", Plan("p", "t", "d", (), (cell,)), {}), cell, catalog)
    store = reference[0]
    store.add_cells((cell,))
    try:
        return run_cell(store, cell, catalog)
    finally:
        shutil.rmtree(store.files(cell.cell_id).folder)


@cache
def _reference(extent: int, beta: float) -> tuple[Store, str]:
    """A run with a reference cell of `wolff`, and the name of the cell; it lives as long as this process."""
    catalog = load_catalog()
    wolff, target = catalog.plugins["wolff"], dict(catalog.targets["ising"].fill({}))
    cell = Cell(
        *("wolff", "sampler", wolff.version, wolff.fill({}), "ising", extent, beta, 0, 20_000),
        target_options=target,
        reference_draws=2000,
        device="cpu",
    )
    _FOLDERS.append(tempfile.TemporaryDirectory())
    store = Store.create(Path(_FOLDERS[-1].name) / "run", Plan("p", "t", "d", (), (cell,)), {})
    store.files(cell.cell_id).write_result(run_cell(store, cell, catalog))
    return store, cell.cell_id


_FOLDERS: list[tempfile.TemporaryDirectory] = []


def _words(case: Case, result: CellResult) -> str:
    """The reasons of a result, the work that no cost contains, and hidden work of the case that a cost contains."""
    assert (result.status is Status.OK) == (result.reason is None)
    words = [result.reason] if result.reason else []
    words += [each.reason for each in result.timing.unclocked] if result.timing else []
    prepare_s = result.quantities["prepare_s"].value if case.gate == CHARGED else None
    if prepare_s is not None and prepare_s >= hidden.SECONDS:
        words.append(f"{CHARGED}: {prepare_s:.1f} s")
    return "; ".join(words)


def _checked(case: Case, catalog: Catalog, seed: int) -> str:
    """The finding of one check."""
    checked = subject.Subject(catalog.plugins[case.name], catalog, given=dict(case.own))
    (check,) = (each for each in checks_for(checked.factory) if each.__name__ == case.check)
    subject.STREAM = seed
    try:
        check(checked)
    except subject.Violation as violation:
        return f"{case.check}: {violation}"
    finally:
        subject.STREAM = 0
    return ""
