"""logit(r, c) from the spins before (r, c) in raster order: masked convolutions in which every unit is computed once.

Layout at the interface: (sites, n) as in `dense`; inside, images (n, channels, L, L). While sampling, the rows above
enter through one convolution for each row and layer; within the row one small product for each spin and layer remains.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from nisbench.nn.bernoulli import signs, spin_log_prob
from nisbench.nn.modules import Stack

__all__ = ["AutoregressiveConv", "MaskedConv"]


class MaskedConv(nn.Module):
    """Convolution of side 2 h + 1 over the rows above a site and the sites to its left in its own row.

    The strict mask leaves the site itself out, the other mask includes it. Zero padding: an open boundary, as in Wu,
    Wang, Zhang (2019). Initialised as the default convolution, times sqrt(numel/mask.sum()); masked weights are stored
    and counted.
    """

    mask: Tensor

    def __init__(self, n_in: int, n_out: int, half_kernel: int, *, strict: bool, bias: bool) -> None:
        super().__init__()
        side = 2 * half_kernel + 1
        mask = torch.zeros(side, side)
        self.half_kernel, self.reach = half_kernel, half_kernel + (0 if strict else 1)
        mask[:half_kernel] = 1
        mask[half_kernel, : self.reach] = 1
        dense = nn.Conv2d(n_in, n_out, side, bias=bias)
        scale = torch.sqrt(mask.numel() / mask.sum())
        self.register_buffer("mask", mask, persistent=False)
        self.weight = nn.Parameter(dense.weight.detach() * mask * scale)
        self.bias = nn.Parameter(dense.bias.detach()) if dense.bias is not None else None

    def forward(self, x: Tensor) -> Tensor:
        """(n, n_in, L, L) -> (n, n_out, L, L)"""
        return functional.conv2d(x, self.weight * self.mask, self.bias, padding=self.half_kernel)

    def rows_above(self, window: Tensor) -> Tensor:
        """Bias and contribution of the rows above, for all sites of a row: (n, n_out, L).

        `window` (n, n_in, h + 1, L + 2 h) are the h rows above and the row itself, with h zeros left and right.
        """
        h = self.half_kernel
        out = functional.conv2d(window[:, :, :h], self.weight[:, :, :h], self.bias)  # (n, n_out, 1, L)
        return out.squeeze(2)

    def in_row(self, window: Tensor, column: int) -> Tensor:
        """Contribution of the sites to the left, and of the site itself unless strict: (n, n_out)."""
        h = self.half_kernel
        x = window[:, :, h, column : column + self.reach]  # (n, n_in, reach)
        return torch.einsum("nik,oik->no", x, self.weight[:, :, h, : self.reach])


class AutoregressiveConv(nn.Module):
    """Density of the L x L spins in raster order by `depth` masked convolutions, with PReLU between them.

    Each channel has one slope. With `residual` the layers between the first and the last are the residual layers
    x + MaskedConv(PReLU(Conv1x1(x))) of Wu, Wang, Zhang (2019).
    """

    def __init__(
        self, L: int, *, depth: int, channels: int, half_kernel: int, residual: bool = False, bias: bool = True
    ) -> None:
        super().__init__()
        if depth < 1 or channels < 1 or half_kernel < 1:
            raise ValueError(f"depth {depth}, channels {channels} and half_kernel {half_kernel} must be at least 1")
        self.L, self.depth, self.residual, self.half_kernel = L, depth, residual, half_kernel
        widths = [1, *[channels] * (depth - 1), 1]
        self.layers = Stack(
            MaskedConv(widths[i], widths[i + 1], half_kernel, strict=i == 0, bias=bias) for i in range(depth)
        )
        self.activations = Stack(nn.PReLU(channels, init=0.5) for _ in range(depth - 1))
        self.pointwise = Stack(nn.Conv2d(channels, channels, 1, bias=bias) for _ in range(depth - 2 if residual else 0))

    def forward(self, spins: Tensor) -> Tensor:
        """(sites, n) -> logits (sites, n), differentiable."""
        dtype = self.layers[0].weight.dtype
        z: Tensor = self.layers[0](spins.T.reshape(-1, 1, self.L, self.L).to(dtype))  # (n, channels, L, L)
        for layer in range(1, self.depth):
            z = self._combine(layer, z, self.layers[layer](self._activate(layer, z)))
        return z.reshape(-1, self.L * self.L).T  # (n, 1, L, L) -> (n, sites) -> (sites, n)

    def score(self, spins: Tensor) -> Tensor:
        """ln q of the spins, (sites, n) -> (n,) float64, differentiable."""
        return spin_log_prob(spins, self(spins))

    def draw(self, thresholds: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the spin of site k as +1 where logit_k > thresholds[k], else -1; `thresholds` is (sites, n).

        Returns spins, (sites, n), and ln q, (n,) float64 and differentiable. Where gradients are enabled, a second pass
        of all spins at once computes ln q.
        """
        spins, logits = self._drawn(thresholds)
        return spins, self.score(spins) if torch.is_grad_enabled() else spin_log_prob(spins, logits)

    @torch.no_grad()
    def _drawn(self, thresholds: Tensor) -> tuple[Tensor, Tensor]:
        """Spins and logits, (sites, n) each."""
        L, h, n = self.L, self.half_kernel, thresholds.shape[1]
        # the inputs of each layer in the row and in the h rows above; sites that are not drawn yet are zero
        windows = [thresholds.new_zeros(n, layer.weight.shape[1], h + 1, L + 2 * h) for layer in self.layers]
        spins, logits = torch.empty_like(thresholds), torch.empty_like(thresholds)
        for row in range(L):
            above = [layer.rows_above(x) for layer, x in zip(self.layers, windows, strict=True)]
            for column in range(L):
                site = row * L + column
                logits[site] = self._logit(windows, above, column)
                spins[site] = signs(logits[site] > thresholds[site], like=spins)
                windows[0][:, 0, h, column + h] = spins[site]
            for window in windows:
                window[:, :, :h] = window[:, :, 1:].clone()
                window[:, :, h] = 0
        return spins, logits

    def multiply_adds(self) -> int:
        """Multiply-adds of one pass, masked zeros left out, margins of zeros counted."""
        taps = sum(int(layer.mask.sum()) * layer.weight.shape[0] * layer.weight.shape[1] for layer in self.layers)
        return self.L**2 * (taps + sum(layer.weight.numel() for layer in self.pointwise))

    def _activate(self, layer: int, z: Tensor) -> Tensor:
        """Activation between layer - 1 and layer, after the pointwise convolution of a residual layer.

        (n, channels, rows, columns) -> (n, channels, rows, columns)
        """
        if self.residual and layer < self.depth - 1:
            z = self.pointwise[layer - 1](z)
        out: Tensor = self.activations[layer - 1](z)
        return out

    def _combine(self, layer: int, z: Tensor, out: Tensor) -> Tensor:
        """Output of a layer, plus its input where the layer is residual."""
        return z + out if self.residual and layer < self.depth - 1 else out

    def _logit(self, windows: Sequence[Tensor], above: Sequence[Tensor], column: int) -> Tensor:
        """Logit of one site of the row, (n,); writes the hidden units of the site into `windows`."""
        h = self.half_kernel
        z = above[0][:, :, column] + self.layers[0].in_row(windows[0], column)  # (n, channels)
        for layer in range(1, self.depth):
            # (n, channels) -> (n, channels, 1, 1) and back
            windows[layer][:, :, h, column + h] = self._activate(layer, z[:, :, None, None])[:, :, 0, 0]
            out = above[layer][:, :, column] + self.layers[layer].in_row(windows[layer], column)
            z = self._combine(layer, z, out)
        return z[:, 0]
