"""The training loop of all models: Adam on the gradient of E_q[ln q + beta_t E], the reverse KL up to a constant.

The seed of a step's random numbers depends on the number of the step. A checkpoint therefore needs no generator state,
and a resumed training with a budget in steps repeats the same numbers. Evaluations and checkpoints are not timed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Generator, Tensor, nn

from nisbench.contract.interfaces import Model
from nisbench.contract.quantities import ESS_FRACTION, FREE_ENERGY_VARIATIONAL, KL_NATS
from nisbench.contract.records import Budget, TrainingOptions
from nisbench.contract.timing import PhaseTiming
from nisbench.errors import NisbenchError
from nisbench.harness.adam import Adam
from nisbench.harness.cell_files import CellFiles
from nisbench.harness.checkpoint import Progress, load_checkpoint, save_checkpoint
from nisbench.harness.clock import Clock
from nisbench.harness.gradient import StepGradient
from nisbench.harness.stop import StopSignals

__all__ = ["Diverged", "Training", "annealed_beta", "learning_rate", "train"]

EVALUATION_SPACING = 1.25
"""Ratio of successive steps at which the model is evaluated and a line of the history is written."""


class Diverged(NisbenchError):
    """A loss, gradient or parameter became infinite or not a number."""


@dataclass(frozen=True)
class Training:
    """Steps, time and memory of a training."""

    steps: int
    seconds: float
    optimizer_bytes: int
    resumed: bool
    """True if an earlier process did a part of it."""
    timing: PhaseTiming = field(default_factory=PhaseTiming)
    """Times of the steps, without evaluations and checkpoints."""
    note: str | None = None
    """Fact for the reader of the report: a damaged checkpoint was not used."""


def train(
    model: Model,
    *,
    beta: float,
    budget: Budget,
    options: TrainingOptions,
    seeds: Callable[[str], int],
    files: CellFiles,
    clock: Clock,
    exact_log_z: float | None,
    source: str = "",
    keep: bool = False,
    checkpoint_every_s: float = 15.0,
    stop: StopSignals | None = None,
) -> Training:
    """Train until the budget is used up, continuing from the checkpoint in `files` if there is one.

    Parameters
    ----------
    beta
        Inverse temperature of the target.
    seeds
        Returns the seed of a stream by its name.
    exact_log_z
        ln Z of the whole lattice, for the KL in the history; None if it is not known.
    source
        Hash of the plugin's source. The checkpoint of another source is not continued, unless `keep` is True.

    Raises
    ------
    StopRequestedError
        If a signal, which `stop` postpones, asked for the end; the checkpoint is written by then.
    Diverged
        If an evaluation or a parameter is infinite or not a number. A checkpoint never contains such a value.
    """
    device = next(model.parameters()).device
    groups, betas = _groups(model, options.fan_in), (options.adam_beta1, options.adam_beta2)
    optimizer = Adam(groups, betas)
    found, note = load_checkpoint(files, model, optimizer, None if keep else source)
    state, resumed = found or Progress(), found is not None
    files.keep_history_until(state.step)
    generator = Generator(device)
    compute_gradient = StepGradient(model, options.batch_size, generator)
    saved_at, next_evaluation = clock.now(), _following(state.step)
    watch = clock.stopwatch(state.timing)
    while (fraction := _fraction(budget, state)) < 1:
        # Only the step itself is timed: evaluations and checkpoints below belong to the harness.
        if not watch.running:
            watch.start()
        begin = clock.now()
        beta_t = annealed_beta(options, beta, fraction, state.step)
        rate = learning_rate(options, fraction)
        _set_rates(optimizer, rate)
        generator.manual_seed(seeds(f"train/{state.step}"))  # a resumed training repeats the same numbers
        compute_gradient(beta_t)
        norm = nn.utils.clip_grad_norm_(model.parameters(), options.clip_norm) if options.clip_norm > 0 else None
        optimizer.step()
        state.step += 1
        state.seconds += clock.now() - begin

        done = _fraction(budget, state) >= 1
        due = done or bool(stop and stop.name) or clock.now() - saved_at > checkpoint_every_s
        if state.step >= next_evaluation or due:
            watch.stop()
            state.timing = watch.spent
        if state.step >= next_evaluation or done:
            generator.manual_seed(seeds(f"evaluate/{state.step}"))
            line = _evaluate(model, beta, options.batch_size, generator, exact_log_z)
            gradient_norm = float(_gradient_norm(model) if norm is None else norm)
            line |= {"beta": beta_t, "learning_rate": rate, "gradient_norm": gradient_norm}
            _note(files, state, line)
            next_evaluation = _following(state.step)
        if due:
            _check_finite(model, state)
            save_checkpoint(files, model, optimizer, state, source)
            saved_at = clock.now()
        if stop:
            stop.check()
    return Training(state.step, state.seconds, _optimizer_bytes(optimizer), resumed, state.timing, note)


def annealed_beta(options: TrainingOptions, beta: float, fraction: float, step: int) -> float:
    """Return the inverse temperature of a step, from the fraction of the budget used (`stepwise`: from the step)."""
    if options.annealing == "none":
        return beta
    if options.annealing == "stepwise":
        return beta * (1 - options.annealing_rate ** (step + 1))  # step counts from 0: the first step has beta_t > 0
    risen = min(1.0, fraction / options.annealing_fraction) if options.annealing_fraction > 0 else 1.0
    return beta * (options.annealing_start + (1 - options.annealing_start) * risen)


def learning_rate(options: TrainingOptions, fraction: float) -> float:
    """Return the learning rate: a linear warm-up, then constant, or a cosine or linear decay to zero."""
    if fraction < options.warmup_fraction:
        # 1e-3 keeps the rate of the first step above zero; the rise still ends at the full rate.
        return options.learning_rate * (fraction + 1e-3) / (options.warmup_fraction + 1e-3)
    if options.schedule == "constant":
        return options.learning_rate
    rest = (fraction - options.warmup_fraction) / (1 - options.warmup_fraction)
    if options.schedule == "linear":
        return options.learning_rate * (1 - rest)
    return options.learning_rate * 0.5 * (1 + math.cos(math.pi * rest))


def _groups(model: Model, fan_in: int) -> list[dict[str, Any]]:
    """Group the parameters by the factor of their learning rate: min(1, fan_in / inputs), for vectors fan_in / length.

    One step of Adam moves every weight of a unit by the learning rate, so the sum over the unit's inputs moves by the
    number of inputs times as much. Vectors are slowed down like the matrices: biases and slopes at the full rate spoil
    the training of wide layers.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter in model.parameters():
        # (units, inputs, ...) -> inputs; (length,) -> length
        inputs = parameter[0].numel() if parameter.dim() > 1 else parameter.numel()
        groups.setdefault(min(1.0, fan_in / inputs) if fan_in else 1.0, []).append(parameter)
    return [{"params": parameters, "scale": scale} for scale, parameters in groups.items()]


