"""The 2-D Ising ferromagnet on a periodic L x L torus: p(s) = exp(-beta energy(s))/Z, J = 1."""

import torch
from torch import Tensor

from nisbench.physics import kaufman

__all__ = ["Ising"]


class Ising:
    """energy(s) = -sum over nearest neighbours of s_i s_j, each bond once; spins in {-1, +1}, N = L^2.

    On the L = 2 torus each pair of neighbours is bonded twice. Raises ValueError for L < 2.
    """

    name = "ising"
    z2 = True
    """energy(s) = energy(-s)."""

    def __init__(self, L: int) -> None:
        if L < 2:
            raise ValueError(f"ising with L = {L}: the torus needs L >= 2")
        self.L = L
        self.n_sites = L * L

    def energy(self, spins: Tensor) -> Tensor:
        """The total energy of each configuration, exact, on the device of `spins`.

        Parameters
        ----------
        spins
            (..., L, L) of -1 and +1 in any signed type.

        Returns
        -------
        Tensor
            (...,) float64.

        Raises
        ------
        ValueError
            For another lattice, or a type that cannot hold -1.
        """
        if spins.shape[-2:] != (self.L, self.L):
            raise ValueError(f"spins of shape {tuple(spins.shape)} do not lie on a {self.L} x {self.L} torus")
        if not spins.dtype.is_signed:
            raise ValueError(f"spins of type {spins.dtype} cannot be -1; give a signed type")
        spins = spins.detach().to(torch.int8)
        bonds = torch.empty_like(spins)  # the neighbours, in the layout of the spins, which `roll` would not keep
        bonds[..., 1:, :], bonds[..., 0, :] = spins[..., :-1, :], spins[..., -1, :]
        bonds[..., 1:] += spins[..., :-1]
        bonds[..., 0] += spins[..., -1]
        bonds *= spins
        # summing one flattened dimension is ten times as fast as summing two
        total: Tensor = bonds.flatten(-2).sum(-1, dtype=torch.int32)
        return -total.double()

    def exact(self, beta: float) -> dict[str, float]:
        """Exact values per site by quantity name (Kaufman 1949)."""
        return kaufman.exact_values(self.L, beta)
