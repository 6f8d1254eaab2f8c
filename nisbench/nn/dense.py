"""logit_k = net_k(s_<k, border): masked dense networks in which every unit is computed once while sampling.

Layout: units by samples. Spins, borders, hidden units and logits are (units, n) with the samples contiguous, so
that a layer is one matrix product W @ x and a block of spins is a contiguous slice.

Hidden units are grouped by site, border sites first: unit `site * width + channel`. The first mask is strict (a
spin feeds the units of later spins only), the later masks are inclusive; border sites feed everything and are fed
by border sites only. Hence the units of site k are final as soon as the spins before k are known: one pass over
the spins computes every unit once, and with the spins taken in blocks everything outside the diagonal blocks is a
matrix product.
"""

import torch
from torch import Tensor, nn

from nisbench.nn.bernoulli import spin_log_prob
from nisbench.nn.compiled import draw_compiled, score_compiled
from nisbench.nn.fused import can_fuse, draw_dense_fused
from nisbench.nn.modules import Stack
from nisbench.nn.sweep import Sweep, prelu

__all__ = ["AutoregressiveDense", "ChannelLinear", "MaskedLinear", "UnitPReLU"]

BLOCK = 32
"""Spins of a diagonal block: large enough for efficient products, small enough that its own work is minor."""


class MaskedLinear(nn.Module):
    """y = (W * mask) x + b in the units-by-samples layout, x (n_in, n) -> y (n_out, n).

    Initialised as the default linear layer, times sqrt(numel/mask.sum()) as in the code of Wu, Wang, Zhang (2019),
    which keeps the variance of the outputs. Masked weights are stored and counted. The mask is kept as uint8, by which
    torch multiplies three times as fast as by bool.
    """

    mask: Tensor

    def __init__(self, mask: Tensor, *, bias: bool = True) -> None:
        super().__init__()
        n_out, n_in = mask.shape
        self.register_buffer("mask", mask.to(torch.uint8), persistent=False)
        dense = nn.Linear(n_in, n_out, bias=bias)
        scale = torch.sqrt(mask.numel() / mask.sum().clamp(min=1))
        self.weight = nn.Parameter(dense.weight.detach() * mask * scale)
        self.bias = nn.Parameter(dense.bias.detach()) if bias else None

    def masked_weight(self) -> Tensor:
        """(n_out, n_in)"""
        return self.weight * self.mask

    def bias_column(self) -> Tensor:
        """(n_out, 1), zeros where the layer has no bias."""
        return (self.weight.new_zeros(self.weight.shape[0]) if self.bias is None else self.bias).unsqueeze(1)

    def forward(self, x: Tensor) -> Tensor:
        """(n_in, n) -> (n_out, n)"""
        return torch.addmm(self.bias_column(), self.masked_weight(), x)


class UnitPReLU(nn.Module):
    """max(z, 0) + slope_u min(z, 0) with one slope per unit, 1/2 at the start."""

    def __init__(self, n_units: int) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.full((n_units,), 0.5))

    def forward(self, z: Tensor) -> Tensor:
        """(n_units, n) -> (n_units, n)"""
        return prelu(z, self.slope)


class ChannelLinear(MaskedLinear):
    """A full width x width matrix over the channels of each site; sites do not mix.

    Stored as one masked (units, units) matrix, as in the published parameter counts.
    """

    def __init__(self, n_sites: int, width: int, *, bias: bool = True) -> None:
        super().__init__(torch.kron(torch.eye(n_sites), torch.ones(width, width)).bool(), bias=bias)


