"""A model on another device behind the interface of a model on the CPU, so that the same checks serve all devices."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from nisbench.contract.interfaces import LossTerm, Model, ModelDraws, TrainingBatch
from nisbench.contract.levels import LevelModel

__all__ = ["OnDevice", "on_device"]


def on_device(model: Model) -> "OnDevice":
    """Return the model, which is on its device, behind the interface of a model on the CPU."""
    return _LevelsOnDevice(model) if isinstance(model, LevelModel) else OnDevice(model)


class OnDevice(Model):
    """Moves spins to the device of the wrapped model, and results to the device of the spins or of the generator.

    The wrapped model draws from a generator on its own device, whose seed comes from the generator of the caller.
    """

    def __init__(self, model: Model) -> None:
        super().__init__(model.target, model.options)
        self.model = model

    def sample(self, n: int, *, beta: float, generator: Generator) -> ModelDraws:
        """Draw on the device; see the base class."""
        return _draws_to(generator.device, self.model.sample(n, beta=beta, generator=self._own(generator)))

    def log_prob(self, spins: Tensor, *, beta: float) -> Tensor:
        """Return ln q, evaluated on the device; see the base class."""
        return self.model.log_prob(spins.to(self._device), beta=beta).to(spins.device)

    def training_batch(self, n: int, *, beta: float, generator: Generator) -> TrainingBatch:
        """Return a batch from the device; its gradient reaches the parameters there."""
        batch = self.model.training_batch(n, beta=beta, generator=self._own(generator))
        here = generator.device
        terms = [_TermOnDevice(term, here) for term in batch.terms]
        return TrainingBatch(batch.log_prob.to(here), batch.signal.to(here), terms)

    def costs(self) -> Mapping[str, float]:
        """Return the counters of the wrapped model."""
        return self.model.costs()

    @property
    def _device(self) -> torch.device:
        return next(self.parameters()).device

    def _own(self, generator: Generator) -> Generator:
        """Return a generator on the device, seeded by the caller's generator."""
        seed = torch.randint(2**62, (), generator=generator, device=generator.device)
        return Generator(self._device).manual_seed(int(seed))


class _LevelsOnDevice(OnDevice, LevelModel):
    """The same for a model with levels."""

    model: LevelModel

    def __init__(self, model: LevelModel) -> None:
        super().__init__(model)
        self.n_levels = model.n_levels

    def draw_pairs(self, n: int, *, level: int, beta: float, generator: Generator) -> tuple[ModelDraws, ModelDraws]:
        """Return pairs drawn on the device; see the base class."""
        first, second = self.model.draw_pairs(n, level=level, beta=beta, generator=self._own(generator))
        return _draws_to(generator.device, first), _draws_to(generator.device, second)


@dataclass(frozen=True)
class _TermOnDevice:
    """A part of the loss whose value is moved to the device of the caller."""

    term: LossTerm
    device: torch.device

    def loss(self) -> Tensor:
        """Return the value () with gradient."""
        return self.term.loss().to(self.device)


def _draws_to(device: torch.device, draws: ModelDraws) -> ModelDraws:
    return ModelDraws(draws.spins.to(device), draws.log_prob.to(device))
