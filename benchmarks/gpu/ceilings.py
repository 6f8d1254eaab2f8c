"""Stage `ceilings`: the most that the device can do, measured in one process."""

import math

import torch

from benchmarks.gpu.process import Task
from nisbench.harness.clock import Clock
from nisbench.harness.cost import matmul_rate

__all__ = ["matmul", "run"]

LAUNCHES = 1000


def run(task: Task) -> None:
    """Records the float32 matrix product, the copy bandwidth and the launch latency."""
    clock = Clock(task.device)
    extent, size = task.settings.gemm, task.settings.copied_bytes
    task.attempt(
        "ceilings",
        lambda: {"value": matmul(task) / 1e12, "unit": "TFLOP/s"},
        quantity=f"float32 product of two {extent} x {extent} matrices",
    )
    task.attempt(
        "ceilings",
        lambda: {"value": copy_rate(clock, size) / 1e9, "unit": "GB/s"},
        quantity=f"copy of {size / 2**20:.0f} MiB, bytes read and written",
    )
    task.attempt(
        "ceilings",
        lambda: {"value": 1e6 * launch_seconds(clock, wait=False), "unit": "us"},
        quantity="launch of a small kernel, one after the other",
    )
    task.attempt(
        "ceilings",
        lambda: {"value": 1e6 * launch_seconds(clock, wait=True), "unit": "us"},
        quantity="launch of a small kernel, each waited for",
    )


def matmul(task: Task) -> float:
    """Operations per second of a float32 matrix product; TF32 stays off, as in the process of a cell."""
    return matmul_rate(Clock(task.device), task.settings.gemm)


def copy_rate(clock: Clock, size: int, repeats: int = 5) -> float:
    """Bytes read and written per second: the best of some copies."""
    source = torch.ones(size // 4, device=clock.device)
    copy, best = torch.empty_like(source), math.inf
    for _ in range(repeats + 1):
        begin = clock.now()
        copy.copy_(source)
        best = min(best, clock.now() - begin)
    return 2 * size / best


def launch_seconds(clock: Clock, *, wait: bool) -> float:
    """Seconds of an addition to 32 numbers."""
    x = torch.zeros(32, device=clock.device)
    x.add_(1)
    begin = clock.now()
    for _ in range(LAUNCHES):
        x.add_(1)
        if wait:
            clock.now()
    return (clock.now() - begin) / LAUNCHES
