"""Runs every check of its kind on every installed plugin: an installed plugin needs no test file of its own."""

import dataclasses
import re
import sys
import types
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest
import torch

import nisbench
from nisbench.conformance.checks import checks_for, loads
from nisbench.conformance.subject import Subject
from nisbench.contract.catalog import load_catalog
from nisbench.physics.ising import Ising

CATALOG = load_catalog()


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


CASES = [
    pytest.param(subject, check, id=f"{name}-{check.__name__}")
    for name, entry in sorted(CATALOG.plugins.items())
    for subject in [Subject(entry, CATALOG)]
    for check in (loads, *checks_for(entry.load()))
]


def test_nothing_installed_is_broken():
    assert not CATALOG.broken
    assert {"hier", "van", "wolff"} <= set(CATALOG.plugins)


@pytest.mark.parametrize("modules", [("two_names",), ("one_name", "same_name")])
def test_a_name_registered_twice_makes_the_later_module_a_broken_one(modules, monkeypatch):
    def registers(*names):
        module = types.ModuleType("registers")

        @nisbench.hookimpl
        def register_samplers(register):
            for name in names:
                register(name, factory="nowhere:Nothing", summary="")

        module.register_samplers = register_samplers
        return module

    found = {"two_names": registers("a", "a"), "one_name": registers("a"), "same_name": registers("a")}
    for name in modules:
        monkeypatch.setitem(sys.modules, name, found[name])
    catalog = load_catalog([EntryPoint(name, name, "nisbench") for name in modules])
    assert [(entry.name, entry.broken) for entry in catalog.broken] == [
        (modules[-1], "PluginError: 'a' is registered already")
    ]
    assert set(catalog.plugins) == ({"a"} if len(modules) > 1 else set())


@pytest.mark.parametrize(
    ("fields", "extra", "reason"),
    [
        ([("file", Path, Path("x"))], {}, "use bool, int, float, str or Literal"),
        ([("width", "Nowhere", 1)], {}, "NameError"),
        ([("width", int)], {}, "option bad.width has no default value"),
        ([("width", int, 1)], {"devices": "cpu"}, "give a tuple of 'cpu' and 'cuda'"),
    ],
)
def test_options_that_no_command_could_use_break_their_plugin_alone(fields, extra, reason, monkeypatch):
    module = types.ModuleType("bad")

    @nisbench.hookimpl
    def register_samplers(register):
        options = dataclasses.make_dataclass("Options", fields)
        register("bad", factory="nowhere:Nothing", summary="", options=options, **extra)

    module.register_samplers = register_samplers
    monkeypatch.setitem(sys.modules, "bad", module)
    catalog = load_catalog([EntryPoint("bad", "bad", "nisbench")])
    assert not catalog.plugins
    assert reason in catalog.broken[0].broken


def test_what_a_registration_prints_is_no_part_of_an_answer(monkeypatch, capsys):
    module = types.ModuleType("loud")
    module.register_samplers = nisbench.hookimpl(lambda register: print("thank you for choosing loud"))  # noqa: T201
    monkeypatch.setitem(sys.modules, "loud", module)
    assert not load_catalog([EntryPoint("loud", "loud", "nisbench")]).broken
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "thank you for choosing loud\n")


def test_names_of_nisbench_itself_are_not_taken():
    class Newcomer(EntryPoint):
        """An entry point of another distribution that sorts first."""

        dist = types.SimpleNamespace(name="clash", version="1")

        def load(self):
            return types.SimpleNamespace(register_models=nisbench.hookimpl(_register_van))

    (own,) = (point for point in entry_points(group="nisbench") if point.dist.name == "nisbench")
    catalog = load_catalog([Newcomer("aaa", "aaa", "nisbench"), own])
    assert catalog.plugins["van"].distribution == "nisbench"
    assert [entry.broken for entry in catalog.broken] == ["PluginError: 'van' is registered already"]


def _register_van(register):
    register("van", options=nisbench.TrainingOptions, factory="nowhere:Nothing", summary="")


@pytest.mark.parametrize(("subject", "check"), CASES)
def test_clause(subject, check):
    found = check(subject)
    if check.__name__ == "pooled_fit":
        (reached,) = re.findall(r"expected for 1 % in beta: ([\d.]+) standard errors in a part", found)
        assert float(reached) >= 8


@pytest.mark.parametrize("name", sorted(name for name, entry in CATALOG.plugins.items() if entry.kind == "model"))
def test_models_ask_for_the_energy_of_full_configurations_only(name, monkeypatch):
    energy, called = Ising.energy, []

    def of_full_configurations(self, spins):
        called.append(spins.shape)
        assert (spins.abs() == 1).all()
        return energy(self, spins)

    monkeypatch.setattr(Ising, "energy", of_full_configurations)
    model, source = Subject(CATALOG.plugins[name], CATALOG).model(16), torch.Generator().manual_seed(1)
    draws = model.sample(5, beta=0.44, generator=source)
    model.log_prob(draws.spins, beta=0.44)
    model.training_batch(5, beta=0.44, generator=source)
    model.target.energy(draws.spins)
    assert called
    with pytest.raises(AssertionError):
        model.target.energy(torch.zeros(1, 16, 16, dtype=torch.int8))
