"""Stage `steps`: a training step over a draw of the same batch, and the kernels in which its time goes."""

import functools
from collections.abc import Mapping
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.models import Work, build, drawing, model_names, timed, too_large, training
from benchmarks.gpu.process import Task

__all__ = ["run"]

TOP = 10
"""Kernels of a profile that are shown."""
LONGEST_NAME = 60


def run(task: Task) -> None:
    """Goes through the sizes, at each through the models; a model that does not fit is left out from there on."""
    fitting = model_names(task.settings.device)
    for L in task.settings.sizes:
        for name in list(fitting):
            reason = too_large(name, L, task.device, "step")
            if reason:
                task.row("steps", plugin=name, L=L, note=reason)
            work = functools.partial(_step, task, name, L)
            if reason or not task.attempt("steps", work, plugin=name, L=L):
                fitting.remove(name)
            if task.device.type == "cuda":
                torch.cuda.empty_cache()


def _step(task: Task, name: str, L: int) -> Mapping[str, Any]:
    model = build(name, L, task.device)
    n = max(2, min(task.settings.step_batch, task.settings.draw_spins // 8 // L**2))
    draw = timed(task, drawing(model, n))["seconds"]
    step = training(model, n)
    found = timed(task, step)
    if L in task.settings.profiled:
        _profile(task, step, plugin=name, L=L)
    return {
        "batch": n,
        "step_ms": 1e3 * found["seconds"],
        "draw_ms": 1e3 * draw,
        "ratio": found["seconds"] / draw,
        "peak_bytes": found["peak_bytes"],
        "first_s": found["first_s"],
    }


def _profile(task: Task, step: Work, **keys: Any) -> None:
    """Records the kernels that take most of a step; on the CPU the operations of torch."""
    on_device = task.device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if on_device else ProfilerActivity.CPU], acc_events=True) as found:
        step()
        if on_device:
            torch.cuda.synchronize()
    times = {e.key: (e.self_device_time_total if on_device else e.self_cpu_time_total) for e in found.key_averages()}
    calls = {event.key: event.count for event in found.key_averages()}
    total = sum(times.values())
    for key in sorted(times, key=lambda key: -times[key])[:TOP]:
        share = times[key] / total if total else None
        task.row("kernels", **keys, kernel=key[:LONGEST_NAME], calls=calls[key], ms=times[key] / 1e3, share=share)
