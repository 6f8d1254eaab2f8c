"""Importance weights ln w = -beta E - ln q: ln Z, effective sample sizes and observables from both sides, and NMCMC.

The q side (draws of q) estimates Z = E_q[w] and ess = E_q[w]^2/E_q[w^2]. The p side (configurations of p) knows the
same numbers as 1/Z = E_p[1/w] and ess = Z/E_p[w], and stays right where q misses a mode, which the q side cannot see.
Nicoli et al., Phys. Rev. E 101, 023304 (2020) for the q side and for NMCMC.

Errors of the q side are of first order in the weights. Below ess_fraction 0.1 the draws rarely reach the weights that
carry E_q[w^2]; both ess and its error are then optimistic, which is why the p side exists.
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
"""Below this many effective draws ess_fraction tells the number of draws, not the quality of q."""

ONE_WEIGHT = "one weight outweighs all others together beyond rounding"

_FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Nmcmc:
    """The independence Metropolis chain that takes the draws of q as proposals, one after the other."""

    state_index: NDArray[np.int64]
    """(n,) which draw the chain is at"""
    accepted: NDArray[np.bool_]
    """(n - 1,) whether each proposal was taken"""
    longest_rejection_run: int

    @property
    def acceptance_rate(self) -> float | None:
        """Fraction of the n - 1 proposals that were taken; None for n = 1."""
        return float(self.accepted.mean()) if self.accepted.size else None


def rounding(n_sites: int) -> float:
    """Nats by which float32 networks round ln q of a configuration: 2^-24 sqrt(N), errors of N conditionals at random.

    It matters for a nearly perfect q alone, where the weights agree to more digits than they have.
    """
    return 2.0**-24 * math.sqrt(n_sites)


def log_z(log_weight: _FloatArray, n_sites: int) -> Estimate:
    """The q side ln Z = logsumexp(ln w) - ln n, with error sqrt((mean w^2/mean(w)^2 - 1)/n) and rounding.

    The error is None for one draw. The leading bias, -error^2/2, is small against the error itself.
    """
    n = len(log_weight)
    value = float(logsumexp(log_weight)) - math.log(n)
    if n < 2:
        return Estimate(value, None, n, reason="one draw has no error")
    relative = np.exp(log_weight - value)  # w over its mean
    return Estimate(value, math.hypot(float(relative.std()) / math.sqrt(n), rounding(n_sites)), n)


def ess_fraction(log_weight: _FloatArray) -> Estimate:
    """The q side (sum w)^2/(n sum w^2), in [1/n, 1], with the error of the delete-one jackknife."""
    n = len(log_weight)
    w = np.exp(log_weight - log_weight.max())
    value = float(w.sum()) ** 2 / (n * float(w @ w))
    value = min(max(value, 1 / n), 1.0)
    doubt = f"below {ESS_FLOOR}/n: a floor, not a result" if value * n < ESS_FLOOR else None
    without, squares = _without_each(w), _without_each(w * w)
    if n < 2 or not squares.min() > 0:
        return Estimate(value, None, n, reason=doubt or ONE_WEIGHT)
    leaves = without**2 / ((n - 1) * squares)
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
    """Every observable of physics.observables as sum w O/sum w, with the error of the delete-one jackknife."""
    p, n = _normalised(log_weight), len(log_weight)
    x = moments(energy, magnetisation, n_sites)  # (5, n)
    means = x @ p
    values = observables(means, beta=beta, n_sites=n_sites)
    slopes = gradients(means, beta=beta, n_sites=n_sites)
    rest = _without_each(p)
    errors = {name: _ratio_error(p, rest, row @ (x - means[:, None])) for name, row in slopes.items() if row.any()}
    return with_errors(values, errors, n, exact)


def entropy(log_weight: _FloatArray, energy: _FloatArray, *, beta: float, n_sites: int) -> Estimate:
    """S/N = (beta <E> + ln Z)/N from the q side; both parts share their draws and so their error."""
    n, p = len(log_weight), _normalised(log_weight)
    mean = float(p @ energy)
    value = (beta * mean + float(logsumexp(log_weight)) - math.log(n)) / n_sites
    if n < 2:
        return Estimate(value, None, n, reason="one draw has no error")
    spread = float(np.std(n * p * (beta * (energy - mean) + 1))) / math.sqrt(n)
    return Estimate(value, math.hypot(spread, rounding(n_sites)) / n_sites, n)


def log_z_p(log_weight: _FloatArray, chain: NDArray[np.int64], n_sites: int) -> Estimate:
    """The p side ln Z = -ln mean_p(1/w); a configuration with q = 0 adds nothing to the mean."""
    m = len(log_weight)
    log_mean = float(logsumexp(-log_weight)) - math.log(m)
    if math.isinf(log_mean):
        return Estimate.missing("ln q is -inf for every reference configuration")
    error = blocked_error(np.exp(-log_weight - log_mean), chain)
    return _with_rounding(-log_mean, error, m, n_sites)


def ess_fraction_p(log_weight: _FloatArray, chain: NDArray[np.int64], exact_log_z: float | None) -> Estimate:
    """The p side 1/mean_p(w/Z); without an exact Z, 1/(mean_p w mean_p(1/w)). Values above 1 occur within error.

    It is 0 where q = 0 for a reference configuration.
    """
    m = len(log_weight)
    if np.isposinf(log_weight).any():
        return Estimate(0.0, None, m, reason=_zero_density(log_weight))
    log_mean = float(logsumexp(log_weight)) - math.log(m)
    deviations = np.exp(log_weight - log_mean)
    log_ess = -log_mean
    if exact_log_z is None:
        log_inverse = float(logsumexp(-log_weight)) - math.log(m)
        deviations = deviations + np.exp(-log_weight - log_inverse)
        log_ess -= log_inverse
    else:
        log_ess += exact_log_z
    value, relative = math.exp(min(log_ess, 700.0)), blocked_error(deviations, chain)
    doubt = f"below {ESS_FLOOR}/n: a floor, not a result" if value * m < ESS_FLOOR else None
    return Estimate(value, value * relative if relative else None, m, reason=doubt or (None if relative else NO_SPREAD))


def kl_forward(log_weight: _FloatArray, chain: NDArray[np.int64], exact_log_z: float, n_sites: int) -> Estimate:
    """KL(p||q) = mean_p(ln w) - ln Z in nats; inf where q = 0 for a reference configuration."""
    m = len(log_weight)
    if np.isposinf(log_weight).any():
        return Estimate(math.inf, None, m, reason=_zero_density(log_weight))
    value = float(log_weight.mean()) - exact_log_z
    return _with_rounding(value, blocked_error(log_weight, chain), m, n_sites)


def nmcmc(log_weight: _FloatArray, generator: np.random.Generator) -> Nmcmc:
    """Independence Metropolis over the draws in their order: accept with probability min(1, w'/w)."""
    weights: list[float] = log_weight.tolist()
    # a uniform in (0, 1] has a finite logarithm
    thresholds: list[float] = np.log1p(-generator.random(len(weights))).tolist()
    here, current, run, longest = 0, weights[0], 0, 0
    states = [0] * len(weights)
    for i in range(1, len(weights)):
        # an equal weight is always accepted; so is any after w = 0, whose difference would be NaN
        if weights[i] >= current or thresholds[i] < weights[i] - current:
            here, current, run = i, weights[i], 0
        else:
            run += 1
            longest = max(longest, run)
        states[i] = here
    index = np.array(states, dtype=np.int64)
    return Nmcmc(index, np.diff(index) > 0, longest)


def _normalised(log_weight: _FloatArray) -> _FloatArray:
    """(n,) weights that sum to one."""
    p: _FloatArray = np.exp(log_weight - logsumexp(log_weight))
    p /= p.sum()  # the exponential leaves a rounding error of ln n digits
    return p


def _without_each(values: _FloatArray) -> _FloatArray:
    """(n,) the sum of all the others, without cancellation for the largest."""
    rest: _FloatArray = values.sum() - values
    top = int(np.argmax(values))
    rest[top] = values[:top].sum() + values[top + 1 :].sum()
    return rest


def _ratio_error(p: _FloatArray, rest: _FloatArray, deviations: _FloatArray) -> tuple[float | None, str | None]:
    """Jackknife error of sum p x, x less its mean given: leaving out i moves it by -p_i x_i/(1 - p_i)."""
    if np.ptp(deviations) == 0:
        return None, NO_SPREAD
    if not rest.min() > 1e-12:
        return None, ONE_WEIGHT
    return _jackknife(p * deviations / rest), None


def _jackknife(leaves: _FloatArray) -> float | None:
    """Error from the n values that leave one draw out each; None for no spread."""
    return math.sqrt((len(leaves) - 1) * float(leaves.var())) or None


def _with_rounding(value: float, error: float | None, m: int, n_sites: int) -> Estimate:
    if error is None:
        return Estimate(value, None, m, reason="too few or too similar reference configurations for an error")
    return Estimate(value, math.hypot(error, rounding(n_sites)), m)


def _zero_density(log_weight: _FloatArray) -> str:
    return f"ln q is -inf for {int(np.isposinf(log_weight).sum())} of {len(log_weight)} reference configurations"
