"""Baselines, costs and break-even."""

import math
from pathlib import Path

import numpy as np
import pytest
from fakes.stores import StoreMaker, quick
from fakes.verdicts import Made, made_store

from nisbench.contract.records import CellResult, Estimate, Status
from nisbench.harness.store import Store
from nisbench.report.sentences import verdict_sentences
from nisbench.results.baseline import Baselines
from nisbench.results.break_even import break_even
from nisbench.results.cells import load
from nisbench.results.costs import cheapest, count_text, differ, limits, with_training
from nisbench.results.derived import with_derived
from nisbench.results.export import long_table
from nisbench.results.groups import grouped


def test_break_even_by_hand():
    # 60 s of training; 5 us against 2 us a sample: 60/3e-6 = 2e7 samples; 60 x hypot(3e-7, 4e-7)/(3e-6)^2 = 3.33e6
    found = break_even(Estimate(60.0), Estimate(2e-6, 3e-7), Estimate(5e-6, 4e-7), "wolff")
    assert found.value == pytest.approx(2e7)
    assert found.error == pytest.approx(60 * 5e-7 / 9e-12)
    assert break_even(Estimate(0.0), Estimate(2e-6), Estimate(5e-6), "wolff").value == 0.0


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (Estimate(3e6, 5e5), "3 million (2.2 to 4.5 million)"),  # 3/(1 + 1/3) and 3/(1 - 1/3)
        (Estimate(9e5, 2e5), "900 000 (620 000 to 1.6 million)"),
        (Estimate(3e6, 1.5e6), "3 million (at least 1.5 million)"),
        (Estimate(3e6, 1e5), "3 million"),  # two errors are 7 %
        (Estimate(3e6), "3 million"),
        (Estimate(math.inf), "∞"),
    ],
)
def test_number_of_samples_with_its_range(n: Estimate, text: str):
    assert count_text(n).replace("\N{NARROW NO-BREAK SPACE}", " ") == text


def test_range_of_a_break_even_contains_the_truth():
    """Normal errors of the training and of both costs, 6 to 10 %: two errors cover 95 % or more, not everything."""
    rng = np.random.default_rng(5)
    training, own, base = (x * (1 + e * rng.standard_normal(4000)) for x, e in ((60.0, 0.1), (2e-6, 0.1), (6e-6, 0.06)))
    truth = 60.0 / 4e-6
    inside = 0
    for t, o, b in zip(training, own, base, strict=True):
        low, high = limits(break_even(Estimate(t, 0.1 * t), Estimate(o, 0.1 * o), Estimate(b, 0.06 * b), "wolff"))
        inside += low <= truth <= high
    assert 0.94 < inside / 4000 < 0.975


@pytest.mark.parametrize("marginal", [6.1e-6, math.inf])
def test_training_that_saves_nothing_never_breaks_even(marginal: float):
    found = break_even(Estimate(60.0), Estimate(marginal), Estimate(5e-6), "wolff")
    assert found.value == math.inf
    assert found.reason == "not cheaper than wolff here: an effective sample costs no less"


@pytest.mark.parametrize(
    ("marginal", "base", "apart"),
    [
        (Estimate(4.0, 0.1), Estimate(5.0, 0.1), True),
        (Estimate(4.0, 0.4), Estimate(5.0, 0.4), False),  # 1.7 errors of ln(4/5)
        (Estimate(1.0, 0.5), Estimate(100.0, 50.0), True),  # a factor of 100 (24 to 410), although 2 (100 - 50) > 99
        (Estimate(4.0), Estimate(math.inf), True),
        (Estimate(4.0, 0.01), Estimate(4.7, 0.01), False),  # 18 %
        (Estimate(4.0), Estimate(4.0), False),
    ],
)
def test_costs_that_are_not_told_apart_decide_nothing(marginal: Estimate, base: Estimate, apart: bool):
    for one, other in ((marginal, base), (base, marginal)):
        assert differ(one, other) is apart
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
        store.files(cell.cell_id).write_result(CellResult(cell.cell_id, ended, reason, quantities, known.notes))


def test_baseline_is_the_cheapest_trusted_sampler_without_training_of_the_same_place(tmp_path: Path):
    maker = StoreMaker(draws=400)
    maker.model("hier", 8)
    for plugin in ("wolff", "swendsen", "cheat"):
        maker.sampler(8, plugin=plugin)
    maker.sampler(16, plugin="elsewhere")
    store = maker.write(tmp_path / "run")
    prices = {"hier": 1e-6, "wolff": 9e-6, "swendsen": 4e-6, "cheat": 1e-9, "elsewhere": 1e-9}
    _priced(store, prices, {"hier": Status.OK, "wolff": Status.OK, "swendsen": Status.OK, "cheat": Status.UNTRUSTED})
    results = with_derived(load([store]))
    hier = next(row for row in results.rows if row.cell.plugin == "hier")
    base = results.baselines.at(hier.problem, 8, "cpu")
    assert base is not None
    assert base.label == "swendsen"
    assert hier.quantities["break_even_samples"].value == pytest.approx(90 / (4e-6 - 1e-6))
    assert results.baselines.at(hier.problem, 8, "cuda") is None
    table = long_table([store])
    assert table[table.quantity == "break_even_samples"].value.tolist() == [pytest.approx(3e7)]


