"""Masked dense networks: autoregressive, and each fast path equal to one full forward pass per spin."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from nisbench.nn.bernoulli import spin_log_prob, thresholds
from nisbench.nn.dense import AutoregressiveDense

SHAPES: list[dict[str, Any]] = [
    {"n_spins": 16},
    {"n_spins": 5, "n_border": 12},
    {"n_spins": 45, "n_border": 20, "width": 2},
    {"n_spins": 33, "n_border": 4, "bias": False},
]


def build(shape: dict[str, Any], dtype: torch.dtype = torch.float64, seed: int = 0) -> AutoregressiveDense:
    torch.manual_seed(seed)
    net = AutoregressiveDense(**shape).to(dtype)
    for parameter in net.parameters():  # far from the start, so that every path through the net counts
        parameter.data.mul_(2).add_(0.1 * torch.randn_like(parameter))
    return net


def inputs(net: AutoregressiveDense, n: int, seed: int = 1) -> tuple[Tensor, Tensor | None]:
    generator = torch.Generator().manual_seed(seed)
    like = net.first.weight
    limits = thresholds(net.n_spins, n, like=like, generator=generator)
    border = (
        torch.randint(0, 2, (net.n_border, n), generator=generator).to(like.dtype) * 2 - 1 if net.n_border else None
    )
    return limits, border


@torch.no_grad()
def naive_sample(net: AutoregressiveDense, limits: Tensor, border: Tensor | None) -> tuple[Tensor, Tensor]:
    """One full forward pass per spin: the oracle."""
    spins = torch.zeros_like(limits)
    for k in range(net.n_spins):
        spins[k] = torch.where(net(spins, border)[k] > limits[k], 1.0, -1.0)
    return spins, net(spins, border)


def dependence(net: Callable[[Tensor, Tensor | None], Tensor], spins: Tensor, border: Tensor | None) -> Tensor:
    """(n_spins, n_spins) bool: whether flipping spin j (column) changes logit k (row)."""
    base = net(spins, border)
    changed = torch.zeros(len(spins), len(spins), dtype=torch.bool)
    for j in range(len(spins)):
        flipped = spins.clone()
        flipped[j] *= -1
        changed[:, j] = (net(flipped, border) != base).any(1)
    return changed


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_logit_k_depends_on_the_spins_before_k_and_on_all_of_them(shape: dict[str, Any]) -> None:
    net = build(shape)
    limits, border = inputs(net, 5)
    changed = dependence(net, torch.sign(limits), border)
    lower = torch.ones_like(changed).tril(-1)
    assert not (changed & ~lower).any()
    assert (changed | ~lower).all()


@pytest.mark.parametrize("shape", [s for s in SHAPES if s.get("n_border")], ids=str)
def test_a_transposed_border_mask_is_caught(shape: dict[str, Any]) -> None:
    """Negative control: the defect of a published layer, spins feeding the units of the border."""
    net = build(shape)
    first = net.first.mask
    first[: net.n_border * net.width, net.n_border :] = 1
    net.first.weight.data.add_(0.1)
    limits, border = inputs(net, 5)
    changed = dependence(net, torch.sign(limits), border)
    assert (changed & ~torch.ones_like(changed).tril(-1)).any()


@pytest.mark.parametrize("n", [1, 7, 260])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_drawing_equals_one_full_pass_per_spin(shape: dict[str, Any], n: int) -> None:
    net = build(shape)
    limits, border = inputs(net, n)
    drawn, log_prob = net.draw(limits, border)
    spins, logits = naive_sample(net, limits, border)
    assert torch.equal(drawn, spins)
    torch.testing.assert_close(log_prob, spin_log_prob(spins, logits), rtol=0, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_float32_drawing_is_within_its_rounding(shape: dict[str, Any]) -> None:
    net = build(shape, torch.float32)
    limits, border = inputs(net, 200)
    spins, log_prob = net.draw(limits, border)
    logits = net.double()(spins.double(), None if border is None else border.double())
    torch.testing.assert_close(log_prob, spin_log_prob(spins.double(), logits), rtol=1e-5, atol=1e-4)
    # a spin may differ from the one of the exact logits only where the threshold lies within the rounding of the logit
    other = torch.where(logits > limits, 1.0, -1.0) != spins
    assert (logits - limits).abs()[other].numel() <= 2
    assert ((logits - limits).abs()[other] < 1e-4).all()


def test_masked_weights_stay_zero_whatever_the_stored_ones_are() -> None:
    net = build({"n_spins": 6, "n_border": 4})
    for layer in (net.first, net.last):
        assert torch.equal(layer.masked_weight() != 0, layer.mask != 0)


def test_a_unit_at_the_kink_of_prelu_has_the_gradient_of_torch() -> None:
    """Units of the first spin have no input and no bias, so that z = 0 exactly."""
    net = build({"n_spins": 4, "width": 2})
    with torch.no_grad():
        net.first.bias.zero_()  # type: ignore[union-attr]
    spins = torch.randint(0, 2, (4, 9), generator=torch.Generator().manual_seed(3)).double() * 2 - 1
    compiled = torch.autograd.grad(net.score(spins).sum(), list(net.parameters()))
    plain = torch.autograd.grad(spin_log_prob(spins, net(spins)).sum(), list(net.parameters()))
    assert compiled[1].any()
    for a, b in zip(compiled, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_thresholds_turn_logits_into_their_probabilities() -> None:
    """Power: n = 4e5 puts 1 % of p = 0.3 at 4 standard errors; the negative control is off by 5 %."""
    like, n = torch.zeros((), dtype=torch.float64), 400_000
    limits = thresholds(1, n, like=like, generator=torch.Generator().manual_seed(5))[0]
    p = 0.3
    error = (p * (1 - p) / n) ** 0.5
    frequency = (torch.logit(torch.tensor(p, dtype=torch.float64)) > limits).double().mean().item()
    assert abs(frequency - p) < 4 * error
    wrong = (torch.logit(torch.tensor(1.05 * p, dtype=torch.float64)) > limits).double().mean().item()
    assert abs(wrong - p) > 4 * error


def test_a_width_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        AutoregressiveDense(4, width=0)
