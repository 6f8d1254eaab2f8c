"""Small pairwise targets for the tests of samplers, and their exact values by enumeration."""

import numpy as np

from nisbench.physics.enumeration import lattice_energies, lattice_values
from nisbench.physics.lattice import square_lattice
from nisbench.physics.pairwise import PairwiseTarget


def pairwise(L, kind, boundary="free", field=0.0, seed=1):
    """Target with couplings of one kind: ferromagnet, pm1, or gaussian; `field` scales Gaussian fields."""
    rng = np.random.default_rng(seed)
    couplings = {"ferromagnet": np.ones((2, L, L)), "gaussian": rng.normal(size=(2, L, L))}
    couplings["pm1"] = np.sign(couplings["gaussian"])
    right, down = couplings[kind]
    target = PairwiseTarget(square_lattice(L, boundary, right=right, down=down, field=field * rng.normal(size=(L, L))))
    target.name = kind
    return target


def exact_values(target, beta):
    """log_z_per_site, energy and specific_heat per site, by enumeration."""
    log_z, energy, variance = lattice_values(lattice_energies(target.lattice), beta)
    n = target.n_sites
    return {"log_z_per_site": log_z / n, "energy": energy / n, "specific_heat": beta**2 * variance / n}


def states(target):
    """(2^N, N) int8 of -1 and +1: all configurations in the order of `lattice_energies`."""
    n = target.n_sites
    return (2 * ((np.arange(2**n)[:, None] >> np.arange(n - 1, -1, -1)) & 1) - 1).astype(np.int8)
