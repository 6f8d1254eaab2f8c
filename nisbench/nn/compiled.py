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
    return _Pass.apply(net, lattice, drawn, border, thresholds, *_trained(net))  # type: ignore[no-any-return, no-untyped-call]


def score_compiled(net: "AutoregressiveDense", lattice: Tensor, drawn: Tensor, border: Tensor) -> Tensor:
    """ln q (n,) float64 of given blocks, differentiable."""
    return _Pass.apply(net, lattice, drawn, border, None, *_trained(net))  # type: ignore[no-any-return, no-untyped-call]


class _Pass(torch.autograd.Function):
    """Backward goes through the network once more, tile by tile; the hidden units never leave the cache.

    Masking is done here and is no part of the graph, whose every node costs as much as a small product.
    """

    @staticmethod
    def forward(
        ctx: Any,
        net: "AutoregressiveDense",
        lattice: Tensor,
        drawn: Tensor,
        border: Tensor,
        thresholds: Tensor | None,
        *_: Tensor,
    ) -> Tensor:
        """`thresholds` draws the blocks; without them the spins are those of the lattice. Last, what is `_trained`."""
        n = lattice.shape[1]
        stack = _stack(net)
        log_prob = torch.empty(drawn.shape[1] * n, dtype=torch.float64)
        limits = stack[0].new_empty(0, 0) if thresholds is None else thresholds
        kernels.draw_stack(*_arrays(*stack, lattice, drawn, border, limits, log_prob))
        ctx.net = net
        ctx.save_for_backward(lattice, drawn, border, *stack)
        return log_prob.view(-1, n).sum(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        """`factor` (n,): the derivative of the loss by each ln q."""
        lattice, drawn, border, *stack = ctx.saved_tensors
        first, middle, last, _, _, slopes = stack
        shape = (first.shape[1], last.shape[0], *slopes.shape)
        size = kernels.gradient_size(*shape)
        samples = lattice.shape[1] * drawn.shape[1]
        parts = max(1, min(PARTS, PART_NUMBERS // size, -(-samples // kernels.TILE)))
        gradients = first.new_zeros(parts, size)
        transposed = (middle.transpose(1, 2), last.T)
        kernels.gradient_stack(*_arrays(*stack, lattice, drawn, border, *transposed, factor.to(first.dtype), gradients))
        total = gradients.sum(0)
        del gradients  # several times as large as the network
        views = kernels.gradients_of(total.numpy(), *shape)
        return None, None, None, None, None, *_per_parameter(ctx.net, *map(torch.from_numpy, views))


def _trained(net: "AutoregressiveDense") -> list[Tensor]:
    """The parameters in the order of `_per_parameter`."""
    biases = [layer.bias for layer in net.layers if layer.bias is not None]
    return [*(layer.weight for layer in net.layers), *biases, *(activation.slope for activation in net.activations)]


def _per_parameter(
    net: "AutoregressiveDense",
    first: Tensor,
    middle: Tensor,
    last: Tensor,
    biases: Tensor,
    last_bias: Tensor,
    slopes: Tensor,
) -> list[Tensor]:
    """The gradients of the kernels' arguments, as `gradients_of` gives them, as those of the parameters."""
    weights = zip(net.layers, (first, *middle, last), strict=True)
    shifts = zip(net.layers, (*biases, last_bias), strict=True)
    return [
        *(gradient[:, : layer.mask.shape[1]] * layer.mask for layer, gradient in weights),
        *(gradient for layer, gradient in shifts if layer.bias is not None),
        *slopes,
    ]


def _stack(net: "AutoregressiveDense") -> tuple[Tensor, ...]:
    """first, middle, last, biases, last_bias, slopes as the kernels take them; masked."""
    weights = [layer.masked_weight() for layer in net.layers]
    biases = [layer.bias_column().squeeze(1) for layer in net.layers]
    middle = torch.stack(weights[1:-1]) if net.depth > 2 else weights[0].new_empty(0, 0, 0)
    slopes = torch.stack([activation.slope for activation in net.activations])
    return weights[0], middle, weights[-1], torch.stack(biases[:-1]), biases[-1], slopes


def _arrays(*tensors: Tensor) -> Sequence[Any]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]
