"""Training by the plugin itself: budget, history, checkpoints that are continued, counts, and declared training."""

import math
from dataclasses import replace

import pytest
import torch
from fakes import own_training
from fakes.runs import cell_of, run_here

from nisbench.contract.catalog import _Registry
from nisbench.contract.records import Status
from nisbench.errors import PluginError, UserError
from nisbench.harness.build import UnavailableError, rebuild
from nisbench.harness.selection import select_plan
from nisbench.harness.training_data import training_data


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    own_training.register(monkeypatch)


def test_a_model_that_trains_itself_is_measured_like_one_that_the_core_trains(tmp_path):
    store = run_here(tmp_path / "r", plugins="own-model", train_steps=40, draws=2000, beta=0.02)
    cell = cell_of(store)
    result = store.result(cell.cell_id)
    assert result.status in (Status.OK, Status.UNTRUSTED), result.reason  # its tail may not be drawn
    assert result.quantities["train_steps"].value == 40
    assert result.quantities["n_parameters"].value == 16
    assert result.quantities["train_step_s"].n == 40
    history = store.history(cell.cell_id)
    assert history[0]["step"] == 1
    assert {"step", "seconds", "loss"} == set(history[-1])
    assert len(history) < 20  # lines at steps that grow by 1.25


@pytest.mark.parametrize("plugin", ["own-model", "own-chain"])
def test_a_stopped_training_continues_with_the_same_numbers(tmp_path, monkeypatch, plugin):
    whole = run_here(tmp_path / "whole", plugins=plugin, train_steps=12, draws=500)
    monkeypatch.setattr(own_training, "STOP_AT", 7)
    monkeypatch.setattr("nisbench.harness.fit._CHECKPOINT_S", 0.0)  # a checkpoint after each step
    with pytest.raises(own_training.Stopped):
        run_here(tmp_path / "r", plugins=plugin, train_steps=12, draws=500)
    monkeypatch.setattr(own_training, "STOP_AT", None)
    seen = []
    monkeypatch.setattr(own_training, "SEEN", seen)
    store = run_here(tmp_path / "r", plugins=plugin, train_steps=12, draws=500)
    cell = cell_of(store)
    assert next(step for step in seen if step) == 7  # step 0 is the warm-up
    series, expected = store.series(cell.cell_id), whole.series(cell.cell_id)
    assert all((series[name] == expected[name]).all() for name in expected)


def test_a_budget_of_zero_needs_no_gradient(tmp_path, monkeypatch):
    monkeypatch.setattr(own_training, "FROZEN", True)
    store = run_here(tmp_path / "r", plugins="own-model,frozen", train_steps=0, draws=8000, beta=0.05)
    for cell in store.cells():
        assert store.result(cell.cell_id).quantities["train_s"].value == 0
        assert store.state(cell.cell_id).status is Status.OK


def test_training_elsewhere_is_declared(tmp_path):
    store = run_here(tmp_path / "r", plugins="own-model", train_steps=0, draws=500, options={"own-model.trained_s": 50})
    result = store.result(cell_of(store).cell_id)
    assert result.quantities["train_s"].value == 50
    assert "50 s on V100, declared by the plugin and not measured here" in result.quantities["train_s"].reason
    assert "V100" in result.notes["trained elsewhere"]


