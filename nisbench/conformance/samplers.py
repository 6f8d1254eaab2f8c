"""The contract that chain samplers and weighted samplers share: draws of p at the beta of the last `prepare`.

Power. The checks of means draw until the effective sample size reaches 52 000. At L = 4 and beta = 0.44 a sampler that
runs at a beta off by 1 % is then expected to miss the energy by 8 standard errors; the bound is 5.
"""

import itertools
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from nisbench.conformance.isolation import changed_by
from nisbench.conformance.subject import Subject, Violation, generator
from nisbench.contract.interfaces import ChainSampler, WeightedSampler
from nisbench.statistics.autocorrelation import gamma_method

__all__ = ["builds", "check_means", "continuing", "different_seed", "no_global_state", "same_seed", "unsupported_sizes"]

LEAST_ESS = 52_000
MOST_DRAWS = 2**21

_Measure = Callable[[int, torch.Generator], NDArray[np.float64]]
"""n, generator -> (3, n, n_chains): weight, energy and magnetisation of n new draws."""


def builds(subject: Subject) -> None:
    """Builds and prepares at beta = 0, 0.44 and 1 with its default options, at L = 4 and, unless it refuses, L = 8."""
    for extent, beta in itertools.product(subject.extents, (0.0, subject.beta, 1.0)):
        if subject.unsupported(extent) is None:
            subject.fitted(extent).prepare(beta=beta, generator=generator(1))


def continuing(subject: Subject) -> None:
    """Successive calls continue: draw(3) then draw(4) is draw(7)."""
    split, whole = _prepared(subject, seed=2), _prepared(subject, seed=2)
    a, b = generator(2), generator(2)
    parts = torch.cat([split.draw(n, generator=a).spins for n in (3, 4)])
    if not torch.equal(parts, whole.draw(7, generator=b).spins):
        raise Violation("draw(3) and draw(4) together differ from draw(7)")


def same_seed(subject: Subject) -> None:
    """The same seed prepares and draws the same configurations, in the same instance and in another."""
    sampler = _prepared(subject, seed=4)
    first = sampler.draw(10, generator=generator(5)).spins
    sampler.prepare(beta=subject.beta, generator=generator(4))
    for other in (sampler, _prepared(subject, seed=4)):
        if not torch.equal(other.draw(10, generator=generator(5)).spins, first):
            raise Violation("two runs with one seed drew different configurations")


def different_seed(subject: Subject) -> None:
    """Another seed draws other configurations, and so does the next call."""
    sampler, source = _prepared(subject, seed=6), generator(6)
    draws = [sampler.draw(30, generator=source).spins for _ in range(2)]
    draws.append(_prepared(subject, seed=7).draw(30, generator=generator(7)).spins)
    for i, j in itertools.combinations(range(3), 2):
        if torch.equal(draws[i], draws[j]):
            raise Violation("30 draws came twice")


def no_global_state(subject: Subject) -> None:
    """Preparing and drawing leave the global random generators, default dtype and threads as they were."""
    if changed := changed_by(lambda: _prepared(subject).draw(5, generator=generator(11))):
        raise Violation(f"changed: {', '.join(changed)}")


def unsupported_sizes(subject: Subject, check: Callable[[int, int], None]) -> str:
    """At L = 3, 5, 6 and 12 `unsupported` gives None or the reason; if it gives None, check(2, L) must pass."""
    refused = []
    for extent in (3, 5, 6, 12):
        if subject.unsupported(extent) is None:
            check(2, extent)
        else:
            refused.append(extent)
    return f"Refused: {refused}."


def check_means(subject: Subject, beta: float, measure: _Measure) -> str:
    """Draws until LEAST_ESS is reached for energy and |magnetisation|, then compares both means with exact values."""
    expected = subject.exact(beta)
    source, parts, n, ess = generator(13), list[NDArray[np.float64]](), 1000, 0.0
    while ess < LEAST_ESS:
        if sum(part[0].size for part in parts) > MOST_DRAWS:
            raise Violation(f"an effective sample size of {ess:.0f} after {MOST_DRAWS} draws; {LEAST_ESS} are needed")
        parts.append(measure(n, source))
        weight, energy, magnetisation = values = np.concatenate(parts, axis=1)
        estimates = [_mean(values_, weight) for values_ in (energy, np.abs(magnetisation))]
        if any(np.isinf(error) for _, error, _ in estimates):
            raise Violation(f"a chain does not move in {values.shape[1]} draws")
        ess = min(effective for _, _, effective in estimates)
        n = values.shape[1]  # doubles the number of draws
    found = []
    for (name, exact), (mean, error, effective) in zip(expected.items(), estimates, strict=True):
        text = f"{name} {mean:.5f} +- {error:.5f} with ESS {effective:.0f}; the exact value is {exact:.5f}"
        if not abs(mean - exact) < 5 * error:
            raise Violation(f"{text}, at beta = {beta}")
        found.append(f"{name} z = {(mean - exact) / error:+.1f}")
    return f"{', '.join(found)} (limit 5); ESS {ess:.0f}, {LEAST_ESS} are needed."


def _prepared(subject: Subject, *, seed: int = 1) -> ChainSampler | WeightedSampler:
    sampler: ChainSampler | WeightedSampler = subject.prepared(seed=seed)
    return sampler


def _mean(values: NDArray[np.float64], weight: NDArray[np.float64]) -> tuple[float, float, float]:
    """Weighted mean, its standard error with autocorrelation, and the effective sample size."""
    mean = float((weight * values).sum() / weight.sum())
    influence = weight * (values - mean) / weight.mean()
    tau = gamma_method(influence).tau_int
    error = float(np.sqrt(2 * tau * influence.var() / values.size))
    spread = float((weight * (values - mean) ** 2).sum() / weight.sum())
    return mean, error, spread / error**2 if error else 0.0
