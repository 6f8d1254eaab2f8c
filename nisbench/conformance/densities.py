"""Checks of a density, which a model must also pass: q is exactly normalised, and `sample` draws from q.

Power. `frequencies` draws 20 000 configurations. A total-variation distance of 5 % in any of its binned distributions
fails with probability > 0.999, a correct density with probability < 1e-4.
"""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import chi2

from nisbench.conformance.fit import pooled_fit
from nisbench.conformance.independence import independent
from nisbench.conformance.isolation import changed_by
from nisbench.conformance.shared import costs, limited, over
from nisbench.conformance.subject import (
    SMALL,
    Check,
    Parameters,
    Subject,
    Violation,
    codes,
    generator,
    largest,
)
from nisbench.contract.checks import check_density_draws
from nisbench.contract.interfaces import Model
from nisbench.statistics.beyond import beyond

__all__ = [
    "CPU",
    "DENSITY_CHECKS",
    "different_seed",
    "explicit_beta",
    "frequencies",
    "no_global_state",
    "normalised",
    "odd_batches",
    "same_seed",
    "sample_log_prob",
    "sample_shapes",
    "unsupported_sizes",
]

CPU = torch.device("cpu")


def builds(subject: Subject) -> None:
    """Builds and prepares at beta = 0, 0.44 and 1 with default options, at L = 4 and, if it supports it, at L = 8."""
    for extent, beta in itertools.product(subject.extents, (0.0, subject.beta, 1.0)):
        if subject.unsupported(extent) is None:
            subject.density(extent, beta=beta)


def sample_shapes(subject: Subject) -> None:
    """`sample` returns spins (n, L, L) int8 of -1 and +1 and log_prob (n,) float64, on the generator's device."""
    for device, extent in itertools.product(_devices(subject), subject.extents):
        if subject.unsupported(extent) is None:
            density = subject.density(extent, dtype=torch.float32)
            if isinstance(density, Model):
                density = density.to(device)
            draws = density.sample(20, beta=subject.beta, generator=torch.Generator(device).manual_seed(1))
            check_density_draws(draws, 20, extent, device=torch.device(device), values=True)


def sample_log_prob(subject: Subject) -> str:
    """The log_prob that `sample` returns is log_prob(spins): to 1e-10 in float64, to rounding in float32."""
    worst = []
    for dtype in subject.dtypes:
        tolerance = subject.tolerance(1e-10, dtype)
        differences = []
        for parameters in subject.parameters:
            density = subject.density(parameters=parameters, dtype=dtype)
            draws = density.sample(200, beta=subject.beta, generator=generator(2))
            with torch.no_grad():
                difference = largest(draws.log_prob - density.log_prob(draws.spins, beta=subject.beta))
            if not difference <= tolerance:
                at = f"with {parameters} {dtype} parameters"
                raise Violation(f"a difference of {beyond(difference, tolerance, '.3g')} {at}; limit {tolerance:.3g}")
            differences.append(difference)
        worst.append(f"{max(differences):.1g} in {str(dtype).removeprefix('torch.')} (limit {tolerance:.3g})")
    return f"Largest difference {', '.join(worst)}."


def normalised(subject: Subject) -> str:
    """q sums to 1 within 1e-10 over all 2^16 states, whatever the parameters, at any beta."""
    worst, limit = 0.0, subject.tolerance(1e-10)
    states: tuple[Parameters, ...] = tuple(dict.fromkeys(("initial", *subject.parameters)))
    for parameters, beta in itertools.product(states, (subject.beta, subject.other_beta)):
        density = subject.density(beta=beta, parameters=parameters)
        total = float(subject.log_prob(density, beta).exp().sum())
        if not abs(total - 1) <= limit:
            at = f"with {parameters} parameters at beta = {beta}"
            excess = beyond(total - 1, math.copysign(limit, total - 1), "+.3g")
            raise Violation(f"the sum is 1 {excess} {at}; limit {limit:.3g}")
        worst = max(worst, abs(total - 1))
    return f"Largest deviation {worst:.1g}, limit {limit:.3g}."


def frequencies(subject: Subject) -> str:
    """Configurations come with the frequencies exp(log_prob): chi-square over ranks, rows and columns."""
    lowest, n = 1.0, 20_000
    for parameters in subject.parameters:
        density = subject.density(parameters=parameters)
        probability = torch.softmax(subject.log_prob(density), 0).numpy()
        drawn = codes(density.sample(n, beta=subject.beta, generator=generator(3)).spins)
        for what, labels in _partitions(probability):
            expected = n * np.bincount(labels, weights=probability).astype(np.float64)
            observed = np.bincount(labels[drawn], minlength=len(expected))
            p = _chi_square(observed, expected)
            if not p > 1e-6:
                text = f"p = {beyond(p, 1e-6)} over the {what}"
                raise Violation(f"{text} with {parameters} parameters, {n} draws; limit 1e-06")
            lowest = min(lowest, p)
    return f"Smallest p-value {lowest:.2g}, limit 1e-06."


def same_seed(subject: Subject) -> None:
    """The same seed draws the same configurations, in the same instance and in another."""
    densities = [density := subject.density(), density, subject.density()]
    first, *others = [d.sample(30, beta=subject.beta, generator=generator(4)).spins for d in densities]
    if not all(torch.equal(spins, first) for spins in others):
        raise Violation("two calls of sample with one seed drew different configurations")