def test_configurations_of_p_for_a_training_are_charged_once_and_do_not_judge(tmp_path, monkeypatch):
    def expensive(*arguments):
        return replace(training_data(*arguments), seconds=1000.0)

    given = {"plugins": "on-data", "reference": "wolff", "beta": 0.02, "train_steps": 6, "draws": 2000}
    monkeypatch.setattr("nisbench.harness.fit.training_data", expensive)
    monkeypatch.setattr(own_training, "STOP_AT", 4)
    monkeypatch.setattr("nisbench.harness.fit._CHECKPOINT_S", 0.0)
    with pytest.raises(own_training.Stopped):
        run_here(tmp_path / "r", **given)
    monkeypatch.setattr(own_training, "STOP_AT", None)
    store = run_here(tmp_path / "r", **given)
    cell = cell_of(store, plugin="on-data")
    result, kept = store.result(cell.cell_id), store.reference(cell.reference)
    assert 1007 < result.quantities["train_s"].value < 1900  # the data, and 7 s that are declared
    assert result.notes["training data"] == f"1000 configurations of cell {cell.reference}, charged with 1e+03 s"
    assert result.notes["trained elsewhere"].startswith("7 s on a device that is not stated")
    assert result.quantities["ess_fraction_p"].n == 1000  # the other half judges
    data = torch.from_numpy(kept.spins[:1000] > 0).flatten(1).double().mean(0)
    fitted = rebuild(store, cell).bias.sigmoid()
    assert (fitted - data).abs().max() < (0.5 - data).abs().max() / 2
    _costs_what_the_reference_took(store, cell, kept)


@pytest.mark.parametrize("plugin", ["chain-on-data", "weighted-on-data"])
def test_samplers_without_a_density_get_configurations_of_p_too(tmp_path, monkeypatch, plugin):
    def expensive(*arguments):
        return replace(training_data(*arguments), seconds=1000.0)

    monkeypatch.setattr("nisbench.harness.fit.training_data", expensive)
    store = run_here(tmp_path / "r", plugins=plugin, reference="wolff", beta=0.02, train_steps=3, draws=4000)
    cell = cell_of(store, plugin=plugin)
    result = store.result(cell.cell_id)
    assert 1000 < result.quantities["train_s"].value < 1900
    assert result.notes["training data"] == f"1000 configurations of cell {cell.reference}, charged with 1e+03 s"
    assert "p side" not in (result.reason or "")
    sampler = rebuild(store, cell)
    assert int(sampler.shift) == 3000 if plugin == "chain-on-data" else sampler.field.abs().max() > 0


def test_a_sampler_that_trains_is_prepared_once(tmp_path, monkeypatch):
    monkeypatch.setattr(own_training, "PREPARED", prepared := [])
    run_here(tmp_path / "trained", plugins="own-chain", train_steps=4, draws=500)
    assert prepared == [4]  # no preparation of the instance that made the first training step
    prepared.clear()
    run_here(tmp_path / "untrained", plugins="own-chain", train_steps=0, draws=500)
    assert prepared == [0, 0]


def _costs_what_the_reference_took(store, cell, kept):
    reference = store.result(cell.reference).quantities
    draws = 1000 * math.ceil(2 * kept.tau_int) / store.cell(cell.reference).draws
    expected = reference["prepare_s"].value + draws * reference["draw_s"].value
    assert training_data(store, cell, torch.device("cpu")).seconds == pytest.approx(expected)


def test_a_training_on_data_without_a_reference_is_one_line(tmp_path):
    with pytest.raises(PluginError, match="its cell has no reference; give --reference"):
        run_here(tmp_path / "r", plugins="on-data", train_steps=2, draws=500)


@pytest.mark.parametrize("seconds", [-1, float("inf"), "3 h", True])
def test_declared_seconds_that_are_no_seconds_are_refused(seconds):
    registry = _Registry("tests", "1")
    with pytest.raises(PluginError, match=r"trained_s of 'x' is .*; give the seconds of the training"):
        registry.sampler("x", factory="a:B", summary="", trained_s=seconds)


def test_unsupported_is_told_beta(tmp_path):
    with pytest.raises(UnavailableError, match="too cold: beta = 6"):
        run_here(tmp_path / "r", plugins="own-model", train_steps=0, draws=500, beta=6)


def test_a_budget_that_no_plugin_can_use_is_refused():
    for budget in ({"train_steps": 5}, {"train_seconds": 5}):
        with pytest.raises(UserError, match="wolff cannot be trained; leave the budget out"):
            select_plan(None, device="cpu", plugins="wolff", sizes=4, **budget)


def test_the_trained_state_is_restored(tmp_path):
    store = run_here(tmp_path / "r", plugins="own-chain", train_steps=5, draws=500)
    assert rebuild(store, cell_of(store)).steps == torch.tensor(5)
