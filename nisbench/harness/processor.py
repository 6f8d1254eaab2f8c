"""CPU time of this process, and the time in which it could not work. Read from the kernel; torch is not imported."""

import os
import resource
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from nisbench.contract.timing import PhaseTiming, Timing

__all__ = ["Machine", "Pulse", "Stopwatch", "background_cores", "cpu_seconds"]

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PULSE = "pulse"
_BEAT_S = 0.25
"""Seconds between two beats of a pulse."""
_LATE_S = 0.3
"""A beat that is later than this, without CPU time in between, shows that the process was stopped."""
_PROBE_S = 0.1
"""Seconds for which the caller does nothing, to see whether a thread of the plugin works on."""


def cpu_seconds() -> float:
    """Return the CPU seconds of this process, of all its threads, and of its children and their children.

    A living child counts in steps of 0.01 s. A child counts with its whole life once it has ended and was waited for.
    """
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime + _living_children_s()


def background_cores() -> float:
    """Return the number of cores that other threads and the children ask for while the calling thread sleeps for 0.1 s.

    Time in which a thread waits for a core counts, so that other load hides nothing.
    """
    begin, before, children = time.perf_counter(), _asked_s(), _living_children_s()
    time.sleep(_PROBE_S)
    wall = time.perf_counter() - begin
    asked = sum(seconds - before.get(thread, 0.0) for thread, seconds in _asked_s().items())
    return (asked + max(0.0, _living_children_s() - children)) / wall


class Pulse:
    """Counts the seconds in which this process was stopped: a thread of its own that wakes four times a second.

    A beat that comes late shows a stop, unless the process had CPU time or waited for a core meanwhile.
    """

    def __init__(self) -> None:
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._stopped_s = 0.0
        self._last = self._now()
        self._thread = threading.Thread(target=self._run, name=_PULSE, daemon=True)

    def __enter__(self) -> Self:
        self._last = self._now()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def stopped_s(self) -> float:
        """Seconds in which the process was stopped so far; a stop that has just ended is included."""
        with self._lock:
            return self._stopped_s + self._missing()

    def _run(self) -> None:
        while not self._over.wait(_BEAT_S):
            with self._lock:
                self._stopped_s += self._missing()
                self._last = self._now()

    def _missing(self) -> float:
        """Return the seconds since the last beat that nothing explains; 0 while the next beat is not late."""
        late, worked, waited = (now - then for now, then in zip(self._now(), self._last, strict=True))
        return max(0.0, late - _BEAT_S - worked - waited) if late > _BEAT_S + _LATE_S else 0.0

    @staticmethod
    def _now() -> tuple[float, float, float]:
        """Return the monotonic clock, the CPU time of the process, and the time for which its first thread waited."""
        return time.monotonic(), time.process_time(), _waited_s(os.getpid())


class Stopwatch:
    """Adds up wall time, CPU time and lost time between `start` and `stop`."""

    def __init__(self, pulse: Pulse | None = None, spent: PhaseTiming | None = None) -> None:
        self.pulse = pulse
        self.spent = spent or PhaseTiming()
        self._begin: _Reading | None = None

    @property
    def running(self) -> bool:
        """True between `start` and `stop`."""
        return self._begin is not None

    def start(self) -> None:
        """Start the watch."""
        hindered = _hindered(self.pulse)  # the slow part first, so that the clocks start at the end of this function
        self._begin = _Reading(time.perf_counter(), cpu_seconds(), *hindered)

    def stop(self, *, wall_s: float | None = None) -> None:
        """Stop the watch and add what has passed. A wall time that was measured more closely replaces its own."""
        assert self._begin is not None
        wall, cpu = time.perf_counter(), cpu_seconds()
        passed = _Reading(wall, cpu, *_hindered(self.pulse)).since(self._begin)
        self.spent += passed if wall_s is None else replace(passed, wall_s=wall_s)
        self._begin = None


@dataclass(frozen=True)
class _Reading:
    wall_s: float
    cpu_s: float
    stopped_s: float
    asleep_s: float
    """Seconds for which the machine was suspended since it started."""
    waited_s: Mapping[int, float]
    """Seconds for which each thread was ready to run but had no core."""

    def since(self, begin: "_Reading") -> PhaseTiming:
        """Return what has passed since `begin`. A thread that has ended in between does not count as waiting."""
        waited = [seconds - begin.waited_s.get(thread, 0.0) for thread, seconds in self.waited_s.items()]
        return PhaseTiming(
            self.wall_s - begin.wall_s,
            max(0.0, self.cpu_s - begin.cpu_s),
            self.stopped_s - begin.stopped_s,
            max(0.0, *waited, 0.0),
            max(0.0, self.asleep_s - begin.asleep_s),
        )


