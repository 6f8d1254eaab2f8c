"""The contract of a model: that of a density, and in addition parameters that can be trained, saved and restored."""

import torch
from safetensors.torch import load, save

from nisbench.conformance import densities
from nisbench.conformance.densities import CPU
from nisbench.conformance.fit import pooled_fit
from nisbench.conformance.independence import independent
from nisbench.conformance.shared import costs, limited, over
from nisbench.conformance.subject import Check, Subject, Violation, generator, largest
from nisbench.conformance.training import gradient, recorded_step, training_batch
from nisbench.contract.checks import check_batch, check_density_draws
from nisbench.contract.levels import LevelModel

__all__ = ["MODEL_CHECKS"]


def builds(subject: Subject) -> str:
    """Builds with its default options at L = 4 and, unless it refuses, at L = 8, and has parameters."""
    counts = {}
    for extent in subject.extents:
        if subject.unsupported(extent) is None:
            model = subject.model(extent, parameters="initial", dtype=torch.float32)
            counts[extent] = sum(p.numel() for p in model.parameters())
            if not counts[extent]:
                raise Violation(f"no parameters at L = {extent}")
    return "; ".join(f"L = {extent}: {count} parameters" for extent, count in counts.items())


def same_seed(subject: Subject) -> None:
    """The same seed draws the same configurations and training batches, in the same instance and in another."""
    densities.same_seed(subject)
    models = [model := subject.model(), model, subject.model()]
    first, *others = [m.training_batch(30, beta=subject.beta, generator=generator(4)).signal for m in models]
    if not all(torch.equal(signal, first) for signal in others):
        raise Violation("two calls of training_batch with one seed returned different signals")


def z2_symmetry(subject: Subject) -> str:
    """With an option `z2` switched on, log_prob(s) = log_prob(-s); switched off, q still sums to 1."""
    if not hasattr(subject.options(), "z2"):
        return "It has no such option."
    values = subject.log_prob(subject.model(z2=True))
    difference, limit = largest(values - values.flip(0)), subject.tolerance(1e-10)  # the mirror of i is 2^16 - 1 - i
    if not difference <= limit:
        raise Violation(f"between a state and its mirror a difference of {over(difference, limit)}")
    excess = float(subject.log_prob(subject.model(z2=False)).exp().sum()) - 1
    if not abs(excess) <= limit:
        raise Violation(f"without z2 the sum of q differs from 1 by {over(abs(excess), limit)}")
    return f"Mirror: {limited(difference, limit)}; sum of q without z2: {limited(abs(excess), limit)}."


def odd_batches(subject: Subject) -> str:
    """Batches of 1 and 7 work, also in training, and ln q of a configuration does not depend on its batch."""
    found = densities.odd_batches(subject)
    for n in (1, 7):
        check_batch(subject.model().training_batch(n, beta=subject.beta, generator=generator(10)), n)
    return found


def state_dict(subject: Subject) -> str:
    """The state_dict contains tensors only, and in another instance it restores ln q (through safetensors)."""
    model, other = subject.model(seed=1), subject.model(seed=2)
    tensors = {name: value.detach().clone().contiguous() for name, value in model.state_dict().items()}
    other.load_state_dict(load(save(tensors)))
    with torch.no_grad():
        spins = model.sample(50, beta=subject.beta, generator=generator(11)).spins
        difference = largest(model.log_prob(spins, beta=subject.beta) - other.log_prob(spins, beta=subject.beta))
    limit = subject.tolerance(1e-12)
    if not difference <= limit:
        raise Violation(f"after saving and restoring ln q differs by {over(difference, limit)}")
    return f"ln q: {limited(difference, limit)}."


def level_pairs(subject: Subject) -> str:
    """In a LevelModel the pairs of `draw_pairs` share more sites at each level, never all, and have the right ln q."""
    checked, worst = 0, 0.0  # the largest difference of ln q, in units of its limit
    for extent in (*subject.extents, 16, 32):
        if subject.unsupported(extent) is not None:
            continue
        model = subject.model(extent)
        if not isinstance(model, LevelModel):
            return "It has no levels."
        shared = 0
        for level in range(1, model.n_levels):
            shared, difference = _check_level(subject, model, level, shared)
            checked, worst = checked + 1, max(worst, difference)
    return f"Levels checked: {checked}; largest difference of ln q {worst:.1g} of its limit."


MODEL_CHECKS: tuple[Check, ...] = (
    builds,
    densities.sample_shapes,
    densities.sample_log_prob,
    densities.normalised,
    densities.frequencies,
    pooled_fit,
    independent,
    same_seed,
    densities.different_seed,
    training_batch,
    gradient,
    recorded_step,
    densities.explicit_beta,
    z2_symmetry,
    odd_batches,
    state_dict,
    densities.no_global_state,
    densities.unsupported_sizes,
    level_pairs,
    costs,
)


def _check_level(subject: Subject, model: LevelModel, level: int, shared_before: int) -> tuple[int, float]:
    """Checks pairs of one level. Returns how many sites agree in all, and the difference of ln q over its limit."""
    extent, worst = model.target.L, 0.0
    limit = subject.tolerance(1e-12 * extent**2 + 1e-10)
    pair = model.draw_pairs(20, level=level, beta=subject.beta, generator=generator(14))
    for draws in pair:
        check_density_draws(draws, 20, extent, device=CPU, values=True)
        with torch.no_grad():
            difference = largest(draws.log_prob - model.log_prob(draws.spins, beta=subject.beta))
        if not difference <= limit:
            raise Violation(f"L = {extent}: log_prob at level {level} is off by {over(difference, limit)}")
        worst = max(worst, difference / limit)
    same = int((pair[0].spins == pair[1].spins).all(0).sum())
    if not shared_before < same < extent**2:
        raise Violation(f"{same} of {extent**2} sites agree at level {level} after {shared_before} before")
    return same, worst
