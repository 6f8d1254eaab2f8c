"""Measure a density: train it if it is a model, draw from it, and estimate both sides."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nisbench.contract.interfaces import Density, Model, Sampler
from nisbench.contract.levels import LevelModel
from nisbench.contract.quantities import (
    COMPILE_S,
    KERNEL_LAUNCHES_PER_DRAW,
    KL_NATS,
    LOG_Z_PER_SITE,
    MATMUL_FLOPS_PER_S,
    N_PARAMETERS,
    OPTIMIZER_BYTES,
    PARAMETER_BYTES,
    TAU_INTS,
    TRAIN_S,
    TRAIN_STEP_S,
    TRAIN_STEPS,
)
from nisbench.contract.records import Budget, Estimate, ReferenceState
from nisbench.harness.build import build_model, model_without_storage
from nisbench.harness.context import CellContext, Outcome
from nisbench.harness.cost import draw_costs, kernel_launches, matmul_rate, stated_costs
from nisbench.harness.first_chunk import check_density, independent_doubts
from nisbench.harness.fit import fit, trains
from nisbench.harness.limits import check_training_memory, size_text
from nisbench.harness.measure import DrawnSeries, draw_density, independent_chunks, level_differences
from nisbench.harness.order import meaningful, weighted_overlaps
from nisbench.harness.prepare import (
    construct,
    first_draws_of_density,
    ready,
    start_meta_device,
    timed,
    warm_up_model,
)
from nisbench.harness.references import NO_TAU, leave_metropolis, reference_series
from nisbench.harness.source import loaded_source
from nisbench.harness.train import Training, train
from nisbench.harness.unclocked import background_work
from nisbench.harness.weights import save_weights
from nisbench.statistics.quantities import ReferenceSeries, level_quantities, model_quantities

__all__ = ["measure_density", "measure_model"]

_LAUNCH_BATCH = 1024
"""Draws whose kernel launches are counted for a model with a training loop of its own."""
_SMALL = 256
"""Sites of a lattice whose models fit into the memory of any machine. The first operation on the device `meta` imports
the compiler of torch, which takes more than a second of a worker; they are done without it."""
_LEVEL_PAIRS = 2048
"""Pairs of draws per level for kl_nats_level_<k>. The relative error is then about 3 %."""


def measure_model(context: CellContext, plugin: type[Model], options: Any) -> Outcome:
    """Train a model, leave its weights in the cell's folder, and estimate both sides.

    Raises
    ------
    OverLimitError
        If weights, gradient and optimiser do not fit into the memory.
    """
    notes: dict[str, str] = {}
    skeleton = _skeleton(context, plugin, options)
    if skeleton is not None and trains(context.cell.budget):
        needed = check_training_memory(skeleton, context.memory_limit, context.device)
        notes["training_memory_estimate"] = size_text(needed)
    del skeleton  # the peaks below must not contain its memory
    rate = Estimate(matmul_rate(context.clock))
    model = construct(context, lambda: build_model(plugin, context.target, options, context.cell, context.device))
    compile_s = timed(context, lambda: warm_up_model(context, model))
    trained = _train(context, model, options)
    model.zero_grad(set_to_none=True)  # the peak memory of drawing must not contain the gradient
    model.eval()  # layers such as BatchNorm must give one fixed density
    save_weights(model, context.files.weights)
    outcome = _evaluate(context, model, getattr(options, "batch_size", _LAUNCH_BATCH))
    # Later entries win: `costs` of a plugin cannot replace a number that the core measures.
    quantities = {
        **stated_costs(model),
        **outcome.quantities,
        MATMUL_FLOPS_PER_S: rate,
        COMPILE_S: Estimate(compile_s),
        **trained,
    }
    return replace(outcome, quantities=quantities, notes={**notes, **outcome.notes})


def measure_density(context: CellContext, plugin: type[Density], options: Any) -> Outcome:
    """Prepare a density, after its own training if it has one, and estimate both sides."""
    build, first_draws = partial(plugin, context.target, options), partial(first_draws_of_density, context)
    prepared = ready(context, build, first_draws, context.generator("prepare"))
    density = prepared.sampler
    batch = independent_chunks(context.cell.draws, context.target.n_sites, context.device)[0]
    outcome = _evaluate(context, density, batch)
    quantities = {**stated_costs(density), **outcome.quantities, COMPILE_S: Estimate(prepared.compile_s)}
    quantities |= prepared.training
    if not context.cell.reference_draws:
        return replace(outcome, quantities=quantities)
    context.stage("reference")
    state = leave_metropolis(context, density, [quantities[name] for name in TAU_INTS if name in quantities])
    notes = {"reference": NO_TAU} if state is ReferenceState.WITHHELD else {}
    return replace(outcome, quantities=quantities, reference=state, notes={**outcome.notes, **notes})


def _skeleton(context: CellContext, plugin: type[Model], options: Any) -> Model | None:
    """Return the model on the device `meta`, so that one that does not fit is never built; a real one if L is small.

    None if its constructor raises an exception, which the measured instance will raise again.
    """
    if context.target.n_sites > _SMALL:
        start_meta_device()
        return construct(context, lambda: model_without_storage(plugin, context.target, options))
    try:
        with torch.random.fork_rng(devices=[]):
            return construct(context, partial(plugin, context.target, options))
    except Exception:  # the constructor of a plugin may raise anything
        return None


def _train(context: CellContext, model: Model, options: Any) -> dict[str, Estimate]:
    """Train within the budget of the cell; the phase `train` is timed. A budget of zero needs no gradient."""
    if type(model).fit is not Sampler.fit:
        return {TRAIN_STEP_S: Estimate.missing("the plugin does not count its steps"), **fit(context, model)}
    cell = context.cell
    if not trains(cell.budget):
        return _training_quantities(model, Training(0, 0.0, 0, False))
    context.stage("train")
    log_z = context.exact.get(LOG_Z_PER_SITE)  # None for a target without exact values
    with context.stop.postponed(), context.clock.phase("train"):
        training = train(
            model,
            beta=cell.beta,
            budget=cell.budget or Budget(steps=0),
            options=options,
            seeds=context.seed,
            files=context.files,
            clock=context.clock,
            exact_log_z=None if log_z is None else log_z * context.target.n_sites,
            source=loaded_source(*context.factories).sha256,
            keep=context.keep,
            stop=context.stop,
        )
    context.clock.phases["train"].timing = training.timing
    if training.note:
        context.notes["checkpoint"] = training.note
    if training.resumed:
        context.clock.phases["train"].forget_peaks("the training was resumed: its peak may lie in an earlier process")
    return _training_quantities(model, training)


def _training_quantities(model: Model, training: Training) -> dict[str, Estimate]:
    """Return time and size of the training."""
    parameters = list(model.parameters())
    steps = training.steps
    return {
        N_PARAMETERS: Estimate(float(sum(p.numel() for p in parameters))),
        PARAMETER_BYTES: Estimate(float(sum(p.numel() * p.element_size() for p in parameters))),
        OPTIMIZER_BYTES: Estimate(float(training.optimizer_bytes)),
        TRAIN_STEPS: Estimate(float(steps)),
        TRAIN_S: Estimate(training.seconds),
        TRAIN_STEP_S: Estimate(training.seconds / steps, n=steps) if steps else Estimate.missing("no training"),
    }


def _evaluate(context: CellContext, density: Density, batch: int) -> Outcome:
    """Draw from q, evaluate q on the reference configurations, and return the estimates of both sides.

    The evaluation comes between the two halves of the drawing. `batch` is the number of draws whose kernel launches are
    counted on a GPU.
    """
    cell = context.cell
    background = background_work()
    evaluated = _Evaluation(context, density)
    context.stage("draw")
    generator = context.generator("draw")
    drawn = draw_density(
        density, cell.draws, beta=cell.beta, generator=generator, clock=context.clock, between=evaluated.run
    )
    reference, levels = evaluated.reference, evaluated.levels
    launches = _count_launches(context, density, batch)
    contract = check_density(context, density, drawn.first, drawn.series["log_prob"])
    context.stage("estimate")
    quantities = model_quantities(
        log_prob=drawn.series["log_prob"],
        energy=drawn.series["energy"],
        magnetisation=drawn.series["magnetisation"],
        beta=cell.beta,
        n_sites=context.target.n_sites,
        exact=context.exact,
        seed=context.seed("nmcmc"),
        reference=None if isinstance(reference, str) else reference,
        no_reference_reason=reference if isinstance(reference, str) else None,
        flips=contract.flips,
    )
    log_weight = -cell.beta * drawn.series["energy"] - drawn.series["log_prob"]
    quantities = meaningful(context.target, quantities | weighted_overlaps(drawn.series, log_weight))
    if levels is not None:
        quantities |= level_quantities(quantities[KL_NATS], levels)
    _save(context, drawn, reference, levels)
    costs, basis = draw_costs(context.clock.phases["draw"].seconds, drawn.n_draws, drawn.chunk_s, quantities)
    state, notes = _reference_state(context, reference), contract.notes(cell.plugin, cell.plugin_version)
    doubts = [*independent_doubts(drawn.series), *contract.doubts]
    return Outcome({**quantities, **launches, **costs}, basis, state, notes, background, doubts)


class _Evaluation:
    """The work between the two halves of the drawing, with streams of random numbers of its own."""

    def __init__(self, context: CellContext, density: Density) -> None:
        self.context, self.density = context, density
        self.reference: ReferenceSeries | str = "not evaluated"
        self.levels: NDArray[np.float64] | None = None

    def run(self) -> None:
        """Evaluate ln q on the reference configurations, and draw the pairs of the levels."""
        self.context.stage("reference")
        self.reference = reference_series(self.context, self.density)
        # The pairs are a diagnosis of the model. They are drawn outside the phase `draw`, so they cost it no time.
        self.levels = _level_differences(self.context, self.density)
        self.context.stage("draw")


def _count_launches(context: CellContext, density: Density, batch: int) -> dict[str, Estimate]:
    """Return the number of kernels that one batch starts on a GPU; {} on the cpu."""
    if context.device.type != "cuda":
        return {}
    generator = context.generator("warm-up")  # the draws are dropped, and the stream `draw` stays as it was
    draw = partial(density.sample, batch, beta=context.cell.beta, generator=generator)
    return {KERNEL_LAUNCHES_PER_DRAW: kernel_launches(draw)}


def _level_differences(context: CellContext, density: Density) -> NDArray[np.float64] | None:
    """Return (n_levels - 1, n) differences of ln w within pairs; None for a density without levels."""
    if not isinstance(density, LevelModel):
        return None
    context.stage("levels")
    n = min(context.cell.draws, _LEVEL_PAIRS)
    return level_differences(density, n, beta=context.cell.beta, generator=context.generator("levels"))


def _reference_state(context: CellContext, reference: ReferenceSeries | str) -> ReferenceState | None:
    """Return whether the reference configurations were used; None if the plan has no reference."""
    if context.cell.reference is None:
        return None
    return ReferenceState.MISSING if isinstance(reference, str) else ReferenceState.USED


def _save(
    context: CellContext, drawn: DrawnSeries, reference: ReferenceSeries | str, levels: NDArray[np.float64] | None
) -> None:
    """Write the raw series and the configurations for pictures."""
    series = dict(drawn.series)
    if not isinstance(reference, str):
        series |= {
            "reference_log_prob": reference.log_prob,
            "reference_energy": reference.energy,
            "reference_magnetisation": reference.magnetisation,
            "reference_chain": reference.chain,  # errors of the p side need the chain of each configuration
        }
    if levels is not None:
        series["level_differences"] = levels
    context.files.write_series(series)
    context.files.write_samples(drawn.samples)
