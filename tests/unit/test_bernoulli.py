"""Thresholds on devices other than the CPU, and calls of a network that are refused."""

import math

import pytest
import torch

from nisbench.nn import network
from nisbench.nn.bernoulli import logistic
from nisbench.nn.dense import AutoregressiveDense


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_tails_of_the_thresholds_reach_2_to_the_minus_33(dtype: torch.dtype) -> None:
    """A uniform float32 number, the negative control, ends at 2^-24 near 1, and on some devices it can be 0."""
    lowest, highest = torch.tensor([-(2**31), 0], dtype=torch.int32), torch.tensor([2**31 - 1, -1], dtype=torch.int32)
    extreme = logistic(lowest, dtype).double()
    assert extreme.tolist() == pytest.approx([33 * math.log(2), -33 * math.log(2)], rel=1e-6)
    assert logistic(highest, dtype).abs().max() < 1e-6
    largest = torch.nextafter(torch.ones(()), torch.zeros(())).logit()
    assert float(largest) < 17 < 33 * math.log(2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_thresholds_are_logistic(dtype: torch.dtype) -> None:
    """P(x < t) = sigmoid(t), within 5 standard errors; t is scaled by 1.05 in the negative control."""
    n = 400_000
    bits = torch.randint(-(2**31), 2**31, (n,), dtype=torch.int32, generator=torch.Generator().manual_seed(1))
    drawn = logistic(bits, dtype)
    for at in (-4.0, -1.0, 0.5, 3.0):
        p = 1 / (1 + math.exp(-at))
        error = math.sqrt(p * (1 - p) / n)
        assert abs(float((drawn < at).double().mean()) - p) < 5 * error
        assert abs(float((drawn < 1.05 * at).double().mean()) - p) > 5 * error


def test_a_lattice_that_would_be_copied_is_refused() -> None:
    net = AutoregressiveDense(3, 2)
    lattice = torch.ones(4, 5, dtype=torch.int8).T  # (sites, n), the samples not contiguous
    sites = torch.arange(5).unsqueeze(1)
    with pytest.raises(ValueError, match="the lattice is not contiguous"):
        network.draw(net.matrices(), lattice, sites[2:], sites[:2], torch.zeros(3, 4))


def test_a_network_with_a_border_needs_one() -> None:
    with pytest.raises(ValueError, match="2 border sites, but no border is given"):
        AutoregressiveDense(3, 2).draw(torch.zeros(3, 4))
