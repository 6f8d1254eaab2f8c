"""The contract of a target: its energy, its symmetry and its exact values.

All energies are compared to 1e-9 of the largest, exact values to 1e-8 of their size or absolutely.
"""

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nisbench.conformance.isolation import changed_by
from nisbench.conformance.shared import over
from nisbench.conformance.subject import BETA, Violation, generator
from nisbench.contract.catalog import TargetEntry
from nisbench.contract.interfaces import Target
from nisbench.contract.targets import lattice_of
from nisbench.errors import InvalidValue
from nisbench.physics.enumeration import all_spins, exact_values

__all__ = ["TARGET_CHECKS", "TargetSubject", "builds"]

SMALL = (2, 3, 4)
"""The extents at which all states are summed."""
EXTENTS = (*SMALL, 8)
_ENERGY, _EXACT = 1e-9, 1e-8
_TYPES = (torch.int8, torch.int32, torch.int64, torch.float32, torch.float64)

TargetCheck = Callable[["TargetSubject"], str | None]


@dataclass(frozen=True)
class TargetSubject:
    """One target with its options, as `TargetEntry.fill` returns them."""

    entry: TargetEntry
    options: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def factory(self) -> type[Any]:
        """The class of the target. Raises PluginError if it cannot be loaded."""
        return self.entry.load()

    def target(self, extent: int) -> Target:
        """A new instance on an extent x extent lattice."""
        target: Target = self.factory(extent, self.entry.options(**self.options))
        return target

    @cached_property
    def targets(self) -> dict[int, Target]:
        """The target at each extent that it does not refuse."""
        found = {}
        for extent in EXTENTS:
            try:
                found[extent] = self.target(extent)
            except (InvalidValue, ValueError):
                continue
        return found

    @property
    def small(self) -> Iterator[tuple[int, Target, Tensor]]:
        """Extent, target and all states (2^N, L, L) of each small lattice."""
        for extent in SMALL:
            if extent in self.targets:
                yield extent, self.targets[extent], torch.from_numpy(all_spins(extent))

    @property
    def drawn(self) -> Iterator[tuple[int, Target, Tensor]]:
        """Extent, target and 50 random configurations (50, L, L) int8."""
        for extent, target in self.targets.items():
            yield extent, target, random_spins(50, extent)


def random_spins(n: int, extent: int) -> Tensor:
    """(n, L, L) int8 of fair coins."""
    return 2 * torch.randint(2, (n, extent, extent), generator=generator(1), dtype=torch.int8) - 1


def builds(subject: TargetSubject) -> str:
    """The class loads, and has the registered name, L, n_sites = L^2 and z2 at each L = 2, 3, 4, 8 that it accepts."""
    if not subject.targets:
        try:
            subject.target(4)
        except (InvalidValue, ValueError) as error:
            raise Violation(f"it refuses every extent: {error}") from error
    for extent, target in subject.targets.items():
        found = target.name, target.L, target.n_sites
        if found != (subject.entry.name, extent, extent**2):
            raise Violation(f"name, L, n_sites = {found}; expected {(subject.entry.name, extent, extent**2)}")
        if not isinstance(target.z2, bool):
            raise Violation(f"z2 = {target.z2!r} is not True or False")
    return f"Refused: {[extent for extent in EXTENTS if extent not in subject.targets]}."


def energy_of_bonds(subject: TargetSubject) -> str:
    """A target with a `lattice` has the energy -sum J s_i s_j - sum h_i s_i over its bonds and sites."""
    found = []
    for extent, target, spins in subject.drawn:
        lattice = lattice_of(target)
        if lattice is None:
            return "The target has no lattice: not checked."
        summed = np.array([lattice.energy(one) for one in spins.numpy()])
        found.append(_compare(target.energy(spins), summed, f"energy at L = {extent}"))
    return _worst(found)


def shape_and_type(subject: TargetSubject) -> str:
    """energy maps (..., L, L) of any signed type to (...,) float64, each configuration on its own."""
    found = []
    for extent, target, spins in subject.drawn:
        expected = target.energy(spins)
        for dtype in _TYPES:
            energy = target.energy(spins.to(dtype))
            if (tuple(energy.shape), energy.dtype) != ((50,), torch.float64):
                raise Violation(f"(50, {extent}, {extent}) {dtype} gives {tuple(energy.shape)} {energy.dtype}")
            found.append(_compare(energy, expected.numpy(), f"energy of {dtype} spins"))
        folded = target.energy(spins.reshape(5, 10, extent, extent))
        if tuple(folded.shape) != (5, 10) or tuple(target.energy(spins[0]).shape) != ():
            raise Violation(f"(5, 10, {extent}, {extent}) gives {tuple(folded.shape)}; expected (5, 10)")
        found.append(_compare(folded.flatten(), expected.numpy(), "energy of a batch of batches"))
        alone = torch.stack([target.energy(one) for one in spins])
        found.append(_compare(alone, expected.numpy(), "energy of one configuration"))
    return _worst(found)


