"""A masked matrix whose entries are sums of own and shared numbers, on any device.

The compiled kernels (`kernels.sharing`) and torch operations give the same matrix and the same gradient.
"""

from collections.abc import MutableMapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.utils.weak import WeakTensorKeyDictionary

from nisbench.nn.bernoulli import on_cpu
from nisbench.nn.kernels.sharing import PARTS, Pairs, differentiate_shared, fill_shared

__all__ = ["shared_matrix", "shared_matrix_torch"]


def shared_matrix(own: Tensor, kernel: Tensor, classes: Tensor, closeness: Tensor, seen: int, factor: float) -> Tensor:
    """Return factor closeness (own + shared number of the class) where spin k sees site j, else 0; differentiable.

    Parameters
    ----------
    own : (K width, J) or (K, J width) numbers of K spins and J sites with `width` channels
    kernel : (width, n_classes) the shared numbers
    classes : (K, all sites) int32 class of each pair, 0 for none; the J sites are the last ones
    closeness : (K, all sites) factor of each pair
    seen : spin k sees the first seen + k of the J sites
    factor : of all entries

    Returns
    -------
    matrix : of the shape of `own`
    """
    if on_cpu(own):
        return _Shared.apply(own, kernel, classes, closeness, seen, factor)  # type: ignore[no-any-return, no-untyped-call]
    return shared_matrix_torch(own, kernel, classes, closeness, seen, factor)


def shared_matrix_torch(
    own: Tensor, kernel: Tensor, classes: Tensor, closeness: Tensor, seen: int, factor: float
) -> Tensor:
    """Return `shared_matrix` by torch operations."""
    return _SharedTorch.apply(own, kernel, classes, closeness, seen, factor)  # type: ignore[no-any-return, no-untyped-call]


class _SharedTorch(torch.autograd.Function):
    """The matrix by torch operations. The gradient sums pairs in a fixed order, so that it repeats bit by bit.

    The gradient of `index_select` does not. With that of an embedding, two calls at L = 32 differed on an H100.
    """

    @staticmethod
    def forward(
        ctx: Any, own: Tensor, kernel: Tensor, classes: Tensor, closeness: Tensor, seen: int, factor: float
    ) -> Tensor:
        """Return the matrix."""
        sites = _sites(own, kernel, classes)
        padded, classes_of = functional.pad(kernel, (1, 0)), classes[:, -sites:]  # class 0 has the number 0
        spin, site = (torch.arange(count, device=own.device) for count in (len(classes), sites))
        factors = (site < seen + spin.unsqueeze(1)) * closeness[:, -sites:] * factor  # (K, J)
        ctx.in_rows, ctx.sites = own.shape[1] == sites, sites
        ctx.save_for_backward(kernel, classes, factors)
        if ctx.in_rows:  # (K, width, J)
            channels = torch.arange(len(kernel), device=own.device).view(-1, 1)
            entries, factors = padded[channels, classes_of.unsqueeze(1)], factors.unsqueeze(1)
        else:  # (K, J, width)
            entries, factors = functional.embedding(classes_of, padded.T.contiguous()), factors.unsqueeze(2)
        return ((own.view(entries.shape) + entries) * factors).view(own.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient by own and by shared numbers."""
        kernel, classes, factors = ctx.saved_tensors
        width, n_classes = kernel.shape
        if ctx.in_rows:
            d_own = gradient.reshape(len(classes), width, -1) * factors.unsqueeze(1)
            pairs = d_own.transpose(1, 2).reshape(-1, width)
        else:
            d_own = gradient.reshape(len(classes), -1, width) * factors.unsqueeze(2)
            pairs = d_own.view(-1, width)
        order, ends = _by_class(classes, ctx.sites, n_classes)
        d_kernel = torch.segment_reduce(pairs[order], "sum", offsets=ends, unsafe=True)  # (n_classes, width)
        return d_own.view(gradient.shape), d_kernel.T, None, None, None, None


_ORDERS: MutableMapping[Tensor, dict[int, tuple[Tensor, Tensor]]] = WeakTensorKeyDictionary()
"""For each tensor of classes the results of `_by_class`, which are the same in every training step."""


def _by_class(classes: Tensor, sites: int, n_classes: int) -> tuple[Tensor, Tensor]:
    """Return the pairs of the last `sites` sites in the order of their classes, and where each class begins and ends.

    Pairs without a class are left out. The second result has n_classes + 1 numbers.
    """
    known = _ORDERS.setdefault(classes, {})
    if sites not in known:
        ordered, order = classes[:, -sites:].flatten().sort(stable=True)
        ends = torch.searchsorted(ordered, torch.arange(1, n_classes + 2, device=classes.device, dtype=classes.dtype))
        known[sites] = order[ends[0] :], ends - ends[0]
    return known[sites]


class _Shared(torch.autograd.Function):
    """The compiled matrix as one node of the graph."""

    @staticmethod
    def forward(
        ctx: Any, own: Tensor, kernel: Tensor, classes: Tensor, closeness: Tensor, seen: int, factor: float
    ) -> Tensor:
        """Return the matrix."""
        ctx.save_for_backward(kernel, classes, closeness)
        ctx.seen, ctx.factor = seen, factor
        matrix, padded = torch.empty_like(own), functional.pad(kernel, (1, 0))  # class 0 has the number 0
        own, scale = own.contiguous(), own.new_tensor(factor).numpy()[()]
        pairs = Pairs(classes.numpy(), closeness.numpy(), classes.shape[1] - _sites(own, kernel, classes), seen)
        fill_shared(own.numpy(), padded.numpy(), pairs, scale, matrix.numpy())
        return matrix

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient by own and by shared numbers."""
        kernel, classes, closeness = ctx.saved_tensors
        gradient, scale = gradient.contiguous(), gradient.new_tensor(ctx.factor).numpy()[()]
        begin = classes.shape[1] - _sites(gradient, kernel, classes)
        pairs = Pairs(classes.numpy(), closeness.numpy(), begin, ctx.seen)
        d_own, d_kernel = torch.empty_like(gradient), kernel.new_zeros(PARTS, len(kernel), 1 + kernel.shape[1])
        differentiate_shared(gradient.numpy(), pairs, scale, d_own.numpy(), d_kernel.numpy())
        return d_own, d_kernel.sum(0)[:, 1:], None, None, None, None


def _sites(own: Tensor, kernel: Tensor, classes: Tensor) -> int:
    """Return the number of sites J of a matrix."""
    return own.numel() // (len(classes) * len(kernel))
