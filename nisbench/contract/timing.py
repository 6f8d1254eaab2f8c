"""The records of a cell's timing: `Timing`, `PhaseTiming`, `Unclocked`. They say how far its times can be relied on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["PhaseTiming", "Timing", "Unclocked", "UnclockedPart"]

_LOST = 0.1
"""Largest share of a phase that may be lost to other load or to a stop before its time counts as disturbed."""
_LOST_S = 0.05
"""Shortest time that must be lost as well. A phase of some milliseconds loses a tenth on a quiet machine, too; the
spread of its chunks shows it."""
_OTHERS = 0.1
"""Largest share of the cores that other processes may take. They slow a cell even on cores of their own, because cores
share caches, memory and clock rate."""
_STOLEN = 0.05
"""Largest share of its time that a virtual machine may lose to others."""
_SUSPENDED_S = 0.1
"""Shortest suspension of the machine that counts, in seconds; the two clocks are not read at the same instant."""

UnclockedPart = Literal["import", "first calls", "background"]
"""Work of a plugin that no cost contains: while it is imported, in its first calls, or in a thread or process of its
own between the calls."""

_WORDS: Mapping[UnclockedPart, str] = {
    "import": "importing the plugin took {:.1f} s of CPU time, libraries left out",
    "first calls": "the first calls took {:.1f} s of CPU time more than the later ones, compilation left out",
    "background": "a thread or process of the plugin works between the calls, on {:.1f} cores",
}


@dataclass(frozen=True)
class PhaseTiming:
    """Wall time and CPU time of a phase, and the parts of the wall time in which the process could not work."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    """CPU seconds of the process with all its threads and children."""
    stopped_s: float = 0.0
    """Seconds in which the process was stopped, by SIGSTOP or by a frozen container."""
    waited_s: float = 0.0
    """Seconds for which the thread that waited longest was ready to run but had no core."""
    suspended_s: float = 0.0
    """Seconds for which the machine was suspended; they are not part of the wall time."""

    def __add__(self, other: "PhaseTiming") -> "PhaseTiming":
        """Return the sum of each field."""
        return PhaseTiming(
            self.wall_s + other.wall_s,
            self.cpu_s + other.cpu_s,
            self.stopped_s + other.stopped_s,
            self.waited_s + other.waited_s,
            self.suspended_s + other.suspended_s,
        )

    @property
    def lost(self) -> float:
        """Share of the wall time in which the process was stopped or waited for a core, between 0 and 1."""
        return min(1.0, (self.stopped_s + self.waited_s) / self.wall_s) if self.wall_s > 0 else 0.0


@dataclass(frozen=True)
class Unclocked:
    """CPU time of a plugin that is part of no cost."""

    part: UnclockedPart
    amount: float
    """CPU seconds; for `background` the number of cores."""

    @property
    def reason(self) -> str:
        """The fact as a sentence without a full stop."""
        return _WORDS[self.part].format(self.amount)


@dataclass(frozen=True)
class Timing:
    """The machine while a cell was measured, and the times of its phases `prepare`, `train` and `draw`."""

    load_average: float
    """Number of processes that were ready to run, mean over the minute before the end of the cell."""
    cores: int
    """Cores of the machine, whether or not the cell might use them."""
    others: float = 0.0
    """Cores that other processes took, mean over the cell."""
    stolen: float = 0.0
    """Share of the busy time of a virtual machine in which its host ran something else."""
    throttled_s: float = 0.0
    """Seconds in which the quota of the control group stopped the process."""
    phases: Mapping[str, PhaseTiming] = field(default_factory=dict)
    unclocked: tuple[Unclocked, ...] = ()
    """Work of the plugin that no cost contains."""
    concurrent: int = 1
    """Largest number of cells that the run worked on at a time on this machine."""
    gpu: str | None = None
    """CUDA_VISIBLE_DEVICES of the worker, if the run gave each worker a GPU of its own."""

    def lost(self, phase: str) -> float:
        """Share of the time of a phase in which the process could not work; 0 for a phase that is not recorded."""
        return self.phases[phase].lost if phase in self.phases else 0.0

    def disturbed(self, phase: str) -> bool:
        """True if the time of the phase was taken on a busy machine, or while the process could not work."""
        return bool(self._whole_cell) or phase in self._disturbed_phases

    @property
    def disturbances(self) -> tuple[str, ...]:
        """Every reason why a time of the cell is doubtful, in words; empty on a quiet machine."""
        return (*self._whole_cell, *(words for each in self._disturbed_phases.values() for words in each))

    @property
    def _whole_cell(self) -> tuple[str, ...]:
        """Reasons that concern all phases."""
        wall = sum(phase.wall_s for phase in self.phases.values())
        found = [f"the run worked on up to {self.concurrent} cells at a time"] if self.concurrent > 1 else []
        if self.others > _OTHERS * self.cores:
            found.append(f"other processes took {self.others:.1f} of {self.cores} cores")
        if self.stolen > _STOLEN:
            found.append(f"the host of the virtual machine took {self.stolen:.0%} of its time")
        if self.throttled_s > _LOST * wall > 0:
            found.append(f"the quota of the control group stopped the process for {self.throttled_s:.1f} s")
        return tuple(found)

    @property
    def _disturbed_phases(self) -> Mapping[str, tuple[str, ...]]:
        """Reasons that concern one phase, by phase."""
        found = {name: tuple(f"{name}: {words}" for words in _reasons(phase)) for name, phase in self.phases.items()}
        return {name: reasons for name, reasons in found.items() if reasons}


def _reasons(phase: PhaseTiming) -> list[str]:
    """Return why the time of a phase is doubtful."""
    long = phase.stopped_s + phase.waited_s > _LOST_S
    parts = {"stopped": phase.stopped_s, "without a core": phase.waited_s} if long and phase.lost > _LOST else {}
    considerable = {name: seconds for name, seconds in parts.items() if seconds > _LOST / 2 * phase.wall_s}
    found = [f"{name} for {seconds:.2g} s of {phase.wall_s:.2g} s" for name, seconds in considerable.items()]
    return [*found, f"suspended for {phase.suspended_s:.2g} s"] if phase.suspended_s > _SUSPENDED_S else found
