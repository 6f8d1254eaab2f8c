"""Do the draws come from the stated ln q? Tests at any size from ln q of flipped configurations, without enumeration.

For a draw s of q and a site i, the draw is the less probable member of the pair {s, s with spin i flipped} with
probability p = 1/(1 + exp|d|), where d is the difference of ln q of the two. If the draws follow q^a instead, this
probability changes by -(a - 1) |d| p (1 - p), which gives an estimate of a. The same holds for the pair {s, -s}.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from nisbench.contract.records import Estimate
from nisbench.statistics.beyond import beyond

__all__ = ["Flips", "mirror_doubt", "sample_exponent", "site_scores"]

FEWEST_EVENTS = 100.0
"""Smallest sum of p (1 - p): below it the number of improbable draws is not Gaussian."""
LARGEST_Z = 5.0

_FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Flips:
    """Differences of ln q between m draws and their flipped configurations."""

    single: _FloatArray
    """(m, k) ln q(s with spin i flipped) - ln q(s) for k sites i of each draw"""
    mirror: _FloatArray
    """(m,) ln q(-s) - ln q(s)"""
    magnetisation: _FloatArray
    """(m,) total magnetisation of s"""


def sample_exponent(flips: Flips) -> Estimate:
    """Return a, where the draws follow q^a near q; exact = 1.

    a = 1 + sum |d| (p - b)/sum d^2 p (1 - p) over draws and sites, b = 1 if the draw is the less probable of its pair.
    The error is that of the sum over sites of independent draws.
    """
    if not np.isfinite(flips.single).all():
        return Estimate.missing("q vanishes for a flipped configuration")
    excess, information, events = _terms(flips.single)
    total = float(information.sum())
    if events < FEWEST_EVENTS:
        return Estimate.missing("too few draws are improbable given their other spins")
    m = len(excess)
    # the variance given the pairs is the information; sites of one draw are correlated, which its spread shows
    spread = max(total, m * float(excess.sum(1).var()))
    return Estimate(1 + float(excess.sum()) / total, math.sqrt(spread) / total, m, exact=1.0)


def site_scores(single: _FloatArray) -> float:
    """Return Hotelling's T^2 of sum |d| (p - b) over the sites: chi-square with k degrees of freedom if m >> k.

    `single` (m, k) has the same k sites for each draw.
    """
    excess = _terms(single)[0]  # (m, k)
    mean = excess.mean(0)
    covariance = np.atleast_2d(np.cov(excess.T, bias=True))
    return float(len(excess) * mean @ np.linalg.pinv(covariance, hermitian=True) @ mean)


def mirror_doubt(flips: Flips) -> str | None:
    """Return the reason if s and -s are not drawn in the ratio q(s) : q(-s), or None.

    Given the pair, the sign of M has the mean g (1 - 2 h) and the variance 4 h (1 - h), h = q(-s)/(q(s) + q(-s)).
    """
    h, sign = expit(flips.mirror), np.sign(flips.magnetisation)
    variance = float((4 * h * (1 - h) * sign**2).sum())
    if not np.isfinite(flips.mirror).all() or variance < FEWEST_EVENTS:
        return None
    z = float((2 * sign * h).sum()) / math.sqrt(variance)
    if abs(z) <= LARGEST_Z:
        return None
    side = "positive" if z > 0 else "negative"
    text = f"{side} magnetisation is {beyond(abs(z), LARGEST_Z, '.1f')} errors too frequent"
    return f"the draws are not those of ln q: {text}"


def _terms(single: _FloatArray) -> tuple[_FloatArray, _FloatArray, float]:
    """Return |d| (p - b), d^2 p (1 - p), both like `single`, and the sum of p (1 - p)."""
    gap = np.abs(single)
    p = expit(-gap)
    lower = single > 0  # the flipped configuration is more probable than the draw
    # at d = 0 the two members have no order; the factor |d| removes the term
    return gap * (p - lower), gap**2 * p * (1 - p), float((p * (1 - p) * (gap > 0)).sum())
