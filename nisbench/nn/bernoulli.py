"""Spins from logits: s = +1 with probability sigmoid(logit), in log space throughout."""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from nisbench.nn import kernels

__all__ = ["spin_log_prob", "thresholds", "z2_average", "z2_flip"]


def thresholds(rows: int, n: int, *, like: Tensor, generator: Generator) -> Tensor:
    """(rows, n) logit(u), u uniform on (0, 1): `logit > threshold` has probability sigmoid(logit).

    dtype and device are those of `like`. Drawing this way needs no exponential per spin. On the CPU the numbers come
    from a compiled generator seeded from `generator`, four times as fast as uniform numbers and their logit in torch.
    """
    if like.device.type != "cpu":
        return torch.rand(rows, n, dtype=like.dtype, device=like.device, generator=generator).logit_()
    seed = int(torch.randint(2**62, (), generator=generator))
    result = torch.empty(rows, n, dtype=torch.float32)
    kernels.fill_thresholds(result.view(-1).numpy(), seed)
    return result.to(like.dtype)


def spin_log_prob(spins: Tensor, logits: Tensor) -> Tensor:
    """sum_k ln sigmoid(s_k logit_k): (k, n) spins and logits -> (n,) float64."""
    return functional.logsigmoid(spins * logits).sum(0, dtype=torch.float64)


def z2_average(log_prob: Tensor, log_prob_flipped: Tensor) -> Tensor:
    """ln[(q(s) + q(-s)) / 2], (n,) float64 each."""
    return torch.logaddexp(log_prob, log_prob_flipped) - math.log(2)


def z2_flip(spins: Tensor, generator: Generator) -> Tensor:
    """Flips each configuration, (n, L, L), with probability 1/2."""
    signs = torch.randint(0, 2, (spins.shape[0], 1, 1), dtype=spins.dtype, device=spins.device, generator=generator)
    return spins * (2 * signs - 1)
