"""Lead the training loop of a plugin: budget, random numbers, history, checkpoints and counts."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Generator, Tensor

from nisbench.contract.catalog import Entry
from nisbench.contract.interfaces import Sampler
from nisbench.contract.quantities import N_PARAMETERS, PARAMETER_BYTES, TRAIN_S, TRAIN_STEP_S, TRAIN_STEPS
from nisbench.contract.records import Budget, Estimate
from nisbench.errors import PluginError
from nisbench.harness.cell_files import CellFiles
from nisbench.harness.checkpoint import newest_checkpoint, write_checkpoint
from nisbench.harness.context import CellContext
from nisbench.harness.grow import continued_from
from nisbench.harness.source import loaded_source
from nisbench.harness.training_data import training_data

__all__ = ["DryReport", "declared_training", "fit", "trains"]

_CHECKPOINT_S = 15.0
_SPACING = 1.25
"""Ratio of successive steps at which a line of the history is kept."""


def trains(budget: Budget | None) -> bool:
    """Return True if the budget allows training."""
    return budget not in (None, Budget(steps=0), Budget(seconds=0.0))


def fit(context: CellContext, sampler: Sampler) -> dict[str, Estimate]:
    """Train a sampler that has a training loop of its own, and return time, steps and number of parameters.

    A checkpoint in the folder of the cell is continued. With a budget of zero the sampler is not called.
    """
    budget = context.cell.budget
    if budget is None or not trains(budget):
        return {TRAIN_S: Estimate(0.0), TRAIN_STEPS: Estimate(0.0), **_sizes(sampler)}
    generator = context.generator("train")
    context.stage("train")
    report = _Report(context, sampler, budget, generator)
    with context.clock.phase("train") as phase:
        sampler.fit(beta=context.cell.beta, generator=generator, budget=budget, report=report)
    phase.seconds += report.earlier_s - report.untimed_s
    report.finish()  # after the phase, so that its time is not taken off
    reason = None
    if report.data_s:
        context.notes["training data"] = context.uses_data[0]
        reason = f"{report.data_s:.3g} s of it for configurations of p"
    if report.resumed:
        phase.forget_peaks("the training was resumed: its peak may lie in an earlier process")
    total = Estimate(phase.seconds + report.data_s, reason=reason)
    return {TRAIN_S: total, **report.counts(phase.seconds), **_sizes(sampler)}


def declared_training(
    entry: Entry, options: Any, measured: Estimate | None, files: CellFiles
) -> tuple[dict[str, Estimate], dict[str, str]]:
    """Return train_s with the seconds of training that happened elsewhere, and notes on what this cell did not train.

    A plugin declares such a training by `trained_s`, in seconds, and `trained_on`, the device: at its registration, or
    by options of these names, which come first.
    """
    earlier = continued_from(files)
    notes = {} if earlier is None else {"training": earlier}
    seconds = float(getattr(options, "trained_s", entry.trained_s))
    if not seconds:
        return {}, notes
    device = str(getattr(options, "trained_on", entry.trained_on)) or "a device that is not stated"
    here = measured.value if measured is not None and measured.value is not None else 0.0
    text = f"{seconds:g} s on {device}, declared by the plugin and not measured here"
    return {TRAIN_S: Estimate(seconds + here, reason=text)}, {**notes, "trained elsewhere": text}


class DryReport:
    """A report that leaves no trace: the core compiles a plugin with it before the clock starts."""

    def __init__(
        self,
        n_steps: int = 1,
        before: Callable[[int], object] | None = None,
        data: Callable[[], Tensor] | None = None,
    ) -> None:
        self._n_steps, self._before, self._data = n_steps, before, data

    def steps(self) -> Iterator[int]:
        """Yield the numbers of the steps, each after a call of `before`."""
        for step in range(self._n_steps):
            if self._before:
                self._before(step)
            yield step

    def reference(self) -> Tensor:
        """Return the configurations of p, without a charge."""
        if self._data is None:
            raise PluginError("there are no configurations of p here")
        return self._data()

    def __call__(self, **numbers: float) -> None:
        """Do nothing."""


class _Report:
    """The report of a cell: `nisbench.contract.training.TrainingReport` describes it."""

    def __init__(self, context: CellContext, sampler: Sampler, budget: Budget, generator: Generator) -> None:
        self._context, self._sampler, self._budget, self._generator = context, sampler, budget, generator
        self.step, self.earlier_s, self.untimed_s, self.resumed = 0, 0.0, 0.0, False
        self.data_s = 0.0
        self._counted = False
        self._source = loaded_source(*context.factories).sha256
        self._begin = self._saved_at = time.perf_counter()
        if self._has_state:
            self._load()
        context.files.keep_history_until(self.step)
        self._next_line = self.step + 1

    @property
    def seconds(self) -> float:
        """Seconds of training so far, without checkpoints, and with those of earlier processes and of the data."""
        return self.data_s + self.earlier_s + self._context.clock.now() - self._begin - self.untimed_s

    def steps(self) -> Iterator[int]:
        """Yield the numbers of the steps until the budget is used up."""
        self._counted = True
        with self._context.stop.postponed() as stop:
            while not self._used_up():
                self._generator.manual_seed(self._context.seed(f"train/{self.step}"))
                yield self.step
                self.step += 1
                if stop.name or time.perf_counter() - self._saved_at > _CHECKPOINT_S:
                    self._save()
                stop.check()

    def reference(self) -> Tensor:
        """Return the configurations of p; the time to read them is not the plugin's, the time to draw them is."""
        begin = time.perf_counter()
        data = training_data(self._context.store, self._context.cell, self._context.device)
        self._charge(data.seconds, data.note)
        self.untimed_s += time.perf_counter() - begin
        return data.spins

    def __call__(self, **numbers: float) -> None:
        """Add a line to the history."""
        step = self.step + 1  # the plugin reports within a step
        if self._counted and step < self._next_line:
            return
        self._next_line = max(step + 1, int(step * _SPACING))
        begin = time.perf_counter()
        values = {name: float(value) for name, value in numbers.items()}
        self._context.files.append_history({"step": step, "seconds": self.seconds, **values})
        self.step += not self._counted
        self.untimed_s += time.perf_counter() - begin

    def finish(self) -> None:
        """Save the trained state."""
        if self._counted:
            self._save()

    def counts(self, seconds: float) -> dict[str, Estimate]:
        """Return the number of steps and the seconds of one; nothing if the plugin does not count its steps."""
        if not self._counted:
            return {}
        steps = self.step
        each = Estimate(seconds / steps, n=steps) if steps else Estimate.missing("no training")
        return {TRAIN_STEPS: Estimate(float(steps)), TRAIN_STEP_S: each}

    @property
    def _has_state(self) -> bool:
        return hasattr(self._sampler, "state_dict") and hasattr(self._sampler, "load_state_dict")

    def _used_up(self) -> bool:
        if self._budget.steps is not None:
            return self.step >= self._budget.steps
        return self.seconds >= (self._budget.seconds or 0.0)

    def _save(self) -> None:
        if not self._has_state:
            return
        begin = time.perf_counter()
        facts = {"step": str(self.step), "seconds": repr(self.seconds - self.data_s), "source": self._source}
        if self.data_s:
            facts |= {"data_s": repr(self.data_s), "data": self._context.uses_data[0]}
        state: Any = self._sampler
        tensors = state.state_dict()
        if not all(isinstance(value, Tensor) for value in tensors.values()):
            raise PluginError("state_dict of the plugin contains values that are not tensors; give tensors by name")
        write_checkpoint(self._context.files, tensors, facts)
        self._saved_at = time.perf_counter()
        self.untimed_s += self._saved_at - begin

    def _load(self) -> None:
        """Continue the newest checkpoint, unless it is that of another source."""
        source = None if self._context.keep else self._source
        found = newest_checkpoint(self._context.files, self._context.device, source)
        if found.note:
            self._context.notes["checkpoint"] = found.note
        if found.tensors is None:
            return
        state: Any = self._sampler
        state.load_state_dict(found.tensors)
        self.step, self.earlier_s, self.resumed = int(found.facts["step"]), float(found.facts["seconds"]), True
        if "data" in found.facts:
            self._charge(float(found.facts["data_s"]), found.facts["data"])

    def _charge(self, seconds: float, note: str) -> None:
        """Charge the time of the configurations of p, once."""
        self.data_s, self._context.uses_data[:] = seconds, [note]


def _sizes(sampler: Sampler) -> Mapping[str, Estimate]:
    """Return number and bytes of the parameters; nothing if the plugin has no method `parameters`."""
    parameters = getattr(sampler, "parameters", None)
    if not callable(parameters):
        return {}
    tensors = [value for value in parameters() if isinstance(value, torch.Tensor)]
    return {
        N_PARAMETERS: Estimate(float(sum(p.numel() for p in tensors))),
        PARAMETER_BYTES: Estimate(float(sum(p.numel() * p.element_size() for p in tensors))),
    }
