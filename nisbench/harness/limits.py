"""Limits of a worker process: it ends with its parent, and it cannot use more memory than its limit."""

import ctypes
import os
import resource
import signal
from pathlib import Path

import torch
from torch import nn

from nisbench.errors import NisbenchError
from nisbench.harness.environment import physical_memory

__all__ = ["OverLimitError", "check_training_memory", "die_with_parent", "limit_memory", "size_text"]

_PR_SET_PDEATHSIG = 1
_TRAINING_COPIES = 4
"""Weights, gradient and the two moments of Adam."""


class OverLimitError(NisbenchError):
    """The cell needs more memory than its limit. `needed` is in bytes."""

    def __init__(self, message: str, needed: int) -> None:
        super().__init__(message)
        self.needed = needed


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends. Exit now if the parent has ended already."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit(f"the parent process {parent} is gone")


def limit_memory(limit: int, device: torch.device) -> None:
    """Limit the memory of this process to `limit` bytes: private memory on the cpu, allocated memory on a GPU."""
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit / total), device)
        return
    # Field 6 of statm: private writable memory in pages, which RLIMIT_DATA limits.
    taken = int(Path("/proc/self/statm").read_text().split()[5]) * os.sysconf("SC_PAGE_SIZE")
    if taken > limit:
        raise OverLimitError(
            f"the memory limit is {size_text(limit)}, and the libraries alone have taken {size_text(taken)}", taken
        )
    resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.RLIM_INFINITY))


def check_training_memory(model: nn.Module, limit: int | None, device: torch.device) -> int:
    """Return the bytes that training `model` (which may be on the device `meta`) needs at least.

    Weights, gradient and the moments of Adam are counted. Activations are not, so a model that passes may still run
    out of memory.

    Raises
    ------
    OverLimitError
        If this exceeds `limit`, or the memory of the device if there is no limit (bytes).
    """
    parameters = sum(p.numel() * p.element_size() for p in model.parameters())
    buffers = sum(b.numel() * b.element_size() for b in model.buffers())
    needed = _TRAINING_COPIES * parameters + buffers
    available = limit if limit is not None else _memory_of(device)
    if needed > available:
        count = sum(p.numel() for p in model.parameters())
        room = f"{'the memory limit is' if limit is not None else f'the {device.type} has'} {size_text(available)}"
        message = f"training {count:,} parameters with Adam needs at least {size_text(needed)}; {room}"
        raise OverLimitError(message, needed)
    return needed


def _memory_of(device: torch.device) -> int:
    """Return the memory of the device in bytes."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return physical_memory()


def size_text(n: int) -> str:
    """Return a number of bytes as text, in MiB or GiB."""
    return f"{n / 2**30:.2f} GiB" if n >= 2**29 else f"{n / 2**20:.0f} MiB"
