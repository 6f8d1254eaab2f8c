import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic_store import StoreMaker, quick

from nisbench.contract.records import Budget, CellResult, Estimate, Status
from nisbench.harness.store import Store
from nisbench.report.comparison import (
    baseline,
    break_even,
    combine,
    compared,
    exponents,
    grouped,
    told_apart,
    with_training,
)
from nisbench.report.results import load
from nisbench.report.tables import LONG_COLUMNS, long_table, status_entry
from nisbench.report.verdict import verdict_sentences


def test_long_table_has_the_columns_of_the_export_format(quick_store: Store):
    table = long_table([quick_store])
    assert " ".join(table.columns) == (
        "cell plugin kind plugin_version target L beta seed device status reason quantity value error n exact z"
    )
    assert tuple(table.columns) == LONG_COLUMNS
    cells = table.dropna(subset="cell")
    assert not cells.duplicated(["cell", "quantity"]).any()
    assert set(cells["cell"]) == {cell.cell_id for cell in quick_store.cells()}
    row = cells[(cells.plugin == "hier") & (cells.L == 8) & (cells.quantity == "log_z_per_site")].iloc[0]
    assert row.z == pytest.approx((row.value - row.exact) / row.error)
    assert (cells[cells.value.isna()].reason.str.len() > 0).all()


def test_cells_without_numbers_keep_a_row_with_their_reason(troubled_maker: StoreMaker, tmp_path: Path):
    table = long_table([troubled_maker.write(tmp_path / "run")])
    bare = table[table.quantity.isna()].set_index("cell")
    assert sorted(bare.status.dropna()) == ["failed", "interrupted", "timeout", "unavailable"]
    assert "RuntimeError: exploded | badly" in set(bare.reason)
    assert "not started" in set(bare[bare.status.isna()].reason)
    assert bare.value.isna().all()


def test_break_even_by_hand():
    # 60 s of training; 5 us against 2 us a sample: 60/3e-6 = 2e7 samples; 60 x hypot(3e-7, 4e-7)/(3e-6)^2 = 3.33e6
    found = break_even(Estimate(60.0), Estimate(2e-6, 3e-7), Estimate(5e-6, 4e-7), "wolff")
    assert found.value == pytest.approx(2e7)
    assert found.error == pytest.approx(60 * 5e-7 / 9e-12)
    assert break_even(Estimate(0.0), Estimate(2e-6), Estimate(5e-6), "wolff").value == 0.0


@pytest.mark.parametrize("marginal", [6.1e-6, math.inf])
def test_training_that_saves_nothing_never_breaks_even(marginal: float):
    found = break_even(Estimate(60.0), Estimate(marginal), Estimate(5e-6), "wolff")
    assert found.value == math.inf
    assert found.reason == "never: an effective sample costs no less than with wolff"


@pytest.mark.parametrize(
    ("marginal", "base", "apart"),
    [
        (Estimate(4.0, 0.1), Estimate(5.0, 0.1), True),
        (Estimate(4.0, 0.4), Estimate(5.0, 0.4), False),  # 1.8 combined errors
        (Estimate(4.0, 0.01), Estimate(4.7, 0.01), False),  # 18 %
        (Estimate(4.0), Estimate(4.0), False),
    ],
)
def test_costs_that_are_not_told_apart_decide_nothing(marginal: Estimate, base: Estimate, apart: bool):
    for one, other in ((marginal, base), (base, marginal)):
        assert told_apart(one, other) is apart
        found = break_even(Estimate(60.0), one, other, "wolff")
        assert (found.value is not None) is apart
        assert apart or (found.reason or "").startswith("undecided")


def test_break_even_without_its_parts_says_which_is_missing():
    nothing = Estimate.missing("not measured")
    assert break_even(None, Estimate(1.0), Estimate(2.0), "wolff").reason == "no training time: not measured"
    assert "per effective sample" in (break_even(Estimate(1.0), nothing, Estimate(2.0), "wolff").reason or "")
    assert break_even(Estimate(1.0), Estimate(1.0), None, "no baseline here").reason == "no baseline here"


def _priced(store: Store, prices: dict[str, float], status: dict[str, Status] | None = None) -> None:
    """Sets the cost per effective sample (and the status) of every cell of a plugin."""
    for cell in store.cells():
        known = store.result(cell.cell_id)
        if known is None or cell.plugin not in prices or cell.reference_draws:
            continue
        ended = (status or {}).get(cell.plugin, known.status)
        quantities = {**known.quantities, "s_per_effective_sample": Estimate(prices[cell.plugin])}
        if "train_s" in quantities:
            quantities["train_s"] = Estimate(90.0)
        reason = None if ended is Status.OK else known.reason or "made so"
        store.files(cell.cell_id).write_result(replace(known, status=ended, reason=reason, quantities=quantities))


