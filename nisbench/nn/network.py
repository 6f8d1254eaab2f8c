"""Draws and ln q of the blocks that a network draws in a batch of lattices, on any device.

Three implementations give the same draws: compiled for the CPU (`kernels.network`), one launch on a GPU (`fused`) and
plain torch operations (`formula`).

Lattices are (all sites, n) int8. A network draws blocks that do not touch each other; sample `block n + c` is one block
of lattice c.
"""

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nisbench.nn.bernoulli import on_cpu, spin_log_prob
from nisbench.nn.formula import Matrices, draw_plain, logits, units
from nisbench.nn.fused import can_fuse, draw_fused
from nisbench.nn.kernels.gradient import gradient_network
from nisbench.nn.kernels.jit import LANES
from nisbench.nn.kernels.lattice import Sites
from nisbench.nn.kernels.network import Arrays, draw_network
from nisbench.nn.kernels.products import TILE, transposed

__all__ = ["draw", "score"]

PARTS, PART_NUMBERS = 8, 2**26
"""A gradient is the sum of up to PARTS partial sums, or fewer with at most PART_NUMBERS numbers together
(256 MiB of float32). Both are fixed, so that the number of threads does not change the result."""
KEPT_INPUTS, KEPT_NUMBERS = 48, 2**23
"""A draw keeps its hidden units for the gradient if the network has at least KEPT_INPUTS inputs, because a unit with
fewer inputs is computed faster than it is read from memory, and if all tiles have at most KEPT_NUMBERS numbers (32 MiB
of float32)."""


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
    if not lattice.is_contiguous():
        raise ValueError("the lattice is not contiguous, so that spins would be drawn into a copy of it")
    if on_cpu(lattice):
        found = _run(matrices, lattice, drawn, border, thresholds)
        return _LogProb.apply(matrices.width, lattice, drawn, border, *found, *matrices[:-1])  # type: ignore[no-any-return, no-untyped-call]
    with torch.no_grad():
        log_prob = _draw_elsewhere(matrices, lattice, drawn, border, thresholds)
    return score(matrices, lattice, drawn, border) if torch.is_grad_enabled() else log_prob


def score(matrices: Matrices, lattice: Tensor, drawn: Tensor, border: Tensor, known: Tensor | None = None) -> Tensor:
    """Return ln q of the blocks in the lattices, (n_blocks, n) float64, differentiable; arguments as in `draw`.

    `known` are its values, where a draw has computed them; other devices than the CPU compute them again. The lattice
    must not change before the gradient.
    """
    if on_cpu(lattice):
        none = matrices.first.new_empty(0, 0)
        found = _run(matrices, lattice, drawn, border, none) if known is None else (known, none)
        return _LogProb.apply(matrices.width, lattice, drawn, border, *found, *matrices[:-1])  # type: ignore[no-any-return, no-untyped-call]
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
    """ln q of blocks, which a kernel has computed, as one node of the graph on the CPU.

    Backward takes the hidden units that the kernel has kept. Otherwise it evaluates the network once more, tile by
    tile; the hidden units then never leave the cache.
    """

    @staticmethod
    def forward(
        ctx: Any,
        width: int,
        lattice: Tensor,
        drawn: Tensor,
        border: Tensor,
        log_prob: Tensor,
        kept: Tensor,
        *parts: Any,
    ) -> Tensor:
        """Return ln q, (n_blocks, n); `parts` are the matrices in the order of `Matrices`."""
        ctx.width = width
        ctx.save_for_backward(lattice, drawn, border, kept, *parts)
        return log_prob.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient by each matrix; `factor` (n_blocks, n) is the derivative of the loss by each ln q."""
        lattice, drawn, border, kept, *parts = ctx.saved_tensors
        first, last, skip, *vectors = parts
        # the parts of a flat gradient, see `gradient.Sums`
        shapes = [tuple(part.shape) if part is not None else (0,) for part in (first, last.T, skip, *vectors)]
        sizes = [math.prod(shape) for shape in shapes]
        numbers = sum(sizes) + LANES
        count = max(1, min(PARTS, PART_NUMBERS // numbers, -(-factor.numel() // TILE)))
        gradients = first.new_zeros(count, numbers)
        factors = _array(factor.to(first.dtype)).reshape(-1)
        arrays, ends = _arrays(_joined(parts, ctx.width)), np.cumsum(sizes[:-1])
        sites = _sites(lattice, drawn, border)
        gradient_network(arrays, _transposed(last).numpy(), sites, factors, _array(kept), ends, gradients.numpy())
        total = reduce(torch.add, gradients.unbind())  # faster than a sum over the dimension
        del gradients  # several times as large as the network
        found = [flat.view(shape) for flat, shape in zip(total[:-LANES].split(sizes), shapes, strict=True)]
        found[1] = _transposed(found[1])
        pairs = zip(parts, found, strict=True)
        return *(None,) * 6, *(None if part is None else gradient for part, gradient in pairs)


def _run(
    matrices: Matrices, lattice: Tensor, drawn: Tensor, border: Tensor, thresholds: Tensor
) -> tuple[Tensor, Tensor]:
    """Call the compiled kernel; return ln q, (n_blocks, n) float64, and the tiles that are kept for the gradient."""
    log_prob = torch.empty(drawn.shape[1], lattice.shape[1], dtype=torch.float64)
    kept = matrices.first.new_empty(_kept_numbers(matrices, log_prob.numel()))
    sites, result = _sites(lattice, drawn, border), log_prob.view(-1).numpy()
    draw_network(_arrays(matrices), sites, _array(thresholds), _array(kept), result)
    return log_prob, kept


def _kept_numbers(matrices: Matrices, columns: int) -> int:
    """Return how many numbers a draw of so many columns keeps for the gradient, see `network.tile_numbers`."""
    n_units, n_inputs = matrices.first.shape
    rows = n_inputs + len(matrices.last) + n_units * (1 if matrices.slopes is None else 2)
    numbers = -(-columns // TILE) * TILE * rows
    keeps = torch.is_grad_enabled() and n_inputs >= KEPT_INPUTS and numbers <= KEPT_NUMBERS
    return numbers if keeps else 0


def _joined(parts: Sequence[Any], width: int) -> Matrices:
    first, last, skip, bias, last_bias, slopes = parts
    return Matrices(first, last, skip, bias, last_bias, slopes, width)


def _arrays(matrices: Matrices) -> Arrays:
    """Matrices as arrays; one without elements for each part that is absent."""
    none = matrices.first.new_empty(0)
    skip = none.view(0, matrices.first.shape[1]) if matrices.skip is None else matrices.skip
    vectors = (none if part is None else part for part in matrices[3:6])
    return Arrays(_array(matrices.first), _array(matrices.last), _array(skip), *map(_array, vectors), matrices.width)  # type: ignore[call-arg]


def _transposed(matrix: Tensor) -> Tensor:
    """The transpose of a matrix, contiguous."""
    result = matrix.new_empty(matrix.shape[1], matrix.shape[0])
    transposed(_array(matrix), result.numpy())
    return result


def _sites(*tensors: Tensor) -> Sites:
    return Sites(*map(_array, tensors))


def _array(tensor: Tensor) -> Any:
    return tensor.detach().contiguous().numpy()