def repeats(subject: TargetSubject) -> None:
    """The same options give the same energies in every instance and call, and the spins stay as they are."""
    for extent, target, spins in subject.drawn:
        before, first = spins.clone(), target.energy(spins)
        if not (torch.equal(target.energy(spins), first) and torch.equal(subject.target(extent).energy(spins), first)):
            raise Violation(f"another call or instance gives other energies at L = {extent}")
        if not torch.equal(spins, before):
            raise Violation("energy changes the spins")


def no_global_state(subject: TargetSubject) -> None:
    """Building and evaluating leave the global random generators, default dtype and threads as they were."""
    extent = min(subject.targets)

    def work() -> None:
        target = subject.target(extent)
        target.energy(random_spins(3, extent))
        target.exact(BETA)

    if changed := changed_by(work):
        raise Violation(f"changed: {', '.join(changed)}")


def same_device(subject: TargetSubject) -> str:
    """energy returns its result on the device of the spins."""
    found = []
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for device, (_, target, spins) in itertools.product(devices, subject.drawn):
        energy = target.energy(spins.to(device))
        if energy.device.type != device:
            raise Violation(f"spins on {device} give an energy on {energy.device}")
        found.append(_compare(energy.cpu(), target.energy(spins).numpy(), f"energy on {device}"))
    return f"Devices: {', '.join(devices)}. {_worst(found)}"


def symmetry(subject: TargetSubject) -> str:
    """z2 is True exactly if energy(s) = energy(-s) for all states at L = 2, 3, 4."""
    found, differences = None, []
    for extent, target, states in subject.small:
        energy = target.energy(states)
        differences.append(float((energy - target.energy(-states)).abs().max() / (1 + energy.abs().max())))
        symmetric = differences[-1] <= _ENERGY
        if symmetric != target.z2:
            raise Violation(f"z2 = {target.z2} at L = {extent}, but energy(s) = energy(-s) is {symmetric}")
        found = target.z2
    return f"z2 = {found}. {_worst(differences)}"


def exact(subject: TargetSubject) -> str:
    """Exact values agree with a sum over all states at L = 2, 3, 4 and beta = 0, 0.44, 1; each has a known name."""
    compared, worst = set(), 0.0
    for (extent, target, _), beta in itertools.product(subject.small, (0.0, BETA, 1.0)):
        given = target.exact(beta)
        summed = exact_values(extent, beta, lambda spins, t=target: t.energy(torch.from_numpy(spins)).numpy())  # type: ignore[misc]
        for name, value in given.items():
            if name not in summed:
                raise Violation(f"unknown name '{name}' at beta = {beta}; there are {', '.join(summed)}")
            difference = abs(value - summed[name]) / max(1.0, abs(summed[name]))
            if not difference <= _EXACT:
                raise Violation(f"{name} = {value!r} at L = {extent}, beta = {beta}; the sum is {summed[name]!r}")
            compared.add(name)
            worst = max(worst, difference)
    if not compared:
        return "Compared: nothing, the target gives no exact values."
    return f"Compared: {', '.join(sorted(compared))}; largest relative difference {worst:.1g} (limit {_EXACT:.1g})."


def only_spins(subject: TargetSubject) -> str:
    """A lattice of another extent is refused; values other than -1 and +1 are refused, or excluded by a docstring."""
    for extent, target, _ in subject.drawn:
        if not _refuses(target, random_spins(2, extent + 1)):
            raise Violation(f"spins of {extent + 1} x {extent + 1} have an energy on the {extent} x {extent} lattice")
        if not _refuses(target, torch.zeros(2, extent, extent, dtype=torch.int8)):
            text = inspect.getdoc(type(target).energy) or ""
            if not ("-1" in text and "+1" in text):
                raise Violation("spins of 0 have an energy, and the docstring of energy does not ask for -1 and +1")
            return "Documented."
    return "Refused."


TARGET_CHECKS: tuple[TargetCheck, ...] = (
    energy_of_bonds,
    shape_and_type,
    repeats,
    no_global_state,
    same_device,
    symmetry,
    exact,
    only_spins,
)


def _compare(energy: Tensor, expected: NDArray[np.float64], what: str) -> float:
    """Returns the largest difference over 1 + the largest energy. Raises Violation if it exceeds its limit."""
    difference, scale = float(np.abs(energy.numpy() - expected).max()), 1 + float(np.abs(expected).max())
    if not difference <= _ENERGY * scale:
        raise Violation(f"{what} differs by {over(difference, _ENERGY * scale)}")
    return difference / scale


def _worst(differences: list[float]) -> str:
    return f"Largest relative difference {max(differences):.1g} (limit {_ENERGY:.1g})."


def _refuses(target: Target, spins: Tensor) -> bool:
    try:
        target.energy(spins)
    except Exception:  # the target may raise anything
        return True
    return False
