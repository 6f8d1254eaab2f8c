"""Exact values of any target on a small L x L torus (L <= 4), by a sum over all 2^N states, N = L^2."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nisbench.physics.lattice import Lattice
from nisbench.physics.observables import moments, observables

__all__ = ["LARGEST_L", "all_spins", "exact_values", "ising_energy", "lattice_energies", "lattice_values"]

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


def lattice_energies(lattice: Lattice) -> NDArray[np.float64]:
    """(2^N,): energies of all configurations of a pairwise model. ValueError for L > 5.

    The last bit of the index is the spin of the last site, 0 for -1. The sum runs over the list of bonds, independently
    of `PairwiseTarget.energy`.
    """
    n_sites = lattice.n_sites
    if n_sites > 25:
        raise ValueError(f"enumeration of L = {lattice.L}: 2^{n_sites} energies do not fit in memory; give L <= 5")
    energies = np.zeros((2,) * n_sites)
    spin = np.array([-1.0, 1.0])
    for i, j, coupling in zip(*lattice.bonds, strict=True):
        low, high = sorted((int(i), int(j)))
        pair = np.multiply.outer(coupling * spin, spin)
        energies -= pair.reshape([2 if site in (low, high) else 1 for site in range(n_sites)])
    for i, field in enumerate(lattice.field):
        energies -= (field * spin).reshape([2 if site == i else 1 for site in range(n_sites)])
    return energies.ravel()


def lattice_values(energies: NDArray[np.float64], beta: float) -> tuple[float, float, float]:
    """Return ln Z, ⟨E⟩ and Var(E) of the whole lattice from the energies of all its configurations."""
    lowest = float(energies.min())
    excitations = energies - lowest
    weights = np.exp(-beta * excitations)
    total = float(weights.sum())
    mean = float(excitations @ weights) / total
    variance = float((excitations - mean) ** 2 @ weights) / total
    return float(np.log(total)) - beta * lowest, lowest + mean, variance
