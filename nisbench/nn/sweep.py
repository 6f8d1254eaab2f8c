"""One pass of ancestral sampling with torch operations: any network, any device.

The state is a set of buffers that fill up site by site. `compiled` does the same for plain stacks on the CPU.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor
from torch.nn import functional

from nisbench.nn.bernoulli import signs

if TYPE_CHECKING:
    from nisbench.nn.dense import AutoregressiveDense

__all__ = ["Sweep", "prelu"]


def prelu(z: Tensor, slope: Tensor) -> Tensor:
    """(units, n), (units,) -> (units, n): max(z, 0) + slope min(z, 0)."""
    return functional.prelu(z.unsqueeze(0), slope).squeeze(0)  # torch has the channels in the second place


@dataclass(frozen=True)
class Sweep:
    """Buffers, (units, n); all sites before the current block are final."""

    net: "AutoregressiveDense"
    weights: list[Tensor]
    """masked once for the whole pass"""
    channels: list[Tensor]
    thresholds: Tensor
    inputs: Tensor
    """(n_border + n_spins, n), the border and the spins"""
    pre: Tensor
    """(depth - 1, units, n) hidden units before the activation"""
    post: Tensor
    """(depth - 1, units, n) hidden units after it"""
    logits: Tensor
    """(n_spins, n)"""

    @classmethod
    def begin(cls, net: "AutoregressiveDense", thresholds: Tensor, border: Tensor) -> Self:
        """Makes the buffers and completes the units of the border, which depend on the border alone."""
        pre = thresholds.new_empty(net.depth - 1, net.n_sites * net.width, thresholds.shape[1])
        sweep = cls(
            net=net,
            weights=[layer.masked_weight() for layer in net.layers],
            channels=[layer.masked_weight() for layer in net.channels],
            thresholds=thresholds,
            inputs=thresholds.new_empty(net.n_sites, thresholds.shape[1]),
            pre=pre,
            post=torch.empty_like(pre),
            logits=torch.empty_like(thresholds),
        )
        if net.n_border > 0:
            sweep.inputs[: net.n_border] = border
            units = slice(0, net.n_border * net.width)
            for layer in range(net.depth - 1):
                sweep._add(layer, units, sweep.below(layer, 0, net.n_border), pre[layer, units])
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
            self._add(layer, rows, x, out)

    def activate(self, layer: int, units: slice) -> None:
        """Completes hidden units whose sums are complete: the residual skip, the channels, the activation."""
        z = self.pre[layer, units]
        if self.net.residual and layer > 0:
            z += self.pre[layer - 1, units]
        if self.net.residual and layer < self.net.depth - 2:
            bias = self.net.channels[layer].bias_column()[units]
            z = torch.addmm(bias, self.channels[layer][units, units], z)
        self.post[layer, units] = prelu(z, self.net.activations[layer].slope[units])

    def _add(self, layer: int, rows: slice, x: Tensor, out: Tensor) -> None:
        """`out` becomes the bias and what the first units of the layer below contribute."""
        torch.addmm(self.net.layers[layer].bias_column()[rows], self.weights[layer][rows, : len(x)], x, out=out)

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
                out.addmm_(self.weights[layer][rows, offset : offset + len(x)], x)
                if not last:
                    self.activate(layer, rows)
            self.inputs[site] = signs(self.logits[k] > self.thresholds[k], like=self.inputs)
