"""Fitted exponents of costs."""

import math
from pathlib import Path

import numpy as np
import pytest
from fakes.stores import quick
from fakes.verdicts import Made, made_store

from nisbench.contract.records import Budget, CellResult, Estimate, Status
from nisbench.harness.store import Store
from nisbench.results.cells import load
from nisbench.results.derived import with_derived
from nisbench.results.exponents import exponents
from nisbench.results.export import long_table


def test_exponents_of_known_power_laws(quick_store: Store):
    found = {(fit.series.label, fit.series.quantity): fit for fit in exponents(load([quick_store]).groups)}
    assert found["hier", "n_parameters"].fitted.value == pytest.approx(2.0)
    assert found["hier", "draw_s_per_1000"].fitted.value == pytest.approx(1.4, abs=0.05)
    assert found["wolff", "draw_s_per_1000"].fitted.value == pytest.approx(1.8, abs=0.05)
    untrusted = {row.cell.L for row in load([quick_store]).contest if row.label == "van" and not row.trusted}
    assert untrusted
    assert not untrusted & set(found["van", "s_per_effective_sample"].series.sizes)
    assert untrusted < set(found["van", "train_step_s"].series.sizes)
    assert found["van", "n_parameters"].last_two.value == pytest.approx(math.log(131_840 / 8_384) / math.log(2))
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
    names = {fit.series.quantity for fit in exponents(load([made]).groups) if fit.series.label == "hier"}
    assert names == {"train_step_s"}


def test_negative_control_a_wrong_exponent_would_be_seen(quick_store: Store):
    fits = {(fit.series.label, fit.series.quantity): fit.fitted for fit in exponents(load([quick_store]).groups)}
    fitted = fits["hier", "draw_s_per_1000"]
    assert fitted.value is not None
    assert fitted.error is not None
    assert abs(fitted.value - 1.6) > 5 * fitted.error
    assert np.isfinite(fitted.error)


def test_time_to_a_given_kl_grows_with_the_size(tmp_path: Path):
    """KL <= 0.1 is ESS >= 0.905, reached after L^2/64 s. At L = 64 it is not reached, so that this size has no time."""
    cells = [
        Made("hier", L, ess=0.99, train_s=99.0, kl=True, history=((0.9 * t, 0.5), (t, last), (2 * t, last)))
        for L, t, last in ((8, 1.0, 0.95), (16, 4.0, 0.95), (32, 16.0, 0.95), (64, 40.0, 0.9))
    ]
    results = with_derived(load([made_store(tmp_path / "run", *cells)]))
    times = {row.cell.L: row.quantities["train_s_to_kl"] for row in results.rows}
    assert [times[L].value for L in (8, 16, 32, 64)] == [1.0, 4.0, 16.0, math.inf]
    assert times[64].reason == "not reached in 80 s"
    [fit] = [fit for fit in exponents(results.groups) if fit.series.quantity == "train_s_to_kl"]
    assert fit.series.sizes == (8, 16, 32)
    assert fit.fitted.value == pytest.approx(2.0)
