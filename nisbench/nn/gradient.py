"""The gradient of ln q for a plain stack of masked layers, from the units that sampling already computed."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from nisbench.nn.dense import Trace

__all__ = ["StackLogProb"]


class StackLogProb(torch.autograd.Function):
    """ln q(s) = sum_k ln sigmoid(s_k logit_k) with the backward pass written out.

    The forward pass only sums; the backward pass is d ln q/d logit_k = s_k sigmoid(-s_k logit_k), then two products
    a layer. The masks need no mention: the weights that come in are already masked products.
    """

    @staticmethod
    def forward(ctx: Any, trace: "Trace", depth: int, *parameters: Tensor) -> Tensor:
        """`parameters`: the masked weights of all layers, their bias columns, the slopes."""
        ctx.trace, ctx.depth = trace, depth
        ctx.save_for_backward(*parameters)
        return trace.log_prob.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weight: Tensor) -> tuple[Tensor | None, ...]:
        """`weight` (n,): the factor of each configuration's ln q in the loss."""
        trace, depth = ctx.trace, ctx.depth
        weights, slopes = ctx.saved_tensors[:depth], ctx.saved_tensors[2 * depth :]
        signed = trace.spins * torch.sigmoid(-trace.spins * trace.logits)
        delta = signed * weight.to(signed.dtype)  # (n_spins, n), gradient at the logits
        d_weights: list[Tensor | None] = [None] * depth
        d_biases: list[Tensor | None] = [None] * depth
        d_slopes: list[Tensor | None] = [None] * (depth - 1)
        for layer in range(depth - 1, -1, -1):
            x = trace.post[layer - 1] if layer else trace.inputs
            d_weights[layer] = delta @ x.T
            d_biases[layer] = delta.sum(1, keepdim=True)
            if layer:
                z, slope = trace.pre[layer - 1], slopes[layer - 1].unsqueeze(1)
                delta = weights[layer].T @ delta
                d_slopes[layer - 1] = (delta * z.clamp(max=0)).sum(1)
                delta = torch.where(z > 0, delta, slope * delta)
        return None, None, *d_weights, *d_biases, *d_slopes
