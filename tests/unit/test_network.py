"""The compiled draw, ln q and gradient of the network formula, against its plain torch operations."""

import itertools
from typing import NamedTuple

import numba
import pytest
import torch
from torch import Tensor

from nisbench.nn import network
from nisbench.nn.bernoulli import spin_log_prob
from nisbench.nn.formula import Matrices, draw_plain, logits, units


class Shape(NamedTuple):
    """A network and its blocks; all sites have hidden units, or the spins alone."""

    n_spins: int
    n_border: int
    width: int
    all_sites: bool
    parts: str
    """s: skip, b: biases, p: PReLU"""


SHAPES = [
    Shape(16, 0, 1, True, "bp"),
    Shape(5, 12, 1, True, "p"),
    Shape(45, 20, 2, True, "bp"),
    Shape(29, 60, 8, False, "s"),
    Shape(33, 7, 3, False, "sb"),
    Shape(1, 4, 1, False, ""),
    Shape(18, 5, 2, True, "sbp"),
]


def matrices(shape: Shape, dtype: torch.dtype = torch.float64) -> tuple[Matrices, list[Tensor]]:
    """Masked matrices of order one, as functions of parameters without masks."""
    generator = torch.Generator().manual_seed(shape.n_spins)
    n_inputs = shape.n_border + shape.n_spins
    before = shape.n_border * shape.width if shape.all_sites else 0
    n_units, spin = before + shape.n_spins * shape.width, torch.arange(shape.n_spins).unsqueeze(1)
    seen = torch.arange(n_inputs) < shape.n_border + spin  # (n_spins, n_inputs)
    border = (torch.arange(n_inputs) < shape.n_border).expand(before, -1)
    first = torch.cat([border, seen.repeat_interleave(shape.width, 0)])
    up_to = (torch.arange(shape.n_spins) <= spin).repeat_interleave(shape.width, 1)
    last = torch.cat([torch.ones(shape.n_spins, before, dtype=torch.bool), up_to], 1)
    ones = torch.ones(n_units), torch.ones(shape.n_spins)
    masks = [first, last, seen if "s" in shape.parts else None]
    masks += [mask if "b" in shape.parts else None for mask in ones] + [ones[0] if "p" in shape.parts else None]
    given = [
        None if mask is None else torch.randn(mask.shape, generator=generator, dtype=dtype).requires_grad_()
        for mask in masks
    ]
    scaled = [
        None if x is None or mask is None else x * mask.to(dtype) * (2 / x.shape[-1] ** 0.5 if x.ndim == 2 else 1)
        for x, mask in zip(given, masks, strict=True)
    ]
    return Matrices(*scaled, shape.width), [x for x in given if x is not None]  # type: ignore[arg-type]


