"""Bring a plugin to its first measured draw: compile its kernels, check its answers, train and prepare it."""

import copy
from collections.abc import Callable, Iterable
from typing import TypeVar

import torch

from nisbench.contract.checks import check_batch, check_chain_draws, check_density_draws, check_weighted_draws
from nisbench.contract.interfaces import ChainSampler, Density, Model, Sampler, WeightedSampler
from nisbench.contract.records import Budget, Estimate
from nisbench.harness.context import CellContext
from nisbench.harness.fit import DryReport, fit, trains
from nisbench.harness.measure import independent_chunks
from nisbench.harness.training_data import training_data
from nisbench.harness.unclocked import CONSTRUCTORS, FIRST_CALLS, PREPARATION

__all__ = [
    "construct",
    "fit_and_prepare",
    "start_meta_device",
    "timed",
    "warm_up_chains",
    "warm_up_density",
    "warm_up_model",
    "warm_up_weighted",
]

Built = TypeVar("Built")
_BATCH = 32
"""Batch on the cpu, where nothing is compiled for a shape. On a GPU the shapes of the measurement are warmed up."""


def fit_and_prepare(context: CellContext, sampler: Sampler, generator: torch.Generator) -> dict[str, Estimate]:
    """Train a sampler that has its own training loop, and prepare it. Return the quantities of the training."""
    trained = {}
    if context.cell.budget is not None:
        trained = fit(context, sampler)
    context.stage("prepare")
    with context.clock.phase(PREPARATION):
        sampler.prepare(beta=context.cell.beta, generator=generator)
    return trained


def construct(context: CellContext, build: Callable[[], Built]) -> Built:
    """Return what `build` returns; the time of the longest constructor is charged as preparation."""
    first = CONSTRUCTORS[0] not in context.clock.parts
    with context.clock.part(CONSTRUCTORS[0] if first else CONSTRUCTORS[1]):
        return build()


def start_meta_device() -> None:
    """Let torch import what it needs for tensors without storage: a second, which is not the plugin's."""
    with torch.device("meta"):
        layer, index = torch.nn.Linear(2, 2), torch.arange(2)
        layer(torch.rand(2, 2).uniform_())[index] + (index > 0).sum()


def timed(context: CellContext, work: Callable[[], None]) -> float:
    """Do `work` at the stage `compile` and return its seconds."""
    context.stage("compile")
    begin = context.clock.now()
    with context.clock.part(FIRST_CALLS), context.compilation.counted():
        work()
    return context.clock.now() - begin


def warm_up_model(context: CellContext, model: Model) -> None:
    """Draw and, if the cell trains, make one training step whose gradient is dropped. The model stays as it was."""
    generator, cell = context.generator("warm-up"), context.cell
    on_cpu = context.device.type == "cpu"
    n = _BATCH if on_cpu else int(model.options.batch_size)
    # No step of an optimiser below: the weights stay those of the seed.
    # Running statistics, as in a BatchNorm layer, are buffers that a call in training mode changes.
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    _draw(context, model, {n} if on_cpu else {n, *_chunks(context)}, generator)
    if trains(cell.budget) and type(model).fit is not Sampler.fit:
        # The copy is trained and thrown away: loading an optimiser alone can take seconds.
        copy.deepcopy(model).fit(beta=cell.beta, generator=generator, budget=Budget(steps=1), report=_dry(context))
    elif trains(cell.budget):
        batch = model.training_batch(n, beta=cell.beta, generator=generator)
        check_batch(batch, n)
        batch.loss().backward()  # type: ignore[no-untyped-call]
        model.zero_grad(set_to_none=True)
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name])


def warm_up_density(context: CellContext, density: Density) -> None:
    """Train for one step if the density trains itself, prepare, and draw. `density` is thrown away afterwards."""
    generator = context.generator("warm-up")
    _prepare(context, density, generator)
    _draw(context, density, {_BATCH} if context.device.type == "cpu" else _chunks(context), generator)


def warm_up_chains(context: CellContext, sampler: ChainSampler) -> None:
    """Prepare and draw once. `sampler` is thrown away afterwards."""
    generator = context.generator("warm-up")
    _prepare(context, sampler, generator)
    check_chain_draws(sampler.draw(1, generator=generator), 1, context.target.L)
    sampler.draw_series(1, generator=generator)


def warm_up_weighted(context: CellContext, sampler: WeightedSampler) -> None:
    """Prepare and draw once. `sampler` is thrown away afterwards."""
    generator = context.generator("warm-up")
    _prepare(context, sampler, generator)
    check_weighted_draws(sampler.draw(1, generator=generator), 1, context.target.L)


def _dry(context: CellContext) -> DryReport:
    """Return a report of one step that charges nothing."""
    return DryReport(data=lambda: training_data(context.store, context.cell, context.device).spins)


def _prepare(context: CellContext, sampler: Sampler, generator: torch.Generator) -> None:
    """Train for one step, if the sampler trains itself, and prepare."""
    if trains(context.cell.budget):
        sampler.fit(beta=context.cell.beta, generator=generator, budget=Budget(steps=1), report=_dry(context))
    sampler.prepare(beta=context.cell.beta, generator=generator)


def _draw(context: CellContext, density: Density, sizes: Iterable[int], generator: torch.Generator) -> None:
    """Draw batches of these sizes and check the shapes."""
    with torch.no_grad():
        for size in sorted(set(sizes)):
            draws = density.sample(size, beta=context.cell.beta, generator=generator)
            check_density_draws(draws, size, context.target.L, device=context.device)


def _chunks(context: CellContext) -> set[int]:
    """Return the batch sizes of the measured draws."""
    return set(independent_chunks(context.cell.draws, context.target.n_sites, context.device))
