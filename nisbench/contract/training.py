"""The interface between the training loop of a plugin and the core."""

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor

__all__ = ["TrainingReport"]


class TrainingReport(Protocol):
    """Leads the training loop of a plugin: it counts the steps, ends at the budget and saves checkpoints.

    def fit(self, *, beta, generator, budget, report):
        for step in report.steps():
            loss = ...
            report(loss=loss)
    """

    def steps(self) -> Iterator[int]:
        """Yields the numbers of the steps until the budget is used up: 0, 1, ...

        Before each step the generator of `fit` gets the seed of this step. If the plugin has `state_dict` (tensors by
        name) and `load_state_dict`, the core saves a checkpoint every 15 s and at the end. A training that was stopped
        continues there: `load_state_dict` is called before the first step, whose number is then larger than 0. The
        state of an optimiser belongs to `state_dict`. Checkpoints are not timed.
        """
        ...

    def reference(self) -> Tensor:
        """(m, L, L) int8 configurations of p, for a training on data.

        They are the first half of the configurations of the cell's reference cell, on the device of the cell. The time
        in which its sampler made them is charged as training, once, and counts for a budget in seconds. The second half
        judges a density. Raises PluginError if the cell has no reference or if this one left no configurations.
        """
        ...

    def __call__(self, **numbers: float) -> None:
        """Adds a line to the training history, with the step and the seconds so far.

        Names of quantities, `ess_fraction` or `kl_nats`, are drawn in the report. Lines are kept at steps that grow by
        a factor of 1.25.
        """
        ...
