"""A masked matrix whose entries are sums of own and shared numbers, on any device.

The compiled kernels (`kernels.sharing`) and torch operations give the same matrix and the same gradient.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nisbench.nn.bernoulli import on_cpu
from nisbench.nn.kernels.sharing import PARTS, Pairs, differentiate_shared, fill_shared

__all__ = ["shared_matrix", "shared_matrix_torch"]


def shared_matrix(own: Tensor, kernel: Tensor, classes: Tensor, rates: Tensor, seen: int, factor: float) -> Tensor:
    """Return factor rate (own + kernel of the class) where spin k sees site j < seen + k, else 0; differentiable.

    Parameters
    ----------
    own : (K width, J) or (K, J width) numbers of K spins and J sites with `width` channels
    kernel : (width, n_classes)
    classes : (K, all sites) int32 class of each pair, 0 for none; the J sites are the last ones
    rates : (K, all sites) factor of each pair

    Returns
    -------
    matrix : of the shape of `own`
    """
    if on_cpu(own):
        return _Shared.apply(own, kernel, classes, rates, seen, factor)  # type: ignore[no-any-return, no-untyped-call]
    return shared_matrix_torch(own, kernel, classes, rates, seen, factor)


def shared_matrix_torch(
    own: Tensor, kernel: Tensor, classes: Tensor, rates: Tensor, seen: int, factor: float
) -> Tensor:
    """Return `shared_matrix` by torch operations."""
    n_spins, sites = len(classes), _sites(own, kernel, classes)
    rows = functional.pad(kernel, (1, 0)).T.contiguous()  # (1 + n_classes, width), row 0 is zero
    # not index_select, whose gradient on a GPU is a sum in random order
    entries = functional.embedding(classes[:, -sites:], rows, padding_idx=0)  # (K, J, width)
    spin, site = (torch.arange(count, device=own.device) for count in (n_spins, sites))
    factors = (site < seen + spin.unsqueeze(1)) * rates[:, -sites:] * factor  # (K, J)
    in_rows = own.shape[1] == sites
    own = own.view(n_spins, -1, sites).transpose(1, 2) if in_rows else own.view(n_spins, sites, -1)  # (K, J, width)
    matrix = (own + entries) * factors.unsqueeze(2)
    # (K, J, width) -> (K, width, J) -> (K width, J), or (K, J width)
    return matrix.transpose(1, 2).reshape(-1, sites) if in_rows else matrix.reshape(n_spins, -1)


class _Shared(torch.autograd.Function):
    """The compiled matrix as one node of the graph."""

    @staticmethod
    def forward(
        ctx: Any, own: Tensor, kernel: Tensor, classes: Tensor, rates: Tensor, seen: int, factor: float
    ) -> Tensor:
        """Return the matrix."""
        ctx.save_for_backward(kernel, classes, rates)
        ctx.seen, ctx.factor = seen, factor
        matrix, padded = torch.empty_like(own), functional.pad(kernel, (1, 0))  # class 0 has the number 0
        own, scale = own.contiguous(), own.new_tensor(factor).numpy()[()]
        pairs = Pairs(classes.numpy(), rates.numpy(), classes.shape[1] - _sites(own, kernel, classes), seen)
        fill_shared(own.numpy(), padded.numpy(), pairs, scale, matrix.numpy())
        return matrix

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient by own and by shared numbers."""
        kernel, classes, rates = ctx.saved_tensors
        gradient, scale = gradient.contiguous(), gradient.new_tensor(ctx.factor).numpy()[()]
        begin = classes.shape[1] - _sites(gradient, kernel, classes)
        pairs = Pairs(classes.numpy(), rates.numpy(), begin, ctx.seen)
        d_own, d_kernel = torch.empty_like(gradient), kernel.new_zeros(PARTS, len(kernel), 1 + kernel.shape[1])
        differentiate_shared(gradient.numpy(), pairs, scale, d_own.numpy(), d_kernel.numpy())
        return d_own, d_kernel.sum(0)[:, 1:], None, None, None, None


def _sites(own: Tensor, kernel: Tensor, classes: Tensor) -> int:
    """Return the number of sites J of a matrix."""
    return own.numel() // (len(classes) * len(kernel))
