"""Moments of the overlap q of two independent configurations, and the mean link overlap.

    abs_overlap = ⟨|q|⟩    overlap_squared = ⟨q^2⟩    overlap_binder = 1 - ⟨q^4⟩ / (3 ⟨q^2⟩^2)    link_overlap = ⟨q_l⟩

No configuration is in two pairs, so pairs of independent draws are independent. Pairs of two chains are correlated in
time and have the tau_int of their series.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nisbench.contract.quantities import ABS_OVERLAP, LINK_OVERLAP, OVERLAP_BINDER, OVERLAP_SQUARED, TAU_INT_OVERLAP
from nisbench.contract.records import Estimate
from nisbench.statistics.autocorrelation import gamma_method
from nisbench.statistics.estimate import NO_SPREAD, chain_mean, tau_estimate

__all__ = ["overlaps_of_chains", "overlaps_of_pairs"]

_FloatArray = NDArray[np.float64]
_OF_Q = (ABS_OVERLAP, OVERLAP_SQUARED, OVERLAP_BINDER)
_ONE_PAIR = "one pair outweighs all others together, so the error is unknown"
_ZERO = "the overlap is zero in every pair"


def overlaps_of_pairs(q: _FloatArray, link: _FloatArray | None, log_weight: _FloatArray) -> dict[str, Estimate]:
    """Return the overlap quantities of n independent pairs of draws, with jackknife errors over the pairs.

    Parameters
    ----------
    q, link
        (n,) overlap and link overlap of each pair; `link` is None for a target without bonds.
    log_weight
        (2n,) or (2n + 1,) ln w of the draws in their order. Pair k has the draws 2k and 2k + 1 and the weight w w'.
    """
    names = (*_OF_Q, LINK_OVERLAP) if link is not None else _OF_Q
    n = len(q)
    pairs = log_weight[0 : 2 * n : 2] + log_weight[1 : 2 * n : 2]  # (n,)
    if n < 2 or not np.isfinite(pairs).any():
        reason = "fewer than two pairs of draws" if n < 2 else "every pair has weight zero"
        return {name: Estimate.missing(reason) for name in names}
    if not q.any():
        return {name: Estimate.missing(_ZERO) for name in names}
    w = np.exp(pairs - pairs.max())
    sums = w * _moments(q, link)  # (4, n)
    total, rest = w.sum(), w.sum() - w
    values = _functions(sums.sum(axis=1) / total, names)
    if rest.min() < 1e-9 * total:  # the subtraction has lost its digits
        return {name: Estimate(value, None, n, reason=_ONE_PAIR) for name, value in values.items()}
    leaves = _functions((sums.sum(axis=1, keepdims=True) - sums) / rest, names)
    return {name: _jackknife(values[name], leaves[name]) for name in names}


def overlaps_of_chains(q: _FloatArray, link: _FloatArray | None) -> dict[str, Estimate]:
    """Return the overlap quantities and tau_int_overlap from series (n, n_pairs) of pairs of independent chains."""
    names = (*_OF_Q, LINK_OVERLAP) if link is not None else _OF_Q
    if not q.any():
        return {name: Estimate.missing(_ZERO) for name in (TAU_INT_OVERLAP, *names)}
    x = _moments(q, link)  # (4, n, n_pairs)
    means = x.reshape(len(x), -1).mean(axis=1)
    values = _functions(means, names)
    found = {TAU_INT_OVERLAP: tau_estimate(gamma_method(np.abs(q)))}
    for name, slope in _slopes(means).items():
        if name in names:
            # to first order the error of a function of the means is that of the mean of this series
            linear = chain_mean(np.tensordot(slope[: len(x)], x, 1))
            found[name] = Estimate(values[name], linear.error, linear.n, reason=linear.reason)
    return found


def _moments(q: _FloatArray, link: _FloatArray | None) -> _FloatArray:
    """Return |q|, q^2, q^4 and the link overlap, (4, ...), or (3, ...) without links."""
    return np.stack([np.abs(q), q**2, q**4, *(() if link is None else (link,))])


def _functions(means: _FloatArray, names: tuple[str, ...]) -> dict[str, Any]:
    """Return each quantity from the means (4,) or (4, n)."""
    with np.errstate(invalid="ignore", divide="ignore"):  # without one pair, q may vanish in all others
        binder = 1 - means[2] / (3 * means[1] ** 2)
    found = [means[0], means[1], np.nan_to_num(binder, posinf=0.0, neginf=0.0), *means[3:]]
    return {name: value if np.ndim(value) else float(value) for name, value in zip(names, found, strict=True)}


def _slopes(means: _FloatArray) -> Mapping[str, _FloatArray]:
    """Return the derivatives of each quantity by the four means."""
    q2, q4 = float(means[1]), float(means[2])
    rows = {
        ABS_OVERLAP: [1, 0, 0, 0],
        OVERLAP_SQUARED: [0, 1, 0, 0],
        OVERLAP_BINDER: [0, 2 * q4 / (3 * q2**3), -1 / (3 * q2**2), 0],
        LINK_OVERLAP: [0, 0, 0, 1],
    }
    return {name: np.array(row, dtype=np.float64) for name, row in rows.items()}


def _jackknife(value: float, leaves: _FloatArray) -> Estimate:
    """Return the value with the delete-one error from (n,) values without one pair each."""
    n = len(leaves)
    error = math.sqrt((n - 1) * float(leaves.var())) or None
    return Estimate(value, error, n, reason=None if error else NO_SPREAD)
