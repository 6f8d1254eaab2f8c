"""cost ~ L^a: the exponent of a straight line through ln cost against ln L."""

import math

import numpy as np
from numpy.typing import ArrayLike

from nisbench.contract.records import Estimate

__all__ = ["fit_exponent"]


def fit_exponent(L: ArrayLike, cost: ArrayLike, cost_error: ArrayLike | None = None) -> Estimate:
    """The exponent a of cost ~ L^a by least squares in the logarithms, with one standard error.

    Parameters
    ----------
    L, cost
        (n,) sizes, repeats of a size allowed, and what each cost; all positive.
    cost_error
        (n,) standard errors of the costs, all positive. They weigh the points and give the error, enlarged by
        sqrt(chi^2/dof) where the points scatter more than they say. Without them all points weigh the same and the
        error comes from the scatter about the line.

    Returns
    -------
    Estimate
        Missing with its reason for fewer than two sizes or a number that is not positive and finite; without error
        for two points that carry none.
    """
    size, value = np.asarray(L, dtype=np.float64), np.asarray(cost, dtype=np.float64)
    error = None if cost_error is None else np.asarray(cost_error, dtype=np.float64)
    for name, numbers in (("L", size), ("cost", value), ("cost_error", error)):
        if numbers is not None and not (np.isfinite(numbers) & (numbers > 0)).all():
            return Estimate.missing(f"{name} holds a number that is not positive and finite")
    if len(np.unique(size)) < 2:
        return Estimate.missing("an exponent needs two sizes")
    x, y = np.log(size), np.log(value)
    weight = np.ones_like(x) if error is None else (value / error) ** 2
    x = x - np.average(x, weights=weight)
    y = y - np.average(y, weights=weight)
    information = float(weight @ x**2)
    slope = float((weight * x) @ y) / information
    n, residual = len(x), y - slope * x
    if error is None and n < 3:
        return Estimate(slope, None, n, reason="two points leave no scatter to tell the error from")
    scatter = float(weight @ residual**2) / (n - 2) if n > 2 else 0.0
    if error is not None:
        scatter = max(1.0, scatter)
    return Estimate(slope, math.sqrt(scatter / information), n)