def different_seed(subject: Subject) -> None:
    """Another seed, and another call with the same generator, draws other configurations."""
    density, source = subject.density(parameters="initial"), generator(5)
    draws = [density.sample(30, beta=subject.beta, generator=g).spins for g in (source, source, generator(6))]
    for i, j in itertools.combinations(range(3), 2):
        if torch.equal(draws[i], draws[j]):
            raise Violation("30 configurations were drawn twice")


def explicit_beta(subject: Subject) -> str:
    """Each call uses its own beta: after calls at another beta, ln q is that of a new instance."""
    worst, limit = 0.0, subject.tolerance(1e-6)
    new = {beta: subject.density(beta=beta) for beta in (subject.beta, subject.other_beta)}
    used = subject.density(beta=subject.other_beta)
    used.sample(50, beta=subject.other_beta, generator=generator(8))
    if isinstance(used, Model):
        used.training_batch(50, beta=subject.other_beta, generator=generator(8))
    for beta, fresh in new.items():
        used = subject.at(beta, used)
        draws = used.sample(50, beta=beta, generator=generator(9))
        with torch.no_grad():
            expected = fresh.log_prob(draws.spins, beta=beta)
            again = used.log_prob(draws.spins, beta=beta)
        difference = max(largest(draws.log_prob - expected), largest(again - expected))
        if not difference <= limit:
            raise Violation(
                f"after calls at another beta, ln q at beta = {beta} differs from that of a new instance: "
                f"{limited(difference, limit)}"
            )
        worst = max(worst, difference)
    return f"ln q: {limited(worst, limit)}."


def odd_batches(subject: Subject) -> str:
    """Batches of 1 and 7 work, and ln q of a configuration does not depend on its batch."""
    density, worst, limit = subject.density(), 0.0, subject.tolerance(1e-10)
    for n in (1, 7):
        draws = density.sample(n, beta=subject.beta, generator=generator(10))
        check_density_draws(draws, n, subject.extent, device=CPU, values=True)
        with torch.no_grad():
            together = density.log_prob(draws.spins, beta=subject.beta)
            alone = torch.cat([density.log_prob(spins[None], beta=subject.beta) for spins in draws.spins])
        difference = largest(together - alone)
        if not difference <= limit:
            raise Violation(f"ln q in a batch of {n} differs from ln q alone by {over(difference, limit)}")
        worst = max(worst, difference)
    return f"ln q: {limited(worst, limit)}."


def no_global_state(subject: Subject) -> None:
    """Drawing and evaluating leave the global random generators, default dtype and threads as they were."""

    def work() -> None:
        density = subject.density(dtype=torch.float32)
        draws = density.sample(10, beta=subject.beta, generator=generator(12))
        density.log_prob(draws.spins, beta=subject.beta)
        if isinstance(density, Model):
            density.training_batch(10, beta=subject.beta, generator=generator(12))

    if changed := changed_by(work):
        raise Violation(f"changed: {', '.join(changed)}")


def unsupported_sizes(subject: Subject) -> str:
    """At L = 3, 5, 6 and 12 `unsupported` gives None or the reason; if it gives None, the plugin works."""
    refused = []
    for extent in (3, 5, 6, 12):
        if subject.unsupported(extent) is not None:
            refused.append(extent)
            continue
        draws = subject.density(extent).sample(3, beta=subject.beta, generator=generator(13))
        check_density_draws(draws, 3, extent, device=CPU, values=True)
    return f"Refused: {refused}."


DENSITY_CHECKS: tuple[Check, ...] = (
    builds,
    sample_shapes,
    sample_log_prob,
    normalised,
    frequencies,
    pooled_fit,
    independent,
    same_seed,
    different_seed,
    explicit_beta,
    odd_batches,
    no_global_state,
    unsupported_sizes,
    costs,
)


def _devices(subject: Subject) -> tuple[str, ...]:
    """The devices of the registration that this machine has."""
    return tuple(d for d in subject.entry.devices if d == "cpu" or torch.cuda.is_available())


def _partitions(probability: NDArray[np.float64]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Ways to bin the 2^16 states: 32 ranks of equal probability, and the 16 patterns of each row and column."""
    order = np.argsort(-probability, kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.minimum(31, (32 * np.cumsum(probability[order])).astype(np.int64))
    yield "ranks of q", rank
    bits = (np.arange(len(probability))[:, None] >> np.arange(SMALL**2)) & 1
    lattice = bits.reshape(-1, SMALL, SMALL)
    for i in range(SMALL):
        yield f"patterns of row {i}", lattice[:, i, :] @ (1 << np.arange(SMALL))
        yield f"patterns of column {i}", lattice[:, :, i] @ (1 << np.arange(SMALL))


def _chi_square(observed: NDArray[Any], expected: NDArray[np.float64]) -> float:
    """p-value of the chi-square test; bins with fewer than 10 expected counts are merged into one."""
    rare = expected < 10
    seen = np.append(observed[~rare], observed[rare].sum())
    mean = np.append(expected[~rare], expected[rare].sum())
    seen, mean = (seen, mean) if mean[-1] >= 10 else (seen[:-1], mean[:-1])
    if len(mean) < 2:
        return 1.0
    return float(chi2.sf(((seen - mean) ** 2 / mean).sum(), len(mean) - 1))
