"""Goodness of fit of pooled draws against the stated ln q at L = 4, with all 2^16 states.

Power. Draws are pooled until a beta that is 1 % off in a part of q with four sites, such as the last level of a
hierarchy, is expected at 8 standard errors; the limit is 5. If all of q is drawn at this beta, the mean of ln q shows
it earlier. The finding states the standard errors that were reached: 8 for the built-in densities, fewer if nearly no
spin depends on the others. A correct density fails with probability 1e-5.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import chi2

from nisbench.conformance.subject import SMALL, Subject, Violation, codes, generator
from nisbench.contract.interfaces import Density
from nisbench.statistics.beyond import beyond

__all__ = ["pooled_fit"]

MOST_DRAWS = 2**21
"""Draws, at most; `van` with random parameters, whose spins depend least on each other, needs half of them."""
_FAULT, _EXPECTED = 0.01, 8.0
_BATCH = 2**14
_LARGEST_Z, _SMALLEST_P = 5.0, 1e-6
_ROUNDING = 1e-9
"""Spread of ln q, in nats, below which q is uniform and the spread is that of rounding."""

_FloatArray = NDArray[np.float64]


def pooled_fit(subject: Subject) -> str:
    """Pooled draws fit ln q at L = 4: its mean, and each spin given all others."""
    # Parameters that make the spins depend on each other show a fault with fewer draws.
    states = [subject.density(parameters=parameters, dtype=torch.float32) for parameters in subject.parameters]
    measured = [_measured(density, subject.log_prob(density).numpy()) for density in states]
    one = max(measured, key=lambda each: float(each.information.sum()))
    # four sites of average information; a shift of beta by 1 % moves their sum by 0.01 times the information
    part = _FAULT * math.sqrt(4 * one.information.mean())
    whole = _FAULT * one.spread
    n = min(MOST_DRAWS, math.ceil((_EXPECTED / part) ** 2)) if part > 0 else _BATCH
    counts = _counts(one.density, n, subject.beta)
    n = int(counts.sum())
    smallest = _judge(counts, one)
    power = f"expected for 1 % in beta: {part * math.sqrt(n):.1f} standard errors in a part with four sites"
    fit = f"smallest p-value {smallest:.2g} (limit {_SMALLEST_P:g})"
    return f"{n} draws, {fit}; {power}, {whole * math.sqrt(n):.0f} in all of q."


@dataclass(frozen=True)
class _Measured:
    """A density and what follows from its ln q; the symbols are those of `statistics.flips`."""

    density: Density
    log_q: _FloatArray
    """(2^16,)"""
    q: _FloatArray
    """(2^16,) divided by its sum"""
    excess: _FloatArray
    """|d| (p - b) of each state and site, (2^16, 16)"""
    information: _FloatArray
    """mean of d^2 p (1 - p) of each site, (16,)"""

    @property
    def mean(self) -> float:
        """Mean of ln q."""
        return float(self.q @ self.log_q)

    @property
    def spread(self) -> float:
        """Standard deviation of ln q."""
        return math.sqrt(float(self.q @ (self.log_q - self.mean) ** 2))


def _measured(density: Density, log_q: _FloatArray) -> _Measured:
    states = np.arange(len(log_q))
    d = np.stack([log_q[states ^ (1 << site)] - log_q for site in range(SMALL**2)], axis=1)
    size = np.abs(d)
    p = expit(-size)
    q: _FloatArray = np.exp(log_q) / np.exp(log_q).sum()
    return _Measured(density, log_q, q, size * (p - (d > 0)), q @ (d**2 * p * (1 - p)))


def _counts(density: Density, n: int, beta: float) -> NDArray[np.int64]:
    """Return how often each state is drawn, (2^16,), in at least n draws."""
    source, counts = generator(18), np.zeros(2 ** (SMALL**2), dtype=np.int64)
    while counts.sum() < n:
        with torch.no_grad():
            drawn = codes(density.sample(_BATCH, beta=beta, generator=source).spins)
        counts += np.bincount(drawn, minlength=len(counts))
    return counts


def _judge(counts: NDArray[np.int64], one: _Measured) -> float:
    """Compare the counts with q and return the smallest p-value; raises Violation."""
    n, excess = int(counts.sum()), one.excess
    if one.spread > _ROUNDING:
        z = (float(counts @ one.log_q) / n - one.mean) / (one.spread / math.sqrt(n))
        if abs(z) > _LARGEST_Z:
            raise Violation(f"the mean of ln q over {n} draws is {_score(z)} from that of q; limit {_LARGEST_Z:g}")
    covariance = (excess * one.q[:, None]).T @ excess  # (16, 16), known exactly because the mean is 0
    found = counts @ excess / n  # (16,)
    for name, sites in _groups().items():
        error = math.sqrt(float(sites @ covariance @ sites) / n)
        if error and abs(found @ sites) > _LARGEST_Z * error:
            exponent = 1 + float(found @ sites) / float(sites @ covariance.diagonal())
            found_at = f"{name} are drawn from q^{exponent:.3f}, {_score(float(found @ sites) / error)} from q"
            raise Violation(f"the spins of {found_at}, in {n} draws; limit {_LARGEST_Z:g}")
    score = float(n * found @ np.linalg.pinv(covariance, hermitian=True) @ found)
    p = float(chi2.sf(score, SMALL**2))
    if not p > _SMALLEST_P:
        raise Violation(
            f"p = {beyond(p, _SMALLEST_P)} for the spins given all others, {n} draws; limit {_SMALLEST_P:g}"
        )
    return p


def _score(z: float) -> str:
    """Return the text of a deviation that exceeds the limit."""
    return f"{beyond(z, math.copysign(_LARGEST_Z, z), '+.1f')} standard errors"


def _groups() -> dict[str, _FloatArray]:
    """Return the groups of sites that methods draw together, (16,) of 0 and 1: all, and rows and columns by parity."""
    row, column = np.divmod(np.arange(SMALL**2), SMALL)
    groups = {"all sites": np.ones(SMALL**2)}
    for a in (0, 1):
        for b in (0, 1):
            groups[f"the sites of row parity {a} and column parity {b}"] = 1.0 * ((row % 2 == a) & (column % 2 == b))
    return groups