def test_baseline_is_the_cheapest_trusted_cluster_sampler_of_the_same_place(tmp_path: Path):
    maker = StoreMaker(draws=400)
    maker.model("hier", 8)
    for plugin in ("wolff", "swendsen", "cheat"):
        maker.sampler(8, plugin=plugin)
    maker.sampler(16, plugin="elsewhere")
    store = maker.write(tmp_path / "run")
    prices = {"hier": 1e-6, "wolff": 9e-6, "swendsen": 4e-6, "cheat": 1e-9, "elsewhere": 1e-9}
    _priced(store, prices, {"hier": Status.OK, "wolff": Status.OK, "swendsen": Status.OK, "cheat": Status.UNTRUSTED})
    results = compared(load([store]))
    hier = next(row for row in results.rows if row.cell.plugin == "hier")
    base = baseline(results.contest, hier.problem, 8, "cpu")
    assert base is not None
    assert base.label == "swendsen"
    assert hier.quantities["break_even_samples"].value == pytest.approx(90 / (4e-6 - 1e-6))
    assert baseline(results.contest, hier.problem, 8, "cuda") is None
    table = long_table([store])
    assert table[table.quantity == "break_even_samples"].value.tolist() == [pytest.approx(3e7)]


def test_samplers_that_are_not_told_apart_share_the_first_place(tmp_path: Path):
    maker = StoreMaker(draws=400)
    maker.model("hier", 8)
    for plugin in ("wolff", "swendsen"):
        maker.sampler(8, plugin=plugin)
    store = maker.write(tmp_path / "run")
    statuses = dict.fromkeys(("hier", "wolff", "swendsen"), Status.OK)
    _priced(store, {"hier": 9.0e-6, "wolff": 9.9e-6, "swendsen": 1.8e-5}, statuses)
    first = verdict_sentences(load([store]))[0]
    assert "hier or wolff at L = 8 gives the cheapest" in first
    assert "2 times cheaper than swendsen" in first
    _priced(store, {"hier": 4.5e-6})
    assert "hier at L = 8 gives the cheapest" in verdict_sentences(load([store]))[0]


def test_model_without_a_baseline_has_null_and_the_reason(tmp_path: Path):
    maker = quick(sizes=(4,))
    store = maker.write(tmp_path / "run")
    for cell in store.cells():
        if cell.plugin == "wolff":
            store.files(cell.cell_id).write_result(CellResult(cell.cell_id, Status.FAILED, "killed"))
    table = long_table([store])
    rows = table[table.quantity == "break_even_samples"]
    assert len(rows) == 2
    assert rows.value.isna().all()
    assert set(rows.reason) == {"no trusted cluster sampler at L = 4 on cpu"}


def test_model_on_a_device_without_cluster_sampler_is_held_against_another_device(tmp_path: Path):
    maker = StoreMaker(draws=400)
    maker.model("hier", 8, device="cuda")
    maker.sampler(8)
    store = maker.write(tmp_path / "run")
    _priced(store, {"hier": 2e-6, "wolff": 5e-6}, {"hier": Status.OK, "wolff": Status.OK})
    results = compared(load([store]))
    hier = next(row for row in results.rows if row.cell.plugin == "hier")
    found = hier.quantities["break_even_samples"]
    assert found.value == pytest.approx(90 / 3e-6)
    assert found.reason == "against wolff on CPU, another device"
    told = " ".join(verdict_sentences(results))
    assert "No cluster sampler passed on CUDA at L = 8; the baseline there is wolff on CPU" in told
    _priced(store, {"hier": 9e-6})
    never = next(row for row in compared(load([store])).rows if row.cell.plugin == "hier")
    assert "than with wolff on CPU" in (never.quantities["break_even_samples"].reason or "")


def test_with_training_spreads_training_and_preparation_over_a_million(tmp_path: Path):
    store = quick(sizes=(4,)).write(tmp_path / "run")
    _priced(store, {"hier": 2e-6})
    group = next(group for group in grouped(load([store]).contest) if group.label == "hier")
    spread = with_training(group)
    assert spread is not None
    assert spread.value == pytest.approx(2e-6 + 90 / 1e6)


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
    members = replace(first, reason="far off"), replace(second, status=Status.OK, reason=None)
    told = status_entry(replace(group, members=members))
    assert (told.text, told.note) == ("1 untrusted, 1 ok", "seed 1: far off")
    assert status_entry(replace(group, members=members[:1])).note == "far off"


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


