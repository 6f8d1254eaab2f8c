"""Seconds and memory of a phase: the device is synchronised at both ends, and only the work lies in between."""

import ctypes
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

__all__ = ["Clock", "Phase"]

_PROC = Path("/proc/self")


@dataclass
class Phase:
    """What one phase took so far; a phase entered several times adds up its seconds and keeps its highest peak."""

    seconds: float = 0.0
    peak_host_bytes: int | None = None
    """high-water mark of the resident size, less the resident size when the phase was entered"""
    peak_device_bytes: int | None = None
    """most that the allocator of the device had given out; None on the cpu"""
    host_reason: str | None = None
    """why there is no host peak"""
    device_reason: str = "the cpu has no memory of its own"
    """why there is no device peak, where there is none"""

    def forget_peaks(self, reason: str) -> None:
        """For a phase of which this process did a part only."""
        self.peak_host_bytes, self.host_reason = None, reason
        if self.peak_device_bytes is not None:
            self.peak_device_bytes, self.device_reason = None, reason


class Clock:
    """Measures the phases of one cell on one device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.phases: dict[str, Phase] = {}
        self._active: str | None = None

    def now(self) -> float:
        """Seconds on a monotonic clock, after all work queued on the device is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    @contextmanager
    def phase(self, name: str) -> Iterator[Phase]:
        """Measures the block as (part of) phase `name`; phases do not nest, for the high-water mark is one.

        Memory that earlier phases left to the C library goes back to the system first; what a phase leaves there
        itself serves its next parts, as it does the steps of a training.
        """
        if self._active:
            raise RuntimeError(f"phase '{name}' inside phase '{self._active}'")
        self._active = name
        if name not in self.phases:
            self.phases[name] = Phase()
            _return_free_memory()
        phase = self.phases[name]
        resident, phase.host_reason = _reset_high_water_mark()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        start = self.now()
        try:
            yield phase
        finally:
            phase.seconds += self.now() - start
            if resident is not None:
                phase.peak_host_bytes = max(phase.peak_host_bytes or 0, _kernel_bytes("VmHWM") - resident, 0)
            if self.device.type == "cuda":
                peak = torch.cuda.max_memory_allocated(self.device)
                phase.peak_device_bytes = max(phase.peak_device_bytes or 0, peak)
            self._active = None


def _return_free_memory() -> None:
    """Gives the system what the C library keeps of earlier work, which would hide that much of the next phase's."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
    if trim is not None:
        trim(0)


def _reset_high_water_mark() -> tuple[int | None, str | None]:
    """The resident size from which the peak counts; or None and the reason why the kernel does not tell."""
    try:
        (_PROC / "clear_refs").write_text("5")
        return _kernel_bytes("VmRSS"), None
    except OSError as error:
        return None, f"the kernel does not reset the high-water mark: {error.strerror or error}"


def _kernel_bytes(key: str) -> int:
    """One entry of /proc/self/status, which counts in units of 1024 bytes."""
    for line in (_PROC / "status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {key}")
