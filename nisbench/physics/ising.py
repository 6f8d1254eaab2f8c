"""The 2-D Ising ferromagnet, J = 1: p(s) = exp(-beta energy(s))/Z on the torus or with free edges, with any field."""

from collections.abc import Mapping

import torch
from torch import Tensor

from nisbench.physics import kaufman
from nisbench.physics.lattice import square_lattice
from nisbench.physics.options import IsingOptions
from nisbench.physics.pairwise import PairwiseTarget
from nisbench.physics.sums import site_sums

__all__ = ["Ising"]


class Ising(PairwiseTarget):
    """Target with energy E(s) = -sum over nearest neighbours of s_i s_j - h sum_i s_i, each bond once; N = L^2.

    On the L = 2 torus each pair of neighbours has two bonds. Raises ValueError for L < 2.
    """

    name = "ising"

    def __init__(self, L: int, options: IsingOptions | None = None) -> None:
        options = options or IsingOptions()
        super().__init__(square_lattice(L, options.boundary, field=options.field))

    def energy(self, spins: Tensor) -> Tensor:
        """Return the total energy of spins (..., L, L) of -1 and +1; see `PairwiseTarget.energy`."""
        if not self.lattice.is_uniform_torus:
            return super().energy(spins)
        spins = self._checked(spins)
        # upper plus left neighbour of each spin; `roll` would change the memory layout of the spins
        bonds = torch.empty_like(spins)
        bonds[..., 1:, :], bonds[..., 0, :] = spins[..., :-1, :], spins[..., -1, :]
        bonds[..., 1:] += spins[..., :-1]
        bonds[..., 0] += spins[..., -1]
        bonds *= spins
        return -site_sums(bonds)

    def exact(self, beta: float) -> Mapping[str, float]:
        """Return exact values per site by quantity name (torus: Kaufman 1949; free edges: Kac and Ward 1952)."""
        if self.lattice.is_uniform_torus:
            return kaufman.exact_values(self.L, beta)
        return super().exact(beta)
