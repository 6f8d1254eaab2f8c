"""Masked dense networks of any depth, with or without residual layers, in plain torch operations."""

import torch
from torch import Tensor, nn

from nisbench.nn.bernoulli import signs, spin_log_prob
from nisbench.nn.layers import ChannelLinear, MaskedLinear, UnitPReLU, site_mask, widen
from nisbench.nn.modules import Stack

__all__ = ["AutoregressiveDeep"]


class AutoregressiveDeep(nn.Module):
    """Density of n_spins spins, one after the other.

    `depth` masked layers with `width` hidden units per spin and per-unit PReLU between them; the last layer has one
    output, a logit, per spin. With `residual` the layers between the first and the last are the residual layers
    z + Masked(PReLU(ChannelLinear(z))) of Wu, Wang, Zhang (2019).
    """

    def __init__(
        self, n_spins: int, *, depth: int = 3, width: int = 1, residual: bool = False, bias: bool = True
    ) -> None:
        super().__init__()
        if depth < 1 or width < 1:
            raise ValueError(f"depth {depth} and width {width} must be at least 1")
        self.n_spins, self.width, self.depth, self.residual = n_spins, width, depth, residual
        shapes = [(width, 1), *[(width, width)] * (depth - 2), (1, width)] if depth > 1 else [(1, 1)]
        masks = [site_mask(n_spins, 0, strict=layer == 0) for layer in range(depth)]
        self.layers = Stack(
            MaskedLinear(widen(mask, *shape), bias=bias) for mask, shape in zip(masks, shapes, strict=True)
        )
        self.activations = Stack(UnitPReLU(n_spins * width) for _ in range(depth - 1))
        self.channels = Stack(ChannelLinear(n_spins, width, bias=bias) for _ in range(depth - 2 if residual else 0))

    def forward(self, spins: Tensor) -> Tensor:
        """(n_spins, n) -> logits (n_spins, n), differentiable."""
        z: Tensor = self.layers[0](spins.to(self.layers[0].weight.dtype))  # (units, n)
        for layer in range(1, self.depth):
            z = self._after(layer, z, self.layers[layer](self._activate(layer, z)))
        return z

    def score(self, spins: Tensor) -> Tensor:
        """ln q of the spins, (n_spins, n) -> (n,) float64, differentiable."""
        return spin_log_prob(spins, self(spins))

    def draw(self, thresholds: Tensor) -> tuple[Tensor, Tensor]:
        """Draw spin k as +1 where logit_k > thresholds[k], else -1; `thresholds` is (n_spins, n).

        Returns spins, (n_spins, n), and ln q, (n,) float64 and differentiable.
        """
        spins, logits = self._drawn(thresholds)
        return spins, self.score(spins) if torch.is_grad_enabled() else spin_log_prob(spins, logits)

    @torch.no_grad()
    def _drawn(self, thresholds: Tensor) -> tuple[Tensor, Tensor]:
        """Spins and logits, (n_spins, n) each. The units of a spin are computed once, when their inputs are drawn."""
        spins, logits = torch.empty_like(thresholds), torch.empty_like(thresholds)
        n = thresholds.shape[1]
        below = [spins, *(thresholds.new_empty(self.n_spins * self.width, n) for _ in self.activations)]
        weights = [layer.masked_weight() for layer in self.layers]
        for k in range(self.n_spins):
            z = thresholds.new_empty(0)
            for layer, (weight, x) in enumerate(zip(weights, below, strict=True)):
                own = slice(k * self.width, (k + 1) * self.width)  # the units of spin k
                rows = own if layer < self.depth - 1 else slice(k, k + 1)
                seen = k if layer == 0 else own.stop
                if layer:
                    x[own] = self._activate(layer, z, own)
                out = torch.addmm(self.layers[layer].bias_vector()[rows, None], weight[rows, :seen], x[:seen])
                z = self._after(layer, z, out) if layer else out
            logits[k] = z[0]
            spins[k] = signs(logits[k] > thresholds[k], like=spins)
        return spins, logits

    def multiply_adds(self) -> int:
        """Multiply-adds of one pass, masked zeros left out."""
        return sum(int(layer.mask.sum()) for layer in [*self.layers, *self.channels])

    def _activate(self, layer: int, z: Tensor, which: slice = slice(None)) -> Tensor:
        """Inputs of a layer, all or some rows, from the outputs z of the layer below, which are the same rows."""
        if self.residual and layer < self.depth - 1:
            z = self.channels[layer - 1].of_units(z, which)
        return self.activations[layer - 1].of_units(z, which)

    def _after(self, layer: int, z: Tensor, out: Tensor) -> Tensor:
        """Output of a layer, plus its input where the layer is residual."""
        return z + out if self.residual and layer < self.depth - 1 else out
