"""The contract of the cluster samplers on targets that `nisbench check` does not choose by itself."""

import dataclasses
from typing import Any

import pytest
import torch

from nisbench.conformance.checks import run_checks
from nisbench.contract.catalog import Catalog, load_catalog

CATALOG = load_catalog()


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def only(name: str, **given: Any) -> Catalog:
    """A catalog with one target, whose options have other defaults."""
    target = CATALOG.targets[name]
    fields = [(key, type(value), dataclasses.field(default=value)) for key, value in given.items()]
    options = dataclasses.make_dataclass("Options", fields, bases=(target.options,), frozen=True)
    return Catalog(CATALOG.plugins, {name: dataclasses.replace(target, options=options)})


@pytest.mark.parametrize(
    ("plugin", "target", "options"),
    [
        ("wolff", "ising", {"boundary": "free"}),
        ("wolff", "edwards-anderson", {}),
        ("wolff", "villain", {}),
        ("swendsen-wang", "ising", {"boundary": "free"}),
        ("swendsen-wang", "ising", {"field": 0.1}),
        ("swendsen-wang", "edwards-anderson", {"disorder": "gaussian"}),
        ("swendsen-wang", "villain", {}),
        ("perfect", "ising", {"boundary": "free"}),
        ("perfect", "ising", {"field": -0.1}),
    ],
)
def test_the_contract_holds(plugin: str, target: str, options: dict[str, Any]) -> None:
    failed = [result for result in run_checks(plugin, only(target, **options)) if not result.passed]
    assert not failed, failed
