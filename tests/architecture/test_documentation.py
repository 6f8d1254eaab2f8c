"""docs/conventions.md has a row for every quantity and every option, and none for what is not there."""

import dataclasses
import re
from pathlib import Path

import pytest

from nisbench.contract.catalog import load_catalog
from nisbench.contract.records import TrainingOptions
from nisbench.report.tables import QUANTITIES
from nisbench.statistics.quantities import CHAIN_QUANTITIES, MODEL_QUANTITIES, WEIGHTED_QUANTITIES

PAGE = (Path(__file__).parents[2] / "docs" / "conventions.md").read_text()
PLUGINS = load_catalog().plugins


def section(heading: str) -> str:
    """From a heading to the next one of its level or above."""
    level = heading.split(" ", maxsplit=1)[0]
    start = PAGE.index(f"\n{heading}\n") + len(heading) + 2
    end = re.search(rf"^#{{1,{len(level)}}} ", PAGE[start:], re.MULTILINE)
    return PAGE[start : start + end.start() if end else len(PAGE)]


def rows(text: str) -> list[str]:
    """The names in the first cells of its tables."""
    return re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)


def names(options: type) -> set[str]:
    return {f.name for f in dataclasses.fields(options)}


def test_every_quantity_has_one_row():
    documented = rows(section("## Quantities"))
    assert len(documented) == len(set(documented))
    assert set(documented) == set(QUANTITIES)


@pytest.mark.parametrize(
    ("kind", "expected"), [("m", MODEL_QUANTITIES), ("c", CHAIN_QUANTITIES), ("w", WEIGHTED_QUANTITIES)]
)
def test_kinds_of_the_statistical_quantities(kind, expected):
    found = re.findall(r"^\| `(\w+)` \| ([mcw ]+) \|", section("## Quantities"), re.MULTILINE)
    statistical = {*MODEL_QUANTITIES, *CHAIN_QUANTITIES, *WEIGHTED_QUANTITIES}
    assert {name for name, kinds in found if kind in kinds.split()} & statistical == set(expected)


def test_training_options_have_their_rows():
    assert set(rows(section("### Every model"))) == names(TrainingOptions)


@pytest.mark.parametrize("name", sorted(n for n, entry in PLUGINS.items() if entry.distribution == "nisbench"))
def test_options_of_built_in_plugins_have_their_rows(name):
    own = names(PLUGINS[name].options) - names(TrainingOptions)
    assert set(rows(section(f"### {name}"))) == own


@pytest.mark.parametrize("name", sorted(PLUGINS))
def test_every_option_has_a_line_of_help(name):
    missing = [f.name for f in dataclasses.fields(PLUGINS[name].options) if not f.metadata.get("help")]
    assert not missing
