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
    {"n_spins": 70, "n_border": 7, "depth": 3, "width": 2},
    {"n_spins": 37, "depth": 1},
    {"n_spins": 37, "n_border": 3, "depth": 5, "width": 3, "residual": True},
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
    like = net.layers[0].weight
    uniform = thresholds(net.n_spins, n, like=like, generator=generator)
    border = (
        torch.randint(0, 2, (net.n_border, n), generator=generator).to(like.dtype) * 2 - 1 if net.n_border else None
    )
    return uniform, border


@torch.no_grad()
def naive_sample(net: AutoregressiveDense, uniform: Tensor, border: Tensor | None) -> tuple[Tensor, Tensor]:
    """One full forward pass per spin: the oracle."""
    spins = torch.zeros_like(uniform)
    for k in range(net.n_spins):
        spins[k] = torch.where(net(spins, border)[k] > uniform[k], 1.0, -1.0)
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
    uniform, border = inputs(net, 5)
    changed = dependence(net, torch.sign(uniform), border)
    lower = torch.ones_like(changed).tril(-1)
    assert not (changed & ~lower).any()
    assert (changed | ~lower).all()


@pytest.mark.parametrize("shape", [s for s in SHAPES if s.get("n_border") and s.get("depth", 2) == 2], ids=str)
def test_a_transposed_border_mask_is_caught(shape: dict[str, Any]) -> None:
    """Negative control: the defect of a published layer, spins feeding the units of the border."""
    net = build(shape)
    first = net.layers[0].mask
    first[: net.n_border * net.width, net.n_border :] = True
    net.layers[0].weight.data.add_(0.1)
    uniform, border = inputs(net, 5)
    changed = dependence(net, torch.sign(uniform), border)
    assert (changed & ~torch.ones_like(changed).tril(-1)).any()


@pytest.mark.parametrize("n", [1, 7, 260])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sampling_equals_one_full_pass_per_spin(shape: dict[str, Any], n: int) -> None:
    net = build(shape)
    uniform, border = inputs(net, n)
    trace = net.sample(uniform, border)
    spins, logits = naive_sample(net, uniform, border)
    assert torch.equal(trace.spins, spins)
    torch.testing.assert_close(trace.logits, logits, rtol=0, atol=1e-10)
    again = net.evaluate(spins, border) if net.traceable else trace
    torch.testing.assert_close(again.post, trace.post, rtol=0, atol=1e-10)
    torch.testing.assert_close(again.pre, trace.pre, rtol=0, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_drawing_and_scoring_equal_sampling(shape: dict[str, Any]) -> None:
    net = build(shape)
    uniform, border = inputs(net, 150)
    trace = net.sample(uniform, border)
    spins, log_prob = net.draw(uniform, border)
    assert torch.equal(spins, trace.spins)
    torch.testing.assert_close(log_prob, spin_log_prob(trace.spins, trace.logits), rtol=0, atol=1e-10)
    with torch.no_grad():
        torch.testing.assert_close(net.score(spins, border), log_prob, rtol=0, atol=1e-10)
    torch.testing.assert_close(net.score(spins, border).detach(), log_prob, rtol=0, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_float32_sampling_is_within_its_rounding(shape: dict[str, Any]) -> None:
    net = build(shape, torch.float32)
    uniform, border = inputs(net, 200)
    trace = net.sample(uniform, border)
    exact = net.double()(trace.spins.double(), None if border is None else border.double())
    torch.testing.assert_close(trace.logits.double(), exact, rtol=1e-4, atol=1e-4)
    assert torch.equal(trace.spins, torch.where(trace.logits > uniform, 1.0, -1.0))


@pytest.mark.parametrize("shape", [s for s in SHAPES if s.get("depth", 2) > 1 and not s.get("residual")], ids=str)
def test_the_compiled_kernel_equals_the_torch_operations(
    shape: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    net = build(shape)
    uniform, border = inputs(net, 131)
    compiled = net.sample(uniform, border)
    monkeypatch.setattr(AutoregressiveDense, "compiled", False)
    plain = net.sample(uniform, border)
    again = net.evaluate(plain.spins, border)
    assert torch.equal(compiled.spins, plain.spins)
    for name in ("inputs", "pre", "post", "logits", "log_prob"):
        torch.testing.assert_close(getattr(compiled, name), getattr(plain, name), rtol=0, atol=1e-10)
        torch.testing.assert_close(getattr(again, name), getattr(plain, name), rtol=0, atol=1e-10)


@pytest.mark.parametrize("shape", [s for s in SHAPES if s.get("depth", 2) > 1 and not s.get("residual")], ids=str)
def test_the_written_out_gradient_equals_autograd(shape: dict[str, Any]) -> None:
    net = build(shape)
    trace = net.sample(*inputs(net, 65))
    weight = torch.randn(65, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    parameters = list(net.parameters())
    fast = net.log_prob(trace)
    border = trace.inputs[: net.n_border] if net.n_border else None
    slow = spin_log_prob(trace.spins, net(trace.spins, border))
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-10)
    for a, b in zip(
        torch.autograd.grad((weight * fast).sum(), parameters),
        torch.autograd.grad((weight * slow).sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_masked_weights_stay_zero_whatever_the_stored_ones_are() -> None:
    net = build({"n_spins": 6, "n_border": 4})
    for layer in net.layers:
        assert torch.equal(layer.masked_weight() != 0, layer.mask)


def test_thresholds_turn_logits_into_their_probabilities() -> None:
    """Power: n = 4e5 puts 1 % of p = 0.3 at 4 standard errors; the negative control is off by 5 %."""
    like, n = torch.zeros((), dtype=torch.float64), 400_000
    uniform = thresholds(1, n, like=like, generator=torch.Generator().manual_seed(5))[0]
    p = 0.3
    error = (p * (1 - p) / n) ** 0.5
    frequency = (torch.logit(torch.tensor(p, dtype=torch.float64)) > uniform).double().mean().item()
    assert abs(frequency - p) < 4 * error
    wrong = (torch.logit(torch.tensor(1.05 * p, dtype=torch.float64)) > uniform).double().mean().item()
    assert abs(wrong - p) > 4 * error


def test_depth_and_width_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        AutoregressiveDense(4, depth=0)
