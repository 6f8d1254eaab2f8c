"""Every installed plugin x every check of its kind: a new plugin is tested by being installed."""

import pytest
import torch

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


@pytest.mark.parametrize(("subject", "check"), CASES)
def test_clause(subject, check):
    check(subject)
