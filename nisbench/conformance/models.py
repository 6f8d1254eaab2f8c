"""The contract of a model: that of a density, and in addition parameters that can be trained, saved and restored."""

import torch
from safetensors.torch import load, save

from nisbench.conformance import densities
from nisbench.conformance.densities import CPU
from nisbench.conformance.fit import pooled_fit
from nisbench.conformance.independence import independent
from nisbench.conformance.shared import costs
from nisbench.conformance.subject import Check, Subject, Violation, generator, largest
from nisbench.conformance.training import gradient, training_batch
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


def z2_symmetry(subject: Subject) -> str | None:
    """With an option `z2` switched on, log_prob(s) = log_prob(-s); switched off, q still sums to 1."""
    if not hasattr(subject.options(), "z2"):
        return "It has no such option."
    values = subject.log_prob(subject.model(z2=True))
    difference = largest(values - values.flip(0))  # row 2^16 - 1 - i of the states is the mirror of row i
    if not difference <= subject.tolerance(1e-10):
        raise Violation(f"a difference of {difference:.3g} between a state and its mirror")
    total = float(subject.log_prob(subject.model(z2=False)).exp().sum())
    if not abs(total - 1) <= subject.tolerance(1e-10):
        raise Violation(f"without z2 the sum of q is 1 {total - 1:+.3g}")
    return None


def odd_batches(subject: Subject) -> None:
    """Batches of 1 and 7 work, also in training, and ln q of a configuration does not depend on its batch."""
    densities.odd_batches(subject)
    for n in (1, 7):
        check_batch(subject.model().training_batch(n, beta=subject.beta, generator=generator(10)), n)


def state_dict(subject: Subject) -> None:
    """The state_dict contains tensors only, and in another instance it restores ln q (through safetensors)."""
    model, other = subject.model(seed=1), subject.model(seed=2)
    tensors = {name: value.detach().clone().contiguous() for name, value in model.state_dict().items()}
    other.load_state_dict(load(save(tensors)))
    with torch.no_grad():
        spins = model.sample(50, beta=subject.beta, generator=generator(11)).spins
        difference = largest(model.log_prob(spins, beta=subject.beta) - other.log_prob(spins, beta=subject.beta))
    if not difference <= subject.tolerance(1e-12):
        raise Violation(f"ln q differs by {difference:.3g} after saving and restoring")


def level_pairs(subject: Subject) -> str:
    """In a LevelModel the pairs of `draw_pairs` share more sites at each level, never all, and have the right ln q."""
    checked = 0
    for extent in (*subject.extents, 16, 32):
        if subject.unsupported(extent) is not None:
            continue
        model = subject.model(extent)
        if not isinstance(model, LevelModel):
            return "It has no levels."
        shared = 0
        for level in range(1, model.n_levels):
            shared = _check_level(subject, model, level, shared)
            checked += 1
    return f"Levels checked: {checked}."


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
    densities.explicit_beta,
    z2_symmetry,
    odd_batches,
    state_dict,
    densities.no_global_state,
    densities.unsupported_sizes,
    level_pairs,
    costs,
)


def _check_level(subject: Subject, model: LevelModel, level: int, shared_before: int) -> int:
    """Checks pairs of one level and returns the number of sites at which all pairs agree."""
    extent = model.target.L
    pair = model.draw_pairs(20, level=level, beta=subject.beta, generator=generator(14))
    for draws in pair:
        check_density_draws(draws, 20, extent, device=CPU, values=True)
        with torch.no_grad():
            difference = largest(draws.log_prob - model.log_prob(draws.spins, beta=subject.beta))
        if not difference <= subject.tolerance(1e-12 * extent**2 + 1e-10):
            raise Violation(f"log_prob at level {level} is off by {difference:.3g}, L = {extent}")
    same = int((pair[0].spins == pair[1].spins).all(0).sum())
    if not shared_before < same < extent**2:
        raise Violation(f"{same} of {extent**2} sites agree at level {level} after {shared_before} before")
    return same
