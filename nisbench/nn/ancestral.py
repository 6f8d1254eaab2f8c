"""One pass of ancestral sampling of a dense network with torch operations: any depth, any device.

`compiled` does the same for networks without residual layers on the CPU, `fused` for one hidden layer on a GPU.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from nisbench.nn.bernoulli import signs
from nisbench.nn.layers import DenseMatrices, prelu

__all__ = ["draw_ancestral"]

PANEL = 32
"""Spins that are drawn one by one after one product with all sites before them: enough for an efficient product, few
enough that the triangle inside the panel is minor work."""


def draw_ancestral(matrices: DenseMatrices, thresholds: Tensor, border: Tensor) -> tuple[Tensor, Tensor]:
    """Draw spin k as +1 where logit_k > thresholds[k]; every hidden unit is computed once.

    Parameters
    ----------
    thresholds : (n_spins, n)
    border : (n_border, n)

    Returns
    -------
    spins, logits : (n_spins, n) each
    """
    state = _State.begin(matrices, thresholds, border)
    for start in range(0, matrices.n_spins, PANEL):
        stop = min(start + PANEL, matrices.n_spins)
        state.add_known_sites(start, stop)
        state.draw_panel(start, stop, thresholds)
    return state.inputs[matrices.n_border :], state.logits


@dataclass(frozen=True)
class _State:
    """Buffers that fill up site by site; all units of the sites before the current panel are final."""

    matrices: DenseMatrices
    inputs: Tensor
    """(n_border + n_spins, n), the border and the spins"""
    pre: Tensor
    """(depth - 1, units, n) hidden units before the activation"""
    post: Tensor
    """(depth - 1, units, n) hidden units after it"""
    logits: Tensor
    """(n_spins, n)"""

    @classmethod
    def begin(cls, matrices: DenseMatrices, thresholds: Tensor, border: Tensor) -> Self:
        """Allocate the buffers and complete the units of the border, which depend on the border alone."""
        n_sites, n_border, width = matrices.n_sites, matrices.n_border, matrices.width
        pre = thresholds.new_empty(matrices.depth - 1, n_sites * width, thresholds.shape[1])
        inputs = thresholds.new_empty(n_sites, thresholds.shape[1])
        state = cls(matrices, inputs, pre, torch.empty_like(pre), torch.empty_like(thresholds))
        if n_border > 0:
            inputs[:n_border] = border
            units = slice(0, n_border * width)
            for layer in range(matrices.depth - 1):
                state.add(layer, units, state.below(layer, 0, n_border), pre[layer, units])
                state.activate(layer, units)
        return state

    def below(self, layer: int, start: int, stop: int) -> Tensor:
        """Units that layer `layer` reads of the sites start..stop (border sites counted): (units, n)."""
        width = self.matrices.width
        return self.inputs[start:stop] if layer == 0 else self.post[layer - 1, start * width : stop * width]

    def rows(self, layer: int, start: int, stop: int) -> tuple[slice, Tensor]:
        """Rows of layer `layer` for the spins start..stop, and the part of its buffer that they fill."""
        if layer == self.matrices.depth - 1:
            return slice(start, stop), self.logits[start:stop]
        n_border, width = self.matrices.n_border, self.matrices.width
        units = slice((n_border + start) * width, (n_border + stop) * width)
        return units, self.pre[layer, units]

    def add_known_sites(self, start: int, stop: int) -> None:
        """Begin the units and logits of the spins start..stop with all earlier sites: one product a layer."""
        for layer in range(self.matrices.depth):
            rows, out = self.rows(layer, start, stop)
            self.add(layer, rows, self.below(layer, 0, self.matrices.n_border + start), out)

    def add(self, layer: int, rows: slice, x: Tensor, out: Tensor) -> None:
        """out = bias + the sum over the first units of the layer below, x."""
        matrices = self.matrices
        bias = matrices.biases[layer].unsqueeze(1)
        torch.addmm(bias[rows], matrices.weights[layer][rows, : len(x)], x, out=out)

    def activate(self, layer: int, units: slice) -> None:
        """Apply residual connection, channel mixing and activation to hidden units whose input sums are complete."""
        matrices = self.matrices
        z = self.pre[layer, units]
        if matrices.residual and layer > 0:
            z += self.pre[layer - 1, units]  # in place: `pre` keeps the sum for the next residual connection
        if matrices.residual and layer < matrices.depth - 2:
            bias = matrices.channel_biases[layer].unsqueeze(1)[units]
            z = torch.addmm(bias, matrices.channels[layer][units, units], z)
        self.post[layer, units] = prelu(z, matrices.slopes[layer][units])

    def draw_panel(self, start: int, stop: int, thresholds: Tensor) -> None:
        """Draw the spins start..stop in order and complete their units, after `add_known_sites`."""
        matrices, n_border = self.matrices, self.matrices.n_border
        for k in range(start, stop):
            site = n_border + k
            for layer in range(matrices.depth):
                rows, out = self.rows(layer, k, k + 1)
                # the triangle of the panel: strictly before the site in the first layer, up to it in the others
                x = self.below(layer, n_border + start, site + (layer > 0))
                offset = (n_border + start) * (matrices.width if layer else 1)
                out.addmm_(matrices.weights[layer][rows, offset : offset + len(x)], x)
                if layer < matrices.depth - 1:
                    self.activate(layer, rows)
            self.inputs[site] = signs(self.logits[k] > thresholds[k], like=self.inputs)
