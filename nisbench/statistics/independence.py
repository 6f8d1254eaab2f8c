"""Tests that draws are independent: no correlation at any lag, and no more equal configurations than chance gives.

False alarms. Ranks have a bounded distribution, so the z score of a lag is Gaussian: 5 errors of tau_int are exceeded
with probability 3e-7, and 6 errors at one of n/2 lags with probability 5e-10 n. The counts of equal configurations
are Poissonian: a gate fires with probability below 1e-9.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import pdtrc

from nisbench.statistics.autocorrelation import Autocorrelation, autocovariance, gamma_method
from nisbench.statistics.beyond import beyond

__all__ = ["LARGEST_TAU_Z", "correlated", "repeated", "repeated_beyond", "tau_excess"]

LARGEST_TAU_Z = 5.0
"""Largest accepted excess of tau_int over 1/2, in errors."""
LARGEST_LAG_Z = 6.0
"""Largest accepted autocorrelation at a single lag, in errors; thousands of lags are tested."""
_FEWEST = 100.0
"""Smallest n/kurtosis^2 of the ranks. Below it a correlation counts a few coincidences of rare values."""
_RARE = 0.1
"""Largest expected number of repetitions (n - 1) q of a draw whose repetitions are counted."""
_CHANCE = 1e-9
_SLACK = 1.1
"""The expected number of equal pairs is enlarged by this factor, because it is estimated from the same draws."""
_LONGEST_COUNT = 12

_FloatArray = NDArray[np.float64]


def correlated(series: Mapping[str, _FloatArray]) -> list[str]:
    """Return one reason for each series (n,) whose successive values are correlated, by name; [] if none is.

    Values are replaced by their ranks. A series with too few different values is not judged.
    """
    return [reason for name, values in series.items() if (reason := _correlated(name, values))]


def tau_excess(values: _FloatArray) -> float | None:
    """Return (tau_int - 1/2) / error of the ranks of a series (n,), or None for a series that is not judged."""
    found = _rank_tau(values)
    return None if found is None else (found[1].tau_int - 0.5) / found[1].error


def repeated_beyond(configuration: NDArray[np.int64], log_prob: _FloatArray) -> str | None:
    """Return the reason if improbable configurations are drawn more often than their ln q allows, or None.

    Two of n independent draws of q are equal n(n - 1)/2 sum q^2 = n(n - 1)/2 E_q[q] times on average. The test counts
    the pairs among draws with (n - 1) q <= 0.1, for which this number is Poissonian.

    Parameters
    ----------
    configuration
        (n,) hash of each drawn configuration.
    log_prob
        (n,) ln q of each draw.
    """
    n = len(configuration)
    again = (n - 1) * np.exp(np.minimum(log_prob, 0.0))
    rare = again <= _RARE
    counts = np.unique(configuration[rare], return_counts=True)[1]
    pairs = int((counts * (counts - 1) // 2).sum())
    expected = float(again[rare].sum()) / 2
    if pairs and pdtrc(pairs - 1, _SLACK * expected) < _CHANCE:  # P(count >= pairs)
        return f"draws are repeated: {pairs} equal pairs of improbable configurations where ln q expects {expected:.2g}"
    return None


def repeated(configuration: NDArray[np.int64]) -> str | None:
    """Return the reason if the multiplicities of configurations cannot be those of independent draws, or None.

    If f_k configurations occur k times, then m_k = k! E[f_k] are moments of a measure for independent draws of any
    distribution, and m_k^2 <= m_(k-1) m_(k+1). Draws that are all repeated violate it: f_2 without f_1 and f_3.

    Parameters
    ----------
    configuration
        (n,) hash of each draw, its weight included if the weight is random.
    """
    counts = np.unique(configuration, return_counts=True)[1]
    f = np.bincount(np.minimum(counts, _LONGEST_COUNT + 1), minlength=_LONGEST_COUNT + 2).astype(np.float64)
    for k in range(2, _LONGEST_COUNT):
        # six errors of each count in the direction that favours the sampler
        bound = math.sqrt((k + 1) / k * _at_most(f[k - 1]) * _at_most(f[k + 1]))
        if f[k] - LARGEST_LAG_Z * math.sqrt(f[k]) > bound:
            less, more = int(f[k - 1]), int(f[k + 1])
            return (
                f"draws are repeated: {int(f[k])} configurations occur {k} times, {less} occur {k - 1} times and {more}"
                f" occur {k + 1} times"
            )
    return None


def _at_most(count: float) -> float:
    """Return a bound of the mean of a Poissonian count, six errors above the count."""
    return count + LARGEST_LAG_Z * math.sqrt(count) + LARGEST_LAG_Z**2 / 2


def _ranks(values: _FloatArray) -> _FloatArray:
    """Return the ranks (n,) from 1 to n of the values (n,). Equal values share the mean of their ranks."""
    # scipy.stats has this function, but every worker would wait half a second for its import.
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[which]


def _kurtosis(values: _FloatArray) -> float:
    """Return the fourth central moment over the squared second one; 3 for a Gaussian."""
    squares = (values - values.mean()) ** 2
    return float((squares**2).mean() / squares.mean() ** 2)


def _rank_tau(values: _FloatArray) -> tuple[_FloatArray, Autocorrelation] | None:
    """Return the ranks and their autocorrelation time; None if the series has too few different values."""
    ranks = _ranks(values)
    n = len(ranks)
    if n < _FEWEST or np.ptp(ranks) == 0 or n < _FEWEST * _kurtosis(ranks) ** 2:
        return None
    return ranks, gamma_method(ranks)


def _correlated(name: str, values: _FloatArray) -> str | None:
    """Return the reason for one series, or None."""
    judged = _rank_tau(values)
    if judged is None:
        return None
    (ranks, tau), n = judged, len(values)
    if (tau.tau_int - 0.5) > LARGEST_TAU_Z * tau.error:
        found = f"tau_int of {name} is {beyond(tau.tau_int, 0.5, '.3g')} +- {tau.error:.1g} in the order of drawing"
        return f"draws are not independent: {found}, where independent draws have 0.5"
    rho = autocovariance(ranks[:, None])
    lags = np.arange(1, n // 2 + 1)
    z = rho[lags] / rho[0] * np.sqrt(n - lags)
    lag = int(np.argmax(z))
    if z[lag] > LARGEST_LAG_Z:
        found = f"{name} has the autocorrelation {rho[lag + 1] / rho[0]:.2g} at a distance of {lag + 1} draws"
        return f"draws are not independent: {found} ({beyond(z[lag], LARGEST_LAG_Z, '+.1f')} errors)"
    return None
