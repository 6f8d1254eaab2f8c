"""Plugins with a training loop of their own, and hooks for tests to stop and watch it."""

from dataclasses import dataclass, field, replace

import torch
from torch import nn
from torch.nn.functional import logsigmoid

from nisbench.api import (
    ChainDraws,
    ChainSampler,
    Model,
    ModelDraws,
    TrainingOptions,
    WeightedDraws,
    WeightedSampler,
)
from nisbench.contract import catalog
from nisbench.contract.catalog import Entry
from nisbench.contract.options import NoOptions

STOP_AT: int | None = None
"""Step at which the training raises Stopped."""
SEEN: list[int] = []
"""Steps that were made."""
PREPARED: list[int] = []
"""Steps of training of each instance that was prepared."""
FROZEN = False
"""True for parameters without gradient."""


class Stopped(Exception):
    """Stands for a kill."""


@dataclass(frozen=True)
class Options:
    """Options of `own-model`."""

    trained_s: float = field(default=0.0, metadata={"help": "seconds of training elsewhere"})
    trained_on: str = field(default="V100", metadata={"help": "device of this training"})


def _pause(step: int) -> None:
    if step == STOP_AT:
        raise Stopped
    SEEN.append(step)


class OwnModel(Model):
    """Independent spins with fields, trained by plain gradient steps with noise."""

    def __init__(self, target, options):
        super().__init__(target, options)
        self.bias = nn.Parameter(torch.zeros(target.n_sites), requires_grad=not FROZEN)

    @classmethod
    def unsupported(cls, target, options, *, beta):
        return f"too cold: beta = {beta}" if beta > 5 else None

    def fit(self, *, beta, generator, budget, report):
        for step in report.steps():
            _pause(step)
            batch = self.training_batch(64, beta=beta, generator=generator)
            (gradient,) = torch.autograd.grad(batch.loss(), [self.bias])
            with torch.no_grad():
                self.bias -= 0.1 * gradient
            report(loss=float(batch.signal.mean()))

    def sample(self, n, *, beta, generator):
        with torch.no_grad():
            uniform = torch.rand((n, self.target.n_sites), generator=generator, dtype=self.bias.dtype)
            spins = torch.where(uniform < self.bias.sigmoid(), 1, -1).to(torch.int8)
            lattice = spins.view(n, self.target.L, self.target.L)
            return ModelDraws(lattice, self.log_prob(lattice, beta=beta))

    def log_prob(self, spins, *, beta):
        return logsigmoid(spins.flatten(1).to(self.bias.dtype) * self.bias).sum(1, dtype=torch.float64)


class Frozen(OwnModel):
    """The same model, which the core would train."""

    fit = Model.fit


class OnData(OwnModel):
    """Fields that make the given configurations of p most probable, step by step."""

    def fit(self, *, beta, generator, budget, report):
        data = (report.reference() > 0).flatten(1).to(self.bias.dtype)  # (m, N) of 0 and 1
        for step in report.steps():
            _pause(step)
            with torch.no_grad():
                self.bias += data.mean(0) - self.bias.sigmoid()


class OwnChain(ChainSampler):
    """Independent draws at beta = 0 whose training counts its steps and collects random numbers."""

    def __init__(self, target, options):
        super().__init__(target, options)
        self.steps, self.shift = torch.tensor(0), torch.tensor(0)

    def fit(self, *, beta, generator, budget, report):
        for step in report.steps():
            _pause(step)
            self.steps = self.steps + 1
            self.shift = self.shift + torch.randint(1000, (), generator=generator)

    def state_dict(self):
        return {"steps": self.steps, "shift": self.shift}

    def load_state_dict(self, tensors):
        self.steps, self.shift = tensors["steps"], tensors["shift"]

    def prepare(self, *, beta, generator):
        PREPARED.append(int(self.steps))
        self._own = torch.Generator().manual_seed(int(self.shift))

    def draw(self, n, *, generator):
        shape = (n, 4, self.target.L, self.target.L)
        return ChainDraws((2 * torch.randint(2, shape, generator=self._own) - 1).to(torch.int8))


class ChainOnData(OwnChain):
    """The same chain, whose training counts the given configurations of p in each step."""

    def fit(self, *, beta, generator, budget, report):
        data = report.reference()
        for _ in report.steps():
            self.steps = self.steps + 1
            self.shift = self.shift + len(data)


class WeightedOnData(WeightedSampler):
    """Independent spins, whose fields are fitted to the given configurations of p, with their weights."""

    def __init__(self, target, options):
        super().__init__(target, options)
        self.field = torch.zeros(target.n_sites, dtype=torch.float64)

    def fit(self, *, beta, generator, budget, report):
        data = report.reference().flatten(1).double()
        for _ in report.steps():
            self.field = self.field + 0.1 * (data.mean(0) - self.field.tanh())

    def prepare(self, *, beta, generator):
        self._beta = beta

    def draw(self, n, *, generator):
        uniform = torch.rand(n, self.target.n_sites, generator=generator, dtype=torch.float64)
        flat = torch.where(uniform < (2 * self.field).sigmoid(), 1, -1)
        spins = flat.to(torch.int8).view(n, self.target.L, self.target.L)
        log_q = logsigmoid(2 * self.field * flat).sum(1)
        return WeightedDraws(spins, -self._beta * self.target.energy(spins) - log_q, normalised=True)


def register(monkeypatch) -> None:
    """Adds the plugins to every catalogue of this process."""
    entry = Entry("own-model", "model", "tests", "1", options=Options, factory=f"{__name__}:OwnModel", trains=True)
    entries = {
        "own-model": entry,
        "frozen": replace(entry, name="frozen", options=TrainingOptions, factory=f"{__name__}:Frozen", trains=False),
        "on-data": replace(entry, name="on-data", factory=f"{__name__}:OnData", options=NoOptions, trained_s=7.0),
        "own-chain": (
            chain := Entry("own-chain", "sampler", "tests", "1", factory=f"{__name__}:OwnChain", trains=True)
        ),
        "chain-on-data": replace(chain, name="chain-on-data", factory=f"{__name__}:ChainOnData"),
        "weighted-on-data": replace(chain, name="weighted-on-data", factory=f"{__name__}:WeightedOnData"),
    }
    load = catalog.load_catalog

    def with_these(*arguments, **options):
        found = load(*arguments, **options)
        return replace(found, plugins={**found.plugins, **entries})

    for module in ("contract.catalog", "harness.selection", "harness.build"):
        monkeypatch.setattr(f"nisbench.{module}.load_catalog", with_these)
    monkeypatch.setattr("fakes.runs.load_catalog", with_these)
