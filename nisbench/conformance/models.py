"""The contract of a model: an exactly normalised density that samples what it says, from the generator it is given.

Power. `frequencies` draws 20 000 configurations: a total-variation distance of 5 % in any of its binned distributions
fails with probability > 0.999, a correct model with probability < 1e-4.
"""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load, save
from scipy.stats import chi2

from nisbench.conformance.isolation import changed_by
from nisbench.conformance.subject import (
    BETA,
    OTHER_BETA,
    SMALL,
    Check,
    Parameters,
    Subject,
    Violation,
    codes,
    generator,
    largest,
)
from nisbench.conformance.training import gradient, training_batch
from nisbench.contract.interfaces import ModelDraws
from nisbench.contract.quantities import FLOPS_PER_DRAW, KERNEL_LAUNCHES_PER_DRAW, NETWORK_CALLS_PER_DRAW
from nisbench.harness.measure import check_batch, check_draws

__all__ = ["MODEL_CHECKS"]

_TRAINED: tuple[Parameters, ...] = ("random", "trained")
_ANY: tuple[Parameters, ...] = ("initial", "random", "trained")

COSTS = (FLOPS_PER_DRAW, NETWORK_CALLS_PER_DRAW, KERNEL_LAUNCHES_PER_DRAW)


def builds(subject: Subject) -> str:
    """Builds with its default options at L = 4 and, unless it says why not, at L = 8, and has parameters."""
    counts = {}
    for extent in (SMALL, 8):
        if subject.unsupported(extent) is None:
            model = subject.model(extent, parameters="initial", dtype=torch.float32)
            counts[extent] = sum(p.numel() for p in model.parameters())
            if not counts[extent]:
                raise Violation(f"no parameters at L = {extent}")
    return "; ".join(f"L = {extent}: {count} parameters" for extent, count in counts.items())


def sample_shapes(subject: Subject) -> None:
    """`sample` returns spins (n, L, L) int8 of -1 and +1 and log_prob (n,) float64, on the model's device."""
    for device, extent in itertools.product(_devices(subject), (SMALL, 8)):
        if subject.unsupported(extent) is None:
            model = subject.model(extent, dtype=torch.float32).to(device)
            source = torch.Generator(device).manual_seed(1)
            _check_draws(model.sample(20, beta=BETA, generator=source), 20, extent, torch.device(device))


def sample_log_prob(subject: Subject) -> str:
    """The log_prob that `sample` returns is log_prob(spins): to 1e-10 in float64, to rounding in float32."""
    found = []
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5 * SMALL**2)):
        for parameters in _TRAINED:
            model = subject.model(parameters=parameters, dtype=dtype)
            draws = model.sample(200, beta=BETA, generator=generator(2))
            with torch.no_grad():
                difference = largest(draws.log_prob - model.log_prob(draws.spins, beta=BETA))
            if not difference <= tolerance:
                raise Violation(f"a difference of {difference:.3g} with {parameters} {dtype} parameters")
            found.append(difference)
    return f"Largest difference {max(found[:2]):.1g} in float64, {max(found[2:]):.1g} in float32."


def normalised(subject: Subject) -> str:
    """q sums to 1 within 1e-10 over all 2^16 states, whatever the parameters, at any beta."""
    worst = 0.0
    for parameters, beta in itertools.product(_ANY, (BETA, OTHER_BETA)):
        model = subject.model(parameters=parameters)
        total = float(subject.log_prob(model, beta).exp().sum())
        if not abs(total - 1) <= 1e-10:
            raise Violation(f"the sum is 1 {total - 1:+.3g} with {parameters} parameters at beta = {beta}")
        worst = max(worst, abs(total - 1))
    return f"Largest deviation {worst:.1g}."


def frequencies(subject: Subject) -> str:
    """Configurations come with the frequencies exp(log_prob): chi-square over ranks, rows and columns."""
    lowest, n = 1.0, 20_000
    for parameters in _TRAINED:
        model = subject.model(parameters=parameters)
        probability = torch.softmax(subject.log_prob(model), 0).numpy()
        drawn = codes(model.sample(n, beta=BETA, generator=generator(3)).spins)
        for what, labels in _partitions(probability):
            expected = n * np.bincount(labels, weights=probability).astype(np.float64)
            observed = np.bincount(labels[drawn], minlength=len(expected))
            p = _chi_square(observed, expected)
            if not p > 1e-6:
                raise Violation(f"p = {p:.2g} over the {what} with {parameters} parameters, {n} draws")
            lowest = min(lowest, p)
    return f"Smallest p-value {lowest:.2g}."


