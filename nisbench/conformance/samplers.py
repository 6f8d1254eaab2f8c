"""The contract of a sampler: configurations of p at the beta it was prepared for, continuing from call to call.

Power. `exact_means` and `prepare_beta` draw until the effective sample size reaches 13 000: at L = 4 and beta = 0.44
a sampler that runs at a beta off by 2 % is then expected to miss the energy by 8 standard errors; the bound is 5.
"""

import itertools

import numpy as np
import torch
from numpy.typing import NDArray

from nisbench.conformance.isolation import changed_by
from nisbench.conformance.subject import BETA, OTHER_BETA, SMALL, Check, Subject, Violation, generator
from nisbench.contract.interfaces import ChainDraws, ChainSeries, Sampler, WeightedDraws
from nisbench.harness.measure import check_draws
from nisbench.statistics.autocorrelation import gamma_method

__all__ = ["SAMPLER_CHECKS"]

LEAST_ESS = 13_000
MOST_DRAWS = 2**21


def builds(subject: Subject) -> None:
    """Builds and prepares at beta = 0, 0.44 and 1 with its default options, at L = 4 and, unless it refuses, L = 8."""
    for extent, beta in itertools.product((SMALL, 8), (0.0, BETA, 1.0)):
        if subject.unsupported(extent) is None:
            subject.sampler(extent).prepare(beta=beta, generator=generator(1))


def draw_shapes(subject: Subject) -> str:
    """`draw` returns ChainDraws (n, n_chains, L, L) or WeightedDraws (n, L, L): int8 of -1 and +1, weights float64."""
    for extent, n in itertools.product((SMALL, 8), (1, 7)):
        if subject.unsupported(extent) is None:
            draws = _prepared(subject, extent).draw(n, generator=generator(1))
            _check_draws(draws, n, extent)
    return type(draws).__name__


def continuing(subject: Subject) -> None:
    """Successive calls continue: draw(3) then draw(4) is draw(7)."""
    split, whole = _prepared(subject, seed=2), _prepared(subject, seed=2)
    a, b = generator(2), generator(2)
    parts = torch.cat([split.draw(n, generator=a).spins for n in (3, 4)])
    if not torch.equal(parts, whole.draw(7, generator=b).spins):
        raise Violation("draw(3) and draw(4) together differ from draw(7)")


def series(subject: Subject) -> str | None:
    """`draw_series` is what measuring `draw` gives, and then the chain stands where `draw` leaves it."""
    measured, drawn = _prepared(subject, seed=3), _prepared(subject, seed=3)
    if isinstance(measured.draw(1, generator=generator(3)), WeightedDraws):
        return "Its draws are weighted; there is no series."
    drawn.draw(1, generator=generator(3))
    a, b = generator(3), generator(3)
    for n in (50, 3):
        found, spins = measured.draw_series(n, generator=a), drawn.draw(n, generator=b).spins
        _check_series(found, spins, subject)
    return None


def same_seed(subject: Subject) -> None:
    """The same seed prepares and draws the same configurations, in the same instance and in another."""
    sampler = _prepared(subject, seed=4)
    first = sampler.draw(10, generator=generator(5)).spins
    sampler.prepare(beta=BETA, generator=generator(4))
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


def exact_means(subject: Subject) -> str:
    """At L = 4 the means of the energy and of |magnetisation| are the exact ones within 5 standard errors."""
    return _check_means(_prepared(subject, seed=8), subject, BETA)


def prepare_beta(subject: Subject) -> str:
    """`prepare` sets beta anew: a sampler that ran at another beta has the exact means of the one it is given next."""
    sampler = _prepared(subject, seed=9)
    sampler.draw(10, generator=generator(9))
    sampler.prepare(beta=OTHER_BETA, generator=generator(10))
    return _check_means(sampler, subject, OTHER_BETA)


def no_global_state(subject: Subject) -> None:
    """Preparing and drawing leave the global random generators, default dtype and threads alone."""
    if changed := changed_by(lambda: _prepared(subject).draw(5, generator=generator(11))):
        raise Violation(f"changed: {', '.join(changed)}")


def unsupported_sizes(subject: Subject) -> str:
    """At L = 3, 5, 6 and 12 `unsupported` gives None or the reason; where it gives None the sampler works."""
    refused = []
    for extent in (3, 5, 6, 12):
        if subject.unsupported(extent) is None:
            _check_draws(_prepared(subject, extent).draw(2, generator=generator(12)), 2, extent)
        else:
            refused.append(extent)
    return f"Refused: {refused}."


