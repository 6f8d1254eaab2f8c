"""The parts of an Ising configuration that need no network: energies of bonds and the heat bath of isolated spins.

Lattices are (all sites, n) int8.
"""

import torch
from torch import Tensor

from nisbench.nn.bernoulli import on_cpu, signs, spin_log_prob
from nisbench.nn.kernels.ising import bond_energies, draw_isolated

__all__ = ["bond_energy", "forcing", "heat_bath"]


def bond_energy(lattice: Tensor, bonds: Tensor) -> Tensor:
    """Energy of the bonds of each block, -sum s s', (n_blocks, n) float64; `bonds` (2, n_bonds, n_blocks) are sites."""
    if not on_cpu(lattice):
        a, b = bonds  # (n_bonds, n_blocks) each
        # (n_bonds, n_blocks, n) -> (n_blocks, n); `prod`, or `sum` without a dtype, would widen int8 to int64
        return -(lattice[a] * lattice[b]).sum(0, dtype=torch.int32).double()
    energy = torch.empty(bonds.shape[2], lattice.shape[1], dtype=torch.float64)
    bond_energies(lattice.numpy(), bonds.numpy(), energy.numpy())
    return energy


def heat_bath(lattice: Tensor, sites: Tensor, neighbours: Tensor, *, beta: float, thresholds: Tensor) -> Tensor:
    """Draw isolated Ising spins in place, q(+1) = 1/(1 + exp(-2 beta sum of neighbours)); return their ln q.

    Thresholds from `forcing` leave the spins as they are.

    Parameters
    ----------
    lattice : (all sites, n) int8
    sites, neighbours : (k,), (4, k) rows of the lattice
    thresholds : (k, n)

    Returns
    -------
    log_prob : (n,) float64
    """
    if on_cpu(lattice):
        log_prob = torch.empty(lattice.shape[1], dtype=torch.float64)
        coupling = torch.tensor(2 * beta, dtype=thresholds.dtype).numpy()[()]  # a float64 would make the kernel slower
        arrays = (lattice, sites, neighbours, thresholds.contiguous(), log_prob)
        grid, rows, around, limits, result = (tensor.numpy() for tensor in arrays)
        draw_isolated(grid, rows, around, coupling, limits, result)
        return log_prob
    fields = lattice[neighbours].sum(0, dtype=torch.int8)  # (4, k, n) -> (k, n); the sum of four spins fits into int8
    logits = 2 * beta * fields.to(thresholds.dtype)
    spins = signs(logits > thresholds, like=thresholds)
    lattice[sites] = spins.to(lattice.dtype)
    return spin_log_prob(spins, logits)


def forcing(spins: Tensor) -> Tensor:
    """Thresholds for which a draw repeats the spins: -inf for +1, +inf for -1."""
    return spins * -torch.inf
