"""Spins from logits: s = +1 with probability sigmoid(logit), in log space throughout."""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from nisbench.nn.kernels.heat_bath import draw_isolated
from nisbench.nn.kernels.logistic import fill_thresholds

__all__ = ["configurations", "forcing", "heat_bath", "signs", "spin_log_prob", "thresholds", "z2_average", "z2_flip"]


def thresholds(rows: int, n: int, *, like: Tensor, generator: Generator) -> Tensor:
    """Draw (rows, n) numbers logit(u), u uniform on (0, 1): `logit > threshold` has probability sigmoid(logit).

    dtype and device are those of `like`. A draw from thresholds needs no exponential per spin. On the CPU a compiled
    generator, seeded from `generator`, is four times as fast as uniform numbers and their logit in torch; it has the
    resolution of float32 whatever the dtype.
    """
    if like.device.type != "cpu":
        return torch.rand(rows, n, dtype=like.dtype, device=like.device, generator=generator).logit_()
    seed = int(torch.randint(2**62, (), generator=generator))
    result = torch.empty(rows, n, dtype=torch.float32)
    fill_thresholds(result.view(-1).numpy(), seed)
    return result.to(like.dtype)


def signs(up: Tensor, *, like: Tensor) -> Tensor:
    """+1 where `up`, else -1, of the dtype of `like`."""
    return 2 * up.to(like.dtype) - 1  # torch.where with two numbers would copy them to a GPU and wait


def spin_log_prob(spins: Tensor, logits: Tensor) -> Tensor:
    """sum_k ln sigmoid(s_k logit_k): (k, n) spins and logits -> (n,) float64."""
    return functional.logsigmoid(spins * logits).sum(0, dtype=torch.float64)


def heat_bath(lattice: Tensor, sites: Tensor, neighbours: Tensor, *, beta: float, thresholds: Tensor) -> Tensor:
    """Draw isolated Ising spins in place, q(+1) = 1/(1 + exp(-2 beta sum of neighbours)); return their ln q.

    Thresholds from `forcing` leave the spins as they are.

    Parameters
    ----------
    lattice : (all sites, n) int8
    sites, neighbours : (k,), (4, k) rows of the lattice
    thresholds : (k, n)

    Returns
    -------
    log_prob : (n,) float64
    """
    if lattice.device.type == "cpu":
        log_prob = torch.empty(lattice.shape[1], dtype=torch.float64)
        coupling = torch.tensor(2 * beta, dtype=thresholds.dtype).numpy()[()]  # a float64 would make the kernel slower
        arrays = (lattice, sites, neighbours, thresholds.contiguous(), log_prob)
        grid, rows, around, limits, result = (tensor.numpy() for tensor in arrays)
        draw_isolated(grid, rows, around, coupling, limits, result)
        return log_prob
    logits = 2 * beta * lattice[neighbours].sum(0).to(thresholds.dtype)  # (4, k, n) -> (k, n)
    spins = signs(logits > thresholds, like=thresholds)
    lattice[sites] = spins.to(lattice.dtype)
    return spin_log_prob(spins, logits)


def forcing(spins: Tensor) -> Tensor:
    """Thresholds for which a draw repeats the spins: -inf for +1, +inf for -1."""
    return spins * -torch.inf


def configurations(lattice: Tensor) -> Tensor:
    """Spins of square lattices in raster order, (L^2, n) -> (n, L, L) int8; the samples stay contiguous in memory."""
    L = math.isqrt(len(lattice))
    return lattice.to(torch.int8).T.view(-1, L, L)  # (L^2, n) -> (n, L^2) -> (n, L, L)


def z2_average(log_prob: Tensor, log_prob_flipped: Tensor) -> Tensor:
    """ln[(q(s) + q(-s))/2] from ln q(s) and ln q(-s), (n,) float64 each."""
    return torch.logaddexp(log_prob, log_prob_flipped) - math.log(2)


def z2_flip(spins: Tensor, generator: Generator) -> Tensor:
    """Flip each configuration of (n, L, L) with probability 1/2."""
    signs = torch.randint(0, 2, (spins.shape[0], 1, 1), dtype=spins.dtype, device=spins.device, generator=generator)
    return spins * (2 * signs - 1)
