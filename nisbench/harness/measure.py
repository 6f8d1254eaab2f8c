"""Draws -> scalar series, timed and chunked; configurations are dropped.

On the clock is what any user of the draws needs, for models and chains alike: the configurations with their ln q or
weights, energy and magnetisation.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nisbench.api import ChainDraws, Model, ModelDraws, Sampler, Target, TrainingBatch, WeightedDraws
from nisbench.errors import PluginError
from nisbench.harness.clock import Clock
from nisbench.harness.store import Reference

__all__ = [
    "Measured",
    "check_batch",
    "check_draws",
    "collect_reference",
    "draw_chain",
    "draw_model",
    "draw_weighted",
    "evaluate_reference",
    "level_differences",
    "model_chunks",
]

N_SAMPLES = 16
"""Configurations kept for pictures."""
_MODEL_SPINS = {"cpu": 2**24, "cuda": 2**27}
_MODEL_CHUNK = {"cpu": 4096, "cuda": 16384}
_CHAIN_SPINS = 2**25
_ALIGNED = 16
"""Kernels of a GPU are compiled once for sizes that are multiples of this, and anew for others."""
_LEAST_CHUNKS = 8
"""Parts in which chains are timed at least, so that their times have a spread."""


@dataclass(frozen=True)
class Measured:
    """What is kept of the draws of one cell."""

    series: dict[str, NDArray[Any]]
    samples: NDArray[np.int8]
    """(k, L, L), k <= 16"""
    n_draws: int
    """all chains together"""
    chunk_s: tuple[float, ...] = field(default=())
    """seconds a draw in each chunk, all chains together"""


def model_chunks(n: int, n_sites: int, device: torch.device) -> tuple[int, ...]:
    """The parts in which n configurations are drawn."""
    return tuple(_chunks(n, model_chunk(n_sites, device.type)))


def model_chunk(n_sites: int, device: str) -> int:
    """Configurations drawn at a time; a function of size and kind of device alone, so that draws repeat exactly."""
    return max(_ALIGNED, min(_MODEL_CHUNK[device], _MODEL_SPINS[device] // n_sites // _ALIGNED * _ALIGNED))


def draw_model(model: Model, n: int, *, beta: float, generator: torch.Generator, clock: Clock) -> Measured:
    """Series of n independent draws of q: log_prob, energy and magnetisation, (n,) float64 each."""
    parts: list[dict[str, NDArray[Any]]] = []
    chunk_s = []
    samples: list[NDArray[np.int8]] = []
    for size in model_chunks(n, model.target.n_sites, clock.device):
        before = clock.phases["draw"].seconds if "draw" in clock.phases else 0.0
        with clock.phase("draw") as phase, torch.no_grad():
            draws = model.sample(size, beta=beta, generator=generator)
            check_draws(draws, size, model.target.L)
            parts.append({"log_prob": _numpy(draws.log_prob), **_scalars(model.target, draws.spins)})
        chunk_s.append((phase.seconds - before) / size)
        _keep_samples(samples, draws.spins)
    return Measured(_joined(parts), np.concatenate(samples), n, tuple(chunk_s))


def check_draws(draws: object, n: int, L: int) -> None:
    """Raises PluginError unless these are n draws of one of the three kinds, as the contract asks for them.

    Looks at shapes and types, not at values.
    """
    if isinstance(draws, ChainDraws):
        found, asked = [draws.spins], [(n, *(max(1, k) for k in draws.spins.shape[1:2]), L, L)]
    elif isinstance(draws, ModelDraws):
        found, asked = [draws.spins, draws.log_prob], [(n, L, L), (n,)]
    elif isinstance(draws, WeightedDraws):
        found, asked = [draws.spins, draws.log_weight], [(n, L, L), (n,)]
    else:
        raise PluginError(f"draws are a {type(draws).__name__}; give ModelDraws, ChainDraws or WeightedDraws")
    _compare(draws, found, list(zip(asked, (torch.int8, torch.float64), strict=False)))


def check_batch(batch: TrainingBatch, n: int) -> None:
    """Raises PluginError unless ln q and signal are those of n draws, as the contract asks for them."""
    _compare(batch, [batch.log_prob, batch.signal], [((n,), torch.float64)] * 2)


def _compare(
    what: object, tensors: Sequence[torch.Tensor], asked: Sequence[tuple[tuple[int, ...], torch.dtype]]
) -> None:
    found = [(tuple(tensor.shape), tensor.dtype) for tensor in tensors]
    if found != list(asked):
        raise PluginError(f"{type(what).__name__} of {_words(found)}; asked for were {_words(asked)}")


def _words(tensors: Sequence[tuple[tuple[int, ...], torch.dtype]]) -> str:
    return " and ".join(f"{shape} {str(dtype).removeprefix('torch.')}" for shape, dtype in tensors)


def level_differences(model: Model, n: int, *, beta: float, generator: torch.Generator) -> NDArray[np.float64]:
    """(n_levels - 1, n) ln w of a draw minus that of another which shares the levels before level 1, 2, ..."""
    found = [_differences(model, n, level, beta, generator) for level in range(1, model.n_levels)]
    return np.array(found, dtype=np.float64).reshape(-1, n)


def _differences(model: Model, n: int, level: int, beta: float, generator: torch.Generator) -> NDArray[np.float64]:
    parts = []
    for size in model_chunks(n, model.target.n_sites, generator.device):
        with torch.no_grad():
            pair = model.draw_pairs(size, level=level, beta=beta, generator=generator)
        first, second = (-beta * model.target.energy(draws.spins) - draws.log_prob for draws in pair)
        parts.append(_numpy(first - second))
    return np.concatenate(parts)


def evaluate_reference(model: Model, reference: Reference, *, beta: float, device: torch.device) -> NDArray[np.float64]:
    """(m,) ln q of the reference configurations."""
    values = []
    start = 0
    for size in _chunks(len(reference.spins), model_chunk(model.target.n_sites, device.type) // 4 or 1):
        spins = torch.from_numpy(reference.spins[start : start + size]).to(device)
        with torch.no_grad():
            values.append(_numpy(model.log_prob(spins, beta=beta)))
        start += size
    return np.concatenate(values)


def draw_chain(sampler: Sampler, n: int, n_chains: int, *, generator: torch.Generator, clock: Clock) -> Measured:
    """Series of n draws, all chains together: energy, magnetisation, perhaps cluster_size, (n / n_chains, n_chains)."""
    per_chain = math.ceil(n / n_chains)
    parts: list[dict[str, NDArray[Any]]] = []
    chunk_s = []
    largest = min(_CHAIN_SPINS // (n_chains * sampler.target.n_sites), math.ceil(per_chain / _LEAST_CHUNKS))
    for size in _chunks(per_chain, max(1, largest)):
        before = clock.phases["draw"].seconds if "draw" in clock.phases else 0.0
        with clock.phase("draw") as phase:
            series = sampler.draw_series(size, generator=generator)
        chunk_s.append((phase.seconds - before) / (size * n_chains))
        part: dict[str, NDArray[Any]] = {"energy": series.energy, "magnetisation": series.magnetisation}
        if series.cluster_size is not None:
            part["cluster_size"] = series.cluster_size
        parts.append(part)
    samples: list[NDArray[np.int8]] = []
    _keep_samples(samples, _chain_draws(sampler, generator).spins[0])
    return Measured(_joined(parts), np.concatenate(samples), per_chain * n_chains, tuple(chunk_s))


def draw_weighted(sampler: Sampler, n: int, *, generator: torch.Generator, clock: Clock) -> tuple[Measured, bool]:
    """Series of n weighted draws: log_weight, energy and magnetisation, (n,); and whether E[w] = Z holds."""
    parts: list[dict[str, NDArray[Any]]] = []
    chunk_s = []
    samples: list[NDArray[np.int8]] = []
    normalised = True
    for size in model_chunks(n, sampler.target.n_sites, clock.device):
        before = clock.phases["draw"].seconds if "draw" in clock.phases else 0.0
        with clock.phase("draw") as phase:
            draws = sampler.draw(size, generator=generator)
            check_draws(draws, size, sampler.target.L)
            if not isinstance(draws, WeightedDraws):
                raise TypeError("a sampler returned weighted draws first and others later")
            parts.append({"log_weight": _numpy(draws.log_weight), **_scalars(sampler.target, draws.spins)})
        chunk_s.append((phase.seconds - before) / size)
        normalised = normalised and draws.normalised
        _keep_samples(samples, draws.spins)
    return Measured(_joined(parts), np.concatenate(samples), n, tuple(chunk_s)), normalised


def collect_reference(sampler: Sampler, n: int, *, tau_int: float, seed: int, generator: torch.Generator) -> Reference:
    """Keeps n configurations from all chains together, 2 tau_int draws apart; the chains go on from where they are."""
    stride = max(1, math.ceil(2 * tau_int))
    spins: list[NDArray[np.int8]] = []
    kept = 0
    while kept < n:
        if stride > 1:
            for size in _chunks(stride - 1, 1024):
                sampler.draw_series(size, generator=generator)
        spins.append(_chain_draws(sampler, generator).spins[0].to(torch.int8).cpu().numpy())  # (n_chains, L, L)
        kept += len(spins[-1])
    chain = np.tile(np.arange(len(spins[0])), len(spins))
    return Reference(np.concatenate(spins)[:n], chain[:n], tau_int, seed)


def _chain_draws(sampler: Sampler, generator: torch.Generator) -> ChainDraws:
    draws = sampler.draw(1, generator=generator)
    check_draws(draws, 1, sampler.target.L)
    if not isinstance(draws, ChainDraws):
        raise TypeError("a sampler returned chain draws first and others later")
    return draws


def _chunks(n: int, largest: int) -> Iterator[int]:
    """Splits n into nearly equal parts of at most `largest`; all but the last are multiples of _ALIGNED if that is."""
    part = math.ceil(n / max(1, math.ceil(n / largest)))
    part = min(largest, math.ceil(part / _ALIGNED) * _ALIGNED)
    while n > 0:
        yield min(n, part)
        n -= part


def _scalars(target: Target, spins: torch.Tensor) -> dict[str, NDArray[np.float64]]:
    """Total energy and signed total magnetisation of each configuration."""
    magnetisation = spins.sum(dim=(-2, -1), dtype=torch.int64).to(torch.float64)
    return {"energy": _numpy(target.energy(spins)), "magnetisation": _numpy(magnetisation)}


def _keep_samples(samples: list[NDArray[np.int8]], spins: torch.Tensor) -> None:
    missing = N_SAMPLES - sum(map(len, samples))
    if missing > 0:
        samples.append(spins[:missing].to(torch.int8).cpu().numpy())


def _numpy(tensor: torch.Tensor) -> NDArray[np.float64]:
    values: NDArray[np.float64] = tensor.detach().to("cpu", torch.float64).numpy()
    return values


def _joined(parts: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
