"""Checks of training: `training_batch` agrees with its default, every parameter has a gradient, a replay repeats it.

If `training_batch` draws other configurations than the default, the two are compared in the mean, with exact sums over
all states. An error of 25 % of the gradient's length then fails with probability > 0.4, an error of 50 % with
probability > 0.999, and a correct model with probability < 1e-5. These numbers follow from a standard error that is
kept below 5 % and a bound of 5 standard errors.
"""

import math

import numpy as np
import torch
from torch import Generator, Tensor

from nisbench.conformance.device import OnDevice
from nisbench.conformance.shared import limited
from nisbench.conformance.subject import NotApplicable, Subject, Violation, generator, largest
from nisbench.contract.interfaces import Model
from nisbench.harness.gradient import WARM_UP, StepGradient
from nisbench.physics.pairwise import PairwiseTarget

__all__ = ["check_recording", "gradient", "recorded_step", "training_batch"]


def training_batch(subject: Subject) -> str:
    """`training_batch` is its default: the same signal and gradient draw by draw or, with other draws, in the mean."""
    model = _trainable(subject)
    for beta in (subject.beta, subject.other_beta):  # with one instance, which must not keep the first beta
        found = _training_batch(subject, model, beta)
    return found


def gradient(subject: Subject) -> None:
    """The gradient of the training loss is finite and not zero in every parameter."""
    model = _trainable(subject)
    model.training_batch(200, beta=subject.beta, generator=generator(7)).loss().backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        if parameter.grad is None or not parameter.grad.isfinite().all() or not parameter.grad.any():
            raise Violation(f"{name} has no gradient, or a gradient that is zero or not finite")


def recorded_step(subject: Subject) -> str:
    """In a `capturable` model a seed repeats the gradient of a step bit by bit, on a CUDA device from a recording."""
    if not subject.factory.capturable:
        return "It is not capturable."
    model = _trainable(subject)
    return check_recording(model.model if isinstance(model, OnDevice) else model, 65, subject.beta)


def check_recording(model: Model, n: int, beta: float) -> str:
    """Compare the gradients of later and earlier training steps with the same seeds, bit by bit.

    On a CUDA device the later steps replay a recorded one, if the target is one of nisbench. The gradients of the last
    step stay in the model.

    Parameters
    ----------
    n
        Number of configurations in a training batch.

    Raises
    ------
    Violation
        If the gradients differ, if they do not depend on the seed, or if a CUDA device should have recorded a step.
    """
    device = next(model.parameters()).device
    source, found = Generator(device), []
    step = StepGradient(model, n, source)
    for call in range(2 * (WARM_UP + 1)):  # the first seeds return after the recording
        source.manual_seed(call % (WARM_UP + 1))
        step(beta)
        found.append([None if p.grad is None else p.grad.clone() for p in model.parameters()])
    if device.type == "cuda" and isinstance(model.target, PairwiseTarget) and not step.recorded:
        raise Violation("no training step was recorded as a CUDA graph")
    pairs = [(a, b) for i in range(WARM_UP) for a, b in zip(found[i], found[i + WARM_UP + 1], strict=True)]
    if unlike := sum(_differ(a, b) for a, b in pairs):
        raise Violation(
            f"{unlike} of {len(pairs)} gradients differ between two steps with the same seed; make `training_batch` "
            "depend on the generator alone, or set capturable = False"
        )
    if not any(map(_differ, found[0], found[1])):
        raise Violation("two seeds give the same gradient; `training_batch` must draw from the generator")
    return f"{len(pairs)} gradients"


def _differ(a: Tensor | None, b: Tensor | None) -> bool:
    """False if two gradients are equal or both missing."""
    return a is not b if a is None or b is None else not torch.equal(a, b)


def _trainable(subject: Subject) -> Model:
    """A model with random parameters. Raises NotApplicable if none of them can be trained."""
    model = subject.model()
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise NotApplicable("no parameter requires a gradient, so the model is evaluated and not trained")
    return model


