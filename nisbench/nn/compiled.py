"""Draws, ln q and its gradient of a dense network in the compiled CPU kernels.

The functions take and return tensors, without a copy where the layout fits. They serve networks with a hidden layer
and without residual layers.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nisbench.nn.kernels.dense import draw_dense
from nisbench.nn.kernels.dense_gradient import gradient_dense, gradient_size, gradient_views
from nisbench.nn.kernels.products import TILE
from nisbench.nn.layers import DenseMatrices, Parametrisation

__all__ = ["draw_compiled", "score_compiled"]

PARTS, PART_NUMBERS = 8, 2**26
"""A gradient is the sum of up to PARTS partial sums, or fewer with at most PART_NUMBERS numbers together
(256 MiB of float32). Both are fixed, so that the number of threads does not change the result."""


def draw_compiled(net: Parametrisation, lattice: Tensor, drawn: Tensor, border: Tensor, thresholds: Tensor) -> Tensor:
    """Draw the blocks into the lattice; return their ln q, (n,) float64, differentiable.

    The arguments are those of `AutoregressiveDense.draw_blocks`.
    """
    return _Pass.apply(net, lattice, drawn, border, thresholds, *net.trained())  # type: ignore[no-any-return, no-untyped-call]


def score_compiled(net: Parametrisation, lattice: Tensor, drawn: Tensor, border: Tensor) -> Tensor:
    """Return ln q of the blocks in the lattice, (n,) float64, differentiable."""
    return _Pass.apply(net, lattice, drawn, border, None, *net.trained())  # type: ignore[no-any-return, no-untyped-call]


class _Pass(torch.autograd.Function):
    """ln q as one node of the graph.

    The step from parameters to matrices is part of this node, because each node of the graph costs as much time as a
    small product. Backward evaluates the network once more, tile by tile; the hidden units never leave the cache.
    """

    @staticmethod
    def forward(
        ctx: Any,
        net: Parametrisation,
        lattice: Tensor,
        drawn: Tensor,
        border: Tensor,
        thresholds: Tensor | None,
        *_: Tensor,
    ) -> Tensor:
        """Draw with `thresholds`; evaluate the spins of the lattice without. The last arguments are `net.trained()`."""
        n = lattice.shape[1]
        stacked = _stacked(net.matrices())
        log_prob = torch.empty(drawn.shape[1] * n, dtype=torch.float64)
        limits = stacked[0].new_empty(0, 0) if thresholds is None else thresholds
        draw_dense(*_arrays(*stacked, lattice, drawn, border, limits, log_prob))
        ctx.net = net
        ctx.save_for_backward(lattice, drawn, border, *stacked)
        return log_prob.view(-1, n).sum(0)  # (n_blocks n,) -> (n,)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient by each parameter; `factor` (n,) is the derivative of the loss by each ln q."""
        lattice, drawn, border, *stacked = ctx.saved_tensors
        first, middle, last, _, _, slopes = stacked
        shape = (first.shape[1], last.shape[0], *slopes.shape)
        size = gradient_size(*shape)
        samples = lattice.shape[1] * drawn.shape[1]
        parts = max(1, min(PARTS, PART_NUMBERS // size, -(-samples // TILE)))
        gradients = first.new_zeros(parts, size)
        # the kernel reads whole rows, and `_arrays` makes the transposed matrices contiguous
        transposed = (middle.transpose(1, 2), last.T)
        gradient_dense(*_arrays(*stacked, lattice, drawn, border, *transposed, factor.to(first.dtype), gradients))
        total = gradients.sum(0)
        del gradients  # several times as large as the network
        views = map(torch.from_numpy, gradient_views(total.numpy(), *shape))
        return None, None, None, None, None, *ctx.net.pull_back(_unstacked(*views))


def _stacked(matrices: DenseMatrices) -> tuple[Tensor, ...]:
    """Return first, middle, last, biases, last_bias and slopes, the arguments of the kernels."""
    weights, biases = matrices.weights, matrices.biases
    # the hidden layers are stacked: middle (depth - 2, units, units), biases and slopes (depth - 1, units)
    middle = torch.stack(weights[1:-1]) if matrices.depth > 2 else weights[0].new_empty(0, 0, 0)
    return weights[0], middle, weights[-1], torch.stack(biases[:-1]), biases[-1], torch.stack(matrices.slopes)


def _unstacked(
    first: Tensor, middle: Tensor, last: Tensor, biases: Tensor, last_bias: Tensor, slopes: Tensor
) -> DenseMatrices:
    """Undo `_stacked`."""
    return DenseMatrices((first, *middle, last), (*biases, last_bias), tuple(slopes))


def _arrays(*tensors: Tensor) -> Sequence[Any]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]
