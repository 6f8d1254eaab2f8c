"""Deterministic counters, which the gate compares exactly. Lower is better for every counter."""

from typing import Any

from benchmarks.suite import build, feature
from benchmarks.work import draw, training_step

DRAWS = 64


def operations(work: Any) -> dict[str, int]:
    """Return the number of torch operations that `work` dispatches, and the bytes of all tensors that they return."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class Counter(TorchDispatchMode):
        calls = size = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            self.calls += 1
            self.size += sum(x.numel() * x.element_size() for x in tree_leaves(result) if torch.is_tensor(x))
            return result

    with Counter() as counter:
        work()
    return {"calls": counter.calls, "bytes": counter.size}


class Operations:
    """Counters of a model; `setup_cache` counts once for all benchmarks of the class."""

    params = [["hier", "van"], [8, 32]]
    param_names = ["plugin", "L"]
    version = "1"

    def setup_cache(self):
        return {(plugin, extent): self._count(plugin, extent) for plugin in self.params[0] for extent in self.params[1]}

    def _count(self, plugin, extent):
        """Return all counters of a model, or None if this commit lacks the plugin."""
        try:
            model, generator = build(plugin, extent)
        except NotImplementedError:
            return None
        counted = dict(model.costs())
        counted["parameters"] = sum(parameter.numel() for parameter in model.parameters())
        counted["draw"] = operations(lambda: draw(model, generator, DRAWS))
        counted["training_step"] = operations(lambda: training_step(model, generator, DRAWS))
        return counted

    def setup(self, counted, plugin, extent):
        self.counted = counted[plugin, extent]
        if self.counted is None:
            raise NotImplementedError(f"this commit has no plugin {plugin}")

    def track_parameters(self, counted, plugin, extent):
        return self.counted["parameters"]

    def track_operations_per_draw(self, counted, plugin, extent):
        return self.counted["flops_per_draw"]

    def track_network_calls_per_draw(self, counted, plugin, extent):
        return self.counted["network_calls_per_draw"]

    def track_launches_of_a_draw(self, counted, plugin, extent):
        return self.counted["draw"]["calls"]

    def track_bytes_of_a_draw(self, counted, plugin, extent):
        return self.counted["draw"]["bytes"]

    def track_launches_of_a_training_step(self, counted, plugin, extent):
        return self.counted["training_step"]["calls"]

    def track_bytes_of_a_training_step(self, counted, plugin, extent):
        return self.counted["training_step"]["bytes"]


for _name, _unit in {
    "parameters": "parameters",
    "operations_per_draw": "operations",
    "network_calls_per_draw": "calls",
    "launches_of_a_draw": "launches",
    "bytes_of_a_draw": "bytes",
    "launches_of_a_training_step": "launches",
    "bytes_of_a_training_step": "bytes",
}.items():
    getattr(Operations, f"track_{_name}").unit = _unit


class Imports:
    """Number of modules that the command line imports before it reads its arguments."""

    version = "1"
    unit = "modules"

    def track_modules_of_the_command_line(self):
        import subprocess
        import sys

        code = "import sys; before = set(sys.modules); import nisbench.cli; print(len(set(sys.modules) - before))"
        return int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)

    def setup(self):
        feature("nisbench.cli:main")
