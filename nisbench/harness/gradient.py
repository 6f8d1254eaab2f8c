"""The gradient of a training step. A CUDA device repeats it as one CUDA graph where the model allows that.

A step of a small model starts hundreds of short kernels, and the device waits for the launch of each. A graph records
the launches of one step and then starts all of them at once. The kernels and their random numbers stay the same, so a
replayed step has the gradient of a step that is not replayed, bit by bit.
"""

import torch
from torch import Generator

from nisbench.contract.interfaces import Model
from nisbench.errors import PluginError, one_line
from nisbench.physics.pairwise import PairwiseTarget

__all__ = ["WARM_UP", "StepGradient"]

WARM_UP = 3
"""Steps at one beta before the recording. They compile the kernels and fill the caches, which a recording cannot do."""


class StepGradient:
    """Draws batches and leaves the gradient of their loss in the parameters.

    The generator belongs to this object: a recorded step draws from it, beginning at the seed that it has at the call.
    """

    def __init__(self, model: Model, n: int, generator: Generator) -> None:
        self.model, self.n, self.generator = model, n, generator
        # the energy of another target may copy from the host
        known = model.capturable and isinstance(model.target, PairwiseTarget)
        self._recordable = known and generator.device.type == "cuda"
        self._beta, self._calls = float("nan"), 0
        self._graph: torch.cuda.CUDAGraph | None = None

    @property
    def recorded(self) -> bool:
        """True if the last call repeated a recorded step."""
        return self._graph is not None

    def __call__(self, beta: float) -> None:
        """Set `grad` of every parameter to the gradient at this beta; the old ones are dropped."""
        if beta != self._beta:  # beta is a constant in a recording
            self._beta, self._calls, self._graph = beta, 0, None
        if self._graph is None and self._recordable and self._calls >= WARM_UP:
            self._graph = self._record()
        if self._graph is None:
            self._compute()
            self._calls += 1
        else:
            self._graph.replay()

    def _compute(self) -> None:
        self.model.zero_grad()
        batch = self.model.training_batch(self.n, beta=self._beta, generator=self.generator)
        batch.loss().backward()  # type: ignore[no-untyped-call]

    def _record(self) -> torch.cuda.CUDAGraph:
        """Record a step without executing it; its gradients keep their place in memory.

        Raises PluginError if the step waits for the device or copies from the host.
        """
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        graph.register_generator_state(self.generator)  # a replay begins at the generator's seed
        try:
            with torch.cuda.graph(graph):
                self._compute()
        except RuntimeError as error:
            torch.cuda.set_stream(stream)  # a failed end of the recording leaves its own stream selected
            cause = error.__context__ or error  # this end raises an error of its own, which hides the first one
            if isinstance(cause, torch.OutOfMemoryError):
                raise cause from None
            name = type(self.model).__name__
            raise PluginError(
                f"{name} has capturable = True, but its training step cannot be recorded ({one_line(str(cause))}); "
                "remove what waits for the device or copies from the host, or set capturable = False"
            ) from error
        return graph
