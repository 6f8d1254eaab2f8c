"""Means and functions of means with one standard error each, for chains and for series cut into blocks.

Errors propagate linearly. A function f of the means <x> has the error of the mean of y_i = gradient f . (x_i - <x>),
autocorrelation included: error^2 = 2 tau_int(y) Var(y) / n. If all draws have the same value, the error is unknown and
not zero: it is None, with a reason.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nisbench.contract.records import Estimate
from nisbench.physics.observables import OBSERVABLES, gradients, moments, observables
from nisbench.statistics.autocorrelation import Autocorrelation, gamma_method

__all__ = [
    "FEWEST_EVENTS",
    "SAME_VALUE",
    "blocked_error",
    "chain_mean",
    "chain_observables",
    "rare_events",
    "tau_estimate",
    "with_errors",
    "without_errors",
]

BLOCK_LENGTH = 10
"""Shortest block, in configurations. Reference configurations are 2 tau_int apart, so that the means of two blocks of
ten are practically independent."""

BLOCKS = 100
"""Approximate largest number of blocks. The relative uncertainty of the error is then 1/sqrt(2 x 100) = 7 %."""

FEWEST_EVENTS = 30
"""Fewest draws outside the most frequent energy. Fewer draws show neither the spread of a mean nor its error: a sample
that lies in the ground states says nothing about the states that it missed."""

SAME_VALUE = "the same value in every draw, although the chain moves: its autocorrelation time is unknown"
NO_SPREAD = "every draw has the same value, so its error is unknown"
NO_MAGNETISATION = "the magnetisation is zero in every draw"


def rare_events(energy: NDArray[np.float64]) -> str | None:
    """Return the reason why draws with these energies do not show their own error, or None.

    `energy` has one value for each draw, in any shape.
    """
    counts = np.unique(energy, return_counts=True)[1]
    n, others = int(energy.size), int(energy.size - counts.max(initial=0))
    if others >= min(FEWEST_EVENTS, n / 2):
        return None
    if others == 0:
        return NO_SPREAD
    return f"only {others} of {n} draws have another energy than the most frequent one, so the error is unknown"


def without_errors(quantities: Mapping[str, Estimate], reason: str | None) -> dict[str, Estimate]:
    """Return the quantities without their errors, with the reason; unchanged if the reason is None."""
    if reason is None:
        return dict(quantities)
    return {
        name: one if one.error is None else replace(one, error=None, reason=one.reason or reason)
        for name, one in quantities.items()
    }


def chain_mean(series: NDArray[np.float64], *, moving: bool = False) -> Estimate:
    """Return the mean of a series (n,) or (n, n_chains); the error is None if a chain never changes its value."""
    error, doubt = _chain_error(series, moving)
    return Estimate(float(series.mean()), error, int(series.size), reason=doubt)


def chain_observables(
    energy: NDArray[np.float64],
    magnetisation: NDArray[np.float64],
    *,
    beta: float,
    n_sites: int,
    exact: Mapping[str, float],
    moving: bool = False,
) -> dict[str, Estimate]:
    """Return every observable of `physics.observables` per site, as a plain mean over the draws of chains.

    Parameters
    ----------
    energy, magnetisation
        (n,) or (n, n_chains) totals.
    beta, n_sites
        Inverse temperature and number of spins.
    exact
        Exact values per site by quantity name; missing names are allowed.
    moving
        True if every chain is known to move.
    """
    x = moments(energy, magnetisation, n_sites)  # (5, n) or (5, n, n_chains)
    means = x.reshape(5, -1).mean(axis=1)  # (5,)
    values = observables(means, beta=beta, n_sites=n_sites)
    slopes = gradients(means, beta=beta, n_sites=n_sites)
    # (5,) . (5, n[, n_chains]) -> (n[, n_chains]): the series y of the module docstring
    errors = {name: _chain_error(np.tensordot(row, x, 1), moving) for name, row in slopes.items() if row.any()}
    return without_errors(with_errors(values, errors, int(energy.size), exact), rare_events(energy))


def with_errors(
    values: Mapping[str, float],
    errors: Mapping[str, tuple[float | None, str | None]],
    n: int,
    exact: Mapping[str, float],
) -> dict[str, Estimate]:
    """Return every observable as an estimate, from values, (error, reason for doubt) pairs and exact values by name.

    An observable with a value but without an entry in `errors` is deterministic (specific_heat at beta = 0). An
    observable without a value is missing, because the magnetisation is zero in every draw.
    """
    result = {}
    for name in OBSERVABLES:
        if name not in values:
            result[name] = Estimate.missing(NO_MAGNETISATION, exact=exact.get(name))
            continue
        error, doubt = errors.get(name, (None, None))
        result[name] = Estimate(values[name], error, n, exact.get(name), doubt)
    return result


def tau_estimate(found: Autocorrelation, scale: float = 1.0, *, moving: bool = False) -> Estimate:
    """Return scale x tau_int as an estimate; its reason is set if the chain is too short or never moves.

    Missing if all values are equal in chains that are known to move.
    """
    if moving and math.isinf(found.tau_int) and found.n_per_chain > 1:
        return Estimate.missing(SAME_VALUE)
    return Estimate(found.tau_int * scale, found.error * scale, found.n, reason=found.doubt)


def blocked_error(deviations: NDArray[np.float64], chain: NDArray[np.int64]) -> float | None:
    """Return the standard error of the mean of (m,) `deviations`, from the sums over blocks of successive values.

    With b blocks and S_k the sum of (deviation - mean) over block k: error^2 = b/(b - 1) sum_k S_k^2 / m^2. This holds
    for blocks of unequal length, whose sums are independent.

    Parameters
    ----------
    deviations
        (m,) values, in the order of drawing within each chain.
    chain
        (m,) number of the chain of each value. No block contains values of two chains.

    Returns
    -------
    float or None
        None for fewer than two blocks and if all values are equal.
    """
    order = np.argsort(chain, kind="stable")  # stable: keeps the order of drawing within a chain
    starts = _block_starts(chain[order])
    if len(starts) < 2:
        return None
    sums = np.add.reduceat(deviations[order] - deviations.mean(), starts)
    variance = len(starts) / (len(starts) - 1) * float(sums @ sums) / len(deviations) ** 2
    return math.sqrt(variance) or None


def _block_starts(chain: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the first index of each block of a series sorted by chain; each chain is cut into equal blocks."""
    length = max(BLOCK_LENGTH, len(chain) // BLOCKS)
    edges = np.flatnonzero(np.diff(chain)) + 1  # first index of each chain after the first
    bounds = [0, *edges.tolist(), len(chain)]
    starts = [
        np.linspace(low, high, max(1, (high - low) // length), endpoint=False, dtype=np.int64)
        for low, high in pairwise(bounds)
    ]
    return np.concatenate(starts)


def _chain_error(series: NDArray[np.float64], moving: bool) -> tuple[float | None, str | None]:
    """Return the error of the mean of a series (n,) or (n, n_chains), and the reason for doubt or None."""
    found = gamma_method(series, moving=moving)
    if math.isinf(found.tau_int):
        return None, NO_SPREAD if np.ptp(series) == 0 else found.doubt
    return math.sqrt(2 * found.tau_int * float(series.var(ddof=1)) / found.n), found.doubt
