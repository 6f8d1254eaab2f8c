"""Warming a model up leaves no trace in it, and a model without trainable parameters can be evaluated."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from nisbench.api import Model, ModelDraws, TrainingOptions
from nisbench.contract.records import Budget, Cell
from nisbench.harness.prepare import warm_up_model
from nisbench.physics.ising import Ising

CELL = Cell("m", "model", "1", {}, "ising", 4, 0.3, 1, 100, Budget(steps=0))


class Coins(Model):
    """Independent spins with frozen logits and a layer that has running statistics."""

    def __init__(self) -> None:
        super().__init__(Ising(4), TrainingOptions(batch_size=32))
        self.logits = nn.Parameter(torch.zeros(16), requires_grad=False)
        self.norm = nn.BatchNorm1d(16)

    def sample(self, n: int, *, beta: float, generator: torch.Generator) -> ModelDraws:
        spins = (2 * torch.randint(2, (n, 4, 4), generator=generator) - 1).to(torch.int8)
        self.norm(spins.flatten(1).float())  # changes the running statistics
        return ModelDraws(spins, self.log_prob(spins, beta=beta))

    def log_prob(self, spins: torch.Tensor, *, beta: float) -> torch.Tensor:
        return nn.functional.logsigmoid(spins.flatten(1).double() * self.logits).sum(1)


def context(cell: Cell) -> SimpleNamespace:
    return SimpleNamespace(
        cell=cell, device=torch.device("cpu"), target=Ising(4), generator=lambda role: torch.Generator().manual_seed(1)
    )


def test_running_statistics_stay_as_they_were():
    model = Coins()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    warm_up_model(context(CELL), model)
    assert {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])} == set()
    model.sample(8, beta=0.3, generator=torch.Generator())
    assert not torch.equal(model.norm.running_mean, before["norm.running_mean"]), "the layer does change"


def test_a_model_without_trainable_parameters_is_only_drawn_from():
    warm_up_model(context(CELL), Coins())
    with pytest.raises(RuntimeError, match="does not require grad"):
        warm_up_model(context(replace(CELL, budget=Budget(steps=1))), Coins())
