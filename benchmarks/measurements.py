"""Reads the results that asv stored for a commit: a Measurement for each `name(parameters)`."""

import itertools
import json
import math
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Measurement", "measurements", "typical"]


@dataclass(frozen=True)
class Measurement:
    """Result of one benchmark with one set of parameters at one commit."""

    kind: str
    """`time`, `peakmemory` or `track`, as asv names it"""
    unit: str
    value: float | None
    """None if the benchmark failed, NaN if it does not apply (n/a)"""
    rounds: tuple[float, ...] = ()
    """of a time: the shortest call of each process, because disturbances only make a call longer"""

    @property
    def missing(self) -> bool:
        """True if there is no value."""
        return self.value is None or math.isnan(self.value)


def typical(measurement: Measurement) -> float:
    """Return the median over the processes, or the value if there are no processes; NaN if it failed."""
    if measurement.rounds:
        return statistics.median(measurement.rounds)
    return math.nan if measurement.value is None else measurement.value


def measurements(results: Path, commit: str, *, since: float = 0.0, machine: str = "*") -> dict[str, Measurement]:
    """Return all results of a commit that were started at or after `since` (seconds since the epoch), by name."""
    suite = json.loads((results / "benchmarks.json").read_text(encoding="utf-8"))
    found: dict[str, Measurement] = {}
    for path in sorted(results.glob(f"{machine}/{commit[:8]}-*.json")):
        stored = json.loads(path.read_text(encoding="utf-8"))
        for name, row in stored["results"].items():
            entry = dict(zip(stored["result_columns"], row, strict=False))
            if name in suite and entry["version"] == suite[name]["version"] and entry["started_at"] >= 1000 * since:
                found |= _unrolled(name, entry, suite[name])
    return found


def _unrolled(name: str, entry: dict[str, Any], benchmark: dict[str, Any]) -> dict[str, Measurement]:
    """Return the measurements of one benchmark, one for each set of parameters."""
    # asv writes None instead of a list if the whole benchmark is missing
    combinations = list(itertools.product(*entry["params"]))
    values = entry["result"] or [None] * len(combinations)
    samples = entry.get("samples") or [None] * len(combinations)
    found = {}
    for combination, value, of_value in zip(combinations, values, samples, strict=True):
        label = f"{name}({', '.join(combination)})" if combination else name
        rounds = _least_of_each_process(of_value or [], benchmark.get("repeat") or 1)
        found[label] = Measurement(benchmark["type"], benchmark["unit"], _number(value), rounds)
    return found


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _least_of_each_process(samples: list[float], repeat: int) -> tuple[float, ...]:
    """Return the shortest call of each process; `samples` are `repeat` calls of the first process, then the next."""
    return tuple(min(samples[i : i + repeat]) for i in range(0, len(samples), repeat))
