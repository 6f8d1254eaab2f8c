"""Random numbers and spins: s = +1 with probability sigmoid(logit), in log space throughout."""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn import functional

from nisbench.nn.kernels.logistic import fill_odds, fill_thresholds

__all__ = ["configurations", "odds", "on_cpu", "signs", "spin_log_prob", "thresholds", "z2_average", "z2_flip"]


def on_cpu(tensor: Tensor) -> bool:
    """True if the compiled kernels serve the tensor; torch operations and Triton serve other devices."""
    return tensor.device.type == "cpu"


def thresholds(rows: int, n: int, *, like: Tensor, generator: Generator) -> Tensor:
    """Draw (rows, n) numbers logit(u), u uniform on (0, 1): `logit > threshold` has probability sigmoid(logit).

    dtype and device are those of `like`. A draw from thresholds needs no exponential per spin. On the CPU a compiled
    generator, seeded from `generator`, is four times as fast as uniform numbers and their logit in torch; it has the
    resolution of float32 whatever the dtype. Both tails of u reach 2^-33 on every device.
    """
    if not on_cpu(like):
        bits = torch.randint(-(2**31), 2**31, (rows, n), generator=generator, dtype=torch.int32, device=like.device)
        return logistic(bits, like.dtype)
    return _filled(fill_thresholds, rows, n, like, generator)


def odds(rows: int, n: int, *, like: Tensor, generator: Generator) -> Tensor:
    """Draw (rows, n) numbers u/(1 - u), u uniform on (0, 1), as `thresholds` draws their logarithms."""
    if not on_cpu(like):
        return thresholds(rows, n, like=like, generator=generator).exp_()
    return _filled(fill_odds, rows, n, like, generator)


def logistic(bits: Tensor, dtype: torch.dtype) -> Tensor:
    """Return logit(u) for uniform int32 numbers, as `kernels.logistic` does.

    31 bits give v in (0, 1/2), and the sign chooses u = v or u = 1 - v. A uniform float32 number can be 0 or 1, whose
    logit is infinite, and its tail near 1 ends at 2^-24.
    """
    v = ((bits & 0x7FFFFFFF).to(dtype) + 0.5) * 2.0**-32
    size = torch.log(v / (1 - v))
    return torch.where(bits < 0, -size, size)


def _filled(
    fill: Callable[[NDArray[np.float32], int], None], rows: int, n: int, like: Tensor, generator: Generator
) -> Tensor:
    """(rows, n) numbers of a compiled generator, which is seeded from `generator`."""
    seed = int(torch.randint(2**62, (), generator=generator))
    result = torch.empty(rows, n, dtype=torch.float32)
    fill(result.view(-1).numpy(), seed)
    return result.to(like.dtype)


def signs(up: Tensor, *, like: Tensor) -> Tensor:
    """+1 where `up`, else -1, of the dtype of `like`."""
    return 2 * up.to(like.dtype) - 1  # torch.where with two numbers would copy them to a GPU and wait


def spin_log_prob(spins: Tensor, logits: Tensor) -> Tensor:
    """sum_k ln sigmoid(s_k logit_k): (k, n) spins and logits -> (n,) float64."""
    return functional.logsigmoid(spins * logits).sum(0, dtype=torch.float64)


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
