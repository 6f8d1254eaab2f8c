"""The odd network: symmetry, normalisation, order, start, and rates of learning."""

import itertools

import numba
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from nisbench.nn.bernoulli import spin_log_prob
from nisbench.nn.kernels.functions import tanh
from nisbench.nn.odd import AutoregressiveOdd, OddRates

BETA = 0.4
SHAPES = [(1, 0, 8), (5, 12, 8), (16, 0, 3), (29, 60, 8), (33, 7, 1), (70, 4, 2)]


def network(n_spins: int, n_border: int, width: int, *, dtype: torch.dtype = torch.float64) -> AutoregressiveOdd:
    """Random weights of order one in every place, masked ones included."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(n_spins)
        net = AutoregressiveOdd(torch.zeros(n_spins, n_border + n_spins), width=width).to(dtype)
        for parameter in net.parameters():
            parameter.data += torch.randn_like(parameter) / parameter.shape[1] ** 0.5
    return net


def matrices_of(net: AutoregressiveOdd) -> tuple[Tensor, Tensor, Tensor]:
    """first, last and skip"""
    first, last, skip, *_ = net.matrices(BETA)
    assert skip is not None
    return first, last, skip


def seen_pairs(n_spins: int, n_before: int) -> tuple[Tensor, Tensor]:
    """(n_spins, n_before + n_spins) and (n_spins, n_spins): sites that a spin sees, and spins whose units it sees."""
    site, spin = torch.arange(n_before + n_spins), torch.arange(n_spins).unsqueeze(1)
    return site < n_before + spin, spin >= spin.T


def borders(rows: int, n: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return (torch.randint(0, 2, (rows, n), generator=torch.Generator().manual_seed(rows)) * 2 - 1).to(dtype)


@pytest.mark.parametrize("shape", SHAPES)
def test_all_logits_change_their_sign_with_the_inputs(shape: tuple[int, int, int]) -> None:
    net, spins, border = network(*shape), borders(shape[0], 20), borders(shape[1], 20)
    assert torch.equal(net(-spins, -border, beta=BETA), -net(spins, border, beta=BETA))


@pytest.mark.parametrize("shape", [(1, 0, 8), (6, 3, 4)])
def test_the_density_sums_to_one(shape: tuple[int, int, int]) -> None:
    net = network(*shape)
    states = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=shape[0]))).double().T
    border = borders(shape[1], 1).expand(-1, states.shape[1])
    total = spin_log_prob(states, net(states, border, beta=BETA)).exp().sum()
    assert abs(float(total.detach()) - 1) < 1e-12


@pytest.mark.parametrize("shape", SHAPES)
def test_a_logit_sees_the_border_and_the_spins_before_it(shape: tuple[int, int, int]) -> None:
    net = network(*shape)
    n_spins, n_border, _ = shape

    x = torch.randn(n_border + n_spins, generator=torch.Generator().manual_seed(1)).double().requires_grad_()
    logits = net(x[n_border:, None], x[:n_border, None], beta=BETA)[:, 0]
    rows = [torch.autograd.grad(logit, x, retain_graph=True)[0] for logit in logits]
    jacobian = torch.stack(rows)  # (n_spins, n_border + n_spins)
    allowed = torch.arange(n_border + n_spins) < n_border + torch.arange(n_spins).unsqueeze(1)
    assert not jacobian[~allowed].any()
    assert (jacobian[allowed] != 0).all()


@numba.njit
def in_place(values: NDArray[np.float32]) -> None:
    for i in range(len(values)):
        values[i] = tanh(values[i])


def test_float32_tanh() -> None:
    x = torch.cat([torch.linspace(-12, 12, 20_001), torch.logspace(-30, 0, 301)])
    found = x.clone()
    in_place(found.numpy())
    exact = torch.tanh(x.double())
    torch.testing.assert_close(found.double(), exact, rtol=1e-6, atol=0)
    assert found.abs().max() <= 1


def test_it_starts_as_the_known_neighbours() -> None:
    known = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0]])
    net = AutoregressiveOdd(known, width=4)
    spins, border = borders(2, 8, torch.float32), borders(2, 9, torch.float32)[:, :8]
    expected = torch.stack([2 * BETA * border[0], 2 * BETA * (border[1] + spins[0])])
    torch.testing.assert_close(net(spins, border, beta=BETA).detach(), expected)


@pytest.mark.parametrize("shape", [(6, 3, 4)])
def test_a_constant_input_gives_biases_and_is_no_longer_odd(shape: tuple[int, int, int]) -> None:
    n_spins, n_border, width = shape
    torch.manual_seed(1)
    net = AutoregressiveOdd(torch.zeros(n_spins, n_border + n_spins), width=width, bias=True).double()
    for parameter in net.parameters():
        parameter.data += torch.randn_like(parameter)
    spins, border = borders(n_spins, 20), borders(n_border, 20)
    inputs = torch.cat([torch.ones(1, 20, dtype=torch.float64), border, spins])
    before, up_to = seen_pairs(n_spins, 1 + n_border)
    first, last = net.first * before.repeat_interleave(width, 0), net.last * up_to.repeat_interleave(width, 1)
    skip = net.skip * before
    expected = 2 * BETA * skip @ inputs + last @ torch.tanh(first @ inputs)
    torch.testing.assert_close(net(spins, border, beta=BETA), expected, rtol=0, atol=1e-12)
    assert (net(-spins, -border, beta=BETA) + expected).abs().max() > 0.1


def test_rates_and_closeness_scale_the_steps_of_adam_and_rates_do_not_change_the_start() -> None:
    rates, starts = OddRates(skip=0.5, first=4.0, last=0.25), []
    closeness = 0.2 + torch.rand(6, 9, generator=torch.Generator().manual_seed(1)).double()
    for given in (OddRates(), rates):
        torch.manual_seed(1)
        net = AutoregressiveOdd(torch.ones(6, 9).double(), width=2, closeness=closeness, rates=given).double()
        net.last.data.fill_(0.1 / given.last)
        starts.append([matrix.detach() for matrix in matrices_of(net)])
    for plain, scaled in zip(*starts, strict=True):
        torch.testing.assert_close(plain, scaled, atol=1e-7, rtol=0)
    net(borders(6, 4), borders(3, 4), beta=BETA).pow(3).sum().backward()
    torch.optim.Adam(net.parameters(), lr=1e-3, eps=1e-30).step()  # the first step of Adam is lr for every number
    before, up_to = seen_pairs(6, 3)
    skip, last = closeness * before * rates.skip, (closeness[:, 3:] * up_to * rates.last).repeat_interleave(2, 1)
    expected = (skip * rates.first / rates.skip).repeat_interleave(2, 0), last, 2 * BETA * skip
    for after, before, step in zip(matrices_of(net), starts[1], expected, strict=True):
        torch.testing.assert_close((after.detach() - before).abs(), 1e-3 * step.double())