def same_seed(subject: Subject) -> None:
    """The same seed draws the same configurations and training batches, in the same instance and in another."""
    models = [model := subject.model(), model, subject.model()]
    draws = [m.sample(30, beta=BETA, generator=generator(4)) for m in models]
    batches = [m.training_batch(30, beta=BETA, generator=generator(4)) for m in models]
    for again, batch in zip(draws[1:], batches[1:], strict=True):
        if not torch.equal(again.spins, draws[0].spins):
            raise Violation("two calls of sample with one seed drew different configurations")
        if not torch.equal(batch.signal, batches[0].signal):
            raise Violation("two calls of training_batch with one seed returned different signals")


def different_seed(subject: Subject) -> None:
    """Another seed, and another call with the same generator, draws other configurations."""
    model, source = subject.model(parameters="initial"), generator(5)
    draws = [model.sample(30, beta=BETA, generator=g).spins for g in (source, source, generator(6))]
    for i, j in itertools.combinations(range(3), 2):
        if torch.equal(draws[i], draws[j]):
            raise Violation("30 configurations were drawn twice")


def explicit_beta(subject: Subject) -> None:
    """Each call uses the beta it is given and remembers none: ln q of a used instance is that of a fresh one."""
    used, fresh = subject.model(), {beta: subject.model() for beta in (BETA, OTHER_BETA)}
    used.sample(50, beta=OTHER_BETA, generator=generator(8))
    used.training_batch(50, beta=OTHER_BETA, generator=generator(8))
    for beta, model in fresh.items():
        draws = used.sample(50, beta=beta, generator=generator(9))
        with torch.no_grad():
            expected = model.log_prob(draws.spins, beta=beta)
            again = used.log_prob(draws.spins, beta=beta)
        if largest(draws.log_prob - expected) > 1e-6 or largest(again - expected) > 1e-6:
            raise Violation(f"after calls at another beta, ln q at beta = {beta} is not that of a fresh model")


def z2_symmetry(subject: Subject) -> str | None:
    """With an option `z2` switched on, log_prob(s) = log_prob(-s); switched off, q still sums to 1."""
    if not hasattr(subject.options(), "z2"):
        return "It has no such option."
    values = subject.log_prob(subject.model(z2=True))
    difference = largest(values - values.flip(0))  # row 2^16 - 1 - i of the states is the mirror of row i
    if not difference <= 1e-10:
        raise Violation(f"a difference of {difference:.3g} between a state and its mirror")
    total = float(subject.log_prob(subject.model(z2=False)).exp().sum())
    if not abs(total - 1) <= 1e-10:
        raise Violation(f"without z2 the sum of q is 1 {total - 1:+.3g}")
    return None


def odd_batches(subject: Subject) -> None:
    """Batches of 1 and 7 work, and ln q of a configuration does not depend on its batch."""
    model = subject.model()
    for n in (1, 7):
        draws = model.sample(n, beta=BETA, generator=generator(10))
        _check_draws(draws, n, SMALL, torch.device("cpu"))
        batch = model.training_batch(n, beta=BETA, generator=generator(10))
        check_batch(batch, n)
        with torch.no_grad():
            together = model.log_prob(draws.spins, beta=BETA)
            alone = torch.cat([model.log_prob(spins[None], beta=BETA) for spins in draws.spins])
        if not largest(together - alone) <= 1e-10:
            raise Violation(f"ln q in a batch of {n} differs from ln q alone by {largest(together - alone):.3g}")


def state_dict(subject: Subject) -> None:
    """The state_dict is tensors alone, and in another instance it restores ln q (through safetensors, no pickle)."""
    model, other = subject.model(seed=1), subject.model(seed=2)
    tensors = {name: value.detach().clone().contiguous() for name, value in model.state_dict().items()}
    other.load_state_dict(load(save(tensors)))
    with torch.no_grad():
        spins = model.sample(50, beta=BETA, generator=generator(11)).spins
        difference = largest(model.log_prob(spins, beta=BETA) - other.log_prob(spins, beta=BETA))
    if not difference <= 1e-12:
        raise Violation(f"ln q differs by {difference:.3g} after the round trip")


def no_global_state(subject: Subject) -> None:
    """Drawing, evaluating and training leave the global random generators, default dtype and threads alone."""

    def work() -> None:
        model = subject.model(dtype=torch.float32)
        draws = model.sample(10, beta=BETA, generator=generator(12))
        model.log_prob(draws.spins, beta=BETA)
        model.training_batch(10, beta=BETA, generator=generator(12))

    if changed := changed_by(work):
        raise Violation(f"changed: {', '.join(changed)}")


