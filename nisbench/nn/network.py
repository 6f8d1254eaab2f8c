"""Draws and ln q of the blocks that a network draws in a batch of lattices, on any device.

Three implementations give the same draws: compiled for the CPU (`kernels.network`), one launch on a GPU (`fused`) and
plain torch operations (`formula`).

Lattices are (all sites, n) int8. A network draws blocks that do not touch each other; sample `block n + c` is one block
of lattice c.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nisbench.nn.bernoulli import on_cpu, spin_log_prob
from nisbench.nn.formula import Matrices, draw_plain, logits, units
from nisbench.nn.fused import can_fuse, draw_fused
from nisbench.nn.kernels.gradient import gradient_network, gradient_size, gradient_views
from nisbench.nn.kernels.lattice import Sites
from nisbench.nn.kernels.network import Arrays, draw_network
from nisbench.nn.kernels.products import TILE

__all__ = ["draw", "score"]

PARTS, PART_NUMBERS = 8, 2**26
"""A gradient is the sum of up to PARTS partial sums, or fewer with at most PART_NUMBERS numbers together
(256 MiB of float32). Both are fixed, so that the number of threads does not change the result."""


def draw(matrices: Matrices, lattice: Tensor, drawn: Tensor, border: Tensor, thresholds: Tensor) -> Tensor:
    """Draw blocks into lattices: spin k is +1 where logit_k > thresholds[k], else -1.

    If thresholds = logit(u) with u uniform on (0, 1), the spins are a sample of q.

    Parameters
    ----------
    lattice : (all sites, n) int8, contiguous
    drawn, border : (K, n_blocks), (N - K, n_blocks) sites of each block
    thresholds : (K, n_blocks n), of the type of the matrices

    Returns
    -------
    log_prob : (n_blocks, n) float64, differentiable
    """
    with torch.no_grad():
        if on_cpu(lattice):
            log_prob = _run(matrices, lattice, drawn, border, thresholds)
        else:
            log_prob = _draw_elsewhere(matrices, lattice, drawn, border, thresholds)
    return score(matrices, lattice, drawn, border, known=log_prob) if torch.is_grad_enabled() else log_prob


def score(matrices: Matrices, lattice: Tensor, drawn: Tensor, border: Tensor, known: Tensor | None = None) -> Tensor:
    """Return ln q of the blocks in the lattices, (n_blocks, n) float64, differentiable; arguments as in `draw`.

    `known` are its values, where a draw has computed them. The lattice must not change before the gradient.
    """
    if on_cpu(lattice):
        return _LogProb.apply(matrices.width, lattice, drawn, border, known, *matrices[:-1])  # type: ignore[no-any-return, no-untyped-call]
    inputs = _gathered(lattice, torch.cat([border, drawn]), matrices.first)
    log_prob = spin_log_prob(inputs[matrices.n_border :], logits(matrices, inputs, units(matrices, inputs)))
    return log_prob.view(drawn.shape[1], -1)  # (n_blocks n,) -> (n_blocks, n)


def _draw_elsewhere(matrices: Matrices, lattice: Tensor, drawn: Tensor, border: Tensor, thresholds: Tensor) -> Tensor:
    """`draw` on another device than the CPU, without gradient."""
    inputs = torch.cat([_gathered(lattice, border, thresholds), torch.empty_like(thresholds)])  # (N, n_blocks n)
    draw_inputs = draw_fused if can_fuse(inputs, matrices.width) else draw_plain
    y = draw_inputs(matrices, thresholds, inputs)
    spins = inputs[matrices.n_border :]
    lattice[drawn] = spins.to(torch.int8).view(*drawn.shape, -1)  # (K, n_blocks n) -> (K, n_blocks, n)
    return spin_log_prob(spins, y).view(drawn.shape[1], -1)


def _gathered(lattice: Tensor, sites: Tensor, like: Tensor) -> Tensor:
    """Spins of sites (k, n_blocks) as (k, n_blocks n), of the type of `like`."""
    return lattice[sites].flatten(1).to(like.dtype)


class _LogProb(torch.autograd.Function):
    """ln q of blocks as one node of the graph, on the CPU.

    Backward evaluates the network once more, tile by tile; the hidden units never leave the cache.
    """

    @staticmethod
    def forward(
        ctx: Any,
        width: int,
        lattice: Tensor,
        drawn: Tensor,
        border: Tensor,
        known: Tensor | None,
        *parts: Any,
    ) -> Tensor:
        """Return ln q, (n_blocks, n); `parts` are the matrices in the order of `Matrices`."""
        ctx.width = width
        ctx.save_for_backward(lattice, drawn, border, *parts)
        if known is not None:
            return known.clone()
        return _run(_joined(parts, width), lattice, drawn, border, lattice.new_empty(0, 0, dtype=parts[0].dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient by each matrix; `factor` (n_blocks, n) is the derivative of the loss by each ln q."""
        lattice, drawn, border, *parts = ctx.saved_tensors
        arrays = _arrays(_joined(parts, ctx.width))
        first, last = parts[:2]
        size = gradient_size(arrays)
        count = max(1, min(PARTS, PART_NUMBERS // size, -(-factor.numel() // TILE)))
        gradients = first.new_zeros(count, size)
        factors = factor.to(first.dtype).contiguous().view(-1)
        gradient_network(arrays, _array(last.T), _sites(lattice, drawn, border), _array(factors), gradients.numpy())
        total = gradients.sum(0) if count > 1 else gradients[0]
        del gradients  # several times as large as the network
        views = gradient_views(total.numpy(), arrays)[: len(parts)]
        pairs = zip(parts, views, strict=True)
        # the rows of the gradient by a matrix are padded
        found = (None if part is None else torch.from_numpy(view)[..., : part.shape[-1]] for part, view in pairs)
        return None, None, None, None, None, *found


def _run(matrices: Matrices, lattice: Tensor, drawn: Tensor, border: Tensor, thresholds: Tensor) -> Tensor:
    """Call the compiled kernel; return ln q, (n_blocks, n) float64."""
    log_prob = torch.empty(drawn.shape[1], lattice.shape[1], dtype=torch.float64)
    draw_network(_arrays(matrices), _sites(lattice, drawn, border), _array(thresholds), log_prob.view(-1).numpy())
    return log_prob


def _joined(parts: Sequence[Any], width: int) -> Matrices:
    first, last, skip, bias, last_bias, slopes = parts
    return Matrices(first, last, skip, bias, last_bias, slopes, width)


def _arrays(matrices: Matrices) -> Arrays:
    """Matrices as arrays; one without elements for each part that is absent."""
    none = matrices.first.new_empty(0)
    skip = none.view(0, matrices.first.shape[1]) if matrices.skip is None else matrices.skip
    vectors = (none if part is None else part for part in matrices[3:6])
    return Arrays(_array(matrices.first), _array(matrices.last), _array(skip), *map(_array, vectors), matrices.width)  # type: ignore[call-arg]


def _sites(*tensors: Tensor) -> Sites:
    return Sites(*map(_array, tensors))


def _array(tensor: Tensor) -> Any:
    return tensor.detach().contiguous().numpy()
