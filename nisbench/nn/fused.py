"""Ancestral sampling on a GPU: one launch draws a whole network with one hidden layer.

The last n_spins width hidden units belong to the spins, `width` consecutive units each; every unit is computed once.
"""

import importlib.util

import torch
from torch import Tensor

from nisbench.nn.layers import DenseMatrices, prelu

__all__ = ["can_fuse", "draw_dense_fused", "draw_fused"]


WIDEST = 128
"""Largest size of the units of one spin in bytes: with more, a panel of spins does not fit the memory on the chip."""


def can_fuse(like: Tensor, width: int) -> bool:
    """True if one launch can draw a network of `width` units a spin on the device and in the dtype of `like`."""
    fits = width * like.element_size() <= WIDEST
    return like.device.type == "cuda" and fits and importlib.util.find_spec("triton") is not None


def draw_dense_fused(matrices: DenseMatrices, thresholds: Tensor, border: Tensor) -> tuple[Tensor, Tensor]:
    """Return spins and logits, (n_spins, n) each, of a network of depth 2; arguments as in `draw_ancestral`."""
    n, n_border, n_sites = thresholds.shape[1], matrices.n_border, matrices.n_sites
    (first, last), (bias, last_bias), (slopes,) = matrices.weights, matrices.biases, matrices.slopes
    inputs, hidden = thresholds.new_empty(n_sites, n), thresholds.new_empty(len(first), n)
    if n_border:
        inputs[:n_border] = border
        rows = slice(0, n_border * matrices.width)
        z = torch.addmm(bias[rows].unsqueeze(1), first[rows, :n_border], inputs[:n_border])  # (border units, n)
        hidden[rows] = prelu(z, slopes[rows])
    logits = draw_fused(
        first,
        last,
        thresholds,
        inputs,
        hidden,
        width=matrices.width,
        biases=(bias, last_bias),
        slopes=slopes,
    )
    return inputs[n_border:], logits


def draw_fused(
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
    """logit = skip x + last act(first x + bias) + last_bias; spin k is +1 where logit_k > thresholds[k], else -1.

    Returns the logits, (n_spins, n); writes the drawn spins and their units into `inputs` and `hidden`.

    Parameters
    ----------
    first : (n_units, n_inputs), masked: a unit sees the inputs before its spin
    last : (n_spins, n_units), masked
    thresholds : (n_spins, n)
    inputs : (n_inputs, n); its first n_inputs - n_spins rows are the border
    hidden : (n_units, n); its first n_units - n_spins width rows are the units of the border
    width : units of each spin
    skip : (n_spins, n_inputs), masked; the term is left out where None
    biases : (n_units,) of the units and (n_spins,) of the logits; zero where None
    slopes : (n_units,) of PReLU; the activation is tanh where None
    """
    from nisbench.nn.kernels import device  # imports triton, which is installed with CUDA only

    n_spins, n = thresholds.shape
    none = inputs.new_empty(0)
    logits = torch.empty_like(thresholds)
    bias, last_bias = (none, none) if biases is None else biases
    matrices = (first, last, none if skip is None else skip, bias, last_bias, none if slopes is None else slopes)
    constants = device.shape(n, width)
    device.draw_network[(-(-n // constants["tile"]),)](
        *(tensor.contiguous() for tensor in (*matrices, thresholds)),
        *(inputs, hidden, logits),
        *(n, n_spins, len(inputs), len(hidden)),
        **constants,
        width=width,
        has_skip=skip is not None,
        has_bias=biases is not None,
        has_slopes=slopes is not None,
    )
    return logits