def unsupported_sizes(subject: Subject) -> str:
    """At L = 3, 5, 6 and 12 `unsupported` gives None or the reason; where it gives None the model works."""
    refused = []
    for extent in (3, 5, 6, 12):
        if subject.unsupported(extent) is not None:
            refused.append(extent)
            continue
        draws = subject.model(extent).sample(3, beta=BETA, generator=generator(13))
        _check_draws(draws, 3, extent, torch.device("cpu"))
    return f"Refused: {refused}."


def level_pairs(subject: Subject) -> str:
    """With levels, `draw_pairs` shares more sites from level to level, never all, and log_prob is that of each draw."""
    checked = 0
    for extent in (SMALL, 8, 16, 32):
        if subject.unsupported(extent) is not None:
            continue
        model = subject.model(extent)
        if not model.n_levels:
            return "It has no levels."
        shared = 0
        for level in range(1, model.n_levels):
            pair = model.draw_pairs(20, level=level, beta=BETA, generator=generator(14))
            for draws in pair:
                _check_draws(draws, 20, extent, torch.device("cpu"))
                with torch.no_grad():
                    difference = largest(draws.log_prob - model.log_prob(draws.spins, beta=BETA))
                if not difference <= 1e-12 * extent**2 + 1e-10:
                    raise Violation(f"log_prob at level {level} is off by {difference:.3g}, L = {extent}")
            same = int((pair[0].spins == pair[1].spins).all(0).sum())
            if not shared < same < extent**2:
                raise Violation(f"{same} of {extent**2} sites agree at level {level} after {shared} before")
            shared, checked = same, checked + 1
    return f"Levels checked: {checked}."


def costs(subject: Subject) -> None:
    """`costs` names known counters, each a finite number per draw."""
    for name, value in subject.model().costs().items():
        if name not in COSTS:
            raise Violation(f"unknown counter '{name}'; there are {', '.join(COSTS)}")
        if not (isinstance(value, (int, float)) and math.isfinite(value) and value >= 0):
            raise Violation(f"{name} = {value!r} is no finite number")


MODEL_CHECKS: tuple[Check, ...] = (
    builds,
    sample_shapes,
    sample_log_prob,
    normalised,
    frequencies,
    same_seed,
    different_seed,
    training_batch,
    gradient,
    explicit_beta,
    z2_symmetry,
    odd_batches,
    state_dict,
    no_global_state,
    unsupported_sizes,
    level_pairs,
    costs,
)


def _devices(subject: Subject) -> tuple[str, ...]:
    return tuple(d for d in subject.entry.devices if d == "cpu" or torch.cuda.is_available())


def _check_draws(draws: ModelDraws, n: int, extent: int, device: torch.device) -> None:
    check_draws(draws, n, extent)
    spins, log_prob = draws.spins, draws.log_prob
    if not spins.device.type == log_prob.device.type == device.type:
        raise Violation(f"spins on {spins.device}, log_prob on {log_prob.device}, the model on {device}")
    if not (spins.abs() == 1).all():
        raise Violation("spins other than -1 and +1")
    if log_prob.requires_grad or not log_prob.isfinite().all():
        raise Violation("log_prob of sample carries a gradient or is not finite")


def _partitions(probability: NDArray[np.float64]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Ways to bin the 2^16 states: 32 ranks of equal probability, the 16 patterns of each row and column."""
    order = np.argsort(-probability, kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.minimum(31, (32 * np.cumsum(probability[order])).astype(np.int64))
    yield "ranks of q", rank
    bits = (np.arange(len(probability))[:, None] >> np.arange(SMALL**2)) & 1
    lattice = bits.reshape(-1, SMALL, SMALL)
    for i in range(SMALL):
        yield f"patterns of row {i}", lattice[:, i, :] @ (1 << np.arange(SMALL))
        yield f"patterns of column {i}", lattice[:, :, i] @ (1 << np.arange(SMALL))


def _chi_square(observed: NDArray[Any], expected: NDArray[np.float64]) -> float:
    """p-value; bins with fewer than 10 expected counts are merged into one."""
    rare = expected < 10
    seen = np.append(observed[~rare], observed[rare].sum())
    mean = np.append(expected[~rare], expected[rare].sum())
    seen, mean = (seen, mean) if mean[-1] >= 10 else (seen[:-1], mean[:-1])
    if len(mean) < 2:
        return 1.0
    return float(chi2.sf(((seen - mean) ** 2 / mean).sum(), len(mean) - 1))