def _fraction(budget: Budget, state: Progress) -> float:
    """Return the fraction of the budget that is used; 1 for a budget of zero."""
    used, total = (state.step, budget.steps) if budget.steps is not None else (state.seconds, budget.seconds)
    return used / total if total else 1.0


def _following(step: int) -> int:
    """Return the first evaluation after `step`; the evaluations are spaced by EVALUATION_SPACING."""
    following = 1
    while following <= step:
        following = max(following + 1, math.ceil(following * EVALUATION_SPACING))
    return following


@torch.no_grad()
def _evaluate(
    model: Model, beta: float, n: int, generator: Generator, exact_log_z: float | None
) -> dict[str, float | None]:
    """Return the variational free energy, the KL and the ESS of n new draws at the target's beta."""
    draws = model.sample(n, beta=beta, generator=generator)
    log_weight = -beta * model.target.energy(draws.spins) - draws.log_prob  # (n,) ln w
    mean = float(log_weight.mean())
    # (sum w)^2 / sum w^2 in logarithms, because w itself overflows
    log_ess = 2 * torch.logsumexp(log_weight, 0) - torch.logsumexp(2 * log_weight, 0)
    return {
        FREE_ENERGY_VARIATIONAL: -mean / (beta * model.target.n_sites) if beta else None,
        KL_NATS: None if exact_log_z is None else exact_log_z - mean,
        ESS_FRACTION: float(log_ess.exp()) / n,
    }


def _note(files: CellFiles, state: Progress, line: dict[str, float | None]) -> None:
    """Add a line to the history. Raises Diverged for NaN and infinity."""
    if not all(math.isfinite(value) for value in line.values() if value is not None):
        raise Diverged(f"training diverged at step {state.step}: {line}; lower learning_rate or set clip_norm")
    files.append_history({"step": state.step, "seconds": state.seconds, **line})


def _set_rates(optimizer: Adam, rate: float) -> None:
    """Set the learning rate of each group of parameters."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


def _check_finite(model: Model, state: Progress) -> None:
    """Raise Diverged for a parameter that is not finite. Its checkpoint would make every later attempt fail as well."""
    if not all(bool(torch.isfinite(p).all()) for p in model.parameters()):
        raise Diverged(f"a parameter is not finite at step {state.step}; lower learning_rate or set clip_norm")


def _gradient_norm(model: Model) -> Tensor:
    """Return the norm of the gradient of all parameters together."""
    return nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])


def _optimizer_bytes(optimizer: Adam) -> int:
    """Return the memory of the state of the optimiser."""
    return sum(value.nbytes for moments in optimizer.state.values() for value in moments.values())
