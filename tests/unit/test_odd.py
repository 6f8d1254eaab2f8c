"""The odd network: symmetry, normalisation, order, and fast paths that equal the plain ones."""

import itertools

import pytest
import torch
from torch import Tensor

from nisbench.nn.bernoulli import spin_log_prob, thresholds
from nisbench.nn.kernels.functions import tanh
from nisbench.nn.kernels.odd import solve_panel
from nisbench.nn.odd import AutoregressiveOdd, OddRates, OddWeights, solve_panel_torch

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


def borders(rows: int, n: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return (torch.randint(0, 2, (rows, n), generator=torch.Generator().manual_seed(rows)) * 2 - 1).to(dtype)


def limits(net: AutoregressiveOdd, n: int) -> Tensor:
    return thresholds(net.n_spins, n, like=net.skip, generator=torch.Generator().manual_seed(n))


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


@pytest.mark.parametrize("n", [1, 63, 200])
@pytest.mark.parametrize("shape", SHAPES)
def test_sampling_computes_the_plain_logits(shape: tuple[int, int, int], n: int) -> None:
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 2e-5)):
        net = network(*shape, dtype=dtype)
        border, u = borders(shape[1], n, dtype), limits(net, n)
        trace = net.sample(u, border, net.weights(BETA))
        plain = net(trace.spins, border, beta=BETA)
        torch.testing.assert_close(trace.logits, plain, rtol=0, atol=tolerance)
        assert torch.equal(trace.spins, torch.where(trace.logits > u, 1.0, -1.0).to(dtype))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_written_gradient_is_that_of_autograd(shape: tuple[int, int, int]) -> None:
    n, net = 90, network(*shape)
    border = borders(shape[1], n)
    trace = net.sample(limits(net, n), border, net.weights(BETA))
    weight = torch.randn(n, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    fast = net.log_prob(trace, net.weights(BETA))
    slow = spin_log_prob(trace.spins, net(trace.spins, border, beta=BETA))
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-10)
    found, expected = (torch.autograd.grad((weight * x).sum(), list(net.parameters())) for x in (fast, slow))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n", [1, 64, 100])
def test_torch_operations_solve_the_same_panel(n: int) -> None:
    generator = torch.Generator().manual_seed(n)
    shapes = [(9, 9), (27, 9), (9, 27), (9, n), (9, n), (27, n), (9, n)]
    one = [torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes]
    other = [tensor.clone() for tensor in one]
    solve_panel(*(tensor.numpy() for tensor in one))
    solve_panel_torch(*other)
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_float32_tanh() -> None:
    x = torch.cat([torch.linspace(-12, 12, 20_001), torch.logspace(-30, 0, 301)])
    found = x.clone()
    tanh(found.numpy(), 0, len(x))
    exact = torch.tanh(x.double())
    torch.testing.assert_close(found.double(), exact, rtol=1e-6, atol=0)
    assert found.abs().max() <= 1


def test_it_starts_as_the_known_neighbours() -> None:
    known = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0]])
    net = AutoregressiveOdd(known, width=4)
    spins, border = borders(2, 8, torch.float32), borders(2, 9, torch.float32)[:, :8]
    expected = torch.stack([2 * BETA * border[0], 2 * BETA * (border[1] + spins[0])])
    torch.testing.assert_close(net(spins, border, beta=BETA).detach(), expected)


def test_rates_change_the_steps_of_adam_and_not_the_start() -> None:
    rates, starts = OddRates(skip=0.5, first=4.0, last=0.25), []
    for given in (OddRates(), rates):
        torch.manual_seed(1)
        net = AutoregressiveOdd(torch.ones(6, 9), width=2, rates=given).double()
        net.last.data.fill_(0.1 / given.last)
        starts.append([matrix.detach() for matrix in net.weights(BETA)])
    for plain, scaled in zip(*starts, strict=True):
        torch.testing.assert_close(plain, scaled, atol=1e-7, rtol=0)
    net(borders(6, 4), borders(3, 4), beta=BETA).pow(3).sum().backward()
    torch.optim.Adam(net.parameters(), lr=1e-3, eps=1e-30).step()  # the first step of Adam is lr for every number
    skip, first, last = net.skip_mask * rates.skip, net.first_mask * rates.first, net.last_mask * rates.last
    expected = OddWeights(2 * BETA * skip, first, last)
    for after, before, step in zip(net.weights(BETA), starts[1], expected, strict=True):
        torch.testing.assert_close((after.detach() - before).abs(), 1e-3 * step.double())