def test_exponents_of_known_power_laws(quick_store: Store):
    found = {(fit.scale.label, fit.scale.quantity): fit for fit in exponents(load([quick_store]).contest)}
    assert found["hier", "n_parameters"].fitted.value == pytest.approx(2.0)
    assert found["hier", "draw_s_per_1000"].fitted.value == pytest.approx(1.4, abs=0.05)
    assert found["wolff", "draw_s_per_1000"].fitted.value == pytest.approx(1.8, abs=0.05)
    untrusted = {row.cell.L for row in load([quick_store]).contest if row.label == "van" and not row.trusted}
    assert untrusted
    assert not untrusted & set(found["van", "s_per_effective_sample"].scale.sizes)
    assert untrusted < set(found["van", "train_step_s"].scale.sizes)
    assert found["van", "n_parameters"].last_two == pytest.approx(math.log(131_840 / 8_384) / math.log(2))
    table = long_table([quick_store])
    rows = table[table.quantity == "exponent_n_parameters"].set_index("plugin")
    assert rows.loc["hier"].value == pytest.approx(2.0)
    assert rows.cell.isna().all()
    assert rows.L.isna().all()


def test_training_time_given_as_a_budget_has_no_exponent(tmp_path: Path):
    maker = quick(sizes=(4, 8, 16), draws=400)
    maker.cells = [
        (cell if cell.budget is None else type(cell).from_json({**cell.to_json(), "budget": {"seconds": 5.0}}), end)
        for cell, end in maker.cells
        if cell.plugin == "wolff" or cell.plugin == "hier"
    ]
    assert any(cell.budget == Budget(seconds=5.0) for cell, _ in maker.cells)
    maker.cells = [(cell, (lambda s, c: None) if cell.budget else end) for cell, end in maker.cells]
    made = maker.write(tmp_path / "run")
    for cell in made.cells():
        if cell.budget:
            quantities = {"train_s": Estimate(5.0), "train_step_s": Estimate(1e-3 * cell.L)}
            made.files(cell.cell_id).write_result(CellResult(cell.cell_id, Status.OK, None, quantities))
    names = {fit.scale.quantity for fit in exponents(load([made]).contest) if fit.scale.label == "hier"}
    assert names == {"train_step_s"}


def test_reference_cell_steps_back_where_its_sampler_is_measured(tmp_path: Path):
    with_wolff = load([quick(sizes=(4,), draws=400).write(tmp_path / "a")])
    assert [row.cell.seed for row in with_wolff.contest if row.label == "wolff"] == [1]
    maker = StoreMaker(draws=400)
    maker.model("hier", 4)
    alone = load([maker.write(tmp_path / "b")])
    assert [row.cell.seed for row in alone.contest if row.label == "wolff"] == [0]


@pytest.mark.parametrize(
    ("variants", "labels"),
    [
        ([{"width": 1}, {"width": 2}], ["hier (width=1)", "hier (width=2)"]),
        ([{}, {"width": 2}, {"fan_in": 0}], ["hier", "hier (fan_in=0)", "hier (width=2)"]),
        (
            [{"width": width, "z2": z2} for width in (1, 2) for z2 in (False, True)],
            [f"hier (width={width}, z2={z2})" for width in (1, 2) for z2 in (False, True)],
        ),
    ],
)
def test_labels_tell_variants_by_what_is_not_usual(tmp_path: Path, variants: list[dict], labels: list[str]):
    maker = StoreMaker(draws=400)
    one = maker.model("hier", 4)
    _, end = maker.cells.pop()
    for changed in variants:
        maker.cells.append((type(one).from_json({**one.to_json(), "options": {**one.options, **changed}}), end))
    maker.model("van", 4)
    assert load([maker.write(tmp_path / "run")]).labels == (*labels, "van", "wolff")


def test_negative_control_a_wrong_exponent_would_be_seen(quick_store: Store):
    fits = {(fit.scale.label, fit.scale.quantity): fit.fitted for fit in exponents(load([quick_store]).contest)}
    fitted = fits["hier", "draw_s_per_1000"]
    assert fitted.value is not None
    assert fitted.error is not None
    assert abs(fitted.value - 1.6) > 5 * fitted.error
    assert np.isfinite(fitted.error)
