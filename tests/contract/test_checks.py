"""Every check can fail: for each check a wrong plugin fails it and no other check, and correct plugins pass all."""

import pytest
import torch
from fakes import densities, models, samplers, weighted

from nisbench.conformance import fit
from nisbench.conformance import samplers as means
from nisbench.conformance.checks import CheckResult, checks_for, run_checks
from nisbench.contract.catalog import Catalog, Entry, load_catalog
from nisbench.contract.interfaces import Sampler
from nisbench.errors import PluginError, UnknownName

REGISTERED = {models: "model", densities: "density", samplers: "sampler", weighted: "sampler"}
CORRECT = {models: models.Logistic, densities: densities.OpenRows, samplers: samplers.HeatBath}
CORRECT |= {weighted: weighted.Weighted}
OPTIONS = {models: models.LogisticOptions, samplers: samplers.HeatBathOptions}

RIGHT = [
    models.Logistic,
    models.OtherDraws,
    models.Marginal,
    models.Rows,
    models.RowPairs,
    models.Exact,
    densities.OpenRows,
    densities.FittedRows,
    samplers.HeatBath,
    samplers.FittedHeatBath,
    samplers.Bridged,
    weighted.Weighted,
    weighted.Unnormalised,
]

WRONG = [
    (models.NotAModel, "loads"),
    (models.NoParametersAt8, "builds"),
    (models.WideSpinsAt8, "sample_shapes"),
    (models.SloppyLogProb, "sample_log_prob"),
    (models.Epsilon, "normalised"),
    (models.Tempered, "frequencies"),
    (models.SlightlyTempered, "pooled_fit"),
    (models.Twice, "independent"),
    (models.OwnGenerator, "same_seed"),
    (models.FixedSeed, "different_seed"),
    (models.WrongSignal, "training_batch"),
    (models.WeakGradient, "training_batch"),
    (models.OtherDrawsHalfGradient, "training_batch"),
    (models.ForgetfulPairs, "training_batch"),
    (models.DeadParameter, "gradient"),
    (models.CountsItsSteps, "recorded_step"),
    (models.RemembersBeta, "explicit_beta"),
    (models.OneSided, "z2_symmetry"),
    (models.Squeezing, "odd_batches"),
    (models.BatchNormal, "odd_batches"),
    (models.HiddenParameter, "state_dict"),
    (models.GlobalGenerator, "no_global_state"),
    (models.DefaultDtype, "no_global_state"),
    (models.EmptyReason, "unsupported_sizes"),
    (models.FalsePromise, "unsupported_sizes"),
    (models.NothingShared, "level_pairs"),
    (models.AllShared, "level_pairs"),
    (models.OtherLogProb, "level_pairs"),
    (models.UnknownCost, "costs"),
    (models.EndlessCost, "costs"),
    (samplers.NotASampler, "loads"),
    (samplers.DividesByBeta, "builds"),
    (samplers.WideSpinsAt8, "draw_shapes"),
    (samplers.SkipsAtEachCall, "continuing"),
    (samplers.WrongSeries, "series"),
    (samplers.WrongClusters, "series"),
    (samplers.ForgetsTheSeries, "series"),
    (samplers.KeepsLattice, "same_seed"),
    (samplers.FixedSeed, "different_seed"),
    (samplers.CappedBeta, "exact_means"),
    (samplers.FirstBeta, "prepare_beta"),
    (samplers.ShiftedBridges, "log_z"),
    (samplers.GlobalGenerator, "no_global_state"),
    (samplers.EmptyReason, "unsupported_sizes"),
    (samplers.FalsePromise, "unsupported_sizes"),
    (samplers.EndlessCost, "costs"),
    (weighted.NotASampler, "loads"),
    (weighted.DividesByBeta, "builds"),
    (weighted.WideSpins, "draw_shapes"),
    (weighted.RemembersPreparation, "same_seed"),
    (weighted.FixedSeed, "different_seed"),
    (weighted.CappedBeta, "exact_means"),
    (weighted.FirstBeta, "prepare_beta"),
    (weighted.WrongFactor, "normalisation"),
    (weighted.Twice, "independent"),
    (weighted.GlobalGenerator, "no_global_state"),
    (weighted.FalsePromise, "unsupported_sizes"),
    (weighted.EndlessCost, "costs"),
    (densities.NotADensity, "loads"),
    (densities.DividesByBeta, "builds"),
    (densities.WideSpinsAt8, "sample_shapes"),
    (densities.SloppyLogProb, "sample_log_prob"),
    (densities.Epsilon, "normalised"),
    (densities.Tempered, "frequencies"),
    (densities.SlightlyTempered, "pooled_fit"),
    (densities.Twice, "independent"),
    (densities.OwnGenerator, "same_seed"),
    (densities.FixedSeed, "different_seed"),
    (densities.FirstBeta, "explicit_beta"),
    (densities.Squeezing, "odd_batches"),
    (densities.DefaultDtype, "no_global_state"),
    (densities.FalsePromise, "unsupported_sizes"),
    (densities.UnknownCost, "costs"),
]


