"""Tail of the importance weights: the Pareto shape k of the largest weights, and the ESS of the first draws.

A generalised Pareto distribution with shape k has finite moments of order below 1/k. Above k = 0.7 neither a
self-normalised mean nor its error can be relied on, however large the ESS of the sample is.
Sources: J. Zhang and M. A. Stephens, Technometrics 51, 316 (2009), the fit; A. Vehtari, D. Simpson, A. Gelman, Y. Yao
and J. Gabry, J. Mach. Learn. Res. 25 (72), 1 (2024), the length of the tail, the weak prior of k and the limit 0.7.
"""

import math

import numpy as np
from numpy.typing import NDArray

from nisbench.contract.quantities import ESS_FRACTION_HALF, ESS_FRACTION_TENTH, PARETO_K
from nisbench.contract.records import Estimate
from nisbench.statistics.weights import ess_fraction

__all__ = ["LARGEST_K", "fit_shape", "pareto_k", "tail_quantities"]

LARGEST_K = 0.7
"""Largest accepted Pareto shape k."""

_FEWEST = 5
"""Fewest weights in a tail that is fitted."""
_NEARLY_EQUAL = 0.99
"""From this ess_fraction on, the tail is not fitted. k does not depend on the scale of the excesses, so small
differences between nearly equal weights can have any k; they change no estimate. One weight of 0.1 sqrt(n) times the
mean would lower the ESS more."""
_PRIOR_SCALE, _PRIOR_DRAWS, _PRIOR_K = 3.0, 10.0, 0.5
"""The weak prior: 10 more draws with k = 1/2."""

_FloatArray = NDArray[np.float64]


def tail_quantities(log_weight: _FloatArray) -> dict[str, Estimate]:
    """Return `pareto_k` and the ESS per draw of the first tenth and of the first half of (n,) ln w."""
    return {
        PARETO_K: pareto_k(log_weight),
        ESS_FRACTION_TENTH: _ess_of_first(log_weight, 0.1),
        ESS_FRACTION_HALF: _ess_of_first(log_weight, 0.5),
    }


def pareto_k(log_weight: _FloatArray) -> Estimate:
    """Return the shape k of the generalised Pareto fit to the largest min(0.2 n, 3 sqrt n) weights.

    The error (1 + k)/sqrt(M) is that of a maximum-likelihood fit to M weights.

    Parameters
    ----------
    log_weight
        (n,) ln w of independent draws; -inf is a weight of zero.

    Returns
    -------
    Estimate
        Missing if ess_fraction is at least 0.99, or if fewer than 5 weights exceed the start of the tail.
    """
    ess = ess_fraction(log_weight).value
    if ess is not None and ess >= _NEARLY_EQUAL:
        return Estimate.missing(f"ess_fraction is at least {_NEARLY_EQUAL}, so the tail changes no estimate")
    n = len(log_weight)
    x = np.sort(log_weight - log_weight.max())  # (n,) the largest is 0
    length = math.ceil(min(0.2 * n, 3 * math.sqrt(n)))
    # e^-708 is the smallest normal number: smaller weights would lose their digits
    start = max(float(x[max(n - length - 1, 0)]), -708.0)
    tail = np.exp(x[x > start]) - math.exp(start)
    if len(tail) < _FEWEST or not tail[0] > 0:
        return Estimate.missing(f"{len(tail)} weights lie in the tail; {_FEWEST} are needed for a fit")
    k = fit_shape(tail)
    return Estimate(k, max(1 + k, 0.5) / math.sqrt(len(tail)), n)


def fit_shape(tail: _FloatArray) -> float:
    """Return the shape k of a generalised Pareto distribution with the posterior mean of Zhang and Stephens.

    `tail` (M,) are positive excesses in ascending order. The weak prior adds 10 draws of k = 1/2.
    """
    m = len(tail)
    count = 30 + int(math.sqrt(m))
    quartile = tail[int(m / 4 + 0.5) - 1]
    # (count,) grid of b = -k/sigma, dense where the likelihood is large
    grid = (1 - np.sqrt(count / (np.arange(1, count + 1) - 0.5))) / (_PRIOR_SCALE * quartile) + 1 / tail[-1]
    shapes = np.array([np.log1p(-b * tail).mean() for b in grid])  # (count,) k that maximises the likelihood at b
    flat = shapes == 0  # b = 0, the exponential distribution, where -b/k -> 1/mean
    scale = np.where(flat, 1 / tail.mean(), -grid / np.where(flat, 1.0, shapes))
    likelihood = m * (np.log(scale) - shapes - 1)
    weight = np.exp(likelihood - likelihood.max())
    b = float(weight @ grid) / float(weight.sum())
    k = float(np.log1p(-b * tail).mean())
    return (m * k + _PRIOR_DRAWS * _PRIOR_K) / (m + _PRIOR_DRAWS)


def _ess_of_first(log_weight: _FloatArray, share: float) -> Estimate:
    """Return the ESS per draw of the first share n draws; one that falls with n is an artefact of few draws."""
    n = int(share * len(log_weight))
    if n < 1 or not np.isfinite(log_weight[:n]).any():
        return Estimate.missing(f"{n} draws with a weight")
    return ess_fraction(log_weight[:n])
