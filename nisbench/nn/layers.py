"""The masked layers of the dense network, and its matrices as the sampling paths take them.

Layout: units by samples. Inputs, hidden units and logits are (units, n) with the samples contiguous, so that a layer is
one matrix product W @ x and consecutive spins are a contiguous slice.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["ChannelLinear", "DenseMatrices", "MaskedLinear", "Parametrisation", "UnitPReLU", "prelu"]


def prelu(z: Tensor, slope: Tensor) -> Tensor:
    """max(z, 0) + slope min(z, 0): (units, n), (units,) -> (units, n)."""
    return functional.prelu(z.unsqueeze(0), slope).squeeze(0)  # torch expects the channels in the second dimension


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


class UnitPReLU(nn.Module):
    """max(z, 0) + slope_u min(z, 0) with one slope for each unit, 1/2 at the start."""

    def __init__(self, n_units: int) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.full((n_units,), 0.5))

    def forward(self, z: Tensor) -> Tensor:
        """(n_units, n) -> (n_units, n)"""
        return prelu(z, self.slope)


@dataclass(frozen=True)
class DenseMatrices:
    """The masked matrices of a dense network, from the first layer to the last, or the gradient by them."""

    weights: tuple[Tensor, ...]
    """(units, n_sites), (units, units) ..., (n_spins, units); units = n_sites width"""
    biases: tuple[Tensor, ...]
    """(units,) ..., (n_spins,)"""
    slopes: tuple[Tensor, ...]
    """(units,) after each layer but the last"""
    channels: tuple[Tensor, ...] = ()
    """(units, units) of each residual layer"""
    channel_biases: tuple[Tensor, ...] = ()
    """(units,)"""
    residual: bool = False

    @property
    def depth(self) -> int:
        """Number of masked layers."""
        return len(self.weights)

    @property
    def n_sites(self) -> int:
        """Border sites and spins."""
        return self.weights[0].shape[1]

    @property
    def n_spins(self) -> int:
        """Drawn spins, the last of the sites."""
        return len(self.weights[-1])

    @property
    def n_border(self) -> int:
        """Border sites, the first of the sites."""
        return self.n_sites - self.n_spins

    @property
    def width(self) -> int:
        """Hidden units of each site; 1 without a hidden layer."""
        return len(self.slopes[0]) // self.n_sites if self.slopes else 1


class Parametrisation(Protocol):
    """Maps parameters to matrices, and the gradient by the matrices to the gradient by the parameters."""

    def trained(self) -> list[Tensor]:
        """Parameters that the matrices depend on."""
        ...

    def matrices(self) -> DenseMatrices:
        """Matrices for the present parameters."""
        ...

    def pull_back(self, gradient: DenseMatrices) -> list[Tensor]:
        """Gradient by each parameter of `trained`, from the gradient by the matrices.

        Rows of the gradient by a weight may be longer than those of the weight.
        """
        ...
