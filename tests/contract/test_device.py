"""The checks of a model on another device: the wrapper is transparent, and it hides no violation."""

import pytest
import torch

from nisbench.conformance import densities, models
from nisbench.conformance.checks import run_checks
from nisbench.conformance.device import OnDevice
from nisbench.conformance.shared import costs
from nisbench.conformance.subject import BETA, Check, Subject, Violation, generator
from nisbench.conformance.training import gradient, recorded_step, training_batch
from nisbench.contract.catalog import load_catalog
from nisbench.errors import InvalidValue

CATALOG = load_catalog()
CHECKS: tuple[Check, ...] = (
    densities.sample_shapes,
    densities.sample_log_prob,
    models.same_seed,
    densities.different_seed,
    models.state_dict,
    models.level_pairs,
    costs,
    training_batch,
    gradient,
)


def subject(name: str) -> Subject:
    """`cpu:0` is the CPU under another name, so that models are wrapped."""
    return Subject(CATALOG.plugin(name), CATALOG, "cpu:0")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", ["van", "hier-exact"])
def test_a_wrapped_model_keeps_the_contract(name: str, check: Check) -> None:
    assert isinstance(subject(name).model(), OnDevice)
    check(subject(name))


def test_a_violation_is_seen_through_the_wrapper(monkeypatch: pytest.MonkeyPatch) -> None:
    found = subject("van")
    right = found.factory.log_prob
    monkeypatch.setattr(found.factory, "log_prob", lambda self, spins, *, beta: 1.01 * right(self, spins, beta=beta))
    with pytest.raises(Violation, match="a difference of"):
        densities.sample_log_prob(found)


def test_the_density_is_that_of_the_wrapped_model() -> None:
    model = subject("van").model()
    assert isinstance(model, OnDevice)
    draws = model.sample(20, beta=BETA, generator=generator(1))
    with torch.no_grad():
        expected = model.model.log_prob(draws.spins, beta=BETA)
    torch.testing.assert_close(draws.log_prob, expected, rtol=0, atol=1e-10)


def test_what_cannot_be_checked_on_a_device_is_refused() -> None:
    with pytest.raises(InvalidValue, match="'wolff' is a sampler that runs on cpu"):
        run_checks("wolff", CATALOG, "cuda")
    if not torch.cuda.is_available():
        with pytest.raises(InvalidValue, match="finds no CUDA device"):
            run_checks("van", CATALOG, "cuda")


def test_a_model_that_is_not_capturable_needs_no_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    assert recorded_step(subject("van")).endswith("gradients")
    monkeypatch.setattr(subject("van").factory, "capturable", False)
    assert recorded_step(subject("van")) == "It is not capturable."
