"""Means and functions of means with one honest standard error, for chains and for series in blocks.

A function of means is propagated linearly: y_i = gradient . (x_i - <x>) is one series with the error of the
function, autocorrelation included, so error^2 = 2 tau_int(y) Var(y)/n. Zero spread is no error bar of zero: the
error is then None with a reason.
"""

import math
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nisbench.contract.records import Estimate
from nisbench.physics.observables import OBSERVABLES, gradients, moments, observables
from nisbench.statistics.autocorrelation import Autocorrelation, gamma_method

__all__ = ["blocked_error", "chain_mean", "chain_observables", "tau_estimate", "with_errors"]

BLOCK_LENGTH = 10
"""Shortest block: reference configurations are thinned by their tau_int, so ten of them are independent of ten more."""

BLOCKS = 100
"""About as many blocks as there are at most; the error is then known to 7 %."""

NO_SPREAD = "every draw has the same value, so its error is unknown"
NO_MAGNETISATION = "the magnetisation is zero in every draw"


def chain_mean(series: NDArray[np.float64]) -> Estimate:
    """The mean of all chains (n,) or (n, n_chains); the error is None where a chain never moves."""
    error, doubt = _chain_error(series)
    return Estimate(float(series.mean()), error, int(series.size), reason=doubt)


def chain_observables(
    energy: NDArray[np.float64],
    magnetisation: NDArray[np.float64],
    *,
    beta: float,
    n_sites: int,
    exact: Mapping[str, float],
) -> dict[str, Estimate]:
    """Every observable of physics.observables from total energies and magnetisations (n,) or (n, n_chains)."""
    x = moments(energy, magnetisation, n_sites)  # (5, n[, n_chains])
    means = x.reshape(5, -1).mean(axis=1)
    values = observables(means, beta=beta, n_sites=n_sites)
    slopes = gradients(means, beta=beta, n_sites=n_sites)
    errors = {name: _chain_error(np.tensordot(row, x, 1)) for name, row in slopes.items() if row.any()}
    return with_errors(values, errors, int(energy.size), exact)


def with_errors(
    values: Mapping[str, float],
    errors: Mapping[str, tuple[float | None, str | None]],
    n: int,
    exact: Mapping[str, float],
) -> dict[str, Estimate]:
    """Every observable as an estimate, from its value, its error with the doubt about it, and its exact value.

    An observable without an error is deterministic, as is specific_heat at beta = 0; one without a value is missing.
    """
    result = {}
    for name in OBSERVABLES:
        if name not in values:
            result[name] = Estimate.missing(NO_MAGNETISATION, exact=exact.get(name))
            continue
        error, doubt = errors.get(name, (None, None))
        result[name] = Estimate(values[name], error, n, exact.get(name), doubt)
    return result


def tau_estimate(found: Autocorrelation, scale: float = 1.0) -> Estimate:
    """The tau_int of a chain, in units of 1/scale draws; the reason says when it is not to be trusted."""
    return Estimate(found.tau_int * scale, found.error * scale, found.n, reason=found.doubt)


def blocked_error(deviations: NDArray[np.float64], chain: NDArray[np.int64]) -> float | None:
    """Standard error of the mean of (m,) `deviations` from their mean, by blocks that lie within one chain.

    `chain` holds the number of the chain of each value; within a chain the values are in the order of drawing. With
    unequal blocks the sums of the deviations over the blocks are what is independent: error^2 = b/(b - 1) sum_b
    S_b^2/m^2. None for fewer than two blocks, and for no spread.
    """
    order = np.argsort(chain, kind="stable")
    starts = _block_starts(chain[order])
    if len(starts) < 2:
        return None
    sums = np.add.reduceat(deviations[order] - deviations.mean(), starts)
    variance = len(starts) / (len(starts) - 1) * float(sums @ sums) / len(deviations) ** 2
    return math.sqrt(variance) or None


def _block_starts(chain: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the blocks start in a series sorted by chain; each chain is cut evenly, at least once."""
    length = max(BLOCK_LENGTH, len(chain) // BLOCKS)
    edges = np.flatnonzero(np.diff(chain)) + 1
    bounds = [0, *edges.tolist(), len(chain)]
    starts = [
        np.linspace(low, high, max(1, (high - low) // length), endpoint=False, dtype=np.int64)
        for low, high in pairwise(bounds)
    ]
    return np.concatenate(starts)


def _chain_error(series: NDArray[np.float64]) -> tuple[float | None, str | None]:
    """Error of the mean, and why it is in doubt."""
    found = gamma_method(series)
    if math.isinf(found.tau_int):
        return None, NO_SPREAD if np.ptp(series) == 0 else found.doubt
    return math.sqrt(2 * found.tau_int * float(series.var(ddof=1)) / found.n), found.doubt
