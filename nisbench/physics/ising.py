"""The 2-D Ising ferromagnet on the periodic L x L torus: p(s) = exp(-beta E(s)) / Z with coupling J = 1."""

import torch
from torch import Tensor

from nisbench.physics import kaufman

__all__ = ["Ising"]


class Ising:
    """Target with energy E(s) = -sum over nearest neighbours of s_i s_j, each bond once; spins -1 and +1, N = L^2.

    On the L = 2 torus each pair of neighbours has two bonds. Raises ValueError for L < 2.
    """

    name = "ising"
    z2 = True
    """True, because E(s) = E(-s)."""

    def __init__(self, L: int) -> None:
        if L < 2:
            raise ValueError(f"ising with L = {L}: give L >= 2")
        self.L = L
        self.n_sites = L * L

    def energy(self, spins: Tensor) -> Tensor:
        """Return the total energy E(s) of each configuration, exact, on the device of `spins`.

        A spin of 0 has no bonds.

        Parameters
        ----------
        spins
            (..., L, L) of -1 and +1, any signed type.

        Returns
        -------
        Tensor
            (...,) float64, not per site.

        Raises
        ------
        ValueError
            If the last two dimensions are not (L, L), or if the type is unsigned.
        """
        if spins.shape[-2:] != (self.L, self.L):
            raise ValueError(f"spins have shape {tuple(spins.shape)}; the lattice is {self.L} x {self.L}")
        if not spins.dtype.is_signed:
            raise ValueError(f"spins have type {spins.dtype}, which cannot be -1; give a signed type")
        spins = spins.detach().to(torch.int8)
        # upper plus left neighbour of each spin; `roll` would change the memory layout of the spins
        bonds = torch.empty_like(spins)
        bonds[..., 1:, :], bonds[..., 0, :] = spins[..., :-1, :], spins[..., -1, :]
        bonds[..., 1:] += spins[..., :-1]
        bonds[..., 0] += spins[..., -1]
        bonds *= spins
        # (..., L, L) -> (..., N) -> (...,): summing one dimension is ten times as fast as summing two
        total: Tensor = bonds.flatten(-2).sum(-1, dtype=torch.int32)
        return -total.double()

    def exact(self, beta: float) -> dict[str, float]:
        """Return exact values per site by quantity name (Kaufman 1949); see `kaufman.exact_values`."""
        return kaufman.exact_values(self.L, beta)
