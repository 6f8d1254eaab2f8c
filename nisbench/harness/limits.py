"""What the kernel is asked for in a worker: to die with its parent, and to get no more memory than agreed."""

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
"""weights, their gradient and the two moments of Adam"""


class OverLimitError(NisbenchError):
    """A cell that needs more memory than it may have, known before it started."""

    def __init__(self, message: str, needed: int) -> None:
        super().__init__(message)
        self.needed = needed


def die_with_parent(parent: int) -> None:
    """Ends this process when its parent ends, also by SIGKILL; exits at once where it is gone already."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit(f"the parent process {parent} is gone")


def limit_memory(limit: int, device: torch.device) -> None:
    """Lets the process have at most `limit` bytes: of private memory on the cpu, of the allocator on a device."""
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit / total), device)
        return
    taken = int(Path("/proc/self/statm").read_text().split()[5]) * os.sysconf("SC_PAGE_SIZE")
    if taken > limit:
        raise OverLimitError(
            f"the memory limit is {size_text(limit)}, and the libraries alone have taken {size_text(taken)}", taken
        )
    resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.RLIM_INFINITY))


def check_training_memory(model: nn.Module, limit: int | None, device: torch.device) -> int:
    """The bytes that training takes at least; raises OverLimitError where weights, gradient and
    Adam's moments of a model on `meta` exceed the memory.

    The memory is `limit`, or without one all that the device has. Activations come on top, so a model that passes may
    still run out.
    """
    parameters = sum(p.numel() * p.element_size() for p in model.parameters())
    buffers = sum(b.numel() * b.element_size() for b in model.buffers())
    needed = _TRAINING_COPIES * parameters + buffers
    available = limit if limit is not None else _memory_of(device)
    if needed > available:
        count = sum(p.numel() for p in model.parameters())
        room = f"{'the memory limit is' if limit is not None else f'the {device.type} has'} {size_text(available)}"
        raise OverLimitError(
            f"training {count:,} parameters with Adam needs at least {size_text(needed)}; {room}",
            needed,
        )
    return needed


def _memory_of(device: torch.device) -> int:
    """Return the memory of the device in bytes."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return physical_memory()


def size_text(n: int) -> str:
    """A number of bytes for people."""
    return f"{n / 2**30:.2f} GiB" if n >= 2**29 else f"{n / 2**20:.0f} MiB"
