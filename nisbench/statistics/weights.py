"""Estimates from importance weights ln w = -beta E - ln q: ln Z, effective sample sizes, observables, NMCMC.

q side: from independent draws of q, Z = E_q[w] and ess_fraction = E_q[w]^2 / E_q[w^2].
p side: from reference configurations of p, 1/Z = E_p[1/w] and ess_fraction_p = Z / E_p[w].

Both sides estimate the same numbers. If q misses a mode of p, the draws of q do not show it, and only the p side is
right. Errors of the q side are of first order in the fluctuations of the weights. Below ess_fraction 0.1 the draws
rarely reach the large weights that dominate E_q[w^2]; ess_fraction and its error are then too optimistic.
NMCMC is independence Metropolis with proposals from q.
Source of the q side and of NMCMC: K. A. Nicoli et al., Phys. Rev. E 101, 023304 (2020).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from nisbench.contract.records import Estimate
from nisbench.physics.observables import gradients, moments, observables
from nisbench.statistics.estimate import NO_SPREAD, blocked_error, with_errors

__all__ = [
    "ESS_FLOOR",
    "Nmcmc",
    "entropy",
    "ess_fraction",
    "ess_fraction_p",
    "kl_forward",
    "log_z",
    "log_z_p",
    "nmcmc",
    "rounding",
    "self_normalised",
]

ESS_FLOOR = 10
"""Smallest number of effective draws. Below it, ess_fraction is a property of n and not of q: it is at least 1/n."""

ONE_WEIGHT = "one weight outweighs all others together by more than rounding, so the error is unknown"

_FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Nmcmc:
    """Independence Metropolis chain whose proposals are the n draws of q, in their order."""

    state_index: NDArray[np.int64]
    """(n,) number of the draw that is the state of the chain"""
    accepted: NDArray[np.bool_]
    """(n - 1,) True where the proposal was accepted"""
    longest_rejection_run: int
    """largest number of rejected proposals in a row"""

    @property
    def acceptance_rate(self) -> float | None:
        """Fraction of the n - 1 proposals that were accepted; None for n = 1."""
        return float(self.accepted.mean()) if self.accepted.size else None


def rounding(n_sites: int) -> float:
    """Return the rounding error of ln q from float32 networks, in nats: 2^-24 sqrt(N).

    ln q is a sum of N terms with independent rounding errors of about 2^-24 each. The error matters only if q is
    nearly perfect: the statistical error of ln Z can then be smaller than the rounding.
    """
    return 2.0**-24 * math.sqrt(n_sites)


def log_z(log_weight: _FloatArray, n_sites: int) -> Estimate:
    """Estimate ln Z = logsumexp(ln w) - ln n of the whole lattice from the q side.

    error^2 = (mean w^2 / (mean w)^2 - 1)/n + rounding^2. The leading bias of ln Z, -error^2/2, is much smaller.

    Parameters
    ----------
    log_weight
        (n,) ln w of independent draws of q. The error is None for n = 1.
    n_sites
        Number of spins, for the rounding error of ln q.
    """
    n = len(log_weight)
    value = float(logsumexp(log_weight)) - math.log(n)
    if n < 2:
        return Estimate(value, None, n, reason="one draw has no error")
    relative = np.exp(log_weight - value)  # (n,) w / mean(w)
    return Estimate(value, math.hypot(float(relative.std()) / math.sqrt(n), rounding(n_sites)), n)


def ess_fraction(log_weight: _FloatArray) -> Estimate:
    """Estimate ess_fraction = (sum w)^2 / (n sum w^2) from the q side, with the error of the delete-one jackknife.

    Parameters
    ----------
    log_weight
        (n,) ln w of independent draws of q.

    Returns
    -------
    Estimate
        Between 1/n and 1, with a reason below 10/n. No error if all weights are equal or one dominates all others.
    """
    n = len(log_weight)
    w = np.exp(log_weight - log_weight.max())  # (n,) the largest is 1; the scale of the weights cancels
    value = float(w.sum()) ** 2 / (n * float(w @ w))
    value = min(max(value, 1 / n), 1.0)  # rounding may leave the interval
    doubt = f"below {ESS_FLOOR}/n: a floor, not a result" if value * n < ESS_FLOOR else None
    without, squares = _without_each(w), _without_each(w * w)
    if n < 2 or not squares.min() > 0:
        return Estimate(value, None, n, reason=doubt or ONE_WEIGHT)
    leaves = without**2 / ((n - 1) * squares)  # (n,) ess_fraction without draw i
    error = _jackknife(leaves)
    return Estimate(value, error, n, reason=doubt or (None if error else "every weight is the same"))


def self_normalised(
    log_weight: _FloatArray,
    energy: _FloatArray,
    magnetisation: _FloatArray,
    *,
    beta: float,
    n_sites: int,
    exact: Mapping[str, float],
) -> dict[str, Estimate]:
    """Estimate every observable of `physics.observables` per site as sum w O / sum w, with jackknife errors.

    Parameters
    ----------
    log_weight, energy, magnetisation
        (n,) ln w, total energy and total magnetisation of independent draws.
    exact
        Exact values per site by quantity name; missing names are allowed.
    """
    p, n = _normalised(log_weight), len(log_weight)
    x = moments(energy, magnetisation, n_sites)  # (5, n)
    means = x @ p  # (5, n) @ (n,) -> (5,)
    values = observables(means, beta=beta, n_sites=n_sites)
    slopes = gradients(means, beta=beta, n_sites=n_sites)
    rest = _without_each(p)
    # each observable is linearised about the means: (5,) @ (5, n) -> (n,) deviations of that observable
    errors = {name: _ratio_error(p, rest, row @ (x - means[:, None])) for name, row in slopes.items() if row.any()}
    return with_errors(values, errors, n, exact)


def entropy(log_weight: _FloatArray, energy: _FloatArray, *, beta: float, n_sites: int) -> Estimate:
    """Estimate the entropy per site S/N = (beta ⟨E⟩ + ln Z)/N from the q side.

    `log_weight` and `energy` are (n,) ln w and total energies of independent draws; for n = 1 the error is None. ⟨E⟩
    and ln Z come from the same draws, so their errors are propagated together.
    """
    n, p = len(log_weight), _normalised(log_weight)
    mean = float(p @ energy)
    value = (beta * mean + float(logsumexp(log_weight)) - math.log(n)) / n_sites
    if n < 2:
        return Estimate(value, None, n, reason="one draw has no error")
    # first order in the weights: the derivative of beta ⟨E⟩ + ln Z by ln w_i is p_i (beta (E_i - ⟨E⟩) + 1)
    spread = float(np.std(n * p * (beta * (energy - mean) + 1))) / math.sqrt(n)
    return Estimate(value, math.hypot(spread, rounding(n_sites)) / n_sites, n)


def log_z_p(log_weight: _FloatArray, chain: NDArray[np.int64], n_sites: int) -> Estimate:
    """Estimate ln Z = -ln mean_p(1/w) of the whole lattice from the p side.

    Parameters
    ----------
    log_weight
        (m,) ln w of configurations of p. ln w = inf (q = 0) is allowed and adds nothing to the mean.
    chain
        (m,) number of the chain of each configuration, for the blocks of the error.

    Returns
    -------
    Estimate
        Missing if q = 0 for every configuration.
    """
    m = len(log_weight)
    log_mean = float(logsumexp(-log_weight)) - math.log(m)
    if math.isinf(log_mean):
        return Estimate.missing("ln q is -inf for every reference configuration")
    error = blocked_error(np.exp(-log_weight - log_mean), chain)
    return _with_rounding(-log_mean, error, m, n_sites)


def ess_fraction_p(log_weight: _FloatArray, chain: NDArray[np.int64], exact_log_z: float | None) -> Estimate:
    """Estimate ess_fraction_p = 1 / mean_p(w/Z), or 1 / (mean_p(w) mean_p(1/w)) without an exact Z.

    Parameters
    ----------
    log_weight
        (m,) ln w of configurations of p.
    chain
        (m,) number of the chain of each configuration, for the blocks of the error.
    exact_log_z
        Exact ln Z of the whole lattice, or None.

    Returns
    -------
    Estimate
        May exceed 1 within its error. 0 if q = 0 for a configuration of p.
    """
    m = len(log_weight)
    if np.isposinf(log_weight).any():
        return Estimate(0.0, None, m, reason=_zero_density(log_weight))
    log_mean = float(logsumexp(log_weight)) - math.log(m)
    deviations = np.exp(log_weight - log_mean)  # (m,) w / mean_p(w); the error of ln ess_p is that of their mean
    log_ess = -log_mean
    if exact_log_z is None:
        log_inverse = float(logsumexp(-log_weight)) - math.log(m)
        deviations = deviations + np.exp(-log_weight - log_inverse)
        log_ess -= log_inverse
    else:
        log_ess += exact_log_z
    value, relative = math.exp(min(log_ess, 700.0)), blocked_error(deviations, chain)  # exp(710) overflows
    doubt = f"below {ESS_FLOOR}/n: a floor, not a result" if value * m < ESS_FLOOR else None
    return Estimate(value, value * relative if relative else None, m, reason=doubt or (None if relative else NO_SPREAD))


def kl_forward(log_weight: _FloatArray, chain: NDArray[np.int64], exact_log_z: float, n_sites: int) -> Estimate:
    """Estimate KL(p||q) = mean_p(ln w) - ln Z in nats; inf if q = 0 for a configuration of p.

    `log_weight` (m,) and `chain` (m,) are as in `ess_fraction_p`; `exact_log_z` is that of the whole lattice.
    """
    m = len(log_weight)
    if np.isposinf(log_weight).any():
        return Estimate(math.inf, None, m, reason=_zero_density(log_weight))
    value = float(log_weight.mean()) - exact_log_z
    return _with_rounding(value, blocked_error(log_weight, chain), m, n_sites)


def nmcmc(log_weight: _FloatArray, generator: np.random.Generator) -> Nmcmc:
    """Run independence Metropolis over the n draws in their order; accept a proposal with min(1, w'/w).

    `log_weight` (n,) may contain -inf (w = 0). The chain starts at the first draw.
    """
    weights: list[float] = log_weight.tolist()  # Python numbers: the loop is several times as fast as over an array
    # 1 - random() is in (0, 1], so its logarithm is finite
    thresholds: list[float] = np.log1p(-generator.random(len(weights))).tolist()
    here, current, run, longest = 0, weights[0], 0, 0
    states = [0] * len(weights)
    for i in range(1, len(weights)):
        # ">=" comes first: after a state with w = 0, the difference -inf - (-inf) would be NaN
        if weights[i] >= current or thresholds[i] < weights[i] - current:
            here, current, run = i, weights[i], 0
        else:
            run += 1
            longest = max(longest, run)
        states[i] = here
    index = np.array(states, dtype=np.int64)
    return Nmcmc(index, np.diff(index) > 0, longest)


def _normalised(log_weight: _FloatArray) -> _FloatArray:
    """Return the weights divided by their sum, (n,)."""
    p: _FloatArray = np.exp(log_weight - logsumexp(log_weight))
    p /= p.sum()  # the rounding error of logsumexp would remain in the sum
    return p


def _without_each(values: _FloatArray) -> _FloatArray:
    """Return for each value the sum of all other values, (n,)."""
    rest: _FloatArray = values.sum() - values
    # for the largest value the subtraction may cancel all digits, so its sum is made directly
    top = int(np.argmax(values))
    rest[top] = values[:top].sum() + values[top + 1 :].sum()
    return rest


def _ratio_error(p: _FloatArray, rest: _FloatArray, deviations: _FloatArray) -> tuple[float | None, str | None]:
    """Return the jackknife error of sum_i p_i x_i, or None and the reason.

    `deviations` (n,) are x_i minus their mean, `rest` (n,) is 1 - p_i. Draw i contributes -p_i x_i / (1 - p_i).
    """
    if np.ptp(deviations) == 0:
        return None, NO_SPREAD
    # 1 - p_i below 1e-12 has lost most of its digits
    if not rest.min() > 1e-12:
        return None, ONE_WEIGHT
    return _jackknife(p * deviations / rest), None


def _jackknife(leaves: _FloatArray) -> float | None:
    """Return the jackknife error from the n leave-one-out values; None if they are all equal."""
    return math.sqrt((len(leaves) - 1) * float(leaves.var())) or None


def _with_rounding(value: float, error: float | None, m: int, n_sites: int) -> Estimate:
    """Return a value from m configurations with its error and the rounding of ln q added in quadrature."""
    if error is None:
        return Estimate(value, None, m, reason="too few or too similar reference configurations for an error")
    return Estimate(value, math.hypot(error, rounding(n_sites)), m)


def _zero_density(log_weight: _FloatArray) -> str:
    """Return the reason given if q = 0 for some reference configurations."""
    return f"ln q is -inf for {int(np.isposinf(log_weight).sum())} of {len(log_weight)} reference configurations"
