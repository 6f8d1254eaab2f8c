"""All 2^N states of a small torus (L <= 4): exact values by plain summation, for any target."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nisbench.physics.observables import moments, observables

__all__ = ["LARGEST_L", "all_spins", "exact_values", "ising_energy"]

LARGEST_L = 4
"""2^16 states; L = 5 would have 2^25."""


def all_spins(L: int) -> NDArray[np.int8]:
    """(2^N, L, L): every configuration once; bit i of the row number, set, is spin i up. ValueError for L > 4."""
    if not 1 <= L <= LARGEST_L:
        raise ValueError(f"enumeration of L = {L}: only 1 <= L <= {LARGEST_L} fits")
    n_sites = L * L
    bits = (np.arange(2**n_sites)[:, None] >> np.arange(n_sites)) & 1  # (2^N, N)
    return (2 * bits - 1).astype(np.int8).reshape(-1, L, L)


def ising_energy(spins: NDArray[np.int8]) -> NDArray[np.float64]:
    """(..., L, L) -> (...,): the Ising energy summed bond by bond, written apart from `Ising.energy`."""
    L = spins.shape[-1]
    total = np.zeros(spins.shape[:-2])
    for row in range(L):
        for column in range(L):
            right, below = spins[..., row, (column + 1) % L], spins[..., (row + 1) % L, column]
            total -= spins[..., row, column] * (right + below)
    return total


def exact_values(
    L: int, beta: float, energy: Callable[[NDArray[np.int8]], NDArray[np.float64]] = ising_energy
) -> dict[str, float]:
    """The quantities of `kaufman.exact_values` and, beside them, the magnetic ones, which have no closed form."""
    spins = all_spins(L)
    n_sites, energies = L * L, energy(spins)
    magnetisation = spins.sum(axis=(-2, -1), dtype=np.float64)
    shift = float((-beta * energies).max())
    weights = np.exp(-beta * energies - shift)
    log_z = shift + float(np.log(weights.sum()))
    means = moments(energies, magnetisation, n_sites) @ (weights / weights.sum())
    values = observables(means, beta=beta, n_sites=n_sites)
    values |= {"log_z_per_site": log_z / n_sites, "entropy": beta * values["energy"] + log_z / n_sites}
    if beta > 0:
        values["free_energy"] = -log_z / (beta * n_sites)
    return values
