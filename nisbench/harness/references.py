"""Reference configurations: a reference cell leaves them, and a density is evaluated on them for the p side."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from nisbench.contract.interfaces import ChainSampler, Density
from nisbench.contract.records import Estimate, ReferenceState
from nisbench.harness.cell_files import Reference
from nisbench.harness.context import CellContext
from nisbench.harness.measure import chunk_sizes, largest_chunk, one_draw, to_numpy
from nisbench.harness.training_data import for_judging
from nisbench.statistics.estimate import SAME_VALUE
from nisbench.statistics.quantities import ReferenceSeries

__all__ = [
    "NO_TAU",
    "collect_metropolis",
    "collect_reference",
    "evaluate_reference",
    "leave_metropolis",
    "leave_reference",
    "reference_series",
]

NO_TAU = "none left: tau_int of the chain is not known"
"""Note of a reference cell that withholds its configurations."""

_FORGET = 10
"""Configurations that an independence Metropolis chain drops before the first that it leaves, each 2 tau_int proposals
after the one before: its first state is a draw of q and not of p."""


def reference_series(context: CellContext, density: Density) -> ReferenceSeries | str:
    """Return ln q, energy and magnetisation of the reference configurations, or why there are none."""
    cell = context.cell
    if cell.reference_draws:
        return "this cell is the reference"
    if cell.reference is None:
        return "the plan has no reference sampler"
    found = context.store.reference(cell.reference)
    if found is None:
        state = context.store.state(cell.reference)
        return f"reference cell {cell.reference} left no configurations ({state.describe()})"
    reference = for_judging(found, trained=bool(context.uses_data))
    log_prob = evaluate_reference(density, reference, beta=cell.beta, device=context.device)
    energy = context.target.energy(torch.from_numpy(reference.spins)).numpy()  # (m, L, L) -> (m,)
    magnetisation = reference.spins.sum(axis=(1, 2), dtype=np.int64).astype(np.float64)  # (m,)
    return ReferenceSeries(log_prob, energy, magnetisation, reference.chain)


def evaluate_reference(
    density: Density, reference: Reference, *, beta: float, device: torch.device
) -> NDArray[np.float64]:
    """Return (m,) ln q of the reference configurations."""
    values = []
    start = 0
    # A quarter of the chunk of a draw: evaluating ln q takes more memory than drawing.
    for size in chunk_sizes(len(reference.spins), largest_chunk(density.target.n_sites, device.type) // 4 or 1):
        spins = torch.from_numpy(reference.spins[start : start + size]).to(device)
        with torch.no_grad():
            values.append(to_numpy(density.log_prob(spins, beta=beta)))
        start += size
    return np.concatenate(values)


def leave_reference(
    context: CellContext, sampler: ChainSampler, generator: torch.Generator, tau_ints: Sequence[Estimate]
) -> ReferenceState:
    """Leave configurations for other cells. Withhold them if a tau_int is unknown: the chain may not have moved."""
    tau_int = _longest(tau_ints)
    if tau_int is None:
        return ReferenceState.WITHHELD
    cell = context.cell
    reference = collect_reference(sampler, cell.reference_draws, tau_int=tau_int, seed=cell.seed, generator=generator)
    context.files.write_reference(reference)
    return ReferenceState.LEFT


def leave_metropolis(context: CellContext, density: Density, tau_ints: Sequence[Estimate]) -> ReferenceState:
    """Leave states of an independence Metropolis chain with proposals from q; withhold them if a tau_int is unknown."""
    tau_int = _longest(tau_ints)
    if tau_int is None:
        return ReferenceState.WITHHELD
    cell = context.cell
    reference = collect_metropolis(
        density,
        cell.reference_draws,
        tau_int=tau_int,
        beta=cell.beta,
        seed=cell.seed,
        generator=context.generator("reference"),
    )
    context.files.write_reference(reference)
    return ReferenceState.LEFT


def collect_metropolis(
    density: Density, n: int, *, tau_int: float, beta: float, seed: int, generator: torch.Generator
) -> Reference:
    """Run one independence Metropolis chain with proposals from q and keep n of its states, 2 tau_int proposals apart.

    Proposals are accepted with min(1, w'/w), so the chain has the distribution p whatever q is, after _FORGET states.
    """
    stride = max(1, math.ceil(2 * tau_int))
    total = (n + _FORGET) * stride
    thresholds = torch.rand(total, generator=generator, device=generator.device, dtype=torch.float64)
    accept = np.log1p(-to_numpy(thresholds))  # 1 - u is in (0, 1], so its logarithm is finite
    kept: list[NDArray[np.int8]] = []
    current, state, i = -math.inf, None, 0
    for size in chunk_sizes(total, largest_chunk(density.target.n_sites, generator.device.type)):
        with torch.no_grad():
            draws = density.sample(size, beta=beta, generator=generator)
            log_weight = to_numpy(-beta * density.target.energy(draws.spins) - draws.log_prob)
        spins = draws.spins.to(torch.int8).cpu().numpy()
        for configuration, weight in zip(spins, log_weight.tolist(), strict=True):
            if state is None or weight >= current or accept[i] < weight - current:
                current, state = weight, configuration
            i += 1
            if i % stride == 0 and i > _FORGET * stride:
                kept.append(state)
    return Reference(np.stack(kept), np.zeros(n, dtype=np.int64), tau_int, seed)


def _longest(tau_ints: Sequence[Estimate]) -> float | None:
    """Return the largest tau_int; None if one of them is unknown or infinite."""
    # 0.5: chains that move between states of one energy, as at low temperature, are spread by the next draw
    values = [0.5 if tau.reason == SAME_VALUE else tau.value for tau in tau_ints]
    known = [value for value in values if value is not None and math.isfinite(value)]
    return max(known) if known and len(known) == len(tau_ints) else None


def collect_reference(
    sampler: ChainSampler, n: int, *, tau_int: float, seed: int, generator: torch.Generator
) -> Reference:
    """Continue the chains and keep n configurations of all chains together, 2 tau_int draws apart."""
    stride = max(1, math.ceil(2 * tau_int))  # an effectively independent configuration costs 2 tau_int draws
    spins: list[NDArray[np.int8]] = []
    kept = 0
    while kept < n:
        if stride > 1:  # the draws in between, in parts, because their series are dropped but take memory
            for size in chunk_sizes(stride - 1, 1024):
                sampler.draw_series(size, generator=generator)
        spins.append(one_draw(sampler, generator).spins[0].to(torch.int8).cpu().numpy())  # (n_chains, L, L)
        kept += len(spins[-1])
    chain = np.tile(np.arange(len(spins[0])), len(spins))  # (m,) the chains in turn
    return Reference(np.concatenate(spins)[:n], chain[:n], tau_int, seed)
