"""Scaling exponent a of cost ~ L^a, by a straight line through ln cost against ln L."""

import math

import numpy as np
from numpy.typing import ArrayLike

from nisbench.contract.records import Estimate

__all__ = ["fit_exponent"]


def fit_exponent(L: ArrayLike, cost: ArrayLike, cost_error: ArrayLike | None = None) -> Estimate:
    """Return the exponent a of cost ~ L^a with one standard error, from a least-squares fit of the logarithms.

    Parameters
    ----------
    L, cost
        (n,) sizes and costs, all positive. A size may occur several times.
    cost_error
        (n,) standard errors of the costs, all positive. They weight the points and give the error of a, which is
        enlarged by sqrt(chi^2/dof) if the points scatter more than their errors allow. Without them all points have
        the same weight and the error of a comes from the scatter about the line.

    Returns
    -------
    Estimate
        Missing, with a reason, for fewer than two different sizes or for numbers that are not positive and finite.
        Without an error for two points without `cost_error`.
    """
    size, value = np.asarray(L, dtype=np.float64), np.asarray(cost, dtype=np.float64)
    error = None if cost_error is None else np.asarray(cost_error, dtype=np.float64)
    for name, numbers in (("L", size), ("cost", value), ("cost_error", error)):
        if numbers is not None and not (np.isfinite(numbers) & (numbers > 0)).all():
            return Estimate.missing(f"{name} contains a number that is not positive and finite")
    if len(np.unique(size)) < 2:
        return Estimate.missing("an exponent needs at least two sizes")
    x, y = np.log(size), np.log(value)
    weight = np.ones_like(x) if error is None else (value / error) ** 2  # 1 / (error of ln cost)^2
    # about the weighted means, slope and intercept are uncorrelated
    x = x - np.average(x, weights=weight)
    y = y - np.average(y, weights=weight)
    information = float(weight @ x**2)
    slope = float((weight * x) @ y) / information
    n, residual = len(x), y - slope * x
    if error is None and n < 3:
        return Estimate(slope, None, n, reason="a line through two points has no scatter, so its error is unknown")
    scatter = float(weight @ residual**2) / (n - 2) if n > 2 else 0.0  # chi^2 per degree of freedom
    if error is not None:
        scatter = max(1.0, scatter)
    return Estimate(slope, math.sqrt(scatter / information), n)
