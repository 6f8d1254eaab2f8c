"""The contract of a chain sampler: configurations of p from chains that continue from call to call."""

import itertools

import numpy as np
import torch
from numpy.typing import NDArray

from nisbench.conformance import samplers
from nisbench.conformance.samplers import builds, check_means, continuing, different_seed, no_global_state, same_seed
from nisbench.conformance.shared import costs
from nisbench.conformance.subject import Check, Subject, Violation, generator
from nisbench.contract.checks import check_chain_draws
from nisbench.contract.interfaces import ChainSampler, ChainSeries
from nisbench.statistics.bridges import log_z_from_bridges

__all__ = ["CHAIN_CHECKS"]


def draw_shapes(subject: Subject) -> None:
    """`draw` returns ChainDraws with spins (n, n_chains, L, L) int8 of -1 and +1."""
    for extent, n in itertools.product(subject.extents, (1, 7)):
        if subject.unsupported(extent) is None:
            _check_draws(subject, n, extent)


def series(subject: Subject) -> None:
    """`draw_series` returns what `draw` gives when it is measured, and leaves the chains where `draw` does."""
    measured, drawn = _prepared(subject, seed=3), _prepared(subject, seed=3)
    a, b = generator(3), generator(3)
    for n in (1, 50, 3):
        found, spins = measured.draw_series(n, generator=a), drawn.draw(n, generator=b).spins
        _check_series(found, spins, subject)


def exact_means(subject: Subject) -> str:
    """At L = 4 the means of the energy and of |magnetisation| are the exact ones within 5 standard errors."""
    return _check_means(_prepared(subject, seed=8), subject, subject.beta)


def prepare_beta(subject: Subject) -> str:
    """A second `prepare` sets its own beta: the means are then the exact ones of this beta."""
    sampler = _prepared(subject, seed=9)
    sampler.draw(10, generator=generator(9))
    sampler.prepare(beta=subject.other_beta, generator=generator(10))
    return _check_means(sampler, subject, subject.other_beta)


def log_z(subject: Subject) -> str:
    """If `bridges` gives terms after 20 000 draws at L = 4, their ln Z is the exact one within 5 standard errors."""
    sampler, source = _prepared(subject, seed=14), generator(14)
    n_chains = sampler.draw_series(1, generator=source).energy.shape[1]
    sampler.draw_series(20_000 // n_chains, generator=source)
    bridges = sampler.bridges()
    if bridges is None:
        return "The sampler does not know ln Z."
    n_sites = subject.target().n_sites
    found = log_z_from_bridges(bridges, n_sites, subject.log_z(subject.beta) / n_sites)
    if found.z is None or abs(found.z) > 5:
        raise Violation(f"ln Z / N is {found}; limit 5 standard errors")
    return f"ln Z has z = {found.z:+.1f} (limit 5)."


def unsupported_sizes(subject: Subject) -> str:
    """At L = 3, 5, 6 and 12 `unsupported` gives None or the reason; if it gives None, the sampler works."""
    return samplers.unsupported_sizes(subject, lambda n, extent: _check_draws(subject, n, extent))


CHAIN_CHECKS: tuple[Check, ...] = (
    builds,
    draw_shapes,
    continuing,
    series,
    same_seed,
    different_seed,
    exact_means,
    prepare_beta,
    log_z,
    no_global_state,
    unsupported_sizes,
    costs,
)


def _prepared(subject: Subject, *, seed: int) -> ChainSampler:
    sampler: ChainSampler = subject.prepared(seed=seed)
    return sampler


def _check_draws(subject: Subject, n: int, extent: int) -> None:
    sampler: ChainSampler = subject.prepared(extent)
    check_chain_draws(sampler.draw(n, generator=generator(12)), n, extent, values=True)


def _check_series(found: ChainSeries, spins: torch.Tensor, subject: Subject) -> None:
    """Compares a series with the energies and magnetisations of spins (n, n_chains, L, L)."""
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
        given = found.cluster_size[1:]  # several flips of one spin count each, so a surplus must be even
        if given.shape != changed.shape or (given < changed).any() or ((given - changed) % 2).any():
            raise Violation("cluster_size is not the number of spins flipped between successive draws")


def _check_means(sampler: ChainSampler, subject: Subject, beta: float) -> str:
    def measure(n: int, source: torch.Generator) -> NDArray[np.float64]:
        spins = sampler.draw(n, generator=source).spins  # (n, n_chains, L, L)
        energy, magnetisation = subject.target().energy(spins), spins.sum((-2, -1), dtype=torch.float64)
        return torch.stack([torch.ones_like(energy), energy, magnetisation]).numpy()

    return check_means(subject, beta, measure)
