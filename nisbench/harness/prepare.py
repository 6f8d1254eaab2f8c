"""Bring a plugin to its first measured draw: compile its kernels, check its answers, train and prepare it."""

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

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
    "Ready",
    "construct",
    "first_draws_of_chains",
    "first_draws_of_density",
    "first_weighted_draws",
    "ready",
    "start_meta_device",
    "timed",
    "warm_up_model",
]

Built = TypeVar("Built")
Prepared = TypeVar("Prepared", bound=Sampler)
_BATCH = 32
"""Batch on the cpu, where nothing is compiled for a shape. On a GPU the shapes of the measurement are warmed up."""


@dataclass(frozen=True)
class Ready(Generic[Prepared]):
    """A sampler before its first measured draw."""

    sampler: Prepared
    training: Mapping[str, Estimate]
    """Quantities of its training; empty without one."""
    compile_s: float
    """Seconds of the first calls."""


def ready(
    context: CellContext,
    build: Callable[[], Prepared],
    first_draws: Callable[[Prepared, torch.Generator], None],
    generator: torch.Generator,
) -> Ready[Prepared]:
    """Build a sampler, train it if it trains itself, prepare it with `generator`, and compile all of this before.

    A first instance makes the first calls and is thrown away, because they may change it. If the cell trains, the first
    instance makes one training step and is not prepared: the preparation may be a part of the training. The first draws
    are then those of a copy of the trained sampler; a sampler that cannot be copied does without them.
    """
    warm, trained = context.generator("warm-up"), trains(context.cell.budget)

    def first_calls() -> None:
        first = construct(context, build)
        if trained:
            first.fit(beta=context.cell.beta, generator=warm, budget=Budget(steps=1), report=_dry(context))
        else:
            first.prepare(beta=context.cell.beta, generator=warm)
            first_draws(first, warm)

    compile_s = timed(context, first_calls)
    sampler = construct(context, build)
    training = fit(context, sampler) if context.cell.budget is not None else {}
    context.stage("prepare")
    with context.clock.phase(PREPARATION):
        sampler.prepare(beta=context.cell.beta, generator=generator)
    if trained and (again := _copy(sampler)) is not None:
        compile_s += timed(context, lambda: first_draws(again, warm))
    return Ready(sampler, training, compile_s)


def _copy(sampler: Prepared) -> Prepared | None:
    """Return a copy of the sampler; None if it refuses."""
    try:
        return copy.deepcopy(sampler)
    except Exception:  # a foreign object may raise anything
        return None


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


def first_draws_of_density(context: CellContext, density: Density, generator: torch.Generator) -> None:
    """Draw for the first time and check the shapes."""
    _draw(context, density, {_BATCH} if context.device.type == "cpu" else _chunks(context), generator)


def first_draws_of_chains(context: CellContext, sampler: ChainSampler, generator: torch.Generator) -> None:
    """Draw for the first time and check the shapes."""
    check_chain_draws(sampler.draw(1, generator=generator), 1, context.target.L)
    sampler.draw_series(1, generator=generator)


def first_weighted_draws(context: CellContext, sampler: WeightedSampler, generator: torch.Generator) -> None:
    """Draw for the first time and check the shapes."""
    check_weighted_draws(sampler.draw(1, generator=generator), 1, context.target.L)


def _dry(context: CellContext) -> DryReport:
    """Return a report of one step that charges nothing."""
    return DryReport(data=lambda: training_data(context.store, context.cell, context.device).spins)


def _draw(context: CellContext, density: Density, sizes: Iterable[int], generator: torch.Generator) -> None:
    """Draw batches of these sizes and check the shapes."""
    with torch.no_grad():
        for size in sorted(set(sizes)):
            draws = density.sample(size, beta=context.cell.beta, generator=generator)
            check_density_draws(draws, size, context.target.L, device=context.device)


def _chunks(context: CellContext) -> set[int]:
    """Return the batch sizes of the measured draws."""
    return set(independent_chunks(context.cell.draws, context.target.n_sites, context.device))
