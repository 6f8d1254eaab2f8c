"""Exact values of any target on a small L x L torus (L <= 4), by a sum over all 2^N states, N = L^2."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nisbench.physics.observables import moments, observables

__all__ = ["LARGEST_L", "all_spins", "exact_values", "ising_energy"]

LARGEST_L = 4
"""Largest L that is summed: 2^16 states. L = 5 would have 2^25."""


def all_spins(L: int) -> NDArray[np.int8]:
    """Return every configuration once, (2^N, L, L) int8 of -1 and +1.

    Spin i, in raster order, is +1 where bit i of the number of the configuration is 1. Raises ValueError unless
    1 <= L <= 4.
    """
    if not 1 <= L <= LARGEST_L:
        raise ValueError(f"enumeration of L = {L}: give 1 <= L <= {LARGEST_L}")
    n_sites = L * L
    bits = (np.arange(2**n_sites)[:, None] >> np.arange(n_sites)) & 1  # (2^N, N)
    return (2 * bits - 1).astype(np.int8).reshape(-1, L, L)


def ising_energy(spins: NDArray[np.int8]) -> NDArray[np.float64]:
    """Return E(s) = -sum over nearest neighbours of s_i s_j on the torus: spins (..., L, L) -> energies (...,).

    The sum goes bond by bond and shares no code with `Ising.energy`, which it tests.
    """
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
    """Return exact values per site by quantity name: those of `kaufman.exact_values` and the magnetic ones.

    Parameters
    ----------
    L
        Extent, 1 to 4; ValueError for others.
    beta
        Inverse temperature. At beta = 0 the free energy is undefined and absent.
    energy
        Function that maps configurations (n, L, L) to total energies (n,).
    """
    spins = all_spins(L)
    n_sites, energies = L * L, energy(spins)
    magnetisation = spins.sum(axis=(-2, -1), dtype=np.float64)
    shift = float((-beta * energies).max())  # the largest weight is then 1, and nothing overflows
    weights = np.exp(-beta * energies - shift)
    log_z = shift + float(np.log(weights.sum()))
    means = moments(energies, magnetisation, n_sites) @ (weights / weights.sum())
    values = observables(means, beta=beta, n_sites=n_sites)
    values |= {"log_z_per_site": log_z / n_sites, "entropy": beta * values["energy"] + log_z / n_sites}
    if beta > 0:
        values["free_energy"] = -log_z / (beta * n_sites)
    return values
