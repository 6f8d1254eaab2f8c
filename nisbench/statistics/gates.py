"""The validity gates: tests on the quantities of a cell that decide whether the cell is trusted."""

import math
from collections.abc import Mapping

from nisbench.contract.quantities import (
    ENERGY,
    ESS_FRACTION,
    ESS_FRACTION_P,
    FREE_ENERGY_NIS,
    FREE_ENERGY_P,
    KL_FORWARD_NATS,
    LOG_Z_PER_SITE,
    TAU_INT_ABS_MAGNETISATION,
    TAU_INT_ENERGY,
)
from nisbench.contract.records import Estimate, Kind
from nisbench.statistics.weights import ESS_FLOOR

__all__ = ["NOT_FINITE", "validity"]

NOT_FINITE = "not finite"
"""Text in the reason of a quantity whose series contains NaN or infinity."""

LARGEST_Z = 5.0
"""Largest distance in standard errors from an exact value, or between both sides, of a trusted cell."""

RATIO_TOLERANCE = 0.3
"""|ln(ess_q/ess_p)| up to this value is never a disagreement."""

RATIO_FROM_ESS = 0.3
"""If one of the two ess is at least this large, their ratio is judged; otherwise kl_forward_nats is judged."""


def validity(kind: Kind, quantities: Mapping[str, Estimate]) -> list[str]:
    """Reasons why a cell is untrusted, one line each; empty if all gates pass.

    The gates fail on a series with NaN or infinity, an ess_fraction of either side below 10/n, a chain shorter than 50
    tau_int (also the NMCMC chain of a model), energy or ln Z more than 5 standard errors from the exact value, and a
    disagreement between p side and q side.
    """
    reasons = sorted({q.reason for q in quantities.values() if q.reason and NOT_FINITE in q.reason})
    required = (ENERGY, LOG_Z_PER_SITE, ESS_FRACTION) if kind == "model" else (ENERGY,)
    for name in required:
        if name not in quantities:
            reasons.append(f"{name} was not measured")
        elif quantities[name].value is None and quantities[name].reason not in reasons:
            reasons.append(f"{name}: {quantities[name].reason}")
    reasons += _short(quantities)
    reasons += _far_from_exact(quantities)
    return reasons + _sides_disagree(quantities)


def _short(quantities: Mapping[str, Estimate]) -> list[str]:
    """The gates on the number of draws."""
    reasons = []
    ess = quantities.get(ESS_FRACTION)
    if ess and ess.value is not None and ess.n and ess.value * ess.n < ESS_FLOOR:
        reasons.append(f"ess_fraction {ess.value:.2g} is below {ESS_FLOOR}/n = {ESS_FLOOR / ess.n:.2g}")
    ess_p = quantities.get(ESS_FRACTION_P)
    if ess_p and ess_p.value is not None and ess_p.n and ess_p.value * ess_p.n < ESS_FLOOR:
        reasons.append(f"ess_fraction_p {ess_p.value:.2g} is below {ESS_FLOOR}/n = {ESS_FLOOR / ess_p.n:.2g}")
    for name in (TAU_INT_ENERGY, TAU_INT_ABS_MAGNETISATION):
        tau = quantities.get(name)
        if tau and tau.value is not None and tau.reason:
            reasons.append(f"{name}: {tau.reason}")
    return reasons


def _far_from_exact(quantities: Mapping[str, Estimate]) -> list[str]:
    """The gates on energy and on ln Z of both sides; a p side with an ess below its floor is not judged."""
    judged = [ENERGY, LOG_Z_PER_SITE]
    ess_p = quantities.get(ESS_FRACTION_P)
    if ess_p and ess_p.value is not None and ess_p.n and ess_p.value * ess_p.n >= ESS_FLOOR:
        judged.append(FREE_ENERGY_P)
    scores = {name: quantities[name].z for name in judged if name in quantities}
    return [
        f"{name} is {z:+.1f} standard errors from exact"
        for name, z in scores.items()
        if z is not None and abs(z) > LARGEST_Z
    ]


def _sides_disagree(quantities: Mapping[str, Estimate]) -> list[str]:
    """The gates between q side and p side; without a p side there are none."""
    reasons = []
    q, p = (_number(quantities, name) for name in (FREE_ENERGY_NIS, FREE_ENERGY_P))
    if q and p and abs(q[0] - p[0]) > LARGEST_Z * math.hypot(q[1], p[1]):
        z = (q[0] - p[0]) / math.hypot(q[1], p[1])
        reasons.append(f"free_energy_nis and free_energy_p are {z:+.1f} combined errors apart")
    ess_q, ess_p = (quantities.get(name) for name in (ESS_FRACTION, ESS_FRACTION_P))
    if not (ess_q and ess_p and ess_q.value and ess_p.value is not None):
        return reasons
    relative = _relative(ess_q)
    if max(ess_q.value, ess_p.value) >= RATIO_FROM_ESS:
        ratio = math.log(ess_q.value / ess_p.value) if ess_p.value > 0 else math.inf
        limit = max(RATIO_TOLERANCE, 3 * math.hypot(relative, _relative(ess_p)))
        if abs(ratio) > limit:
            reasons.append(f"p side and q side disagree: |ln(ess_q/ess_p)| = {abs(ratio):.2f} > {limit:.2f}")
        return reasons
    forward = quantities.get(KL_FORWARD_NATS)
    if forward and forward.value is not None:
        # KL(p||q) <= -ln ess by Jensen's inequality; a larger value means that the q side missed a tail or a mode
        bound, tolerance = -math.log(ess_q.value), max(RATIO_TOLERANCE, 3 * math.hypot(relative, forward.error or 0.0))
        if forward.value > bound + tolerance:
            excess = f"-ln ess_fraction = {bound:.2f} by more than {tolerance:.2f}"
            reasons.append(f"kl_forward_nats = {forward.value:.2f} exceeds {excess}")
    return reasons


def _number(quantities: Mapping[str, Estimate], name: str) -> tuple[float, float] | None:
    """Value and error; None if one of them is missing."""
    estimate = quantities.get(name)
    if estimate is None or estimate.value is None or not estimate.error:
        return None
    return estimate.value, estimate.error


def _relative(estimate: Estimate) -> float:
    """The error of ln value; 0 if it is unknown."""
    return estimate.error / estimate.value if estimate.error and estimate.value else 0.0