def _training_batch(subject: Subject, model: Model, beta: float) -> str:
    """Compares draw by draw if the draws are those of the default, else in the mean."""
    fast = model.training_batch(50, beta=beta, generator=generator(14))
    slow = Model.training_batch(model, 50, beta=beta, generator=generator(14))
    if fast.log_prob.dtype != torch.float64 or fast.signal.dtype != torch.float64 or fast.signal.requires_grad:
        raise Violation("log_prob and signal are float64, the signal without gradient")
    same_signal, same_log_prob = (
        largest(a - b) <= subject.tolerance(1e-8)
        for a, b in ((fast.signal, slow.signal), (fast.log_prob, slow.log_prob))
    )
    if fast.terms or not (same_signal or same_log_prob):
        return _training_batch_in_the_mean(subject, model, beta)
    if not same_signal:
        raise Violation(f"the signal differs from ln q + beta E by {largest(fast.signal - slow.signal):.3g}")
    # ln q of a part of the variables differs from the default by a term without gradient, so gradients are compared.
    weight = torch.randn(50, generator=generator(15), dtype=torch.float64)
    parameters, worst, limit = list(model.parameters()), 0.0, subject.tolerance(1e-8)
    gradients = [
        torch.autograd.grad((weight * batch.log_prob).sum(), parameters, allow_unused=True) for batch in (fast, slow)
    ]
    for (name, parameter), *found in zip(model.named_parameters(), *gradients, strict=True):
        a, b = (torch.zeros_like(parameter) if g is None else g for g in found)
        if not largest(a - b) <= limit * max(1.0, largest(b)):
            raise Violation(f"the gradient of {name} differs from that of the default by {largest(a - b):.3g}")
        worst = max(worst, largest(a - b) / max(1.0, largest(b)))
    of_gradients = f"gradients: {limited(worst, limit)}"
    part = "" if same_log_prob else "; log_prob is ln q of a part of the variables"
    return f"Draw by draw, {of_gradients}{part}."


def _training_batch_in_the_mean(subject: Subject, model: Model, beta: float, batches: int = 200) -> str:
    """Compares with exact sums over all states: the mean signal, and the gradient along the exact gradient."""
    parameters, action = list(model.parameters()), 0.0
    model.zero_grad()
    for states, energy in zip(torch.split(subject.states, 2**12), torch.split(subject.energy, 2**12), strict=True):
        log_prob = model.log_prob(states, beta=beta)
        part = (log_prob.exp() * (log_prob + beta * energy)).sum()
        part.backward()  # type: ignore[no-untyped-call]
        action += float(part.detach())
    direction = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in parameters]
    length = float(torch.sqrt(sum((d.square().sum() for d in direction), torch.zeros((), dtype=torch.float64))))
    source, found = generator(16), np.empty((2, batches))
    for i in range(batches):
        batch = model.training_batch(100, beta=beta, generator=source)
        estimate = torch.autograd.grad(batch.loss(), parameters, allow_unused=True)
        along = sum(float((g * d).sum()) for g, d in zip(estimate, direction, strict=True) if g is not None)
        found[:, i] = float(batch.signal.mean()), along / length
    seen = []
    for what, values, exact in zip(("signal", "gradient"), found, (action, length), strict=True):
        error = values.std(ddof=1) / math.sqrt(batches)
        if not abs(values.mean() - exact) < 5 * error:
            raise Violation(
                f"mean {what} {values.mean():.6g} +- {error:.2g} where the exact one is {exact:.6g}; limit 5"
            )
        seen.append(f"{what} z = {(values.mean() - exact) / error:+.1f}")
        if what == "gradient" and not error < 0.05 * length:
            raise Violation(f"the gradient {values.mean():.3g} +- {error:.2g} is too noisy to be compared")
    return f"In the mean, because the draws are not those of the default: {', '.join(seen)} (limit 5)."
