"""logit_k = net_k(s_<k, border): masked dense networks in which every unit is computed once while sampling.

Hidden units are grouped by site, border sites first: unit `site * width + channel`. The first mask is strict (a spin
feeds the units of later spins only), the later masks are inclusive; border sites feed everything and are fed by border
sites only. Hence the units of site k are final as soon as the spins before k are known: one pass over the spins
computes every unit once. Spins are taken in panels, so that everything outside the triangles on the diagonal is a
matrix product.
"""

import torch
from torch import Tensor, nn

from nisbench.nn.ancestral import draw_ancestral
from nisbench.nn.bernoulli import spin_log_prob
from nisbench.nn.compiled import draw_compiled, score_compiled
from nisbench.nn.fused import can_fuse, draw_dense_fused
from nisbench.nn.layers import ChannelLinear, DenseMatrices, MaskedLinear, UnitPReLU
from nisbench.nn.modules import Stack

__all__ = ["AutoregressiveDense"]


class AutoregressiveDense(nn.Module):
    """Density of n_spins spins, one after the other, conditioned on n_border spins.

    `depth` masked layers with `width` hidden units per site and per-unit PReLU between them; the last layer has one
    output, a logit, per spin. With `residual` the layers between the first and the last are the residual layers
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
        masks[-1] = masks[-1][n_border:]  # the border has no logits
        self.layers = Stack(
            MaskedLinear(_widen(mask, *shape), bias=bias) for mask, shape in zip(masks, shapes, strict=True)
        )
        self.activations = Stack(UnitPReLU(n_units) for _ in range(depth - 1))
        self.channels = Stack(ChannelLinear(n_sites, width, bias=bias) for _ in range(depth - 2 if residual else 0))

    def forward(self, spins: Tensor, border: Tensor | None = None) -> Tensor:
        """(n_spins, n), (n_border, n) -> logits (n_spins, n), differentiable."""
        z: Tensor = self.layers[0](self._inputs(spins, border))  # (units, n)
        for layer in range(1, self.depth):
            skip = z if self.residual and layer < self.depth - 1 else None
            if skip is not None:
                z = self.channels[layer - 1](z)
            z = self.layers[layer](self.activations[layer - 1](z))
            z = z if skip is None else skip + z
        return z

    @property
    def compiled(self) -> bool:
        """True if the compiled kernels apply: a hidden layer, no residual layers, parameters on the CPU."""
        return self.depth > 1 and not self.residual and self.layers[0].weight.device.type == "cpu"

    def draw(self, thresholds: Tensor, border: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Draw spin k as +1 where logit_k > thresholds[k], else -1.

        If thresholds = logit(u) with u uniform on (0, 1), the spins are a sample of q.

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
        """ln q of spins (n_spins, n) with border (n_border, n): (n,) float64, differentiable."""
        lattice = (spins if border is None else torch.cat([border, spins])).to(torch.int8)
        return self.score_blocks(lattice, *self._own_sites(lattice))

    def draw_blocks(self, lattice: Tensor, drawn: Tensor, border: Tensor, thresholds: Tensor) -> Tensor:
        """Draw blocks that do not touch each other into lattices; return the sum of their ln q.

        Parameters
        ----------
        lattice : (all sites, n) int8, contiguous
        drawn, border : (n_spins, n_blocks), (n_border, n_blocks) sites of each block
        thresholds : (n_spins, n_blocks n), as in `draw`; sample `block n + c` is a block of configuration c

        Returns
        -------
        log_prob : (n,) float64, differentiable
        """
        if self.compiled:
            return draw_compiled(self, lattice, drawn, border, thresholds)
        with torch.no_grad():
            # (n_border, n_blocks, n) -> (n_border, n_blocks n)
            outside = lattice[border].flatten(1).to(thresholds.dtype)
            fuse = self.depth == 2 and not self.residual and can_fuse(thresholds, self.width)
            draw = draw_dense_fused if fuse else draw_ancestral
            spins, logits = draw(self.matrices(), thresholds, outside)
            # (n_spins, n_blocks n) -> (n_spins, n_blocks, n)
            lattice[drawn] = spins.to(torch.int8).view(*drawn.shape, -1)
        if torch.is_grad_enabled():
            return self.score_blocks(lattice, drawn, border)
        return spin_log_prob(spins, logits).view(drawn.shape[1], -1).sum(0)  # (n_blocks n,) -> (n,)

    def score_blocks(self, lattice: Tensor, drawn: Tensor, border: Tensor) -> Tensor:
        """Sum of ln q over the blocks in the lattices, (n,) float64, differentiable; arguments as in `draw_blocks`."""
        if self.compiled:
            return score_compiled(self, lattice, drawn, border)
        spins, outside = (lattice[sites].flatten(1).to(self.layers[0].weight.dtype) for sites in (drawn, border))
        return spin_log_prob(spins, self(spins, outside)).view(drawn.shape[1], -1).sum(0)

    def trained(self) -> list[Tensor]:
        """Weights, biases and slopes, in the order of `pull_back`; those of residual layers are not among them."""
        biases = [layer.bias for layer in self.layers if layer.bias is not None]
        return [*(layer.weight for layer in self.layers), *biases, *(unit.slope for unit in self.activations)]

    def matrices(self) -> DenseMatrices:
        """Masked matrices for the present parameters."""
        return DenseMatrices(
            weights=tuple(layer.masked_weight() for layer in self.layers),
            biases=tuple(layer.bias_vector() for layer in self.layers),
            slopes=tuple(unit.slope for unit in self.activations),
            channels=tuple(layer.masked_weight() for layer in self.channels),
            channel_biases=tuple(layer.bias_vector() for layer in self.channels),
            residual=self.residual,
        )

    def pull_back(self, gradient: DenseMatrices) -> list[Tensor]:
        """Gradient by each parameter of `trained`, from the gradient by the matrices."""
        weights, biases = (zip(self.layers, part, strict=True) for part in (gradient.weights, gradient.biases))
        return [
            *(part[:, : layer.mask.shape[1]] * layer.mask for layer, part in weights),
            *(part for layer, part in biases if layer.bias is not None),
            *gradient.slopes,
        ]

    def multiply_adds(self) -> int:
        """Multiply-adds of one pass, masked zeros left out."""
        return sum(int(layer.mask.sum()) for layer in [*self.layers, *self.channels])

    @property
    def n_sites(self) -> int:
        """Border sites and spins."""
        return self.n_border + self.n_spins

    def _own_sites(self, lattice: Tensor) -> tuple[Tensor, Tensor]:
        """`drawn` and `border` of a lattice that is one block, its border first."""
        sites = torch.arange(self.n_sites, device=lattice.device).unsqueeze(1)  # (n_sites, 1)
        return sites[self.n_border :], sites[: self.n_border]

    def _inputs(self, spins: Tensor, border: Tensor | None) -> Tensor:
        """(n_border + n_spins, n) of the network's dtype."""
        inputs = spins if border is None or self.n_border == 0 else torch.cat([border, spins])
        return inputs.to(self.layers[0].weight.dtype)


def _site_mask(n_sites: int, n_border: int, *, strict: bool) -> Tensor:
    """(n_sites, n_sites) bool, [to, from]: True where site `from` may feed site `to`."""
    to, source = torch.arange(n_sites).unsqueeze(1), torch.arange(n_sites).unsqueeze(0)
    earlier = source < to if strict else source <= to
    return torch.where(source < n_border, torch.ones((), dtype=torch.bool), earlier & (to >= n_border))


def _widen(mask: Tensor, n_out: int, n_in: int) -> Tensor:
    """Repeat each site n_out times along the rows and n_in times along the columns."""
    return mask.repeat_interleave(n_out, 0).repeat_interleave(n_in, 1)
