"""The optimiser of the training loop against that of torch, bit by bit."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nisbench.harness.adam import Adam

RATES = (1e-2, 3e-3)
"""Learning rate of the matrix and of the two vectors."""


def parameters(dtype: torch.dtype) -> list[nn.Parameter]:
    source = torch.Generator().manual_seed(1)
    return [nn.Parameter(torch.randn(shape, generator=source, dtype=dtype)) for shape in ((5, 3), (3,), (7,))]


def groups(moved: list[nn.Parameter]) -> list[dict[str, Any]]:
    return [{"params": moved[:1], "lr": RATES[0]}, {"params": moved[1:], "lr": RATES[1]}]


def steps(optimizer: Any, moved: list[nn.Parameter], n: int) -> None:
    """Steps with random gradients of very different sizes and falling rates; some leave the last vector out."""
    source = torch.Generator().manual_seed(2)
    for step in range(n):
        optimizer.zero_grad()
        for k, parameter in enumerate(moved):
            gradient = torch.randn(parameter.shape, generator=source, dtype=parameter.dtype)
            if k < 2 or step % 3:
                parameter.grad = gradient * 10.0 ** (step % 7 - 5)
        for group, rate in zip(optimizer.param_groups, RATES, strict=True):
            group["lr"] = rate * (1 - step / n)
        optimizer.step()


def equal(one: list[Tensor], two: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.8, 0.99)])
def test_parameters_and_moments_are_those_of_torch_to_the_last_bit(
    betas: tuple[float, float], dtype: torch.dtype
) -> None:
    own, other, off = parameters(dtype), parameters(dtype), parameters(dtype)
    found, expected = Adam(groups(own), betas), torch.optim.Adam(groups(other), betas=betas, fused=True)
    steps(found, own, 50)
    steps(expected, other, 50)
    assert equal(list(own), list(other))
    kept = expected.state_dict()["state"]
    assert found.state.keys() == kept.keys() == {0, 1, 2}
    assert [int(found.state[k]["step"]) for k in range(3)] == [50, 50, 33]
    for k, moments in found.state.items():
        assert moments.keys() == kept[k].keys()
        assert equal(list(moments.values()), [kept[k][name] for name in moments])
    steps(Adam(groups(off), (betas[0], betas[1] - 1e-5)), off, 50)
    assert not equal(list(own), list(off)), "the comparison must see a change of 1e-5 in a decay rate"
