"""Targets that a `Lattice` describes: their energy in torch and their exact values."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from nisbench.errors import InvalidValue
from nisbench.physics import kac_ward
from nisbench.physics.lattice import Lattice
from nisbench.physics.sums import site_sums

__all__ = ["PairwiseTarget"]


class PairwiseTarget:
    """E(s) = -sum_⟨ij⟩ J_ij s_i s_j - sum_i h_i s_i with the couplings and the field of `lattice`."""

    name: str

    def __init__(self, lattice: Lattice) -> None:
        self.lattice = lattice
        self.L, self.n_sites, self.z2 = lattice.L, lattice.n_sites, lattice.z2
        self.order_parameters = _order_parameters(lattice)
        self._tables: dict[torch.device, tuple[Tensor, Tensor, Tensor]] = {}

    def energy(self, spins: Tensor) -> Tensor:
        """Return the total energy of each configuration on the device of `spins`.

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
        spins = self._checked(spins)
        right, down, field = self._on(spins.device)
        local = right * spins.roll(-1, -1)  # (..., L, L); a bond that does not exist has the coupling 0
        local += down * spins.roll(-1, -2)
        local += field
        local *= spins
        return -site_sums(local)

    def exact(self, beta: float) -> Mapping[str, float]:
        """Return exact values per site by quantity name; empty where the Kac-Ward determinant does not apply."""
        try:
            return kac_ward.exact_values(self.lattice, beta)
        except InvalidValue:
            return {}

    def _checked(self, spins: Tensor) -> Tensor:
        """Return `spins` as int8."""
        if spins.shape[-2:] != (self.L, self.L):
            raise ValueError(f"spins of shape {tuple(spins.shape)} do not lie on a {self.L} x {self.L} lattice")
        if not spins.dtype.is_signed:
            raise ValueError(f"spins of type {spins.dtype} cannot be -1; give a signed type")
        return spins.detach().to(torch.int8)

    def _on(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Return right, down and field, each (L, L), on a device; int8 if the sums are exact in int8."""
        if device not in self._tables:
            arrays = [self.lattice.right, self.lattice.down, self.lattice.field.reshape(self.lattice.shape)]
            whole = all((array == np.rint(array)).all() for array in arrays)
            small = sum(np.abs(array).max() for array in arrays) <= 127
            dtype = torch.int8 if whole and small else torch.float64
            right, down, field = (torch.from_numpy(array.copy()).to(device, dtype) for array in arrays)
            self._tables[device] = right, down, field
        return self._tables[device]


def _order_parameters(lattice: Lattice) -> tuple[str, ...]:
    """Return the magnetisation for a ferromagnet, the overlap for other couplings, both for those in a field."""
    if lattice.ferromagnetic:
        return ("magnetisation",)
    return ("overlap",) if lattice.z2 else ("magnetisation", "overlap")
