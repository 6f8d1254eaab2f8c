"""Tests that docs/conventions.md has one row for every quantity and every option, and no other rows."""

import dataclasses
import re
from pathlib import Path

import pytest

from nisbench.contract.catalog import load_catalog
from nisbench.contract.quantities import FAMILIES, KIND_LETTERS, QUANTITIES
from nisbench.contract.records import TrainingOptions

PAGE = (Path(__file__).parents[2] / "docs" / "conventions.md").read_text()
CATALOG = load_catalog()
PLUGINS = CATALOG.plugins


def section(heading: str) -> str:
    """Return the text from a heading to the next heading of its level or above."""
    level = heading.split(" ", maxsplit=1)[0]
    start = PAGE.index(f"\n{heading}\n") + len(heading) + 2
    end = re.search(rf"^#{{1,{len(level)}}} ", PAGE[start:], re.MULTILINE)
    return PAGE[start : start + end.start() if end else len(PAGE)]


def rows(text: str) -> list[str]:
    """Return the names in the first cells of its tables."""
    return re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)


def names(options: type) -> set[str]:
    return {f.name for f in dataclasses.fields(options)}


QUANTITY_ROW = re.compile(r"^\| `([\w<>]+)` \| ([a-z ]+) \| ", re.MULTILINE)


def test_the_page_has_one_row_for_each_quantity_and_family():
    documented = [name for name, _ in QUANTITY_ROW.findall(section("## Quantities"))]
    assert sorted(documented) == sorted([*QUANTITIES, *(family.pattern for family in FAMILIES)])


@pytest.mark.parametrize(("name", "letters"), QUANTITY_ROW.findall(section("## Quantities")))
def test_the_row_of_a_quantity_lists_its_kinds(name, letters):
    family = next((family for family in FAMILIES if family.pattern == name), None)
    row = family.row(f"{family.prefix}train_s" if "cost" in name else f"{family.prefix}0") if family else None
    kinds = tuple(KIND_LETTERS[letter] for letter in letters.split())
    if name == "exponent_<cost>":  # a cost has the kinds of its own row
        assert set(row.kinds) <= set(kinds)
    else:
        assert kinds == (row or QUANTITIES[name]).kinds


def test_training_options_have_their_rows():
    assert set(rows(section("### Every model"))) == names(TrainingOptions)


@pytest.mark.parametrize("name", sorted(n for n, entry in PLUGINS.items() if entry.distribution == "nisbench"))
def test_options_of_built_in_plugins_have_their_rows(name):
    own = names(PLUGINS[name].options) - names(TrainingOptions)
    assert set(rows(section(f"### {name}"))) == own


@pytest.mark.parametrize("name", sorted(n for n, e in CATALOG.targets.items() if e.distribution == "nisbench"))
def test_options_of_built_in_targets_have_their_rows(name):
    assert set(rows(section(f"### Target {name}"))) == names(CATALOG.targets[name].options)


def test_every_section_of_a_target_is_one_that_exists():
    assert set(re.findall(r"^### Target (\S+)$", PAGE, re.MULTILINE)) <= set(CATALOG.targets)


@pytest.mark.parametrize("name", sorted({*PLUGINS, *CATALOG.targets}))
def test_every_option_has_a_line_of_help(name):
    missing = [f.name for f in dataclasses.fields(CATALOG.entry(name).options) if not f.metadata.get("help")]
    assert not missing
