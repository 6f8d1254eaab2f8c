"""Groups over seeds, combined errors and labels."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.stores import StoreMaker, quick

from nisbench.contract.catalog import load_catalog
from nisbench.contract.doubts import Doubt, Gate
from nisbench.contract.records import CellState, Estimate, Status
from nisbench.harness.store import Store
from nisbench.report.tables import REASONS, status_entry
from nisbench.results.cells import load
from nisbench.results.doubts import causes
from nisbench.results.groups import combine, grouped


def test_seeds_judged_on_one_reference_do_not_average_its_error_out(tmp_path: Path):
    results = load([quick(sizes=(4,), seeds=(1, 2, 3)).write(tmp_path / "run")])
    group = next(group for group in grouped(results.contest) if group.label == "hier")
    estimates = [member.quantities["kl_forward_nats"] for member in group.members]
    pooled = group.estimate("kl_forward_nats")
    assert len({member.cell.reference for member in group.members}) == 1
    assert pooled == combine(estimates, independent=False)
    alone = (replace(m, cell=replace(m.cell, reference=f"of seed {m.cell.seed}")) for m in group.members)
    apart = replace(group, members=tuple(alone)).estimate("kl_forward_nats")
    assert apart == combine(estimates)
    assert apart != pooled


def test_a_status_tells_which_seed_has_which_reason(quick_store: Store):
    groups = grouped(load([quick_store]).contest)
    group = next(group for group in groups if (group.label, group.L) == ("van", 16))
    first, second = group.members
    far = CellState(Status.UNTRUSTED, "far off")
    judged = replace(first.result, reason="far off", doubts=(Doubt(Gate.FAR_FROM_EXACT, "far off"),))
    members = replace(first, state=far, result=judged), replace(second, state=CellState(Status.OK))
    told = status_entry(replace(group, members=members))
    assert (told.text, told.link) == ("1 untrusted, 1 ok", REASONS)
    found = causes([replace(group, members=members)])
    assert [(cause.runs, cause.example) for cause in found] == [(1, "far off")]


def test_mean_over_seeds_by_hand():
    same = combine([Estimate(1.0, 0.3, 10, 1.1), Estimate(1.0, 0.4, 20, 1.1)])
    assert same == Estimate(1.0, 0.25, 30, 1.1)  # own errors: sqrt(0.09 + 0.16)/2
    together = combine([Estimate(1.0, 0.3), Estimate(1.0, 0.4)], independent=False)
    assert together is not None
    assert together.error == pytest.approx(0.35)  # (0.3 + 0.4)/2
    apart = combine([Estimate(1.0, 0.01), Estimate(3.0, 0.01)])
    assert apart is not None
    assert apart.value == 2.0
    assert apart.error == pytest.approx(math.sqrt(2) / math.sqrt(2))  # the spread, sd sqrt(2) over sqrt(2)
    assert combine([Estimate(4.0), Estimate(4.0)]) == Estimate(4.0)
    assert combine([]) is None
    infinite = combine([Estimate(1.0, 0.1), Estimate(math.inf, reason="frozen")])
    assert infinite is not None
    assert (infinite.value, infinite.reason) == (math.inf, "frozen")
    partly = combine([Estimate(1.0, 0.1), Estimate.missing("no reference")])
    assert partly is not None
    assert partly.value == 1.0
    assert partly.reason == "mean of 1 of 2 seeds; no reference"
    doubtful = combine([Estimate(1.0, 0.1, reason="a floor"), Estimate(2.0, 0.1, reason="a floor"), Estimate(3.0, 0.1)])
    assert doubtful is not None
    assert doubtful.reason == "a floor"


def test_reference_cell_steps_back_where_its_sampler_is_measured(tmp_path: Path):
    with_wolff = load([quick(sizes=(4,), draws=400).write(tmp_path / "a")])
    assert [row.cell.seed for row in with_wolff.contest if row.label == "wolff"] == [1]
    maker = StoreMaker(draws=400)
    maker.model("hier", 4)
    alone = load([maker.write(tmp_path / "b")])
    assert [row.cell.seed for row in alone.contest if row.label == "wolff"] == [0]


@pytest.mark.parametrize(
    ("plugin", "variants", "labels"),
    [
        # hier has the defaults width=1 and z2=True, fan_in=64; the most frequent value is not always the default.
        ("hier", [{"width": 1}, {"width": 2}], ["hier", "hier (width=2)"]),
        (
            "hier",
            [{"z2": True}, {"z2": False}, {"z2": False, "width": 2}],
            ["hier", "hier (width=2, z2=False)", "hier (z2=False)"],
        ),
        ("hier", [{"z2": False, "width": 1}, {"z2": False, "width": 2}], ["hier", "hier (width=2)"]),
        (
            "hier",
            [{"fan_in": 8}, {"fan_in": 8, "width": 2}, {"fan_in": 0}],
            ["hier (fan_in=0)", "hier (fan_in=8)", "hier (fan_in=8, width=2)"],
        ),
        # Nobody knows the defaults of a plugin that is not installed: the value of the majority is left out.
        ("away", [{"width": 1}, {"width": 2}], ["away (width=1)", "away (width=2)"]),
        ("away", [{}, {"width": 2}, {"fan_in": 0}], ["away", "away (fan_in=0)", "away (width=2)"]),
        (
            "away",
            [{"width": width, "z2": z2} for width in (1, 2) for z2 in (False, True)],
            [f"away (width={width}, z2={z2})" for width in (1, 2) for z2 in (False, True)],
        ),
    ],
)
def test_labels_name_what_differs_from_the_default(
    tmp_path: Path, plugin: str, variants: list[dict], labels: list[str]
):
    maker = StoreMaker(draws=400)
    one = maker.model(plugin, 4, profile="hier")
    _, end = maker.cells.pop()
    for changed in variants:
        maker.cells.append((type(one).from_json({**one.to_json(), "options": {**one.options, **changed}}), end))
    maker.model("van", 4)
    assert load([maker.write(tmp_path / "run")]).labels == (*labels, "van", "wolff")


def test_a_cell_without_an_option_is_the_default_unless_another_cell_has_the_default(tmp_path: Path):
    maker = StoreMaker(draws=400)
    one = maker.model("hier", 4)
    reference, (_, end) = maker.cells
    cells = [replace(one, options={**one.options, **changed}) for changed in ({}, {"width": 2}, {"width": 1})]
    for n, labels in ((2, ["hier", "hier (width=2)"]), (3, ["hier", "hier (width=2)", "hier (width=None)"])):
        maker.cells = [reference, *((cell, end) for cell in cells[:n])]
        found = load([maker.write(tmp_path / str(n))]).labels
        assert [label for label in found if label.startswith("hier")] == labels


def test_labels_leave_out_the_defaults_that_belong_to_another_option(tmp_path: Path):
    maker, van = StoreMaker(draws=400), load_catalog(names=("van",)).plugins["van"]
    one = maker.model("van", 4)
    reference, (_, end) = maker.cells
    conv = van.fill({"net": "conv"})
    dense = van.fill({})
    variants = [dense, conv, {**conv, "learning_rate": dense["learning_rate"]}]
    maker.cells = [reference, *((replace(one, options=options), end) for options in variants)]
    found = load([maker.write(tmp_path / "run")]).labels
    assert found[:-1] == ("van", f"van (learning_rate={dense['learning_rate']}, net=conv)", "van (net=conv)")