ALSO = {
    models.Tempered: {"pooled_fit"},
    densities.Tempered: {"pooled_fit"},
    models.FixedSeed: {"independent", "pooled_fit"},
    densities.FixedSeed: {"independent", "pooled_fit"},
    models.Twice: {"frequencies"},
    densities.Twice: {"frequencies"},
    weighted.FixedSeed: {"independent"},
    weighted.Twice: {"continuing", "exact_means", "prepare_beta", "normalisation"},
    samplers.FixedSeed: {"exact_means", "prepare_beta"},
}
"""Checks that a wrong plugin may fail besides its own, because they look at the same draws."""


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch, request):
    """Faults of a few per cent need fewer draws than the one per cent that the checks must see."""
    plugin = request.node.callspec.params.get("plugin") if hasattr(request.node, "callspec") else None
    monkeypatch.setattr(fit, "MOST_DRAWS", 2**17 if "SlightlyTempered" in str(plugin) else 2**14)
    monkeypatch.setattr(means, "LEAST_ESS", 13_000)


@pytest.fixture(autouse=True)
def _global_state():
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.set_default_dtype(dtype)


def module_of(plugin: type) -> object:
    return next(module for module in REGISTERED if module.__name__ == plugin.__module__)


def catalog_of(plugin: type) -> Catalog:
    """A catalog with one class of `fakes`, registered as the kind of its module."""
    module = module_of(plugin)
    given = {"options": OPTIONS[module]} if module in OPTIONS else {}
    trains = getattr(plugin, "fit", Sampler.fit) is not Sampler.fit
    factory = f"{plugin.__module__}:{plugin.__name__}"
    entry = Entry("fake", REGISTERED[module], "tests", "0", factory=factory, devices=("cpu",), trains=trains, **given)
    return Catalog(plugins={"fake": entry}, targets=load_catalog([]).targets)


def results(plugin: type) -> dict[str, CheckResult]:
    return {result.name: result for result in run_checks("fake", catalog_of(plugin))}


def failures(plugin: type) -> dict[str, str]:
    return {name: result.message for name, result in results(plugin).items() if not result.passed}


@pytest.mark.parametrize("plugin", RIGHT, ids=lambda plugin: plugin.__name__)
def test_right_plugin_passes_every_check(plugin):
    assert failures(plugin) == {}


@pytest.mark.parametrize(("plugin", "check"), WRONG, ids=lambda case: getattr(case, "__name__", case))
def test_wrong_plugin_fails_its_check_alone(plugin, check):
    found = set(failures(plugin))
    assert check in found
    assert found - {check} <= ALSO.get(plugin, set())


@pytest.mark.parametrize("module", REGISTERED, ids=lambda module: module.__name__)
def test_every_check_has_a_wrong_plugin(module):
    covered = {check for plugin, check in WRONG if module_of(plugin) is module}
    assert covered == {"loads", *(check.__name__ for check in checks_for(CORRECT[module]))}


@pytest.mark.parametrize(
    ("plugin", "check"),
    [(models.SelfSeeing, "normalised"), (weighted.HalfWeights, "exact_means"), (samplers.Frozen, "exact_means")],
    ids=lambda case: getattr(case, "__name__", case),
)
def test_grave_errors_fail_too(plugin, check):
    assert check in failures(plugin)


def test_messages_open_with_the_clause_and_tell_what_was_found():
    found = results(models.Epsilon)
    assert found["costs"].message == "`costs` names known counters, each a finite number per draw."
    assert found["normalised"].message.startswith("q sums to 1 within 1e-10 over all 2^16 states")
    assert "Found: the sum is 1 +" in found["normalised"].message


@pytest.mark.parametrize("plugin", CORRECT.values(), ids=lambda plugin: plugin.__name__)
def test_clauses_are_one_line(plugin):
    for check in checks_for(plugin):
        assert check.__doc__
        assert "\n" not in check.__doc__


def test_a_plugin_that_does_not_load_has_one_result():
    assert list(results(models.NotAModel)) == ["loads"]
    assert "not a subclass of nisbench.api.Model" in results(models.NotAModel)["loads"].message


def test_unknown_and_broken_names_are_errors():
    with pytest.raises(UnknownName):
        run_checks("fak", catalog_of(models.Logistic))
    broken = Catalog(plugins={}, targets={}, broken=(Entry("bad", None, "tests", "0", broken="ImportError: x"),))
    with pytest.raises(PluginError, match="ImportError: x"):
        run_checks("bad", broken)
