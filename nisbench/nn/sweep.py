"""One pass of ancestral sampling with torch operations: any network, any device.

The state is a set of buffers that fill up site by site. `compiled` does the same for plain stacks on the CPU.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from nisbench.nn.dense import AutoregressiveDense

__all__ = ["MaskedWeights", "Sweep", "prelu"]


def prelu(z: Tensor, slope: Tensor) -> Tensor:
    """(units, n), (units,) -> (units, n): max(z, 0) + slope min(z, 0)."""
    return functional.prelu(z.unsqueeze(0), slope).squeeze(0)  # torch has the channels in the second place


@dataclass(frozen=True)
class MaskedWeights:
    """The parameters of a network, masked once for all passes of a call."""

    layers: list[Tensor]
    biases: list[Tensor]
    channels: list[Tensor]
    channel_biases: list[Tensor]
    slopes: list[Tensor]

    @classmethod
    def of(cls, net: "AutoregressiveDense") -> Self:
        """Those of `net`; differentiable where gradients are on."""
        return cls(
            layers=[layer.masked_weight() for layer in net.layers],
            biases=[layer.bias_column() for layer in net.layers],
            channels=[layer.masked_weight() for layer in net.channels],
            channel_biases=[layer.bias_column() for layer in net.channels],
            slopes=[activation.slope for activation in net.activations],
        )


@dataclass(frozen=True)
class Sweep:
    """Shapes as in `Trace`; all sites before the current block are final."""

    net: "AutoregressiveDense"
    weights: MaskedWeights
    thresholds: Tensor
    inputs: Tensor
    pre: Tensor
    post: Tensor
    logits: Tensor

    @classmethod
    def begin(
        cls, net: "AutoregressiveDense", weights: MaskedWeights, thresholds: Tensor, border: Tensor | None
    ) -> Self:
        """Makes the buffers and completes the units of the border, which depend on the border alone."""
        n = thresholds.shape[1]
        pre = thresholds.new_empty(net.depth - 1, net.n_sites * net.width, n)
        inputs = thresholds.new_empty(net.n_sites, n)
        sweep = cls(net, weights, thresholds, inputs, pre, torch.empty_like(pre), torch.empty_like(thresholds))
        if border is not None and net.n_border > 0:
            inputs[: net.n_border] = border
            units = slice(0, net.n_border * net.width)
            for layer in range(net.depth - 1):
                x = sweep.below(layer, 0, net.n_border)
                weight, bias = weights.layers[layer][units, : len(x)], weights.biases[layer][units]
                torch.addmm(bias, weight, x, out=pre[layer, units])
                sweep.activate(layer, units)
        return sweep

    def below(self, layer: int, start: int, stop: int) -> Tensor:
        """What layer `layer` sees of the sites start..stop, the border sites counted: (units, n)."""
        w = self.net.width
        return self.inputs[start:stop] if layer == 0 else self.post[layer - 1, start * w : stop * w]

    def add_known_sites(self, start: int, stop: int) -> None:
        """Starts the units of the spins start..stop with all that earlier sites contribute: one product a layer."""
        nb, w = self.net.n_border, self.net.width
        for layer in range(self.net.depth):
            last = layer == self.net.depth - 1
            rows = slice(start, stop) if last else slice((nb + start) * w, (nb + stop) * w)
            out = self.logits[rows] if last else self.pre[layer, rows]
            x = self.below(layer, 0, nb + start)
            torch.addmm(self.weights.biases[layer][rows], self.weights.layers[layer][rows, : len(x)], x, out=out)

    def activate(self, layer: int, units: slice) -> None:
        """Completes hidden units whose sums are complete: the residual skip, the channels, the activation."""
        z = self.pre[layer, units]
        if self.net.residual and layer > 0:
            z += self.pre[layer - 1, units]
        if self.net.residual and layer < self.net.depth - 2:
            z = torch.addmm(self.weights.channel_biases[layer][units], self.weights.channels[layer][units, units], z)
        self.post[layer, units] = prelu(z, self.weights.slopes[layer][units])

    def solve(self, start: int, stop: int) -> None:
        """Draws the spins start..stop in order and completes their units, once the known sites are added."""
        nb, w, depth = self.net.n_border, self.net.width, self.net.depth
        for k in range(start, stop):
            site = nb + k
            for layer in range(depth):
                last = layer == depth - 1
                rows = slice(k, k + 1) if last else slice(site * w, (site + 1) * w)
                out = self.logits[rows] if last else self.pre[layer, rows]
                x = self.below(layer, nb + start, site + (layer > 0))
                offset = (nb + start) * (w if layer else 1)
                out.addmm_(self.weights.layers[layer][rows, offset : offset + len(x)], x)
                if not last:
                    self.activate(layer, rows)
            self.inputs[site] = torch.where(self.logits[k] > self.thresholds[k], 1.0, -1.0)
