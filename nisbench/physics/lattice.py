"""A pairwise model on an L x L square lattice: E(s) = -sum_⟨ij⟩ J_ij s_i s_j - sum_i h_i s_i.

Boundaries are handled in `Lattice` only. Samplers and exact methods read its tables. This module does
not import torch.
"""

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nisbench.errors import InvalidValue

__all__ = ["Bonds", "Boundary", "Lattice", "square_lattice"]

Boundary = Literal["torus", "free"]
_Array = TypeVar("_Array", bound=NDArray[Any])


class Bonds(NamedTuple):
    """Every bond of a lattice once, with the numbers of its two sites."""

    first: NDArray[np.int64]
    """(n_bonds,)"""
    second: NDArray[np.int64]
    """(n_bonds,) the right or lower neighbour of `first`"""
    coupling: NDArray[np.float64]
    """(n_bonds,)"""


@dataclass(frozen=True, eq=False)
class Lattice:
    """Sites, neighbours, couplings and field; built by `square_lattice`. All arrays are read-only.

    Site (row, column) has the number row * L + column. On the L = 2 torus each pair of neighbours has two bonds.
    """

    L: int
    boundary: Boundary
    right: NDArray[np.float64]
    """(L, L): coupling between a site and its right neighbour; the last column wraps around and is 0 for free edges"""
    down: NDArray[np.float64]
    """(L, L): coupling between a site and its lower neighbour; the last row wraps around and is 0 for free edges"""
    field: NDArray[np.float64]
    """(n_sites,)"""

    @property
    def shape(self) -> tuple[int, int]:
        """(L, L)."""
        return self.L, self.L

    @property
    def n_sites(self) -> int:
        """L^2."""
        return self.L * self.L

    @property
    def z2(self) -> bool:
        """True without a field: E(s) = E(-s)."""
        return not self.field.any()

    @cached_property
    def is_uniform_torus(self) -> bool:
        """True for the ferromagnet J = 1 on the torus without a field, where Kaufman's formula applies."""
        return self.boundary == "torus" and self.z2 and bool((self.right == 1).all() and (self.down == 1).all())

    @property
    def ferromagnetic(self) -> bool:
        """True if no coupling is negative."""
        return bool((self.right >= 0).all() and (self.down >= 0).all())

    @cached_property
    def neighbours(self) -> NDArray[np.int64]:
        """(n_sites, 4): site numbers of the right, lower, left and upper neighbours.

        A missing neighbour is the site itself with coupling 0. Every entry is then a valid index, and a loop over
        neighbours needs no branch: the term J s_j vanishes, and a cluster never grows along the bond.
        """
        site = np.arange(self.n_sites).reshape(self.shape)
        table = np.stack([np.roll(site, shift, axis) for shift, axis in ((-1, 1), (-1, 0), (1, 1), (1, 0))], axis=-1)
        if self.boundary == "free":
            table[:, -1, 0], table[-1, :, 1] = site[:, -1], site[-1, :]
            table[:, 0, 2], table[0, :, 3] = site[:, 0], site[0, :]
        return _frozen(table.reshape(-1, 4))  # (L, L, 4) -> (n_sites, 4)

    @cached_property
    def couplings(self) -> NDArray[np.float64]:
        """(n_sites, 4): couplings in the order of `neighbours`."""
        left, up = np.roll(self.right, 1, axis=1), np.roll(self.down, 1, axis=0)
        return _frozen(np.stack([self.right, self.down, left, up], axis=-1).reshape(-1, 4))  # (L, L, 4) -> (n_sites, 4)

    @cached_property
    def bonds(self) -> Bonds:
        """Every bond once, also bonds whose coupling is 0: right bonds by rows, then down bonds by rows."""
        site = np.arange(self.n_sites)
        exists = (self.neighbours[:, :2] != site[:, None]).T  # (2, n_sites)
        first = np.broadcast_to(site, exists.shape)[exists]
        return Bonds(
            _frozen(first), _frozen(self.neighbours[:, :2].T[exists]), _frozen(self.couplings[:, :2].T[exists])
        )

    def energy(self, spins: NDArray[np.int8]) -> float:
        """Return -sum J s_i s_j - sum h_i s_i of one configuration (L, L), summed over the list of bonds.

        Targets have a faster formula of their own, which checks compare with this one.
        """
        flat = spins.ravel().astype(np.float64)  # (n_sites,)
        first, second, coupling = self.bonds
        return -float((coupling * flat[first] * flat[second]).sum() + self.field @ flat)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of L, the boundary, the couplings and the field, in hexadecimal; equal on every platform."""
        content = hashlib.sha256(f"nisbench lattice 1 L={self.L} boundary={self.boundary}\n".encode())
        for array in (self.right, self.down, self.field):
            content.update((array + 0.0).astype("<f8").tobytes())  # adding 0.0 turns -0.0 into 0.0
        return content.hexdigest()


def square_lattice(
    L: int,
    boundary: Boundary = "torus",
    *,
    right: ArrayLike = 1.0,
    down: ArrayLike = 1.0,
    field: ArrayLike = 0.0,
) -> Lattice:
    """Lattice with the given couplings and field; J = 1 without a field by default.

    Parameters
    ----------
    L
        At least 2.
    boundary
        "torus", or "free", which drops the bonds that wrap around, whatever their entries in `right` and `down`.
    right, down
        (L, L), or a scalar for all bonds: coupling between a site and its right or lower neighbour.
    field
        (n_sites,) or (L, L), or a scalar for all sites.

    Raises
    ------
    ValueError
        If L < 2.
    InvalidValue
        If the boundary is unknown, an array has another shape, or an entry is not finite.
    """
    if L < 2:
        raise ValueError(f"L = {L}: the lattice needs L >= 2")
    if boundary not in ("torus", "free"):
        raise InvalidValue(f"boundary = {boundary!r}: choose torus or free")
    bonds = {"right": _bond_array("right", right, L), "down": _bond_array("down", down, L)}
    if boundary == "free":
        bonds["right"][:, -1], bonds["down"][-1, :] = 0.0, 0.0
    if np.shape(field) == (L * L,):
        field = np.reshape(field, (L, L))
    sites = _bond_array("field", field, L).ravel()
    return Lattice(L, boundary, _frozen(bonds["right"]), _frozen(bonds["down"]), _frozen(sites))


def _bond_array(name: str, values: ArrayLike, L: int) -> NDArray[np.float64]:
    """(L, L) float64 copy of `values`."""
    array = np.asarray(values, dtype=np.float64)
    if array.shape not in ((), (L, L)):
        raise InvalidValue(f"{name} has the shape {array.shape}; the {L} x {L} lattice needs ({L}, {L})")
    if not math.isfinite(np.abs(array).sum()):
        raise InvalidValue(f"{name} contains NaN or infinity; give finite numbers")
    return np.broadcast_to(array, (L, L)).copy()


def _frozen(array: _Array) -> _Array:
    """Return the array, read-only."""
    array.setflags(write=False)
    return array
