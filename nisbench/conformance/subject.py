"""What a check works on: one plugin, built on demand, and the exact distribution of the small lattice."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from nisbench.conformance.device import OnDevice
from nisbench.contract.catalog import Catalog, Entry
from nisbench.contract.interfaces import Model, Sampler, Target
from nisbench.errors import PluginError
from nisbench.physics.enumeration import all_spins

__all__ = [
    "BETA",
    "OTHER_BETA",
    "SMALL",
    "Check",
    "Parameters",
    "Subject",
    "Violation",
    "codes",
    "generator",
    "largest",
]

BETA = 0.44
"""The inverse temperature of the published comparisons, close to the critical one, where sampling is hardest."""
OTHER_BETA = 0.3
"""A second one, for the checks that beta is honoured."""
SMALL = 4
"""The extent at which all 2^16 states can be summed."""

Parameters = Literal["initial", "random", "trained"]


class Violation(Exception):
    """A clause of the contract does not hold; the message says what was found."""


Check = Callable[["Subject"], str | None]
"""Raises Violation, or returns what it found; its docstring is the clause in one line."""


def generator(seed: int) -> Generator:
    """A CPU generator of its own."""
    return Generator().manual_seed(seed)


@dataclass(frozen=True)
class Subject:
    """One plugin with the default values of its options, on the first target that it takes at L = 4."""

    entry: Entry
    catalog: Catalog
    device: str = "cpu"
    """Where models are checked."""

    @cached_property
    def factory(self) -> type[Any]:
        """The class; PluginError if it cannot be loaded or is no model or sampler, as registered."""
        factory, base = self.entry.load(), Model if self.entry.kind == "model" else Sampler
        if not (isinstance(factory, type) and issubclass(factory, base)):
            raise PluginError(f"{self.entry.factory} is no subclass of nisbench.api.{base.__name__}")
        return factory

    def options(self, **given: Any) -> Any:
        """The options, `given` in place of the defaults."""
        return self.entry.options(**self.entry.fill(given))

    @cached_property
    def target_type(self) -> type[Any]:
        """The first target of the catalog that the plugin supports at L = 4; PluginError with the reasons if none."""
        reasons = []
        for target in self.catalog.targets.values():
            loaded = target.load()
            reason = self.factory.unsupported(loaded(SMALL), self.options())
            if reason is None:
                return loaded
            reasons.append(f"{target.name}: {reason}")
        raise PluginError(f"the contract is checked at L = {SMALL}, which '{self.entry.name}' refuses: {reasons}")

    def target(self, extent: int = SMALL) -> Target:
        """The target at that extent."""
        target: Target = self.target_type(extent)
        return target

    def unsupported(self, extent: int) -> str | None:
        """The plugin's own word, checked to be None or a reason."""
        reason = self.factory.unsupported(self.target(extent), self.options())
        if not (reason is None or (isinstance(reason, str) and reason)):
            raise Violation(f"unsupported at L = {extent} returned {reason!r}; give None or the reason")
        return reason

    def sampler(self, extent: int = SMALL) -> Sampler:
        """A sampler that is not prepared yet."""
        sampler: Sampler = self.factory(self.target(extent), self.options())
        return sampler

    def model(
        self,
        extent: int = SMALL,
        *,
        parameters: Parameters = "random",
        dtype: torch.dtype = torch.float64,
        seed: int = 1,
        **given: Any,
    ) -> Model:
        """A model as the core builds it: a seed of its own for the initial values, then `.to()`.

        `random` parameters are larger than initial ones, so that q is far from uniform and an error of
        normalisation or order shows; `trained` ones have seen a few steps of the reverse-KL training.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model: Model = self.factory(self.target(extent), self.options(**given))
        model = model.to(dtype)
        if parameters == "random":
            _shake(model, seed)
        if self.device != "cpu":
            model = OnDevice(model.to(self.device))
        if parameters == "trained":
            _train(model, seed)
        return model

    @cached_property
    def states(self) -> Tensor:
        """(2^16, 4, 4) int8: every configuration of the small lattice."""
        return torch.from_numpy(all_spins(SMALL))

    @cached_property
    def energy(self) -> Tensor:
        """(2^16,) float64 energies of `states`."""
        return self.target().energy(self.states)

    def log_prob(self, model: Model, beta: float = BETA) -> Tensor:
        """(2^16,) ln q of `states`, without gradient."""
        with torch.no_grad():
            return torch.cat([model.log_prob(part, beta=beta) for part in torch.split(self.states, 2**12)])

    def exact(self, beta: float) -> Mapping[str, float]:
        """Means over p at `beta` on the small lattice by enumeration: total energy and |total magnetisation|."""
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
    """Adds noise to every parameter, 1.5/sqrt(fan-in) to matrices, 0.3 to vectors."""
    noise = generator(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            scale = 1.5 * (parameter.shape[0] / parameter.numel()) ** 0.5 if parameter.dim() > 1 else 0.3
            parameter.add_(scale * torch.randn(parameter.shape, generator=noise, dtype=parameter.dtype))


def _train(model: Model, seed: int, steps: int = 20) -> None:
    """A few steps of Adam on the reverse KL."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    source = generator(seed)
    for _ in range(steps):
        batch = model.training_batch(64, beta=BETA, generator=source)
        optimizer.zero_grad()
        batch.loss().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
