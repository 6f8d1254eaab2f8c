"""Models on a device, their work as a call without arguments, and the time that such a call takes."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from benchmarks.gpu.process import Task
from benchmarks.gpu.settings import BETA
from nisbench.contract.catalog import load_catalog
from nisbench.contract.interfaces import Model
from nisbench.harness.adam import Adam
from nisbench.harness.clock import Clock
from nisbench.harness.gradient import WARM_UP, StepGradient
from nisbench.harness.limits import size_text

__all__ = ["Work", "build", "drawing", "model_names", "timed", "too_large", "training"]

Work = Callable[[], object]
COPIES = {"draw": 3, "step": 6}
"""Memory of a model in units of its parameters: weights, masks and masked weights; then gradients and Adam."""
SHARE = 0.6
"""of the device's memory for this, which leaves the rest for lattices and hidden units"""


def model_names(device: str) -> list[str]:
    """Plugins that are models for this kind of device."""
    plugins = load_catalog().plugins.values()
    return sorted(entry.name for entry in plugins if entry.kind == "model" and device in entry.devices)


def build(name: str, L: int, device: torch.device | str, dtype: torch.dtype = torch.float32) -> Model:
    """The model with default options and seeded parameters, built on the device itself."""
    catalog = load_catalog()
    entry = catalog.plugin(name)
    torch.manual_seed(1)
    with torch.device(device):
        model: Model = entry.load()(catalog.target("ising").load()(L), entry.options())
    return model.to(device, dtype)


def too_large(name: str, L: int, device: torch.device, what: str) -> str | None:
    """Why the model cannot draw or take a training step, before memory is allocated for it; None if it may fit."""
    if device.type != "cuda":
        return None
    parameters = sum(p.numel() * p.element_size() for p in build(name, L, "meta").parameters())
    needed, there = COPIES[what] * parameters, torch.cuda.get_device_properties(device).total_memory
    if needed <= SHARE * there:
        return None
    return f"does not fit: parameters and their copies take {size_text(needed)}, the device has {size_text(there)}"


def drawing(model: Model, n: int, seed: int = 1) -> Work:
    """Draws n configurations with ln q."""
    generator = torch.Generator(next(model.parameters()).device).manual_seed(seed)
    return lambda: model.sample(n, beta=BETA, generator=generator)


def training(model: Model, n: int, seed: int = 1) -> Work:
    """One step of the reverse-KL training: drawing, loss, gradient and Adam. On a device later calls repeat a graph."""
    generator = torch.Generator(next(model.parameters()).device).manual_seed(seed)
    compute_gradient = StepGradient(model, n, generator)
    optimizer = Adam([{"params": list(model.parameters()), "lr": 1e-4}], betas=(0.9, 0.999))

    def step() -> None:
        compute_gradient(BETA)
        optimizer.step()

    return step


def timed(task: Task, work: Work) -> Mapping[str, Any]:
    """Seconds of the first call, the least seconds of the later ones, their number and the device peak in bytes.

    On a device the first WARM_UP calls after the first one are not timed: then a training step is recorded.
    """
    clock = Clock(task.device)
    begin = clock.now()
    work()
    first = clock.now() - begin
    if task.device.type == "cuda":
        for _ in range(WARM_UP):
            work()
        torch.cuda.reset_peak_memory_stats()
    seconds: list[float] = []
    while not seconds or (len(seconds) < 50 and sum(seconds) < task.settings.repeat_s):
        begin = clock.now()
        work()
        seconds.append(clock.now() - begin)
    peak = torch.cuda.max_memory_allocated() if task.device.type == "cuda" else None
    return {"first_s": first, "seconds": min(seconds), "calls": len(seconds), "peak_bytes": peak}
