"""Stage `draws`: time, launches and memory of a batch of draws against the lattice size."""

import functools
from collections.abc import Mapping
from typing import Any

import torch

from benchmarks.gpu.ceilings import matmul
from benchmarks.gpu.models import build, drawing, model_names, timed, too_large
from benchmarks.gpu.process import Task
from nisbench.harness.cost import kernel_launches

__all__ = ["run"]


def run(task: Task) -> None:
    """Goes through the sizes, at each through the models; a model that does not fit is left out from there on."""
    rate = matmul(task)
    fitting = model_names(task.settings.device)
    for L in task.settings.sizes:
        for name in list(fitting):
            reason = too_large(name, L, task.device, "draw")
            if reason:
                task.row("draws", plugin=name, L=L, note=reason)
            work = functools.partial(_draws, task, name, L, rate)
            if reason or not task.attempt("draws", work, plugin=name, L=L):
                fitting.remove(name)
            if task.device.type == "cuda":
                torch.cuda.empty_cache()


def _draws(task: Task, name: str, L: int, rate: float) -> Mapping[str, Any]:
    model = build(name, L, task.device)
    n = max(1, min(task.settings.draw_batch, task.settings.draw_spins // L**2))
    work = drawing(model, n)
    found = timed(task, work)
    launches = kernel_launches(work) if task.device.type == "cuda" else None
    operations = model.costs().get("flops_per_draw")
    return {
        "batch": n,
        "ms_per_1000": 1e6 * found["seconds"] / n,
        "launches": None if launches is None else launches.value,
        "peak_bytes": found["peak_bytes"],
        "of_ceiling": None if operations is None else operations * n / found["seconds"] / rate,
        "first_s": found["first_s"],
    }