def _hindered(pulse: Pulse | None) -> tuple[float, float, dict[int, float]]:
    """Return the last three fields of a reading."""
    asleep = time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    waited = {int(name): _waited_s(int(name)) for name in os.listdir("/proc/self/task")}
    return pulse.stopped_s if pulse else 0.0, asleep, waited


@dataclass(frozen=True)
class Machine:
    """Counters of the machine at one moment."""

    wall_s: float
    own_s: float
    """CPU seconds of this process and its children."""
    busy_s: float
    """CPU seconds of all processes on all cores."""
    stolen_s: float
    throttled_s: float

    @classmethod
    def read(cls) -> Self:
        """Return the present counters; 0 for those that the kernel does not show."""
        # proc(5): user nice system idle iowait irq softirq steal, in clock ticks
        ticks = [int(word) * _TICK_S for word in _lines("/proc/stat", "cpu ").split()] or [0.0] * 8
        user, nice, system, _, _, irq, soft, steal, *_ = [*ticks, *[0.0] * 8]
        return cls(time.perf_counter(), cpu_seconds(), user + nice + system + irq + soft, steal, _throttled_s())

    def timing(self) -> Timing:
        """Return the conditions from this reading until now, without the phases."""
        now = Machine.read()
        wall, busy, stolen = now.wall_s - self.wall_s, now.busy_s - self.busy_s, now.stolen_s - self.stolen_s
        cores = os.cpu_count() or 1
        others = max(0.0, busy - (now.own_s - self.own_s)) / wall if wall else 0.0
        return Timing(
            load_average=os.getloadavg()[0],
            cores=cores,
            others=min(others, cores),  # the kernel counts in ticks, which are coarse beside a short cell
            stolen=stolen / (busy + stolen) if busy + stolen > 0 else 0.0,
            throttled_s=now.throttled_s - self.throttled_s,
        )


def _waited_s(thread: int) -> float:
    """Return the seconds for which a thread of this process was ready to run but had no core; 0 if it is gone."""
    return _scheduled_s(thread)[1]


def _asked_s() -> dict[int, float]:
    """Return the seconds for which each thread had a core or waited for one; without the caller and the pulse."""
    ours = {threading.get_native_id(), *(t.native_id for t in threading.enumerate() if t.name == _PULSE)}
    return {int(name): sum(_scheduled_s(int(name))) for name in os.listdir("/proc/self/task") if int(name) not in ours}


def _scheduled_s(thread: int) -> tuple[float, float]:
    """Return the seconds of a thread on a core and waiting for a core; 0 if it is gone."""
    # Documentation/scheduler/sched-stats.rst: time on a core, time waiting for one (ns), number of turns
    on, waiting, *_ = [*_text(f"/proc/self/task/{thread}/schedstat").split(), "0", "0"]
    return int(on) / 1e9, int(waiting) / 1e9


def _living_children_s() -> float:
    """Return the CPU seconds of all living descendants; 0 without searching if there is no child."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0.0
    parents: dict[int, int] = {}
    seconds: dict[int, float] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            # proc(5): fields 4 and 14 to 17, counted after the name in parentheses; own time and that of ended children
            fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            parents[int(name)] = int(fields[1])
            seconds[int(name)] = sum(map(int, fields[11:15])) * _TICK_S
    ours, found = {os.getpid()}, set[int]()
    while new := {pid for pid, parent in parents.items() if parent in ours} - found:
        found |= new
        ours = new
    return sum(seconds[pid] for pid in found)


def _throttled_s() -> float:
    """Return the seconds for which the quota of the control group has stopped its processes; 0 without a quota."""
    paths = dict(line.split(":", 2)[1:] for line in _text("/proc/self/cgroup").splitlines() if line.count(":") > 1)
    own, old = paths.get("", "/").rstrip("/"), paths.get("cpu", paths.get("cpu,cpuacct", "/")).rstrip("/")
    for folder in (f"/sys/fs/cgroup{own}", "/sys/fs/cgroup", f"/sys/fs/cgroup/cpu{old}", "/sys/fs/cgroup/cpu"):
        if new := _lines(f"{folder}/cpu.stat", "throttled_usec "):
            return int(new) / 1e6
        if nanoseconds := _lines(f"{folder}/cpu.stat", "throttled_time "):
            return int(nanoseconds) / 1e9
    return 0.0


def _lines(path: str, key: str) -> str:
    """Return the rest of the first line of a kernel file that starts with `key`; empty if there is none."""
    return next((line.removeprefix(key) for line in _text(path).splitlines() if line.startswith(key)), "")


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
