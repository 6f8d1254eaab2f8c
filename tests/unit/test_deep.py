"""Deep masked networks: autoregressive, and drawing equal to one full pass per spin."""

from typing import Any

import pytest
import torch

from nisbench.nn.bernoulli import spin_log_prob, thresholds
from nisbench.nn.deep import AutoregressiveDeep

SHAPES: list[dict[str, Any]] = [
    {"n_spins": 20, "depth": 1},
    {"n_spins": 16, "depth": 3, "width": 2},
    {"n_spins": 12, "depth": 2, "residual": True},
    {"n_spins": 17, "depth": 5, "width": 3, "residual": True},
    {"n_spins": 9, "depth": 3, "bias": False},
]


def build(shape: dict[str, Any]) -> AutoregressiveDeep:
    torch.manual_seed(0)
    net = AutoregressiveDeep(**shape).double()
    for parameter in net.parameters():  # far from the start, so that every path through the net counts
        parameter.data.mul_(2).add_(0.1 * torch.randn_like(parameter))
    return net


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_logit_k_depends_on_the_spins_before_k_and_on_all_of_them(shape: dict[str, Any]) -> None:
    net, n_spins = build(shape), shape["n_spins"]
    spins = torch.randint(0, 2, (n_spins, 5), generator=torch.Generator().manual_seed(2)).double() * 2 - 1
    base, changed = net(spins), torch.zeros(n_spins, n_spins, dtype=torch.bool)
    for j in range(n_spins):
        flipped = spins.clone()
        flipped[j] *= -1
        changed[:, j] = (net(flipped) != base).any(1)
    assert torch.equal(changed, torch.ones_like(changed).tril(-1))


@pytest.mark.parametrize("n", [1, 9])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_drawing_equals_one_full_pass_per_spin(shape: dict[str, Any], n: int) -> None:
    net = build(shape)
    limits = thresholds(net.n_spins, n, like=net.layers[0].weight, generator=torch.Generator().manual_seed(4))
    drawn, log_prob = net.draw(limits)
    spins = torch.zeros_like(limits)
    with torch.no_grad():
        for k in range(net.n_spins):
            spins[k] = torch.where(net(spins)[k] > limits[k], 1.0, -1.0)
        expected = spin_log_prob(spins, net(spins))
    assert torch.equal(drawn, spins)
    torch.testing.assert_close(log_prob, expected, rtol=0, atol=1e-10)


def test_depth_and_width_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        AutoregressiveDeep(4, depth=0)
