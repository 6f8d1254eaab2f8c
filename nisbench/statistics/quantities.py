"""The named quantities of a cell, estimated from its series.

Energies and magnetisations of the series are totals; the quantities are per site. A quantity that does not exist for a
kind of plugin is absent. A quantity that could not be computed is missing, with a reason. No quantity is NaN.
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nisbench.contract.quantities import (
    ENTROPY,
    ESS_FRACTION,
    ESS_FRACTION_P,
    FREE_ENERGY_NIS,
    FREE_ENERGY_P,
    FREE_ENERGY_VARIATIONAL,
    KL_FORWARD_NATS,
    KL_NATS,
    LOG_Z_PER_SITE,
    MEAN_CLUSTER_SIZE,
    QUANTITIES,
    RELATIVE_FREE_ENERGY_ERROR,
    SAMPLE_EXPONENT,
    TAU_INT_ABS_MAGNETISATION,
    TAU_INT_ENERGY,
    TAU_INT_SWEEPS_ABS_MAGNETISATION,
    TAU_INT_SWEEPS_ENERGY,
    TV_ABS_MAGNETISATION,
    TV_ENERGY,
    Part,
    level_name,
    select,
)
from nisbench.contract.records import Estimate
from nisbench.statistics import weights
from nisbench.statistics.autocorrelation import gamma_method
from nisbench.statistics.estimate import chain_mean, chain_observables, rare_events, tau_estimate, without_errors
from nisbench.statistics.flips import Flips, sample_exponent
from nisbench.statistics.gates import NOT_FINITE
from nisbench.statistics.histograms import excess_distance
from nisbench.statistics.metropolis import metropolis_quantities
from nisbench.statistics.tail import tail_quantities

__all__ = [
    "CHAIN_QUANTITIES",
    "MODEL_QUANTITIES",
    "REFERENCE_QUANTITIES",
    "WEIGHTED_QUANTITIES",
    "ReferenceSeries",
    "chain_quantities",
    "level_quantities",
    "model_quantities",
    "weighted_quantities",
]

_FloatArray = NDArray[np.float64]

_STATISTICAL = (Part.QUALITY, Part.OBSERVABLE)

MODEL_QUANTITIES = select(*_STATISTICAL, kind="model")
"""Quantities estimated from draws of a normalised density."""

WEIGHTED_QUANTITIES = select(*_STATISTICAL, kind="weighted")
"""Quantities estimated from independent draws with weights."""

CHAIN_QUANTITIES = tuple(name for name in select(*_STATISTICAL, kind="chain") if name != LOG_Z_PER_SITE)
"""Quantities estimated from the series of chains; those in _CLUSTER_ONLY need draws that are cluster flips. ln Z of
chains has a module of its own, `bridges`."""

REFERENCE_QUANTITIES = tuple(name for name in MODEL_QUANTITIES if QUANTITIES[name].shared_reference)
"""Quantities estimated from a model's ln q on the reference configurations. Models judged on the same configurations
have correlated errors."""

_CLUSTER_ONLY = (MEAN_CLUSTER_SIZE, TAU_INT_SWEEPS_ENERGY, TAU_INT_SWEEPS_ABS_MAGNETISATION)

_NO_EXACT = "no exact ln Z is known"


@dataclass(frozen=True)
class ReferenceSeries:
    """ln q of a model, energies and magnetisations on m reference configurations of p."""

    log_prob: _FloatArray
    """(m,) ln q; -inf where q = 0"""
    energy: _FloatArray
    """(m,) totals"""
    magnetisation: _FloatArray
    """(m,) totals"""
    chain: NDArray[np.int64]
    """(m,) number of the chain of each configuration; within a chain in the order of drawing"""


@dataclass(frozen=True)
class _Point:
    """Inverse temperature and size of the series, with the exact values per site at this point by quantity name."""

    beta: float
    n_sites: int
    exact: Mapping[str, float]

    @property
    def log_z(self) -> float | None:
        """Exact ln Z of the whole lattice, or None."""
        return self.exact[LOG_Z_PER_SITE] * self.n_sites if LOG_Z_PER_SITE in self.exact else None

    def exact_of(self, name: str) -> float | None:
        """Return the exact value that a quantity is compared with, or None."""
        free = (FREE_ENERGY_VARIATIONAL, FREE_ENERGY_NIS, FREE_ENERGY_P)
        return self.exact.get("free_energy" if name in free else name)

    def missing(self, names: tuple[str, ...], reason: str) -> dict[str, Estimate]:
        """Return every quantity of `names` as missing, with the same reason."""
        return {name: Estimate.missing(reason, exact=self.exact_of(name)) for name in names}

    def free_energy(self, log_z: Estimate, sign: float = -1.0) -> Estimate:
        """Return the free energy per site sign x ln Z/(beta N) from ln Z of the whole lattice; missing at beta = 0."""
        if self.beta == 0:
            return Estimate.missing("the free energy is undefined at beta = 0")
        return replace(_scaled(log_z, sign / (self.beta * self.n_sites)), exact=self.exact.get("free_energy"))


def model_quantities(
    *,
    log_prob: _FloatArray,
    energy: _FloatArray,
    magnetisation: _FloatArray,
    beta: float,
    n_sites: int,
    exact: Mapping[str, float],
    seed: int,
    reference: ReferenceSeries | None,
    no_reference_reason: str | None = None,
    flips: Flips | None = None,
) -> dict[str, Estimate]:
    """Return all quantities of a model from n independent draws of q.

    Parameters
    ----------
    log_prob, energy, magnetisation
        (n,) each, n >= 1: ln q, total energy, total magnetisation.
    exact
        Exact values per site by quantity name, as far as known.
    seed
        Seed of the random numbers of NMCMC.
    reference
        Series for the p side. If it is None, the p side is missing with `no_reference_reason`.
    flips
        ln q of flipped draws, for `sample_exponent`.
    """
    point = _Point(beta, n_sites, exact)
    wrong = _not_finite(log_prob=log_prob, energy=energy, magnetisation=magnetisation)
    if wrong:
        return point.missing(MODEL_QUANTITIES, wrong)
    log_weight = -beta * energy - log_prob
    return {
        **_q_side(point, log_weight, energy, magnetisation),
        **without_errors(_variational(point, -log_weight), rare_events(energy)),
        **_p_side(point, reference, no_reference_reason or "no reference configurations"),
        **_distances(energy, magnetisation, reference, no_reference_reason or "no reference configurations", seed),
        SAMPLE_EXPONENT: sample_exponent(flips) if flips else Estimate.missing("no draw was flipped"),
        **metropolis_quantities(log_weight, energy, magnetisation, seed),
    }


def chain_quantities(
    *,
    energy: _FloatArray,
    magnetisation: _FloatArray,
    cluster_size: _FloatArray | None,
    beta: float,
    n_sites: int,
    exact: Mapping[str, float],
) -> dict[str, Estimate]:
    """Return all quantities of chains from series (n, n_chains) of total energies and magnetisations.

    `cluster_size` (n, n_chains) holds the flipped spins of each draw; None if a draw is not a cluster flip.
    """
    flips = {} if cluster_size is None else {"cluster_size": cluster_size}
    wrong = _not_finite(energy=energy, magnetisation=magnetisation, **flips)
    if wrong:
        absent = () if flips else _CLUSTER_ONLY
        expected = tuple(name for name in CHAIN_QUANTITIES if name not in absent)
        return _Point(beta, n_sites, exact).missing(expected, wrong)
    # A cold chain may have one energy and move all the same: its magnetisation changes, or clusters are flipped.
    moving = all(_moves(*each) for each in zip(energy.T, magnetisation.T, strict=True))
    quantities = chain_observables(energy, magnetisation, beta=beta, n_sites=n_sites, exact=exact, moving=moving)
    tau_energy = gamma_method(energy, moving=moving)
    tau_magnetisation = gamma_method(np.abs(magnetisation), moving=moving)
    quantities[TAU_INT_ENERGY] = tau_estimate(tau_energy, moving=moving)
    quantities[TAU_INT_ABS_MAGNETISATION] = tau_estimate(tau_magnetisation, moving=moving)
    if cluster_size is not None:
        quantities[MEAN_CLUSTER_SIZE] = chain_mean(cluster_size, moving=moving)
        sweeps = float(cluster_size.mean()) / n_sites  # per draw; its error is small compared with that of tau
        quantities[TAU_INT_SWEEPS_ENERGY] = tau_estimate(tau_energy, sweeps, moving=moving)
        quantities[TAU_INT_SWEEPS_ABS_MAGNETISATION] = tau_estimate(tau_magnetisation, sweeps, moving=moving)
    return quantities


def level_quantities(kl: Estimate, differences: _FloatArray) -> dict[str, Estimate]:
    """Return `kl_nats_level_<k>`, the nats that level k adds to KL(q||p): V_k - V_(k+1).

    V_0 is `kl`, the `kl_nats` of the model. V_k = <d^2>/4 to second order for 0 < k < n_levels, and V_(n_levels) = 0
    (docs/methods/hier-exact.md, section 7). Row k - 1 of `differences`, (n_levels - 1, n), holds d: the differences of
    ln w within pairs of independent draws that share the levels before k.
    """
    if wrong := _not_finite(level_differences=differences):
        return {level_name(k): Estimate.missing(wrong) for k in range(len(differences) + 1)}
    from_level = [kl, *map(_mean, differences**2 / 4), Estimate(0.0, 0.0)]
    return {level_name(k): _minus(*pair) for k, pair in enumerate(itertools.pairwise(from_level))}


def _mean(values: _FloatArray) -> Estimate:
    """Return the mean of (n,) independent values."""
    n = len(values)
    error = float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else None
    return Estimate(float(values.mean()), error, n, reason=None if n > 1 else "one draw has no error")


def _minus(a: Estimate, b: Estimate) -> Estimate:
    """Return a - b of independent estimates; missing if one of them is missing."""
    if a.value is None or b.value is None:
        return a if a.value is None else b
    error = None if a.error is None or b.error is None else math.hypot(a.error, b.error)
    return Estimate(a.value - b.value, error, a.n, reason=a.reason or b.reason)


def weighted_quantities(
    *,
    log_weight: _FloatArray,
    energy: _FloatArray,
    magnetisation: _FloatArray,
    normalised: bool,
    beta: float,
    n_sites: int,
    exact: Mapping[str, float],
) -> dict[str, Estimate]:
    """Return all quantities of n independent draws with weights, (n,) each; ln w = -inf is a draw of weight zero.

    If the weights are not `normalised`, E[w] is not Z, and the quantities that need ln Z are missing.
    """
    point = _Point(beta, n_sites, exact)
    wrong = _not_finite(energy=energy, magnetisation=magnetisation) or _bad("log_weight", ~(log_weight < np.inf))
    if not wrong and not np.isfinite(log_weight).any():
        wrong = f"log_weight is {NOT_FINITE}: every weight is zero"
    if wrong:
        return point.missing(WEIGHTED_QUANTITIES, wrong)
    quantities = _q_side(point, log_weight, energy, magnetisation)
    if not normalised:
        reason = "the weights are not normalised, so ln Z is unknown"
        quantities |= point.missing((LOG_Z_PER_SITE, FREE_ENERGY_NIS, ENTROPY), reason)
    return quantities


def _q_side(
    point: _Point, log_weight: _FloatArray, energy: _FloatArray, magnetisation: _FloatArray
) -> dict[str, Estimate]:
    """Return the quantities of the q side."""
    beta, n_sites, exact = point.beta, point.n_sites, point.exact
    log_z = weights.log_z(log_weight, n_sites)
    entropy = weights.entropy(log_weight, energy, beta=beta, n_sites=n_sites)
    found = {
        LOG_Z_PER_SITE: replace(_scaled(log_z, 1 / n_sites), exact=exact.get(LOG_Z_PER_SITE)),
        FREE_ENERGY_NIS: point.free_energy(log_z),
        ESS_FRACTION: weights.ess_fraction(log_weight),
        **tail_quantities(log_weight),
        **weights.self_normalised(log_weight, energy, magnetisation, beta=beta, n_sites=n_sites, exact=exact),
        ENTROPY: replace(entropy, exact=exact.get(ENTROPY)),
    }
    return without_errors(found, rare_events(energy))


def _variational(point: _Point, signal: _FloatArray) -> dict[str, Estimate]:
    """Return the quantities from signal = ln q + beta E of the draws (n,), whose mean is KL(q||p) - ln Z."""
    mean = _mean(signal)
    if mean.error is not None:
        mean = replace(mean, error=math.hypot(mean.error, weights.rounding(point.n_sites)))
    free_energy = point.free_energy(mean, sign=1.0)
    kl = relative = Estimate.missing(_NO_EXACT)
    if point.log_z is not None:
        kl = replace(mean, value=float((signal + point.log_z).mean()))
        relative = _scaled(kl, 1 / abs(point.log_z)) if point.log_z else Estimate.missing("the exact ln Z is zero")
    return {FREE_ENERGY_VARIATIONAL: free_energy, KL_NATS: kl, RELATIVE_FREE_ENERGY_ERROR: relative}


def _p_side(point: _Point, reference: ReferenceSeries | None, absent: str) -> dict[str, Estimate]:
    """Return the quantities of the p side; missing with the reason `absent` if there is no reference."""
    if reference is None or len(reference.log_prob) == 0:
        return point.missing(REFERENCE_QUANTITIES, absent)
    # ln q = -inf is a valid answer: the model excludes this configuration. NaN and +inf are not
    wrong = _bad("the reference's log_prob", ~(reference.log_prob < np.inf)) or _not_finite(energy=reference.energy)
    if wrong:
        return point.missing(REFERENCE_QUANTITIES, wrong)
    log_weight, chain = -point.beta * reference.energy - reference.log_prob, reference.chain
    forward = Estimate.missing(_NO_EXACT)
    if point.log_z is not None:
        forward = weights.kl_forward(log_weight, chain, point.log_z, point.n_sites)
    found = {
        FREE_ENERGY_P: point.free_energy(weights.log_z_p(log_weight, chain, point.n_sites)),
        KL_FORWARD_NATS: forward,
        ESS_FRACTION_P: weights.ess_fraction_p(log_weight, chain, point.log_z),
    }
    return without_errors(found, rare_events(reference.energy))


def _distances(
    energy: _FloatArray, magnetisation: _FloatArray, reference: ReferenceSeries | None, absent: str, seed: int
) -> dict[str, Estimate]:
    """Return the distances of the histograms of the draws, without weights, from those of the reference."""
    if reference is None or not np.isfinite(reference.energy).all():
        return {name: Estimate.missing(absent) for name in (TV_ENERGY, TV_ABS_MAGNETISATION)}
    return {
        TV_ENERGY: excess_distance(energy, reference.energy, seed),
        TV_ABS_MAGNETISATION: excess_distance(np.abs(magnetisation), np.abs(reference.magnetisation), seed),
    }


def _moves(energy: _FloatArray, magnetisation: _FloatArray) -> bool:
    """Return True if a chain with these series (n,) changes its configuration."""
    return bool(np.ptp(energy) or np.ptp(magnetisation))


def _scaled(estimate: Estimate, factor: float) -> Estimate:
    """Return factor x estimate, its error included."""
    if estimate.value is None:
        return estimate
    error = None if estimate.error is None else estimate.error * abs(factor)
    return replace(estimate, value=estimate.value * factor, error=error)


def _not_finite(**series: _FloatArray) -> str | None:
    """Return the reason for the first series (by name) that contains NaN or infinity, or None."""
    reasons = (_bad(name, ~np.isfinite(values)) for name, values in series.items())
    return next(filter(None, reasons), None)


def _bad(name: str, bad: NDArray[np.bool_]) -> str | None:
    """Return the reason for a series with unusable values where `bad` is True, or None."""
    return f"{name} is {NOT_FINITE} for {int(bad.sum())} of {bad.size} draws" if bad.any() else None
