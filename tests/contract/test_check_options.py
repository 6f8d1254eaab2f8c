"""Models of one size or one precision, options of the check, and the checks as tests of pytest."""

from dataclasses import replace

import pytest
import torch
from fakes import models

from nisbench import testing
from nisbench.conformance.checks import clauses
from nisbench.contract.catalog import Catalog, Entry, load_catalog
from nisbench.errors import InvalidValue, UnknownName


class OneSize(models.Logistic):
    """Exists at L = 6 alone."""

    @classmethod
    def unsupported(cls, target, options):
        return None if target.L == 6 else f"the weights are those of L = 6, not L = {target.L}"


class OneSizeWrong(OneSize):
    """ln q of `sample` is off."""

    def sample(self, n, *, beta, generator):
        draws = super().sample(n, beta=beta, generator=generator)
        return replace(draws, log_prob=draws.log_prob + 0.1)


class SinglePrecision(models.Logistic):
    """Refuses parameters in float64, as compiled kernels do."""

    def log_prob(self, spins, *, beta):
        if self.bias.dtype != torch.float32:
            raise RuntimeError("the kernel takes float32")
        return super().log_prob(spins, beta=beta)


class SinglePrecisionUnnormalised(SinglePrecision):
    """q sums to 1.001."""

    def log_prob(self, spins, *, beta):
        return super().log_prob(spins, beta=beta) + 1e-3


class Frozen(models.Logistic):
    """A published network: nothing is trained."""

    def __init__(self, target, options):
        super().__init__(target, options)
        self.requires_grad_(False)


def catalog_of(plugin):
    factory = f"{plugin.__module__}:{plugin.__name__}"
    options = models.LogisticOptions
    entry = Entry("fake", "model", "tests", "0", factory=factory, devices=("cpu",), options=options)
    return Catalog(plugins={"fake": entry}, targets=load_catalog([]).targets)


def outcomes(plugin, *names, given=None, **arguments):
    """The outcomes of these checks, and all their messages."""
    found = clauses("fake", catalog_of(plugin), given=given, **arguments)
    results = [clause.run() for clause in found if clause.name in names]
    return {r.name: r.outcome for r in results}, " ".join(r.message for r in results)


def test_a_model_of_one_size_gets_every_check_without_enumeration():
    names = ("loads", "sample_shapes", "sample_log_prob", "normalised", "frequencies", "odd_batches", "gradient")
    found, said = outcomes(OneSize, *names, sizes=(6,))
    assert [name for name, outcome in found.items() if outcome == "n/a"] == ["normalised", "frequencies"]
    assert set(found.values()) == {"ok", "n/a"}
    assert "sums over all states of L = 4, which the plugin refuses" in said
    assert "at L = 6" in said
    assert outcomes(OneSizeWrong, "sample_log_prob", sizes=(6,))[0] == {"sample_log_prob": "FAIL"}
    found, said = outcomes(OneSize, "loads", "builds")
    assert found == {"loads": "FAIL"}  # the other checks do not run
    assert "give --sizes" in said


def test_a_float32_model_is_judged_by_the_limits_of_float32():
    found, said = outcomes(SinglePrecision, "loads", "sample_log_prob", "normalised", "odd_batches", "state_dict")
    assert set(found.values()) == {"ok"}
    assert "judged by the limits of float32" in said
    assert outcomes(SinglePrecisionUnnormalised, "normalised")[0] == {"normalised": "FAIL"}


def test_checks_of_training_do_not_apply_to_a_frozen_model():
    found, _ = outcomes(Frozen, "training_batch", "gradient", "sample_log_prob")
    assert found == {"training_batch": "n/a", "gradient": "n/a", "sample_log_prob": "ok"}


def test_options_and_beta():
    found, _ = outcomes(models.Logistic, "sample_log_prob", given={"fake": {"z2": False}}, beta=0.2)
    assert found == {"sample_log_prob": "ok"}
    with pytest.raises(InvalidValue, match="only options of fake"):
        outcomes(models.Logistic, given={"ising": {"boundary": "free"}})
    with pytest.raises(UnknownName, match="no option of fake"):
        outcomes(models.Logistic, given={"fake": {"zz": "1"}})


def test_parametrize_with_checks_is_strict(monkeypatch):
    monkeypatch.setattr(testing, "load_catalog", lambda: catalog_of(OneSizeWrong))
    expected = {"sample_log_prob": "off by 0.1"}
    mark = testing.parametrize_with_checks("fake", sizes=[6], expected_failures=expected).mark
    cases = {case.id: case for case in mark.args[1]}
    (xfail,) = cases["sample_log_prob"].marks
    assert (xfail.name, xfail.kwargs["strict"], xfail.kwargs["reason"]) == ("xfail", True, "off by 0.1")
    assert not cases["gradient"].marks
    with pytest.raises(AssertionError, match=r"a difference of 0\.1"):
        cases["sample_log_prob"].values[0]()
    cases["gradient"].values[0]()
    with pytest.raises(pytest.skip.Exception, match="not applicable"):
        cases["normalised"].values[0]()
    with pytest.raises(UnknownName, match="no check 'gradiant'; did you mean 'gradient'"):
        testing.parametrize_with_checks("fake", sizes=[6], expected_failures={"gradiant": "typo"})