SAMPLER_CHECKS: tuple[Check, ...] = (
    builds,
    draw_shapes,
    continuing,
    series,
    same_seed,
    different_seed,
    exact_means,
    prepare_beta,
    no_global_state,
    unsupported_sizes,
)


def _prepared(subject: Subject, extent: int = SMALL, *, seed: int = 1) -> Sampler:
    sampler = subject.sampler(extent)
    sampler.prepare(beta=BETA, generator=generator(seed))
    return sampler


def _check_draws(draws: ChainDraws | WeightedDraws, n: int, extent: int) -> None:
    check_draws(draws, n, extent)
    if isinstance(draws, WeightedDraws) and not isinstance(draws.normalised, bool):
        raise Violation(f"normalised = {draws.normalised!r} is neither True nor False")
    if not (draws.spins.abs() == 1).all():
        raise Violation("spins other than -1 and +1")


def _check_series(found: ChainSeries, spins: torch.Tensor, subject: Subject) -> None:
    """Against the energies and magnetisations of (n, n_chains, L, L)."""
    expected = {
        "energy": subject.target().energy(spins).numpy(),
        "magnetisation": spins.sum((-2, -1), dtype=torch.float64).numpy(),
    }
    for name, values in expected.items():
        given = getattr(found, name)
        if given.shape != values.shape or given.dtype != np.float64 or not np.array_equal(given, values):
            raise Violation(f"{name} {given.shape} {given.dtype} is not that of the configurations")
    if found.cluster_size is not None:
        changed = (spins[1:] != spins[:-1]).sum((-2, -1)).numpy()
        given = found.cluster_size[1:]
        if given.shape != changed.shape or (given < changed).any() or ((given - changed) % 2).any():
            raise Violation("cluster_size is not the number of spins flipped between successive draws")


def _check_means(sampler: Sampler, subject: Subject, beta: float) -> str:
    """Draws until LEAST_ESS is reached for both quantities, then compares."""
    source, parts, n, ess = generator(13), list[NDArray[np.float64]](), 1000, 0.0
    while ess < LEAST_ESS:
        if sum(part[0].size for part in parts) > MOST_DRAWS:
            raise Violation(f"an effective sample size of {ess:.0f} after {MOST_DRAWS} draws; {LEAST_ESS} are needed")
        parts.append(_measure(sampler, subject, n, source))
        weight, energy, magnetisation = values = np.concatenate(parts, axis=1)
        estimates = [_mean(values_, weight) for values_ in (energy, np.abs(magnetisation))]
        if any(np.isinf(error) for _, error, _ in estimates):
            raise Violation(f"a chain does not move in {values.shape[1]} draws")
        ess = min(effective for _, _, effective in estimates)
        n = values.shape[1]  # twice as many in all
    found = []
    for (name, exact), (mean, error, effective) in zip(subject.exact(beta).items(), estimates, strict=True):
        text = f"{name} {mean:.5f} +- {error:.5f} with ESS {effective:.0f} where the exact one is {exact:.5f}"
        if not abs(mean - exact) < 5 * error:
            raise Violation(f"{text}, at beta = {beta}")
        found.append(f"{name} z = {(mean - exact) / error:+.1f}")
    return f"{', '.join(found)}, ESS {ess:.0f}."


def _measure(sampler: Sampler, subject: Subject, n: int, source: torch.Generator) -> NDArray[np.float64]:
    """(3, n, n_chains): weight, energy, magnetisation; weighted draws have one column."""
    draws = sampler.draw(n, generator=source)
    spins = draws.spins if isinstance(draws, ChainDraws) else draws.spins[:, None]
    energy = subject.target().energy(spins)
    weight = torch.ones_like(energy) if isinstance(draws, ChainDraws) else draws.log_weight[:, None].exp()
    return torch.stack([weight, energy, spins.sum((-2, -1), dtype=torch.float64)]).numpy()


def _mean(values: NDArray[np.float64], weight: NDArray[np.float64]) -> tuple[float, float, float]:
    """Weighted mean, its standard error with autocorrelation, and the effective sample size."""
    mean = float((weight * values).sum() / weight.sum())
    influence = weight * (values - mean) / weight.mean()
    tau = gamma_method(influence).tau_int
    error = float(np.sqrt(2 * tau * influence.var() / values.size))
    spread = float((weight * (values - mean) ** 2).sum() / weight.sum())
    return mean, error, spread / error**2 if error else 0.0
