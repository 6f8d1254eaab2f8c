"""The dense network with one hidden layer and PReLU: its parameters as matrices of the formula.

Hidden units are grouped by site, border sites first: unit `site width + channel`. A spin feeds the units of later spins
only, units feed the logits of their own spin and later ones; border sites feed everything and are fed by border sites
only.
"""

import torch
from torch import Tensor, nn

from nisbench.nn import network
from nisbench.nn.formula import Matrices, logits, units
from nisbench.nn.layers import MaskedLinear, UnitPReLU, site_mask, widen

__all__ = ["AutoregressiveDense"]


class AutoregressiveDense(nn.Module):
    """Density of n_spins spins, one after the other, conditioned on n_border spins.

    Two masked layers with `width` hidden units per site and per-unit PReLU between them; the last layer has one output,
    a logit, per spin.
    """

    def __init__(self, n_spins: int, n_border: int = 0, *, width: int = 1, bias: bool = True) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width {width} must be at least 1")
        self.n_spins, self.n_border, self.width = n_spins, n_border, width
        n_sites = n_border + n_spins
        self.first = MaskedLinear(widen(site_mask(n_sites, n_border, strict=True), width, 1), bias=bias)
        # the border has no logits
        self.last = MaskedLinear(widen(site_mask(n_sites, n_border, strict=False)[n_border:], 1, width), bias=bias)
        self.activation = UnitPReLU(n_sites * width)

    def matrices(self) -> Matrices:
        """Masked matrices for the present parameters, with gradient; a training step computes them once."""
        first, last = self.first, self.last
        weights = first.masked_weight(), last.masked_weight()
        return Matrices(*weights, None, first.bias, last.bias, self.activation.slope, self.width)

    def forward(self, spins: Tensor, border: Tensor | None = None) -> Tensor:
        """(n_spins, n), (n_border, n) -> logits (n_spins, n) by one full pass, differentiable."""
        inputs = (spins if border is None else torch.cat([border, spins])).to(self.first.weight.dtype)
        matrices = self.matrices()
        return logits(matrices, inputs, units(matrices, inputs))

    def draw(self, thresholds: Tensor, border: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Draw one block: spin k is +1 where logit_k > thresholds[k], else -1.

        Parameters
        ----------
        thresholds : (n_spins, n), of the network's dtype
        border : (n_border, n) of -1, +1; None where n_border = 0

        Returns
        -------
        spins, log_prob : (n_spins, n), (n,) float64, the second one differentiable
        """
        lattice = torch.empty(
            self.n_border + self.n_spins, thresholds.shape[1], dtype=torch.int8, device=thresholds.device
        )
        if border is None and self.n_border:
            raise ValueError(f"the network has {self.n_border} border sites, but no border is given")
        if border is not None:
            lattice[: self.n_border] = border
        log_prob = network.draw(self.matrices(), lattice, *self._own_sites(lattice), thresholds)
        return lattice[self.n_border :].to(thresholds.dtype), log_prob[0]

    def score(self, spins: Tensor, border: Tensor | None = None) -> Tensor:
        """ln q of spins (n_spins, n) with border (n_border, n): (n,) float64, differentiable."""
        lattice = (spins if border is None else torch.cat([border, spins])).to(torch.int8)
        return network.score(self.matrices(), lattice, *self._own_sites(lattice))[0]

    def multiply_adds(self) -> int:
        """Multiply-adds of one pass, masked zeros left out."""
        return sum(int(layer.mask.sum()) for layer in (self.first, self.last))

    def _own_sites(self, lattice: Tensor) -> tuple[Tensor, Tensor]:
        """`drawn` and `border` of a lattice that is one block, its border first."""
        sites = torch.arange(len(lattice), device=lattice.device).unsqueeze(1)  # (n_sites, 1)
        return sites[self.n_border :], sites[: self.n_border]
