"""A model on another device, with the interface of a model on the CPU, so that one set of checks serves all devices."""

from collections.abc import Mapping, Sequence

import torch
from torch import Generator, Tensor

from nisbench.contract.interfaces import LocalPairs, Model, ModelDraws, TrainingBatch

__all__ = ["OnDevice"]


class OnDevice(Model):
    """Moves spins to the device of the wrapped model, and results to the device of the spins or of the generator.

    The wrapped model draws from a generator on its own device, whose seed comes from the generator of the caller.
    """

    def __init__(self, model: Model) -> None:
        super().__init__(model.target, model.options)
        self.model = model
        self.n_levels = model.n_levels

    def sample(self, n: int, *, beta: float, generator: Generator) -> ModelDraws:
        """Draws on the device; see the base class."""
        return _draws_to(generator.device, self.model.sample(n, beta=beta, generator=self._own(generator)))

    def log_prob(self, spins: Tensor, *, beta: float) -> Tensor:
        """ln q, evaluated on the device; see the base class."""
        return self.model.log_prob(spins.to(self._device), beta=beta).to(spins.device)

    def training_batch(self, n: int, *, beta: float, generator: Generator) -> TrainingBatch:
        """A batch of the device; its gradient reaches the parameters there."""
        batch = self.model.training_batch(n, beta=beta, generator=self._own(generator))
        return TrainingBatch(
            batch.log_prob.to(generator.device),
            batch.signal.to(generator.device),
            _pairs_to(generator.device, batch.pairs),
        )

    def draw_pairs(self, n: int, *, level: int, beta: float, generator: Generator) -> tuple[ModelDraws, ModelDraws]:
        """Pairs drawn on the device; see the base class."""
        first, second = self.model.draw_pairs(n, level=level, beta=beta, generator=self._own(generator))
        return _draws_to(generator.device, first), _draws_to(generator.device, second)

    def costs(self) -> Mapping[str, float]:
        """Counters of the wrapped model."""
        return self.model.costs()

    @property
    def _device(self) -> torch.device:
        return next(self.parameters()).device

    def _own(self, generator: Generator) -> Generator:
        seed = torch.randint(2**62, (), generator=generator, device=generator.device)
        return Generator(self._device).manual_seed(int(seed))


def _draws_to(device: torch.device, draws: ModelDraws) -> ModelDraws:
    return ModelDraws(draws.spins.to(device), draws.log_prob.to(device))


def _pairs_to(device: torch.device, pairs: Sequence[LocalPairs]) -> Sequence[LocalPairs]:
    return [LocalPairs(pair.log_prob.to(device), pair.signal.to(device)) for pair in pairs]
