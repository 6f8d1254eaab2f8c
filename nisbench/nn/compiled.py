"""The compiled passes for plain stacks on the CPU: tensors in, tensors out, no copy where the layout fits."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nisbench.nn import kernels

if TYPE_CHECKING:
    from nisbench.nn.dense import AutoregressiveDense

__all__ = ["draw_compiled", "score_compiled"]

PARTS, PART_NUMBERS = 8, 2**26
"""Partial sums of a gradient and numbers that they may hold together: fixed, so that threads change no result."""


def draw_compiled(
    net: "AutoregressiveDense", lattice: Tensor, drawn: Tensor, border: Tensor, thresholds: Tensor
) -> Tensor:
    """Draws the blocks into the lattice; their ln q (n,) float64, differentiable."""
    return _Pass.apply(lattice, drawn, border, thresholds, *_parameters(net))  # type: ignore[no-any-return, no-untyped-call]


def _log_prob(
    parameters: Sequence[Tensor], lattice: Tensor, drawn: Tensor, border: Tensor, thresholds: Tensor | None
) -> Tensor:
    """ln q (n,) float64 of the blocks, which `thresholds` draws; without them the spins are those of the lattice.

    The hidden units never leave the cache.
    """
    n = lattice.shape[1]
    log_prob = torch.empty(drawn.shape[1] * n, dtype=torch.float64)
    limits = parameters[0].new_empty(0, 0) if thresholds is None else thresholds
    kernels.draw_stack(*_arrays(*parameters, lattice, drawn, border, limits, log_prob))
    return log_prob.view(-1, n).sum(0)


def score_compiled(net: "AutoregressiveDense", lattice: Tensor, drawn: Tensor, border: Tensor) -> Tensor:
    """ln q (n,) float64 of given blocks, differentiable."""
    return _Pass.apply(lattice, drawn, border, None, *_parameters(net))  # type: ignore[no-any-return, no-untyped-call]


class _Pass(torch.autograd.Function):
    """Backward goes through the network once more, tile by tile."""

    @staticmethod
    def forward(
        ctx: Any,
        lattice: Tensor,
        drawn: Tensor,
        border: Tensor,
        thresholds: Tensor | None,
        *parameters: Tensor,
    ) -> Tensor:
        """`parameters` as `_parameters` gives them."""
        log_prob = _log_prob(parameters, lattice, drawn, border, thresholds)
        ctx.save_for_backward(lattice, drawn, border, *parameters)
        return log_prob

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        """`factor` (n,): the derivative of the loss by each ln q."""
        lattice, drawn, border, *parameters = ctx.saved_tensors
        first, middle, last, *_ = parameters
        numbers = sum(parameter.numel() for parameter in parameters)
        samples = lattice.shape[1] * drawn.shape[1]
        parts = max(1, min(PARTS, PART_NUMBERS // numbers, -(-samples // kernels.TILE)))
        gradients = [_room(parameter, parts) for parameter in parameters]
        transposed = (middle.transpose(1, 2), last.T)
        kernels.gradient_stack(
            *_arrays(*parameters, lattice, drawn, border, *transposed, factor.to(first.dtype)), *_arrays(*gradients)
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
