"""Every installed plugin x every check of its kind: a new plugin is tested by being installed."""

import sys
import types
from importlib.metadata import EntryPoint

import pytest
import torch

import nisbench
from nisbench.conformance.checks import Subject, checks_for
from nisbench.contract.catalog import load_catalog

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
    for check in checks_for(entry.kind)
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


@pytest.mark.parametrize(("subject", "check"), CASES)
def test_clause(subject, check):
    check(subject)
