"""Observables per site as functions of the five means ⟨e⟩, ⟨e^2⟩, ⟨|m|⟩, ⟨m^2⟩, ⟨m^4⟩, with e = E/N and m = M/N.

    energy            = ⟨e⟩
    abs_magnetisation = ⟨|m|⟩
    specific_heat     = beta^2 N (⟨e^2⟩ - ⟨e⟩^2)
    susceptibility    = beta N (⟨m^2⟩ - ⟨|m|⟩^2)
    binder_cumulant   = 1 - ⟨m^4⟩ / (3 ⟨m^2⟩^2)

Errors follow from `gradients`, the derivatives by the five means.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["OBSERVABLES", "gradients", "moments", "observables"]

OBSERVABLES = ("energy", "abs_magnetisation", "specific_heat", "susceptibility", "binder_cumulant")
"""Quantity names of the observables that every sampler has."""


def moments(energy: ArrayLike, magnetisation: ArrayLike, n_sites: int) -> NDArray[np.float64]:
    """Return e, e^2, |m|, m^2, m^4 of each configuration, (5, ...), from total energies and magnetisations (...)."""
    e = np.asarray(energy, dtype=np.float64) / n_sites
    m = np.asarray(magnetisation, dtype=np.float64) / n_sites
    return np.stack([e, e**2, np.abs(m), m**2, m**4])


def observables(means: NDArray[np.float64], *, beta: float, n_sites: int) -> dict[str, float]:
    """Return the observables by name from the five means, (5,) in the order of `moments`.

    `binder_cumulant` is absent if ⟨m^2⟩ = 0, because it is undefined there.
    """
    e, e2, abs_m, m2, m4 = (float(mean) for mean in means)
    values = {
        "energy": e,
        "abs_magnetisation": abs_m,
        # a variance of equal values is 0; the difference of its two terms may be negative by rounding
        "specific_heat": beta**2 * n_sites * max(0.0, e2 - e**2),
        "susceptibility": beta * n_sites * max(0.0, m2 - abs_m**2),
    }
    if m2 > 0:
        values["binder_cumulant"] = 1 - m4 / (3 * m2**2)
    return values


def gradients(means: NDArray[np.float64], *, beta: float, n_sites: int) -> dict[str, NDArray[np.float64]]:
    """Return the derivatives of each observable by the five means, (5,) each, for linear error propagation."""
    e, _, abs_m, m2, m4 = (float(mean) for mean in means)
    rows = {
        "energy": [1, 0, 0, 0, 0],
        "abs_magnetisation": [0, 0, 1, 0, 0],
        "specific_heat": [-2 * beta**2 * n_sites * e, beta**2 * n_sites, 0, 0, 0],
        "susceptibility": [0, 0, -2 * beta * n_sites * abs_m, beta * n_sites, 0],
    }
    if m2 > 0:
        rows["binder_cumulant"] = [0, 0, 0, 2 * m4 / (3 * m2**3), -1 / (3 * m2**2)]
    return {name: np.array(row, dtype=np.float64) for name, row in rows.items()}
