"""The gates that decide whether a cell is trusted. Each gate judges named quantities and gives a reason if it fails."""

import math
from collections.abc import Iterable, Mapping

from nisbench.contract.doubts import Doubt, Gate, joined
from nisbench.contract.quantities import (
    ENERGY,
    ESS_FRACTION,
    ESS_FRACTION_P,
    FREE_ENERGY_NIS,
    FREE_ENERGY_P,
    KL_FORWARD_NATS,
    LOG_Z_PER_SITE,
    PARETO_K,
    SAMPLE_EXPONENT,
    TAU_INTS,
)
from nisbench.contract.records import Cell, CellResult, CellState, Estimate, Kind, ReferenceState, Status
from nisbench.statistics.beyond import beyond
from nisbench.statistics.tail import LARGEST_K
from nisbench.statistics.weights import ESS_FLOOR

__all__ = ["NOT_FINITE", "judged", "reference_doubts", "validity"]

NOT_FINITE = "not finite"
"""Part of the reason of every quantity whose series contains NaN or infinity."""

LARGEST_Z = 5.0
"""Largest accepted deviation from an exact value, or between q side and p side, in standard errors.

Among the thousands of values of a report, a deviation of 5 by chance (6e-7 each) is not expected.
"""

RATIO_TOLERANCE = 0.3
"""Largest |ln(ess_fraction/ess_fraction_p)| that is accepted whatever the errors are: agreement within 35 %."""

RATIO_FROM_ESS = 0.3
"""If ess_fraction or ess_fraction_p is at least this, their ratio is judged. If both are smaller, the ratio is too
noisy, and kl_forward_nats is judged instead."""


def judged(cell: Cell, quantities: Mapping[str, Estimate], more: Iterable[Doubt] = ()) -> CellResult:
    """Return the result of a measured cell: `ok` if every gate passes, else `untrusted` with all doubts.

    `more` are the doubts that do not follow from the quantities.
    """
    doubts = (*validity(cell.kind, quantities), *more)
    status = Status.UNTRUSTED if doubts else Status.OK
    return CellResult(cell.cell_id, status, joined(doubts), quantities, doubts=doubts)


def validity(kind: Kind, quantities: Mapping[str, Estimate]) -> list[Doubt]:
    """Return the doubts that make a cell untrusted; an empty list if all gates pass.

    The gates, in the order of their doubts:

    - a series contains NaN or infinity, or a required quantity is missing;
    - ess_fraction or ess_fraction_p is below 10/n;
    - pareto_k exceeds 0.7: the tail of the weights is too heavy for a mean with an error;
    - a chain, the NMCMC chain of a model included, is shorter than 50 tau_int;
    - energy, log_z_per_site or free_energy_p is more than 5 standard errors from the exact value;
    - sample_exponent is more than 5 standard errors from 1: the draws are not those of ln q;
    - q side and p side disagree.

    Parameters
    ----------
    kind
        Kind of the plugin. A model must have energy, log_z_per_site and ess_fraction; other kinds must have energy.
    quantities
        Estimates by quantity name.
    """
    infinite = sorted({q.reason for q in quantities.values() if q.reason and NOT_FINITE in q.reason})
    doubts = [Doubt(Gate.NOT_FINITE, reason) for reason in infinite]
    required = (ENERGY, LOG_Z_PER_SITE, ESS_FRACTION) if kind in ("model", "density") else (ENERGY,)
    for name in required:
        if name not in quantities:
            doubts.append(Doubt(Gate.NOT_MEASURED, f"{name} was not measured"))
        elif quantities[name].value is None and quantities[name].reason not in infinite:
            doubts.append(Doubt(Gate.NOT_MEASURED, f"{name}: {quantities[name].reason}"))
    doubts += _short(quantities)
    doubts += _far_from_exact(quantities)
    doubts += _other_draws(quantities)
    return doubts + _sides_disagree(quantities)


def reference_doubts(cell_id: str, state: CellState, use: ReferenceState | None) -> list[Doubt]:
    """Return the doubts that say why the p side of a cell proves nothing.

    Parameters
    ----------
    cell_id, state
        The reference cell and its state.
    use
        `missing` if the reference cell had left no configurations.
    """
    if state.status is not Status.OK:
        return [Doubt(Gate.NO_REFERENCE, f"the p side was not judged: reference cell {cell_id} is {state.describe()}")]
    if use is ReferenceState.MISSING:
        text = f"the p side was not judged: reference cell {cell_id} left no configurations"
        return [Doubt(Gate.NO_REFERENCE, text)]
    return []


