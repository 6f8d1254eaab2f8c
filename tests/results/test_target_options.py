"""Results tell targets with different options apart, and match cells from before targets had options."""

import json
from dataclasses import replace

import pytest

from nisbench.contract.records import Cell, CellResult, Estimate, Status
from nisbench.harness.plan import Group, Plan
from nisbench.harness.store import Store
from nisbench.results.cells import load
from nisbench.results.compare_sides import matched, read_side
from nisbench.results.export import exported
from nisbench.results.rows import Problem
from nisbench.results.status import labels
from nisbench.results.targets import target_label
from nisbench.results.variants import variant_names

OLD = Cell("hier", "model", "1.0", {"width": 1}, "ising", 8, 0.44, 1, 100)
NEW = replace(OLD, target_options={"boundary": "torus", "field": 0.0}, target_version="0.2", plugin_version="1.1")
FIELD = replace(NEW, target_options={"boundary": "torus", "field": 0.5})
GLASS = replace(NEW, target="edwards-anderson")
GLASS = replace(GLASS, target_options={"disorder": "pm1", "boundary": "free", "instance": 2})
STRANGE = replace(NEW, target="not-installed", target_options={"b": 1, "a": "x"})


def test_two_versions_of_a_target_are_two_variants():
    newer = replace(NEW, target_version="0.3")
    assert set(variant_names([NEW, newer]).values()) == {"hier (target_version=0.2)", "hier (target_version=0.3)"}


def write(path, *cells):
    group = Group("g", "", ("hier",), (8,), (0.44,), (1,), tuple(c.cell_id for c in cells))
    store = Store.create(path, Plan(name="p", title="t", description="d", groups=(group,), cells=cells), {})
    for cell in cells:
        store.files(cell.cell_id).write_result(
            CellResult(cell.cell_id, Status.OK, quantities={"kl_nats": Estimate(0.1, 0.01)})
        )
    return store


@pytest.mark.parametrize(
    ("cell", "label"),
    [
        (OLD, "ising"),
        (NEW, "ising"),
        (FIELD, "ising (field=0.5)"),
        (GLASS, "edwards-anderson (instance=2)"),
        (STRANGE, "not-installed (a=x, b=1)"),
    ],
)
def test_labels(cell, label):
    assert target_label(cell) == label


def test_problems_are_apart(tmp_path):
    results = load([write(tmp_path / "r", NEW, FIELD, GLASS)])
    names = ["edwards-anderson (instance=2)", "ising", "ising (field=0.5)"]
    assert results.problems == tuple(Problem(name, 0.44) for name in names)
    assert {row.label for row in results.rows} == {"hier"}


def test_cells_of_two_targets_are_no_variants_of_each_other():
    cells = [replace(NEW, reference="a"), replace(FIELD, reference="b")]
    assert set(variant_names(cells).values()) == {"hier"}
    assert list(labels(cells).values()) == [
        "hier ising L=8 beta=0.44 seed=1",
        "hier ising (field=0.5) L=8 beta=0.44 seed=1",
    ]
    assert list(labels(cells[:1]).values()) == ["hier L=8 beta=0.44 seed=1"]


def test_a_run_from_before_matches_a_new_one_and_another_field_does_not(tmp_path):
    before, after, other = (
        write(tmp_path / name, cell).path for name, cell in zip("abc", (OLD, NEW, FIELD), strict=True)
    )
    assert len(matched(read_side(before), read_side(after))[0]) == 1
    assert not matched(read_side(before), read_side(other))[0]


def test_exports_of_several_targets_are_matched_by_target_and_options(tmp_path):
    stores = [write(tmp_path / "a", NEW, FIELD), write(tmp_path / "b", OLD)]
    for name, store in zip("ab", stores, strict=True):
        (tmp_path / f"{name}.json").write_bytes(exported([store], "json"))
    rows = json.loads((tmp_path / "a.json").read_text())
    assert {row["target_options"] for row in rows if row["cell"]} == {None, '{"field":0.5}'}
    pairs, _ = matched(read_side(tmp_path / "a.json"), read_side(tmp_path / "b.json"))
    assert [(a.label, b.label) for a, b in pairs] == [("hier ising L=8 beta=0.44 seed=1",) * 2]
    pairs, _ = matched(read_side(stores[0].path), read_side(tmp_path / "a.json"))
    assert len(pairs) == 2
