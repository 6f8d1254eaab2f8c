"""Subject of the checks: one plugin, built on demand, and the exact distribution of the small lattice."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from nisbench.conformance.device import on_device
from nisbench.contract.catalog import Catalog, Entry, TargetEntry
from nisbench.contract.checks import refusal
from nisbench.contract.interfaces import Density, Model, Sampler, Target
from nisbench.contract.records import Budget
from nisbench.errors import InvalidValue, PluginError
from nisbench.harness.adam import Adam
from nisbench.harness.fit import DryReport
from nisbench.physics.enumeration import all_spins

__all__ = [
    "BETA",
    "OTHER_BETA",
    "SMALL",
    "Check",
    "NotApplicable",
    "Parameters",
    "Subject",
    "Violation",
    "codes",
    "generator",
    "largest",
]

BETA = 0.44
"""Inverse temperature of the published comparisons, close to the critical point, where sampling is hardest."""
OTHER_BETA = 0.3
"""Second inverse temperature, for the checks that a plugin uses the beta of each call."""
SMALL = 4
"""The extent at which all 2^16 states can be summed."""

Parameters = Literal["initial", "random", "trained"]
"""State of a model's parameters; a density that is not a model has its `initial` state only."""

_FIT_STEPS = 20
"""Training budget of a plugin with its own training loop: enough to leave the untrained state, and quick."""


class NotApplicable(Exception):
    """Raised by a check that this plugin cannot have; the message is the reason."""


class Violation(Exception):
    """Raised by a check that fails; the message describes the finding."""


Check = Callable[["Subject"], str | None]
"""Raises Violation or returns a text about the finding. The docstring of a check is the clause, in one line."""


STREAM = 0
"""Number of the set of random numbers; `tests.faults` repeats the checks with others."""


def generator(seed: int) -> Generator:
    """A new CPU generator."""
    return Generator().manual_seed(seed + 1000 * STREAM)


