"""Measure seconds and peak memory of the phases of a cell. The device is synchronised at both ends of a phase."""

import ctypes
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from nisbench.contract.timing import PhaseTiming
from nisbench.harness.processor import Pulse, Stopwatch

__all__ = ["Clock", "Phase"]

_PROC = Path("/proc/self")


@dataclass
class Phase:
    """Time and memory of one phase. If it is entered several times, its seconds add up and the highest peak stays."""

    seconds: float = 0.0
    peak_host_bytes: int | None = None
    """Largest resident size during the phase minus the resident size at its start."""
    peak_device_bytes: int | None = None
    """Largest amount of memory that torch had allocated on the device; None on the cpu."""
    host_reason: str | None = None
    """Reason why the host peak is missing."""
    device_reason: str = "the cpu has no memory of its own"
    """Reason why the device peak is missing, if it is."""
    timing: PhaseTiming = field(default_factory=PhaseTiming)
    """Wall time, CPU time and lost time."""

    def forget_peaks(self, reason: str) -> None:
        """Remove the peaks of a phase of which an earlier process did a part."""
        self.peak_host_bytes, self.host_reason = None, reason
        if self.peak_device_bytes is not None:
            self.peak_device_bytes, self.device_reason = None, reason


class Clock:
    """Measures the phases of one cell on one device. Without a `pulse`, stops of the process are not seen."""

    def __init__(self, device: torch.device, pulse: Pulse | None = None) -> None:
        self.device = device
        self.pulse = pulse
        self.phases: dict[str, Phase] = {}
        self.parts: dict[str, PhaseTiming] = {}
        """Times of the parts of a cell that `part` has measured."""
        self._active: str | None = None

    def now(self) -> float:
        """Return the seconds of a monotonic clock, after the device has finished its queue."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def stopwatch(self, spent: PhaseTiming | None = None) -> Stopwatch:
        """Return a stopwatch that sees the stops of this process and goes on from `spent`."""
        return Stopwatch(self.pulse, spent)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measure the times of the body of the `with` statement, without its memory. Parts may lie inside phases."""
        watch = self.stopwatch()
        watch.start()
        try:
            yield
        finally:
            self.now()  # waits for the device
            watch.stop()
            self.parts[name] = self.parts.get(name, PhaseTiming()) + watch.spent

    @contextmanager
    def phase(self, name: str) -> Iterator[Phase]:
        """Measure the body of the `with` statement as a part of phase `name`.

        Phases do not nest, because the kernel has one high-water mark. When a phase begins, memory that the C library
        keeps from earlier phases is returned to the system. Memory that the phase itself frees may stay there for its
        later parts, as it does between training steps.
        """
        if self._active:
            raise RuntimeError(f"phase '{name}' inside phase '{self._active}'")
        self._active = name
        if name not in self.phases:
            self.phases[name] = Phase()
            _return_free_memory()
        phase = self.phases[name]
        # Two entries of one phase are two measurements, so the peak counts from the size at each entry.
        resident, phase.host_reason = _reset_high_water_mark()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        watch = self.stopwatch()
        watch.start()
        start = self.now()
        try:
            yield phase
        finally:
            seconds = self.now() - start
            phase.seconds += seconds
            watch.stop(wall_s=seconds)
            phase.timing += watch.spent
            if resident is not None:
                phase.peak_host_bytes = max(phase.peak_host_bytes or 0, _kernel_bytes("VmHWM") - resident, 0)
            if self.device.type == "cuda":
                peak = torch.cuda.max_memory_allocated(self.device)
                phase.peak_device_bytes = max(phase.peak_device_bytes or 0, peak)
            self._active = None


def _return_free_memory() -> None:
    """Return freed memory to the system. Memory kept by the C library would hide that much of the next phase's peak."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
    if trim is not None:
        trim(0)


def _reset_high_water_mark() -> tuple[int | None, str | None]:
    """Reset the kernel's high-water mark; return the resident size, or None and the reason for a refusal."""
    try:
        (_PROC / "clear_refs").write_text("5")  # proc(5): 5 sets VmHWM to the present resident size
        return _kernel_bytes("VmRSS"), None
    except OSError as error:
        return None, f"the kernel does not reset the high-water mark: {error.strerror or error}"


def _kernel_bytes(key: str) -> int:
    """Return one entry of /proc/self/status in bytes; the file counts in units of 1024 bytes."""
    for line in (_PROC / "status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {key}")
