"""The compiled passes for plain stacks on the CPU: tensors in, tensors out, no copy where the layout fits."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nisbench.nn import kernels
from nisbench.nn.bernoulli import forcing

if TYPE_CHECKING:
    from nisbench.nn.dense import AutoregressiveDense

__all__ = ["draw_compiled", "score_compiled"]

PARTS, PART_NUMBERS = 8, 2**26
"""Partial sums of a gradient and numbers that they may hold together: fixed, so that threads change no result."""


def draw_compiled(net: "AutoregressiveDense", thresholds: Tensor, border: Tensor | None) -> tuple[Tensor, Tensor]:
    """Spins (n_spins, n) and ln q (n,) float64; the hidden units never leave the cache."""
    spins = torch.empty_like(thresholds)
    log_prob = thresholds.new_empty(thresholds.shape[1], dtype=torch.float64)
    known = thresholds.new_empty(0, thresholds.shape[1]) if border is None else border
    kernels.draw_stack(*_arrays(*_parameters(net), known, thresholds, spins, log_prob))
    return spins, log_prob


def score_compiled(net: "AutoregressiveDense", spins: Tensor, border: Tensor | None, known: Tensor | None) -> Tensor:
    """Differentiable ln q (n,) float64 of given spins; `known` is its value where a draw already told it."""
    return _Score.apply(net, spins, border, known, *_parameters(net))  # type: ignore[no-any-return, no-untyped-call]


class _Score(torch.autograd.Function):
    """Forward is a draw with forced spins; backward goes through the network once more, tile by tile."""

    @staticmethod
    def forward(
        ctx: Any,
        net: "AutoregressiveDense",
        spins: Tensor,
        border: Tensor | None,
        known: Tensor | None,
        *parameters: Tensor,
    ) -> Tensor:
        """`parameters` as `_parameters` gives them."""
        ctx.save_for_backward(spins, border, *parameters)
        return draw_compiled(net, forcing(spins), border)[1] if known is None else known.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        """`factor` (n,): the derivative of the loss by each ln q."""
        spins, border, *parameters = ctx.saved_tensors
        _, middle, last, *_ = parameters
        known = spins.new_empty(0, spins.shape[1]) if border is None else border
        numbers = sum(parameter.numel() for parameter in parameters)
        parts = max(1, min(PARTS, PART_NUMBERS // numbers, -(-spins.shape[1] // kernels.TILE)))
        gradients = [_room(parameter, parts) for parameter in parameters]
        transposed = (middle.transpose(1, 2), last.T)
        first, d_middle, d_last, d_biases, d_last_bias, d_slopes = gradients
        kernels.gradient_stack(
            *_arrays(*parameters, known, forcing(spins), *transposed, factor.to(spins.dtype)),
            *_arrays(first, d_middle, d_last, d_biases, d_last_bias, d_slopes),
        )
        sums = (gradient[..., : p.shape[-1]].sum(0) for gradient, p in zip(gradients, parameters, strict=True))
        return None, None, None, None, *sums


def _room(parameter: Tensor, parts: int) -> Tensor:
    """Zeros for the partial sums of a gradient; the rows of a matrix end with a whole vector."""
    *rows, columns = parameter.shape
    padded = -(-columns // kernels.LANES) * kernels.LANES if parameter.dim() > 1 else columns
    return parameter.new_zeros(parts, *rows, padded)


def _parameters(net: "AutoregressiveDense") -> tuple[Tensor, ...]:
    """first, middle, last, biases, last_bias, slopes as the kernels take them; masked."""
    weights = [layer.masked_weight() for layer in net.layers]
    biases = [layer.bias_column().squeeze(1) for layer in net.layers]
    middle = torch.stack(weights[1:-1]) if net.depth > 2 else weights[0].new_empty(0, 0, 0)
    slopes = torch.stack([activation.slope for activation in net.activations])
    return weights[0], middle, weights[-1], torch.stack(biases[:-1]), biases[-1], slopes


def _arrays(*tensors: Tensor) -> list[Any]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]
