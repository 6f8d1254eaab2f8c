"""The contract of a weighted sampler: independent configurations whose weights turn averages into those of p.

Power. `normalisation` uses 20 000 draws. With an effective sample size of half of them, an error of 5 % in Z is
expected at 5 standard errors.
"""

import itertools
import math

import numpy as np
import torch
from numpy.typing import NDArray

from nisbench.conformance import samplers
from nisbench.conformance.independence import independent
from nisbench.conformance.samplers import builds, check_means, different_seed, no_global_state, same_seed
from nisbench.conformance.shared import costs
from nisbench.conformance.subject import Check, Subject, Violation, generator
from nisbench.contract.checks import check_weighted_draws
from nisbench.contract.interfaces import WeightedSampler

__all__ = ["WEIGHTED_CHECKS"]


def draw_shapes(subject: Subject) -> None:
    """`draw` returns WeightedDraws with spins (n, L, L) int8 of -1 and +1 and log_weight (n,) float64."""
    for extent, n in itertools.product(subject.extents, (1, 7)):
        if subject.unsupported(extent) is None:
            _check_draws(subject, n, extent)


def exact_means(subject: Subject) -> str:
    """At L = 4 the weighted means of the energy and of |magnetisation| are the exact ones within 5 standard errors."""
    return _check_means(_prepared(subject, seed=8), subject, subject.beta)


def prepare_beta(subject: Subject) -> str:
    """A second `prepare` sets its own beta: the weighted means are then the exact ones of this beta."""
    sampler = _prepared(subject, seed=9)
    sampler.draw(10, generator=generator(9))
    sampler.prepare(beta=subject.other_beta, generator=generator(10))
    return _check_means(sampler, subject, subject.other_beta)


def normalisation(subject: Subject) -> str:
    """If `normalised` is True, the mean weight at L = 4 is the exact Z within 5 standard errors."""
    draws = _prepared(subject, seed=14).draw(20_000, generator=generator(14))
    if not draws.normalised:
        return "The weights are not normalised."
    ratio = (draws.log_weight - subject.log_z(subject.beta)).exp().numpy()  # w / Z, whose mean is 1
    error = float(ratio.std(ddof=1)) / math.sqrt(len(ratio))
    # 1e-10: all weights of an exact sampler are Z, and the error is that of rounding.
    if not abs(ratio.mean() - 1) <= 5 * error + 1e-10:
        raise Violation(f"the mean of w / Z is {ratio.mean():.5f} +- {error:.5f}; limit 5 errors")
    return f"The mean of w / Z is {ratio.mean():.5f} +- {error:.5f} (limit 5 errors)."


def unsupported_sizes(subject: Subject) -> str:
    """At L = 3, 5, 6 and 12 `unsupported` gives None or the reason; if it gives None, the sampler works."""
    return samplers.unsupported_sizes(subject, lambda n, extent: _check_draws(subject, n, extent))


WEIGHTED_CHECKS: tuple[Check, ...] = (
    builds,
    draw_shapes,
    same_seed,
    different_seed,
    exact_means,
    prepare_beta,
    normalisation,
    independent,
    no_global_state,
    unsupported_sizes,
    costs,
)


def _prepared(subject: Subject, *, seed: int) -> WeightedSampler:
    sampler: WeightedSampler = subject.prepared(seed=seed)
    return sampler


def _check_draws(subject: Subject, n: int, extent: int) -> None:
    sampler: WeightedSampler = subject.prepared(extent)
    check_weighted_draws(sampler.draw(n, generator=generator(12)), n, extent, values=True)


def _check_means(sampler: WeightedSampler, subject: Subject, beta: float) -> str:
    def measure(n: int, source: torch.Generator) -> NDArray[np.float64]:
        draws = sampler.draw(n, generator=source)
        energy, magnetisation = subject.target().energy(draws.spins), draws.spins.sum((-2, -1), dtype=torch.float64)
        weight = (draws.log_weight - subject.log_z(beta)).exp()
        return torch.stack([weight, energy, magnetisation])[..., None].numpy()  # (3, n) -> (3, n, 1)

    return check_means(subject, beta, measure)