@dataclass(frozen=True)
class Subject:
    """One plugin on the first target that it supports at L = 4 or, if it refuses L = 4, at the first given size."""

    entry: Entry
    catalog: Catalog
    device: str = "cpu"
    """Device on which models are checked."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """Options in place of the defaults."""
    sizes: tuple[int, ...] = ()
    """Extents at which it is checked, in addition to L = 4 for the sums over all states; by default L = 8."""
    beta: float = BETA
    """Inverse temperature of the checks."""

    @cached_property
    def factory(self) -> type[Any]:
        """The class of the plugin. Raises PluginError if it cannot be loaded or does not fit its registration."""
        return self.entry.load()

    def options(self, **given: Any) -> Any:
        """The options of the plugin, with the values in `given` and defaults for the rest."""
        return self.entry.options(**self.entry.fill({**self.given, **given}))

    @property
    def other_beta(self) -> float:
        """A second inverse temperature."""
        return OTHER_BETA if self.beta != OTHER_BETA else BETA

    @property
    def extent(self) -> int:
        """The extent of the checks at one size: L = 4, or the first given size that the plugin supports."""
        return self._place[1]

    @property
    def extents(self) -> tuple[int, ...]:
        """The extents of the checks at several sizes."""
        return tuple(dict.fromkeys((self.extent, *(self.sizes or (8,)))))

    @property
    def target_entry(self) -> TargetEntry:
        """The target of the checks: the first of the catalog that the plugin supports."""
        return self._place[0]

    @cached_property
    def _place(self) -> tuple[TargetEntry, int]:
        """The target and the extent. Raises PluginError with the plugin's reasons if it refuses all of them."""
        reasons = []
        for extent, entry in itertools.product((SMALL, *self.sizes), self.catalog.targets.values()):
            try:
                reason = refusal(self.factory, entry.build(extent, {}), self.options(), self.beta)
            except InvalidValue as error:  # a target that needs options, such as a file of couplings
                reason = str(error)
            if reason is None:
                return entry, extent
            reasons.append(f"{entry.name} at L = {extent}: {reason}")
        advice = "give --sizes with an L that it supports"
        raise PluginError(f"'{self.entry.name}' refuses L = {SMALL}, at which it would be checked; {advice}: {reasons}")

    def target(self, extent: int | None = None) -> Target:
        """The target on an extent x extent lattice."""
        target: Target = self.target_entry.build(extent or self.extent, {})
        return target

    @cached_property
    def dtype(self) -> torch.dtype:
        """The type in which a model is checked: float64, or float32 if it raises an exception in float64."""
        if not issubclass(self.factory, Model):
            return torch.float64
        try:
            self.model(dtype=torch.float64).sample(1, beta=self.beta, generator=generator(1))
        except Exception:  # the plugin may raise anything
            return torch.float32
        return torch.float64

    def tolerance(self, limit: float, dtype: torch.dtype | None = None) -> float:
        """The limit of a difference of ln q: `limit` in float64, at least 1e-5 per site in float32."""
        return limit if (dtype or self.dtype) == torch.float64 else max(limit, 1e-5 * self.extent**2)

    def unsupported(self, extent: int) -> str | None:
        """Return value of the plugin's `unsupported`. Raises Violation unless it is None or a text."""
        reason = refusal(self.factory, self.target(extent), self.options(), self.beta)
        if not (reason is None or (isinstance(reason, str) and reason)):
            raise Violation(f"unsupported at L = {extent} returned {reason!r}; give None or the reason")
        return reason

    def fitted(self, extent: int | None = None, *, seed: int = 1) -> Any:
        """An instance before `prepare`; a plugin with its own training loop is trained."""
        sampler: Sampler = self.factory(self.target(extent), self.options())
        if self.entry.trains:
            report = DryReport(_FIT_STEPS, data=lambda: self._configurations(sampler.target))
            sampler.fit(beta=self.beta, generator=generator(seed), budget=Budget(steps=_FIT_STEPS), report=report)
        return sampler

    def _configurations(self, target: Target) -> Tensor:
        """(1000, L, L) int8: configurations of p at L = 4, else spins of +1 only, for a training on data."""
        if target.L != SMALL:
            return torch.ones(1000, target.L, target.L, dtype=torch.int8)
        weight = torch.softmax(-self.beta * target.energy(torch.from_numpy(all_spins(SMALL))), 0)
        chosen = torch.multinomial(weight, 1000, replacement=True, generator=generator(20))
        return torch.from_numpy(all_spins(SMALL))[chosen]

    def prepared(self, extent: int | None = None, *, seed: int = 1) -> Any:
        """An instance prepared at the beta of the checks."""
        sampler = self.fitted(extent, seed=seed)
        sampler.prepare(beta=self.beta, generator=generator(seed))
        return sampler

    @property
    def parameters(self) -> tuple[Parameters, ...]:
        """The states of the parameters in which a density is checked."""
        return ("random", "trained") if issubclass(self.factory, Model) else ("initial",)

    @property
    def dtypes(self) -> tuple[torch.dtype, ...]:
        """The types in which a density is checked. A density that is not a model always computes in its own types."""
        return tuple(dict.fromkeys((self.dtype, torch.float32))) if issubclass(self.factory, Model) else (self.dtype,)

    def density(
        self,
        extent: int | None = None,
        *,
        beta: float | None = None,
        parameters: Parameters | None = None,
        dtype: torch.dtype | None = None,
        seed: int = 1,
    ) -> Density:
        """A model with these parameters, or a density prepared at `beta`."""
        if issubclass(self.factory, Model):
            return self.model(extent, parameters=parameters or "random", dtype=dtype, seed=seed)
        return self.at(self.beta if beta is None else beta, self.fitted(extent, seed=seed), seed)

    def at(self, beta: float, density: Density, seed: int = 1) -> Density:
        """The density, prepared for calls at this beta as the core does it; a model needs no preparation."""
        if not isinstance(density, Model):
            density.prepare(beta=beta, generator=generator(seed))
        return density

    def model(
        self,
        extent: int | None = None,
        *,
        parameters: Parameters = "random",
        dtype: torch.dtype | None = None,
        seed: int = 1,
        **given: Any,
    ) -> Model:
        """A model built like the core builds it: torch's global generator is seeded, then `.to()` sets the type.

        `random` parameters are larger than the initial ones. They make q far from uniform, so that an error of the
        normalisation or of the order of the spins is seen. `trained` parameters have had a few steps of training.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model: Model = self.factory(self.target(extent), self.options(**given))
        model = model.to(dtype or self.dtype)
        if parameters == "random":
            _shake(model, seed)
        if self.device != "cpu":
            model = on_device(model.to(self.device))
        if parameters == "trained":
            _train(model, self.beta, seed)
        return model

    @cached_property
    def states(self) -> Tensor:
        """(2^16, 4, 4) int8: every configuration of the small lattice. Raises NotApplicable if it is refused."""
        if self.extent != SMALL:
            raise NotApplicable(f"it sums over all states of L = {SMALL}, which the plugin refuses")
        return torch.from_numpy(all_spins(SMALL))

    @cached_property
    def energy(self) -> Tensor:
        """(2^16,) float64 energy of each row of `states`."""
        return self.target().energy(self.states)

    def log_prob(self, density: Density, beta: float | None = None) -> Tensor:
        """(2^16,) ln q of `states`, without gradient."""
        at = self.beta if beta is None else beta
        with torch.no_grad():
            return torch.cat([density.log_prob(part, beta=at) for part in torch.split(self.states, 2**12)])

    def log_z(self, beta: float) -> float:
        """ln Z of the small lattice by enumeration."""
        return float(torch.logsumexp(-beta * self.energy, 0))

    def exact(self, beta: float) -> Mapping[str, float]:
        """Means of total energy and |total magnetisation| over p on the small lattice, by enumeration."""
        weight = torch.softmax(-beta * self.energy, 0)
        magnetisation = self.states.sum((-2, -1), dtype=torch.float64).abs()
        return {"energy": float(weight @ self.energy), "abs_magnetisation": float(weight @ magnetisation)}


def codes(spins: Tensor) -> NDArray[np.int64]:
    """(n, 4, 4) -> (n,): the row of each configuration in `Subject.states`."""
    bits = spins.flatten(1).numpy() > 0  # (n, 16)
    return np.asarray(bits @ (1 << np.arange(bits.shape[1])), dtype=np.int64)


def largest(difference: Tensor) -> float:
    """The largest absolute value."""
    return float(difference.detach().abs().max())


def _shake(model: Model, seed: int) -> None:
    """Adds Gaussian noise to every parameter, with deviation 1.5/sqrt(fan-in) for matrices and 0.3 for vectors."""
    noise = generator(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            scale = 1.5 * (parameter.shape[0] / parameter.numel()) ** 0.5 if parameter.dim() > 1 else 0.3
            parameter.add_(scale * torch.randn(parameter.shape, generator=noise, dtype=parameter.dtype))


def _train(model: Model, beta: float, seed: int, steps: int = 20) -> None:
    """A few steps of Adam on the reverse Kullback-Leibler divergence, unless no parameter can be trained."""
    if not any(parameter.requires_grad for parameter in model.parameters()):
        return
    optimizer = Adam([{"params": list(model.parameters()), "lr": 1e-2}], betas=(0.9, 0.999))
    source = generator(seed)
    for _ in range(steps):
        batch = model.training_batch(64, beta=beta, generator=source)
        optimizer.zero_grad()
        batch.loss().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
