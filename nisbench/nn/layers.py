"""The masked layers of the dense networks.

Layout: units by samples. Inputs, hidden units and logits are (units, n) with the samples contiguous, so that a layer is
one matrix product W @ x and consecutive spins are a contiguous slice.
"""

import torch
from torch import Tensor, nn

from nisbench.nn.formula import prelu

__all__ = ["ChannelLinear", "MaskedLinear", "UnitPReLU", "site_mask", "widen"]


class MaskedLinear(nn.Module):
    """y = (W * mask) x + b in the units-by-samples layout, x (n_in, n) -> y (n_out, n).

    Initialised as the default linear layer, times sqrt(numel/mask.sum()) as in the code of Wu, Wang, Zhang (2019),
    which keeps the variance of the outputs. Masked weights are stored and counted.
    """

    mask: Tensor

    def __init__(self, mask: Tensor, *, bias: bool = True) -> None:
        super().__init__()
        n_out, n_in = mask.shape
        # torch multiplies by uint8 three times as fast as by bool
        self.register_buffer("mask", mask.to(torch.uint8), persistent=False)
        dense = nn.Linear(n_in, n_out, bias=bias)
        scale = torch.sqrt(mask.numel() / mask.sum().clamp(min=1))
        self.weight = nn.Parameter(dense.weight.detach() * mask * scale)
        self.bias = nn.Parameter(dense.bias.detach()) if bias else None

    def masked_weight(self) -> Tensor:
        """(n_out, n_in)"""
        return self.weight * self.mask

    def bias_vector(self) -> Tensor:
        """(n_out,), zeros where the layer has no bias."""
        return self.weight.new_zeros(self.weight.shape[0]) if self.bias is None else self.bias

    def forward(self, x: Tensor) -> Tensor:
        """(n_in, n) -> (n_out, n)"""
        return torch.addmm(self.bias_vector().unsqueeze(1), self.masked_weight(), x)


class ChannelLinear(MaskedLinear):
    """A full width x width matrix over the channels of each site; sites do not mix.

    Stored as one masked (units, units) matrix, as in the published parameter counts.
    """

    def __init__(self, n_sites: int, width: int, *, bias: bool = True) -> None:
        super().__init__(torch.kron(torch.eye(n_sites), torch.ones(width, width)).bool(), bias=bias)

    def of_units(self, x: Tensor, which: slice) -> Tensor:
        """The outputs of the units of some sites, from their inputs: (k, n) -> (k, n)."""
        own = self.weight[which, which] * self.mask[which, which]
        return torch.addmm(self.bias_vector()[which, None], own, x)


class UnitPReLU(nn.Module):
    """max(z, 0) + slope_u min(z, 0) with one slope for each unit, 1/2 at the start."""

    def __init__(self, n_units: int) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.full((n_units,), 0.5))

    def of_units(self, z: Tensor, which: slice) -> Tensor:
        """The outputs of some units: (k, n) -> (k, n)."""
        return prelu(z, self.slope[which])


def site_mask(n_sites: int, n_border: int, *, strict: bool) -> Tensor:
    """(n_sites, n_sites) bool, [to, from]: True where site `from` may feed site `to`."""
    to, source = torch.arange(n_sites).unsqueeze(1), torch.arange(n_sites).unsqueeze(0)
    earlier = source < to if strict else source <= to
    return torch.where(source < n_border, torch.ones((), dtype=torch.bool), earlier & (to >= n_border))


def widen(mask: Tensor, n_out: int, n_in: int) -> Tensor:
    """Repeat each site n_out times along the rows and n_in times along the columns."""
    return mask.repeat_interleave(n_out, 0).repeat_interleave(n_in, 1)
