"""Find work of a plugin that no cost contains: at import, in its first calls, or beside the calls of the core."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import ModuleType
from typing import Self

from nisbench.contract.timing import PhaseTiming, Unclocked
from nisbench.harness.clock import Clock
from nisbench.harness.processor import background_cores

__all__ = [
    "CONSTRUCTORS",
    "FIRST_CALLS",
    "PREPARATION",
    "UNSUPPORTED",
    "Compilation",
    "ImportTimes",
    "background_work",
    "charged_times",
    "unclocked",
]

FIRST_CALLS, UNSUPPORTED, CONSTRUCTORS = "first calls", "unsupported", ("first constructor", "second constructor")
"""Parts of the clock."""
PREPARATION = "prepare"
"""Phase to which the constructors and `unsupported` are charged."""

_SHORT_S = 1.0
"""CPU seconds that may stay off the clock."""
_IDLE_CORES = 0.3
"""Cores that may be in use while the core sleeps."""
_PROBES, _PAUSE_S = 3, 0.2
"""Some OpenMP libraries keep idle threads spinning for 0.2 s, so that a busy process is looked at again."""


class ImportTimes:
    """CPU seconds that the modules of each top-level package take at import, without the packages that they import."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._nested: list[float] = []

    def __enter__(self) -> Self:
        self._plain = SourceFileLoader.exec_module
        times = self

        def exec_module(loader: SourceFileLoader, module: ModuleType) -> None:
            times._run(loader, module)

        SourceFileLoader.exec_module = exec_module  # type: ignore[method-assign, assignment]
        return self

    def __exit__(self, *_: object) -> None:
        SourceFileLoader.exec_module = self._plain  # type: ignore[method-assign]

    def of(self, factory: str) -> float:
        """Return the seconds of the package of a factory, `module:Class`."""
        return self.seconds.get(factory.partition(":")[0].partition(".")[0], 0.0)

    def _run(self, loader: SourceFileLoader, module: ModuleType) -> None:
        begin = time.process_time()
        self._nested.append(0.0)
        try:
            self._plain(loader, module)
        finally:
            spent, inner = time.process_time() - begin, self._nested.pop()
            package = _top(module.__spec__, module.__name__)
            self.seconds[package] = self.seconds.get(package, 0.0) + spent - inner
            if self._nested:
                self._nested[-1] += spent


class Compilation:
    """Seconds that numba takes to compile functions, or to read compiled ones; 0 if nothing has imported numba."""

    seconds = 0.0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count what is compiled in the body of the `with` statement."""
        if "numba" not in sys.modules:
            yield
            return
        from numba.core import event

        listener = event.TimingListener()  # type: ignore[no-untyped-call]
        with event.install_listener("numba:compiler_lock", listener):
            yield
        self.seconds += listener.duration if listener.done else 0.0


def background_work() -> Unclocked | None:
    """Return the cores that a thread or process of the plugin uses while the core waits; None if there is no such use.

    Takes 0.1 s, and a second if something works on.
    """
    least = _IDLE_CORES
    for probe in range(_PROBES):
        cores = background_cores()
        if cores <= _IDLE_CORES:
            return None
        least = cores if probe == 0 else min(least, cores)
        time.sleep(_PAUSE_S)
    return Unclocked("background", least)


def charged_times(clock: Clock) -> dict[str, PhaseTiming]:
    """Return the times that are charged: training, drawing, and preparation.

    Preparation contains `prepare`, `unsupported` and the longer one of the two constructors. A user constructs a
    sampler once; a constructor that keeps its work for the second call is longer in the first.
    """
    none = PhaseTiming()
    constructors = [clock.parts.get(name, none) for name in CONSTRUCTORS]
    longer = max(constructors, key=lambda timing: timing.wall_s)
    phases = {name: phase.timing for name, phase in clock.phases.items()}
    return phases | {PREPARATION: phases.get(PREPARATION, none) + clock.parts.get(UNSUPPORTED, none) + longer}


def unclocked(clock: Clock, draws: int, steps: float | None, import_s: float, compile_s: float) -> list[Unclocked]:
    """Return the work at import and in the first calls that took more than a second of CPU time.

    The first calls are compared with what the same calls cost later: a preparation, a training step and some draws.

    Parameters
    ----------
    draws
        Number of draws of the cell.
    steps
        Number of training steps; None for a training loop of the plugin, of which the whole is taken off.
    import_s
        CPU seconds of the plugin's own modules at import.
    compile_s
        Seconds of compilation in the first calls.
    """
    none = PhaseTiming()
    later = {name: phase.timing.cpu_s for name, phase in clock.phases.items()}
    some_draws = min(1.0, max(1 / 8, 64 / draws))  # the first calls draw at most 32 configurations, twice
    expected = (
        compile_s
        + clock.parts.get(CONSTRUCTORS[0], none).cpu_s
        + later.get(PREPARATION, 0.0)
        + later.get("train", 0.0) / max(1.0, steps or 1.0)
        + later.get("draw", 0.0) * some_draws
    )
    first = clock.parts.get(FIRST_CALLS, none).cpu_s - expected
    # A GPU compiles kernels in the first calls, in ways of which no count is kept.
    found = [Unclocked("first calls", first)] if first > _SHORT_S and clock.device.type == "cpu" else []
    return [*([Unclocked("import", import_s)] if import_s > _SHORT_S else []), *found]


def _top(spec: ModuleSpec | None, name: str) -> str:
    return (spec.name if spec else name).partition(".")[0]
