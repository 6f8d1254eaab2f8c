"""Distance between the histogram of the draws and that of the reference, beyond the noise of the two."""

import numpy as np
from numpy.typing import NDArray

from nisbench.contract.records import Estimate

__all__ = ["excess_distance"]

_BINS = 32
"""Largest number of bins, which hold about equal parts of the reference."""
_REPEATS = 200
"""Repetitions of the reference against itself. The mean of the null band then has an error of 7 % of its width."""

_FloatArray = NDArray[np.float64]


def excess_distance(values: _FloatArray, reference: _FloatArray, seed: int) -> Estimate:
    """Return the total-variation distance of two histograms less its mean for two samples of the reference.

    The distance is 1/2 sum |a_b - b_b| over the bins. The error is the standard deviation of the distance between two
    samples of n and m values from the reference, so that a value within a few errors of 0 shows no difference.

    Parameters
    ----------
    values, reference
        (n,) and (m,) values of one observable; neighbouring reference values must be nearly independent.
    seed
        Seed of the repetitions.
    """
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, _BINS + 1)))[1:]
    n, m = len(values), len(reference)
    a, b = (np.bincount(np.searchsorted(edges, x), minlength=len(edges) + 1) / len(x) for x in (values, reference))
    rng = np.random.default_rng(seed)
    null = np.abs(rng.multinomial(n, b, _REPEATS) / n - rng.multinomial(m, b, _REPEATS) / m).sum(1) / 2
    distance = float(np.abs(a - b).sum()) / 2
    error = float(null.std())
    reason = None if error > 0 else "every reference configuration has the same value"
    return Estimate(distance - float(null.mean()), error or None, n, reason=reason)
