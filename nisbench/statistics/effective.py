"""Draws per effective sample: by reweighting, or along a chain."""

import math
from collections.abc import Mapping

from nisbench.contract.quantities import DRAW_S_PER_1000, TAU_INT_ENERGY, TAU_INTS
from nisbench.contract.records import CostBasis, Estimate

__all__ = ["cost_on", "draws_per_effective_sample", "history_error"]


def draws_per_effective_sample(basis: CostBasis, quantities: Mapping[str, Estimate]) -> tuple[float, float] | None:
    """Return 1/ess_fraction or 2 tau_int, at least one draw, and its relative error; None if it is not known.

    Parameters
    ----------
    basis
        `ess_fraction` and `ess_fraction_p` stand for reweighting. `tau_int` stands for a chain; the largest tau_int of
        energy, |m| and |q| counts. That of the energy and those of the order parameters of the target must be known.
    """
    if basis == "tau_int":
        return _by_tau(quantities)
    ess = quantities.get(basis)
    if ess is None or not ess.value:
        return None
    # ess_fraction_p may exceed 1 by its error, but one draw is the least that one sample costs.
    return max(1.0, 1 / ess.value), (ess.error or 0.0) / ess.value


def cost_on(basis: CostBasis, quantities: Mapping[str, Estimate]) -> Estimate | None:
    """Return the seconds per effective sample on this basis; None if they are not known or infinite."""
    drawing, factor = quantities.get(DRAW_S_PER_1000), draws_per_effective_sample(basis, quantities)
    if drawing is None or not drawing.value or factor is None or not math.isfinite(factor[0]):
        return None
    cost = drawing.value / 1000 * factor[0]
    relative = math.hypot(factor[1], (drawing.error or 0.0) / drawing.value)
    return Estimate(cost, cost * relative if math.isfinite(relative) else None, n=drawing.n)


def history_error(ess_fraction: float, n: int) -> float:
    """Return sqrt((m^4 - 4 m^2 + 4 m - 1)/n) with m = 1/ess_fraction, the relative error of an ESS from n draws of q.

    Linear propagation for a Gaussian ln w, whose moments are E[w^k] = m^(k (k - 1)/2) if E[w] = 1. Infinite for an ESS
    of zero.
    """
    if ess_fraction <= 0:
        return math.inf
    f = min(ess_fraction, 1.0)
    # Divided twice by f: powers of 1/f overflow for an ESS of 1e-200.
    return math.sqrt(max(1 - 4 * f**2 + 4 * f**3 - f**4, 0.0) / n) / f / f


def _by_tau(quantities: Mapping[str, Estimate]) -> tuple[float, float] | None:
    taus = [quantities[name] for name in TAU_INTS if name in quantities]
    known = [(tau.value, tau.error or 0.0) for tau in taus if tau.value is not None]
    if TAU_INT_ENERGY not in quantities or len(known) < len(taus):
        return None
    value, error = max(known)
    return max(1.0, 2 * value), error / value if value else 0.0
