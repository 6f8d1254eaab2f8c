"""Draw configurations in chunks, and return the series of their scalars with the time of each chunk.

The timed part is what every user of the draws needs, for all kinds of samplers: the configurations with their ln q or
ln w, energy and magnetisation. The configurations themselves are dropped, except a few for pictures.

Every cell has at least 8 timed chunks, so that their spread and their drift give an error of the time.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nisbench.contract.checks import check_chain_draws, check_density_draws, check_weighted_draws
from nisbench.contract.interfaces import ChainDraws, ChainSampler, Density, Target, WeightedSampler
from nisbench.contract.levels import LevelModel
from nisbench.harness.clock import Clock
from nisbench.harness.first_chunk import FirstDraws
from nisbench.harness.order import pair_overlaps
from nisbench.physics.sums import site_sums

__all__ = [
    "N_SAMPLES",
    "DrawnSeries",
    "chunk_sizes",
    "count_chains",
    "draw_chain",
    "draw_density",
    "draw_weighted",
    "independent_chunks",
    "largest_chunk",
    "level_differences",
    "one_draw",
    "timed_chunks",
    "to_numpy",
]

N_SAMPLES = 16
"""Configurations kept for pictures."""
_INDEPENDENT_SPINS = {"cpu": 2**24, "cuda": 2**27}
"""Spins in a chunk of independent draws, at most: 16 MiB and 128 MiB as int8."""
_INDEPENDENT_CHUNK = {"cpu": 4096, "cuda": 16384}
"""Configurations in a chunk of independent draws, at most."""
_CHAIN_SPINS = 2**25
"""Spins of all chains in a chunk of chain draws, at most."""
_ALIGNED = 16
"""Chunk sizes are multiples of this, because GPU kernels compiled for such sizes serve all of them."""
_LEAST_CHUNKS = 8
"""Draws of every kind are timed in at least so many chunks, so that the spread of the times gives an error."""


@dataclass(frozen=True)
class DrawnSeries:
    """Series, a few configurations and times of the draws of one cell."""

    series: dict[str, NDArray[Any]]
    samples: NDArray[np.int8]
    """(k, L, L), k <= 16, for pictures"""
    n_draws: int
    """number of draws, all chains together"""
    chunk_s: tuple[float, ...] = field(default=())
    """seconds per draw of each chunk, all chains together"""
    first: FirstDraws = field(default_factory=FirstDraws)
    """first draws and hashes of independent draws"""


def independent_chunks(n: int, n_sites: int, device: torch.device) -> tuple[int, ...]:
    """Return the sizes of the timed chunks in which n independent configurations are drawn."""
    return timed_chunks(n, largest_chunk(n_sites, device.type))


def timed_chunks(n: int, largest: int) -> tuple[int, ...]:
    """Return nearly equal chunk sizes of at most `largest` whose sum is n: 8 chunks or more, n chunks if n < 8.

    All chunks but the last are multiples of _ALIGNED, if there are enough draws for 8 such chunks and `largest` is one.
    """
    number = max(math.ceil(n / largest), min(n, _LEAST_CHUNKS))
    unit = _ALIGNED if n >= _ALIGNED * _LEAST_CHUNKS and largest % _ALIGNED == 0 else 1
    units, rest = divmod(n, unit)
    if units // number * unit + rest > largest:
        number += 1
    # Larger chunks come first, so that the last one has room for the rest.
    sizes = [(units // number + (k < units % number)) * unit for k in range(number)]
    sizes[-1] += rest
    return tuple(sizes)


def largest_chunk(n_sites: int, device: str) -> int:
    """Return the largest number of configurations drawn at a time.

    The number depends on the lattice size and the kind of device alone: free memory must not change the draws.
    """
    by_spins = _INDEPENDENT_SPINS[device] // n_sites // _ALIGNED * _ALIGNED
    return max(_ALIGNED, min(_INDEPENDENT_CHUNK[device], by_spins))


def draw_density(
    density: Density,
    n: int,
    *,
    beta: float,
    generator: torch.Generator,
    clock: Clock,
    between: Callable[[], None] = lambda: None,
) -> DrawnSeries:
    """Return the series of n independent draws of q: log_prob, energy and magnetisation, (n,) float64 each.

    `between` is called once, after half of the chunks. Its time lies between the two halves, so that a slow change of
    the machine shows as a difference of their times.
    """
    parts: list[dict[str, NDArray[Any]]] = []
    chunk_s = []
    samples: list[NDArray[np.int8]] = []
    sizes, first = independent_chunks(n, density.target.n_sites, clock.device), FirstDraws()
    for k, size in enumerate(sizes):
        if k == len(sizes) // 2:
            between()
        before = _drawing_s(clock)
        with clock.phase("draw") as phase, torch.no_grad():
            draws = density.sample(size, beta=beta, generator=generator)
            check_density_draws(draws, size, density.target.L, device=generator.device)
            # inside the timer: a user of the draws needs these scalars, and the copy waits for the GPU
            parts.append({"log_prob": to_numpy(draws.log_prob), **_scalars(density.target, draws.spins)})
        parts[-1] |= pair_overlaps(density.target, draws.spins)
        chunk_s.append((phase.seconds - before) / size)
        _keep_samples(samples, draws.spins)
        first.add(draws.spins, draws.log_prob)
    return DrawnSeries(_joined(parts), np.concatenate(samples), n, tuple(chunk_s), first)


def level_differences(model: LevelModel, n: int, *, beta: float, generator: torch.Generator) -> NDArray[np.float64]:
    """Return (n_levels - 1, n) differences of ln w between the two draws of a pair.

    The two draws of row k - 1 share all levels before k and are independent given these levels, k = 1, 2, ...
    """
    found = [_differences(model, n, level, beta, generator) for level in range(1, model.n_levels)]
    return np.array(found, dtype=np.float64).reshape(-1, n)  # (0, n) for one level


def _differences(model: LevelModel, n: int, level: int, beta: float, generator: torch.Generator) -> NDArray[np.float64]:
    """Return (n,) differences of ln w for one level."""
    parts = []
    for size in chunk_sizes(n, largest_chunk(model.target.n_sites, generator.device.type)):
        with torch.no_grad():
            pair = model.draw_pairs(size, level=level, beta=beta, generator=generator)
        # (size,) ln w of the first and of the second draw of each pair
        first, second = (-beta * model.target.energy(draws.spins) - draws.log_prob for draws in pair)
        parts.append(to_numpy(first - second))
    return np.concatenate(parts)


def count_chains(sampler: ChainSampler, generator: torch.Generator) -> int:
    """Return the number of chains, from one draw that is not measured."""
    return one_draw(sampler, generator).spins.shape[1]  # (1, n_chains, L, L)


def draw_chain(
    sampler: ChainSampler, n: int, n_chains: int, *, generator: torch.Generator, clock: Clock
) -> DrawnSeries:
    """Return the series of n draws, all chains together: energy, magnetisation and, if counted, cluster_size.

    Each series is (ceil(n / n_chains), n_chains), so that the number of draws is rounded up to whole rows.
    """
    per_chain = math.ceil(n / n_chains)
    parts: list[dict[str, NDArray[Any]]] = []
    chunk_s = []
    # rows of n_chains draws each
    for size in timed_chunks(per_chain, max(1, _CHAIN_SPINS // (n_chains * sampler.target.n_sites))):
        before = _drawing_s(clock)
        with clock.phase("draw") as phase, torch.no_grad():
            series = sampler.draw_series(size, generator=generator)
        chunk_s.append((phase.seconds - before) / (size * n_chains))
        # (size, n_chains) each
        part: dict[str, NDArray[Any]] = {"energy": series.energy, "magnetisation": series.magnetisation}
        if series.cluster_size is not None:
            part["cluster_size"] = series.cluster_size
        parts.append(part)
    samples: list[NDArray[np.int8]] = []
    _keep_samples(samples, one_draw(sampler, generator).spins[0])  # (1, n_chains, L, L) -> (n_chains, L, L)
    return DrawnSeries(_joined(parts), np.concatenate(samples), per_chain * n_chains, tuple(chunk_s))


def draw_weighted(
    sampler: WeightedSampler, n: int, *, generator: torch.Generator, clock: Clock
) -> tuple[DrawnSeries, bool]:
    """Return the series of n weighted draws, and True if E[w] = Z in all of them.

    The series are log_weight, energy and magnetisation, (n,) each.
    """
    parts: list[dict[str, NDArray[Any]]] = []
    chunk_s = []
    samples: list[NDArray[np.int8]] = []
    normalised, first = True, FirstDraws()
    for size in independent_chunks(n, sampler.target.n_sites, clock.device):
        before = _drawing_s(clock)
        with clock.phase("draw") as phase, torch.no_grad():
            draws = sampler.draw(size, generator=generator)
            check_weighted_draws(draws, size, sampler.target.L)
            parts.append({"log_weight": to_numpy(draws.log_weight), **_scalars(sampler.target, draws.spins)})
        parts[-1] |= pair_overlaps(sampler.target, draws.spins)
        chunk_s.append((phase.seconds - before) / size)
        normalised = normalised and draws.normalised
        _keep_samples(samples, draws.spins)
        first.add(draws.spins, draws.log_weight)
    return DrawnSeries(_joined(parts), np.concatenate(samples), n, tuple(chunk_s), first), normalised


def one_draw(sampler: ChainSampler, generator: torch.Generator) -> ChainDraws:
    """Return one draw of each chain, checked."""
    draws = sampler.draw(1, generator=generator)
    check_chain_draws(draws, 1, sampler.target.L)
    return draws


def _drawing_s(clock: Clock) -> float:
    """Return the seconds spent in the phase `draw` so far."""
    return clock.phases["draw"].seconds if "draw" in clock.phases else 0.0


def chunk_sizes(n: int, largest: int) -> Iterator[int]:
    """Yield nearly equal chunk sizes of at most `largest` whose sum is n.

    All chunks but the last are multiples of _ALIGNED, if `largest` is.
    """
    part = math.ceil(n / max(1, math.ceil(n / largest)))
    part = min(largest, math.ceil(part / _ALIGNED) * _ALIGNED)
    while n > 0:
        yield min(n, part)
        n -= part


def _scalars(target: Target, spins: torch.Tensor) -> dict[str, NDArray[np.float64]]:
    """Return total energy and signed total magnetisation of each configuration, (n,) each."""
    return {"energy": to_numpy(target.energy(spins)), "magnetisation": to_numpy(site_sums(spins))}


def _keep_samples(samples: list[NDArray[np.int8]], spins: torch.Tensor) -> None:
    """Append configurations until there are N_SAMPLES."""
    missing = N_SAMPLES - sum(map(len, samples))
    if missing > 0:
        samples.append(spins[:missing].to(torch.int8).cpu().numpy())


def to_numpy(tensor: torch.Tensor) -> NDArray[np.float64]:
    """Return the values on the cpu as float64."""
    values: NDArray[np.float64] = tensor.detach().to("cpu", torch.float64).numpy()
    return values


def _joined(parts: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Return the series with all chunks joined along the draws."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