class AutoregressiveDense(nn.Module):
    """Density of n_spins spins, one after the other, given n_border spins that are known.

    `depth` masked layers with `width` hidden units per site and per-unit PReLU between them; the last layer has one
    output, a logit, per spin. With `residual` the layers between the first and the last are the blocks
    z + Masked(PReLU(ChannelLinear(z))) of Wu, Wang, Zhang (2019).
    """

    def __init__(
        self,
        n_spins: int,
        n_border: int = 0,
        *,
        depth: int = 2,
        width: int = 1,
        residual: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if depth < 1 or width < 1:
            raise ValueError(f"depth {depth} and width {width} must be at least 1")
        self.n_spins, self.n_border, self.width, self.depth = n_spins, n_border, width, depth
        self.residual = residual
        n_sites, n_units = n_border + n_spins, (n_border + n_spins) * width
        shapes = [(width, 1), *[(width, width)] * (depth - 2), (1, width)] if depth > 1 else [(1, 1)]
        masks = [_site_mask(n_sites, n_border, strict=layer == 0) for layer in range(depth)]
        masks[-1] = masks[-1][n_border:]  # the outputs are the spins alone
        self.layers = Stack(
            MaskedLinear(_widen(mask, *shape), bias=bias) for mask, shape in zip(masks, shapes, strict=True)
        )
        self.activations = Stack(UnitPReLU(n_units) for _ in range(depth - 1))
        self.channels = Stack(ChannelLinear(n_sites, width, bias=bias) for _ in range(depth - 2 if residual else 0))

    def forward(self, spins: Tensor, border: Tensor | None = None) -> Tensor:
        """(n_spins, n), (n_border, n) -> logits (n_spins, n), differentiable."""
        z: Tensor = self.layers[0](self._inputs(spins, border))
        for layer in range(1, self.depth):
            skip = z if self.residual and layer < self.depth - 1 else None
            if skip is not None:
                z = self.channels[layer - 1](z)
            z = self.layers[layer](self.activations[layer - 1](z))
            z = z if skip is None else skip + z
        return z

    @property
    def compiled(self) -> bool:
        """Whether passes run in the compiled kernels: a plain stack with a hidden layer, on the CPU."""
        return self.depth > 1 and not self.residual and self.layers[0].weight.device.type == "cpu"

    def draw(self, thresholds: Tensor, border: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Draws spin k as +1 where logit_k > thresholds[k]; with thresholds logit(u), u uniform, that is q.

        Parameters
        ----------
        thresholds : (n_spins, n), of the network's dtype
        border : (n_border, n) of -1, +1; None where n_border = 0

        Returns
        -------
        spins, log_prob : (n_spins, n), (n,) float64, the second one differentiable
        """
        lattice = torch.empty(self.n_sites, thresholds.shape[1], dtype=torch.int8, device=thresholds.device)
        if border is not None:
            lattice[: self.n_border] = border
        log_prob = self.draw_blocks(lattice, *self._own_sites(lattice), thresholds)
        return lattice[self.n_border :].to(thresholds.dtype), log_prob

    def score(self, spins: Tensor, border: Tensor | None = None) -> Tensor:
        """ln q of given spins, (n_spins, n) and (n_border, n) -> (n,) float64, differentiable."""
        lattice = (spins if border is None else torch.cat([border, spins])).to(torch.int8)
        return self.score_blocks(lattice, *self._own_sites(lattice))

    def draw_blocks(self, lattice: Tensor, drawn: Tensor, border: Tensor, thresholds: Tensor) -> Tensor:
        """Draws blocks that do not touch each other into lattices; their ln q together, (n,) float64, differentiable.

        Every unit is computed once. Per block of spins and layer there is one product with all that is known
        before the block; what is left is the triangle inside the block.

        Parameters
        ----------
        lattice : (all sites, n) int8, contiguous
        drawn, border : (n_spins, n_blocks), (n_border, n_blocks) sites of each block
        thresholds : (n_spins, n_blocks n), as in `draw`; sample `block n + c` is a block of configuration c
        """
        if self.compiled:
            return draw_compiled(self, lattice, drawn, border, thresholds)
        with torch.no_grad():
            around = lattice[border].flatten(1).to(thresholds.dtype)
            fuse = self.depth == 2 and not self.residual and can_fuse(thresholds, self.width)
            spins, logits = draw_dense_fused(self, thresholds, around) if fuse else self._sweep(thresholds, around)
            lattice[drawn] = spins.to(torch.int8).view(*drawn.shape, -1)
        if torch.is_grad_enabled():
            return self.score_blocks(lattice, drawn, border)
        return spin_log_prob(spins, logits).view(drawn.shape[1], -1).sum(0)

    def score_blocks(self, lattice: Tensor, drawn: Tensor, border: Tensor) -> Tensor:
        """ln q of blocks of given lattices together, (n,) float64, differentiable; see `draw_blocks`."""
        if self.compiled:
            return score_compiled(self, lattice, drawn, border)
        spins, around = (lattice[sites].flatten(1).to(self.layers[0].weight.dtype) for sites in (drawn, border))
        return spin_log_prob(spins, self(spins, around)).view(drawn.shape[1], -1).sum(0)

    def _own_sites(self, lattice: Tensor) -> tuple[Tensor, Tensor]:
        """`drawn` and `border` of a lattice that is one block, its border first."""
        sites = torch.arange(self.n_sites, device=lattice.device).unsqueeze(1)
        return sites[self.n_border :], sites[: self.n_border]

    def _sweep(self, thresholds: Tensor, border: Tensor) -> tuple[Tensor, Tensor]:
        """Spins and logits, (n_spins, n) each."""
        sweep = Sweep.begin(self, thresholds, border)
        for start in range(0, self.n_spins, BLOCK):
            stop = min(start + BLOCK, self.n_spins)
            sweep.add_known_sites(start, stop)
            sweep.solve(start, stop)
        return sweep.inputs[self.n_border :], sweep.logits

    def multiply_adds(self) -> int:
        """Multiply-adds of one pass, masked zeros left out."""
        return sum(int(layer.mask.sum()) for layer in [*self.layers, *self.channels])

    @property
    def n_sites(self) -> int:
        """Border sites and spins."""
        return self.n_border + self.n_spins

    def _inputs(self, spins: Tensor, border: Tensor | None) -> Tensor:
        dtype = self.layers[0].weight.dtype
        known = spins if border is None or self.n_border == 0 else torch.cat([border, spins])
        return known.to(dtype)


def _site_mask(n_sites: int, n_border: int, *, strict: bool) -> Tensor:
    """(n_sites, n_sites) bool, [to, from]: whether a site may feed another."""
    to, source = torch.arange(n_sites).unsqueeze(1), torch.arange(n_sites).unsqueeze(0)
    earlier = source < to if strict else source <= to
    return torch.where(source < n_border, torch.ones((), dtype=torch.bool), earlier & (to >= n_border))


def _widen(mask: Tensor, n_out: int, n_in: int) -> Tensor:
    """Each site becomes n_out (rows) or n_in (columns) units."""
    return mask.repeat_interleave(n_out, 0).repeat_interleave(n_in, 1)