def test_the_baseline_is_any_sampler_without_training(tmp_path: Path):
    cells = [Made("wolff", 8, cost=6e-6), Made("mps", 8, cost=4e-6, ess=0.9, kind="density")]
    cells += [Made("own", 8, cost=1e-7, ess=0.9, train_s=5.0, kind="density"), Made("net", 8, cost=1e-6, ess=0.9)]
    cells.append(Made("local", 8, cost=9e-6))
    rows = load([made_store(tmp_path / "run", *cells)]).contest
    base = Baselines(rows).at(rows[0].problem, 8, "cpu")
    assert base is not None
    assert base.label == "mps"  # `own` trains itself, and `net` is a model whose budget is zero
    without = [row for row in rows if row.cell.plugin in ("local", "own", "net")]
    alone = Baselines(without).at(rows[0].problem, 8, "cpu")
    assert alone is not None
    assert alone.label == "local"


def test_samplers_that_are_not_told_apart_share_the_first_place(tmp_path: Path):
    maker = StoreMaker(draws=400)
    maker.model("hier", 8)
    for plugin in ("wolff", "swendsen"):
        maker.sampler(8, plugin=plugin)
    store = maker.write(tmp_path / "run")
    statuses = dict.fromkeys(("hier", "wolff", "swendsen"), Status.OK)
    _priced(store, {"hier": 9.0e-6, "wolff": 9.9e-6, "swendsen": 1.8e-5}, statuses)
    first = verdict_sentences(load([store]))[0]
    assert first.startswith("Use wolff at L = 8 for any number of samples")
    assert "swendsen is not cheaper there" in first
    assert "hier is as cheap within errors, but must be trained" in first
    _priced(store, {"hier": 4.5e-6})
    # 90 s of training over the 5.4 us that a sample saves
    assert "At L = 8 use wolff for up to 17 million (11 to 30 million)" in verdict_sentences(load([store]))[0]


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
    assert set(rows.reason) == {"no trusted sampler without training at L = 4 on cpu"}


def test_model_on_a_device_without_a_baseline_is_held_against_another_device(tmp_path: Path):
    maker = StoreMaker(draws=400)
    maker.model("hier", 8, device="cuda")
    maker.sampler(8)
    store = maker.write(tmp_path / "run")
    _priced(store, {"hier": 2e-6, "wolff": 5e-6}, {"hier": Status.OK, "wolff": Status.OK})
    results = with_derived(load([store]))
    hier = next(row for row in results.rows if row.cell.plugin == "hier")
    found = hier.quantities["break_even_samples"]
    assert found.value == pytest.approx(90 / 3e-6)
    assert found.reason == "against wolff on CPU, another device"
    told = " ".join(verdict_sentences(results))
    assert "No sampler without training passed on CUDA at L = 8; the baseline there is wolff on CPU" in told
    _priced(store, {"hier": 9e-6})
    never = next(row for row in with_derived(load([store])).rows if row.cell.plugin == "hier")
    assert "not cheaper than wolff on CPU here" in (never.quantities["break_even_samples"].reason or "")


def test_with_training_spreads_training_and_preparation_over_a_million(tmp_path: Path):
    store = quick(sizes=(4,)).write(tmp_path / "run")
    _priced(store, {"hier": 2e-6})
    group = next(group for group in grouped(load([store]).contest) if group.label == "hier")
    spread = with_training(group)
    assert spread is not None
    assert spread.value == pytest.approx(2e-6 + 90 / 1e6)


def test_export_has_the_break_even_of_a_density_with_its_own_training(tmp_path: Path):
    cells = Made("wolff", 8, cost=6e-6), Made("own", 8, ess=0.5, train_s=12.0, kind="density")
    table = long_table([made_store(tmp_path / "run", *cells)])
    rows = table[table.quantity == "break_even_samples"]
    assert rows.plugin.tolist() == ["own"]
    assert rows.value.tolist() == [pytest.approx(12 / 4e-6)]


def test_cheapest_are_those_within_tolerance_by_value(tmp_path: Path):
    # 1.1 is within 20 % of 1.0; 2.0(9) is not, although it is within two errors
    cells = [Made("a", 8, cost=1.0), Made("b", 8, cost=1.1), Made("c", 8, cost=2.0, error=0.9)]
    cells.append(Made("d", 8, cost=0.1, status=Status.UNTRUSTED))
    found = cheapest(grouped(load([made_store(tmp_path / "run", *cells)]).contest), 8)
    assert [group.label for group in found] == ["a", "b"]
