"""Masked convolutions: autoregressive in raster order, and cached sampling equal to one full pass per spin."""

from typing import Any

import pytest
import torch

from nisbench.nn.bernoulli import spin_log_prob, thresholds
from nisbench.nn.conv import AutoregressiveConv

SHAPES: list[dict[str, Any]] = [
    {"L": 4, "depth": 1, "channels": 1, "half_kernel": 2},
    {"L": 5, "depth": 3, "channels": 4, "half_kernel": 2},
    {"L": 6, "depth": 4, "channels": 3, "half_kernel": 1, "residual": True},
    {"L": 4, "depth": 2, "channels": 3, "half_kernel": 6, "bias": False},
]


def build(shape: dict[str, Any]) -> AutoregressiveConv:
    torch.manual_seed(0)
    return AutoregressiveConv(**shape).double()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_logits_depend_on_earlier_spins_only(shape: dict[str, Any]) -> None:
    net, sites = build(shape), shape["L"] ** 2
    spins = torch.randint(0, 2, (sites, 3), generator=torch.Generator().manual_seed(2)).double() * 2 - 1
    base = net(spins)
    for j in range(sites):
        flipped = spins.clone()
        flipped[j] *= -1
        changed = (net(flipped) != base).any(1)
        assert not changed[: j + 1].any()
        assert j == sites - 1 or changed[j + 1 :].any()


@pytest.mark.parametrize("n", [1, 9])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sampling_equals_one_full_pass_per_spin(shape: dict[str, Any], n: int) -> None:
    net, sites = build(shape), shape["L"] ** 2
    limits = thresholds(sites, n, like=net.layers[0].weight, generator=torch.Generator().manual_seed(4))
    drawn, log_prob = net.draw(limits)
    spins = torch.zeros_like(limits)
    with torch.no_grad():
        for k in range(sites):
            spins[k] = torch.where(net(spins)[k] > limits[k], 1.0, -1.0)
        logits = net(spins)
    assert torch.equal(drawn, spins)
    torch.testing.assert_close(log_prob, spin_log_prob(spins, logits), rtol=0, atol=1e-10)


def test_sizes_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        AutoregressiveConv(4, depth=1, channels=0, half_kernel=1)
