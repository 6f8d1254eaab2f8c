"""Ancestral sampling on a GPU: one launch of the Triton kernel draws a whole network."""

import importlib.util

import torch
from torch import Tensor

from nisbench.nn.formula import Matrices, units

__all__ = ["can_fuse", "draw_fused"]


WIDEST = 128
"""Largest size of the units of one spin in bytes: with more, a panel of spins does not fit the memory on the chip."""


def can_fuse(like: Tensor, width: int) -> bool:
    """True if one launch can draw a network of `width` units a spin on the device and in the dtype of `like`."""
    fits = width * like.element_size() <= WIDEST
    return like.device.type == "cuda" and fits and importlib.util.find_spec("triton") is not None


def draw_fused(matrices: Matrices, thresholds: Tensor, inputs: Tensor) -> Tensor:
    """Draw as `formula.draw_plain` does, in one launch; return the logits, (K, n)."""
    from nisbench.nn.kernels import device  # imports triton, which is installed with CUDA only

    n_spins, n = thresholds.shape
    hidden, result = inputs.new_empty(len(matrices.first), n), torch.empty_like(thresholds)
    before = len(matrices.first) - n_spins * matrices.width
    hidden[:before] = units(matrices, inputs[: matrices.n_border], slice(0, before))  # of the border
    none = inputs.new_empty(0)
    parts = (none if part is None else part.contiguous() for part in matrices[:-1])
    constants = device.shape(n, matrices.width)
    device.draw_network[(-(-n // constants["tile"]),)](
        *(*parts, thresholds.contiguous(), inputs, hidden, result),
        *(n, n_spins, len(inputs), len(hidden)),
        **constants,
        width=matrices.width,
        has_skip=matrices.skip is not None,
        has_bias=matrices.bias is not None,
        has_slopes=matrices.slopes is not None,
    )
    return result