def _short(quantities: Mapping[str, Estimate]) -> list[Doubt]:
    """Return the doubts of the gates on the number of draws: ess below 10/n, chains shorter than 50 tau_int."""
    doubts = []
    for name in (ESS_FRACTION, ESS_FRACTION_P):
        ess = quantities.get(name)
        if ess and ess.value is not None and ess.n and ess.value * ess.n < ESS_FLOOR:
            floor = f"{ESS_FLOOR / ess.n:.2g}"
            few = f"{name} {beyond(ess.value, float(floor))} is below {ESS_FLOOR}/n = {floor}"
            doubts.append(Doubt(Gate.FEW_SAMPLES, few))
    k = quantities.get(PARETO_K)
    if k and k.value is not None and k.value > LARGEST_K:
        value = beyond(k.value, LARGEST_K, ".2f")
        tail = f"pareto_k = {value} exceeds {LARGEST_K}: the largest weights were probably not drawn"
        doubts.append(Doubt(Gate.HEAVY_TAIL, tail))
    for name in TAU_INTS:
        tau = quantities.get(name)
        if tau and tau.value is not None and tau.reason:
            doubts.append(Doubt(Gate.SHORT_CHAIN, f"{name}: {tau.reason}"))
    return doubts


def _far_from_exact(quantities: Mapping[str, Estimate]) -> list[Doubt]:
    """Return the doubts of the gates on deviations from exact values."""
    judged = [ENERGY, LOG_Z_PER_SITE]
    # below 10/n the p side rests on a few configurations, and its error means nothing
    ess_p = quantities.get(ESS_FRACTION_P)
    if ess_p and ess_p.value is not None and ess_p.n and ess_p.value * ess_p.n >= ESS_FLOOR:
        judged.append(FREE_ENERGY_P)
    scores = {name: quantities[name].z for name in judged if name in quantities}
    return [
        Doubt(Gate.FAR_FROM_EXACT, f"{name} is {_score(z)} standard errors from exact")
        for name, z in scores.items()
        if z is not None and abs(z) > LARGEST_Z
    ]


def _other_draws(quantities: Mapping[str, Estimate]) -> list[Doubt]:
    """Return the doubt of the gate on draws that do not follow the stated ln q."""
    found = quantities.get(SAMPLE_EXPONENT)
    if found is None or found.z is None or abs(found.z) <= LARGEST_Z:
        return []
    exponent = f"they follow q^{found.value:.3f} ({_score(found.z)} standard errors from 1)"
    return [Doubt(Gate.OTHER_DRAWS, f"the draws are not those of ln q: {exponent}")]


def _sides_disagree(quantities: Mapping[str, Estimate]) -> list[Doubt]:
    """Return the doubts of the gates between q side and p side; none if the p side is missing."""
    doubts = []
    q, p = (_number(quantities, name) for name in (FREE_ENERGY_NIS, FREE_ENERGY_P))
    if q and p and abs(q[0] - p[0]) > LARGEST_Z * math.hypot(q[1], p[1]):
        z = (q[0] - p[0]) / math.hypot(q[1], p[1])
        apart = f"free_energy_nis and free_energy_p are {_score(z)} combined errors apart"
        doubts.append(Doubt(Gate.SIDES_DIFFER, apart))
    ess_q, ess_p = (quantities.get(name) for name in (ESS_FRACTION, ESS_FRACTION_P))
    if not (ess_q and ess_p and ess_q.value and ess_p.value is not None):
        return doubts
    relative = _relative(ess_q)
    if max(ess_q.value, ess_p.value) >= RATIO_FROM_ESS:
        ratio = math.log(ess_q.value / ess_p.value) if ess_p.value > 0 else math.inf
        limit = max(RATIO_TOLERANCE, 3 * math.hypot(relative, _relative(ess_p)))
        if abs(ratio) > limit:
            text = f"{beyond(abs(ratio), round(limit, 2), '.2f')} > {limit:.2f}"
            apart = f"q side and p side disagree: |ln(ess_fraction/ess_fraction_p)| = {text}"
            doubts.append(Doubt(Gate.SIDES_DIFFER, apart))
        return doubts
    forward = quantities.get(KL_FORWARD_NATS)
    if forward and forward.value is not None:
        # Jensen: KL(p||q) = E_p[ln(p/q)] <= ln E_p[p/q] = -ln ess. A larger KL means that the q side, from which ess
        # is estimated, missed a tail or a mode of p
        bound, tolerance = -math.log(ess_q.value), max(RATIO_TOLERANCE, 3 * math.hypot(relative, forward.error or 0.0))
        if forward.value > bound + tolerance:
            excess = f"-ln ess_fraction = {bound:.2f} by more than {tolerance:.2f}"
            value = beyond(forward.value, round(bound, 2) + round(tolerance, 2), ".2f")
            doubts.append(Doubt(Gate.SIDES_DIFFER, f"kl_forward_nats = {value} exceeds {excess}"))
    return doubts


def _score(z: float) -> str:
    """Return the text of a deviation in standard errors that exceeds the limit."""
    return beyond(z, math.copysign(LARGEST_Z, z), "+.1f")


def _number(quantities: Mapping[str, Estimate], name: str) -> tuple[float, float] | None:
    """Return value and error of a quantity, or None if the value is missing or the error is missing or zero."""
    estimate = quantities.get(name)
    if estimate is None or estimate.value is None or not estimate.error:
        return None
    return estimate.value, estimate.error


def _relative(estimate: Estimate) -> float:
    """Return the error of ln(value), which is error/value; 0 if the error is unknown."""
    return estimate.error / estimate.value if estimate.error and estimate.value else 0.0
