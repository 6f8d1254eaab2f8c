"""Ancestral sampling on a GPU: one launch a network, in which every unit is computed once.

For networks with one hidden layer, the last units of which belong to the spins, `width` each.
"""

import importlib.util
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nisbench.nn.sweep import prelu

if TYPE_CHECKING:
    from nisbench.nn.dense import AutoregressiveDense

__all__ = ["can_fuse", "draw_dense_fused", "solve_fused"]


WIDEST = 128
"""Bytes of the units of one spin, up to which a block of spins fits the memory on the chip."""


def can_fuse(like: Tensor, width: int) -> bool:
    """Whether a network of `width` units a spin is drawn by one launch on the device and in the dtype of `like`."""
    fits = width * like.element_size() <= WIDEST
    return like.device.type == "cuda" and fits and importlib.util.find_spec("triton") is not None


def draw_dense_fused(net: "AutoregressiveDense", thresholds: Tensor, border: Tensor) -> tuple[Tensor, Tensor]:
    """Spins and logits, (n_spins, n) each, of a network of depth 2 without residual blocks."""
    n, nb = thresholds.shape[1], net.n_border
    first, last = (layer.masked_weight() for layer in net.layers)
    bias, last_bias = (layer.bias_column() for layer in net.layers)
    slopes = net.activations[0].slope
    inputs, hidden = thresholds.new_empty(net.n_sites, n), thresholds.new_empty(len(first), n)
    if nb:
        inputs[:nb] = border
        rows = slice(0, nb * net.width)
        hidden[rows] = prelu(torch.addmm(bias[rows], first[rows, :nb], inputs[:nb]), slopes[rows])
    logits = solve_fused(
        first,
        last,
        thresholds,
        inputs,
        hidden,
        width=net.width,
        biases=(bias, last_bias),
        slopes=slopes,
    )
    return inputs[nb:], logits


def solve_fused(
    first: Tensor,
    last: Tensor,
    thresholds: Tensor,
    inputs: Tensor,
    hidden: Tensor,
    *,
    width: int,
    skip: Tensor | None = None,
    biases: tuple[Tensor, Tensor] | None = None,
    slopes: Tensor | None = None,
) -> Tensor:
    """Logits (n_spins, n); the drawn spins and their units are written into `inputs` and `hidden`.

    logit = skip x + last act(first x + bias) + last_bias, spin k is +1 where logit_k > thresholds[k], else -1.

    Parameters
    ----------
    first : (n_units, n_inputs) masked, strictly before
    last : (n_spins, n_units) masked
    thresholds : (n_spins, n)
    inputs : (n_inputs, n), whose first n_inputs - n_spins rows are given
    hidden : (n_units, n), whose first n_units - n_spins width rows are given
    width : units of each spin
    skip : (n_spins, n_inputs) masked; no such part without
    biases : (n_units,) of the units and (n_spins,) of the logits; none without
    slopes : (n_units,) of PReLU; the activation is tanh without
    """
    from nisbench.nn import device_kernels

    n_spins, n = thresholds.shape
    none = inputs.new_empty(0)
    logits = torch.empty_like(thresholds)
    bias, last_bias = (none, none) if biases is None else biases
    given = (first, last, none if skip is None else skip, bias, last_bias, none if slopes is None else slopes)
    constants = device_kernels.shape(n, width)
    device_kernels.draw_network[(-(-n // constants["tile"]),)](
        *(tensor.contiguous() for tensor in (*given, thresholds)),
        *(inputs, hidden, logits),
        *(n, n_spins, len(inputs), len(hidden)),
        **constants,
        width=width,
        has_skip=skip is not None,
        has_bias=biases is not None,
        has_slopes=slopes is not None,
    )
    return logits