class Blocks(NamedTuple):
    """Blocks at random places of lattices with a random border."""

    lattice: Tensor
    drawn: Tensor
    border: Tensor
    thresholds: Tensor

    @classmethod
    def of(cls, shape: Shape, n: int, n_blocks: int, dtype: torch.dtype = torch.float64) -> "Blocks":
        generator = torch.Generator().manual_seed(n)
        sites = torch.randperm((shape.n_border + shape.n_spins) * n_blocks + 3, generator=generator)[:-3].view(
            -1, n_blocks
        )
        lattice = torch.randint(0, 2, (sites.numel() + 3, n), generator=generator, dtype=torch.int8) * 2 - 1
        limits = torch.rand(shape.n_spins, n_blocks * n, generator=generator, dtype=dtype).logit()
        return cls(lattice, sites[shape.n_border :].contiguous(), sites[: shape.n_border].contiguous(), limits)

    def inputs(self) -> Tensor:
        """(N, n_blocks n)"""
        return self.lattice[torch.cat([self.border, self.drawn])].flatten(1).to(self.thresholds.dtype)

    def plain_log_prob(self, net: Matrices) -> Tensor:
        """(n_blocks, n) by one full pass."""
        inputs = self.inputs()
        y = logits(net, inputs, units(net, inputs))
        return spin_log_prob(inputs[len(self.border) :], y).view(self.drawn.shape[1], -1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize(("n", "n_blocks"), [(1, 1), (70, 2), (300, 4)])  # 300 * 4 samples are more tiles than parts
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_draws_and_their_gradient_are_those_of_the_plain_formula(
    shape: Shape, n: int, n_blocks: int, dtype: torch.dtype
) -> None:
    """float64 to 1e-10. float32: ln q to 1e-4; gradients, sums over all samples, to 2e-3."""
    net, parameters = matrices(shape, dtype)
    blocks = Blocks.of(shape, n, n_blocks, dtype)
    lattice, drawn, border, limits = blocks
    before = lattice.clone()
    found = network.draw(net, *blocks)
    assert torch.equal(lattice[border], before[border])
    with torch.no_grad():
        inputs = blocks.inputs()
        plain_logits = draw_plain(net, limits, inputs)
        differing = (inputs[shape.n_border :] != blocks.inputs()[shape.n_border :]).any(0)
    if dtype == torch.float64:
        assert not differing.any()
        torch.testing.assert_close(
            found.flatten(), spin_log_prob(inputs[shape.n_border :], plain_logits), rtol=0, atol=1e-10
        )
    assert differing.sum() <= 2  # a threshold within the rounding of its logit
    slow = blocks.plain_log_prob(net)
    factor = torch.randn(n_blocks, n, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    expected = torch.autograd.grad((factor * slow).sum(), parameters, retain_graph=True)
    close, wide = (1e-10, 1e-10) if dtype == torch.float64 else (1e-4, 2e-3)
    scored = network.score(net, lattice, drawn, border)
    for fast in (found, scored, network.score(net, lattice, drawn, border, known=scored.detach())):
        torch.testing.assert_close(fast, slow, rtol=0, atol=close)
        gradients = torch.autograd.grad((factor * fast).sum(), parameters, retain_graph=True)
        for a, b in zip(gradients, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=wide, atol=wide)


def test_a_wrong_weight_is_seen() -> None:
    """Negative control: one weight off by 1e-6 moves ln q and the gradient beyond the tolerance of float64."""
    net, _ = matrices(SHAPES[3])
    blocks = Blocks.of(SHAPES[3], 70, 2)
    network.draw(net, *blocks)
    first = net.first.detach().clone()
    first[60, 3] += 1e-6
    wrong = network.score(net._replace(first=first), *blocks[:3])
    assert (wrong - blocks.plain_log_prob(net)).abs().max() > 1e-8


@pytest.mark.parametrize("shape", [s._replace(n_spins=6) for s in SHAPES], ids=str)
def test_the_density_sums_to_one(shape: Shape) -> None:
    net, _ = matrices(shape)
    states = torch.tensor(list(itertools.product((-1, 1), repeat=6)), dtype=torch.int8).T
    lattice = torch.cat([Blocks.of(shape, 1, 1).lattice[: shape.n_border].expand(-1, 64), states])
    sites = torch.arange(len(lattice)).unsqueeze(1)
    log_prob = network.score(net, lattice, sites[shape.n_border :], sites[: shape.n_border])
    assert abs(float(log_prob.exp().sum().detach()) - 1) < 1e-12


def test_ln_q_of_unlikely_spins_keeps_its_digits() -> None:
    """Each spin has q = 1 - 1e-9 or 1e-9; float32 would round 1 - 1e-9 to 1."""
    bias = torch.full((40,), 20.72326584, dtype=torch.float32)
    net = Matrices(torch.zeros(40, 40), torch.zeros(40, 40), None, torch.zeros(40), bias, None, 1)
    lattice = torch.ones(40, 2, dtype=torch.int8)
    lattice[:, 1] = -1
    sites = torch.arange(40).unsqueeze(1)
    found = network.score(net, lattice, sites, sites[:0])[0]
    torch.testing.assert_close(found, torch.tensor([-4e-8, -828.9306336], dtype=torch.float64), rtol=1e-5, atol=0)


def test_the_number_of_threads_changes_no_result() -> None:
    results = []
    for threads in (1, numba.config.NUMBA_NUM_THREADS):
        numba.set_num_threads(threads)
        net, parameters = matrices(SHAPES[2], torch.float32)
        blocks = Blocks.of(SHAPES[2], 750, 2, torch.float32)
        log_prob = network.draw(net, *blocks)
        results.append((blocks.lattice, log_prob, *torch.autograd.grad(log_prob.sum(), parameters)))
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)
