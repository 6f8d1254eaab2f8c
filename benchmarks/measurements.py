"""What asv stored for one commit, benchmark by benchmark: `name(parameters)` -> Measurement."""

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
    """One benchmark with one set of parameters at one commit."""

    kind: str
    """`time`, `peakmemory` or `track`, asv's word for it"""
    unit: str
    value: float | None
    """None where it failed, NaN where it does not apply (n/a)"""
    rounds: tuple[float, ...] = ()
    """of a time: the least call of each process, for what disturbs a call makes it longer"""

    @property
    def missing(self) -> bool:
        """Whether there is no number."""
        return self.value is None or math.isnan(self.value)


def typical(measurement: Measurement) -> float:
    """The median over the processes; the value itself where there are none."""
    if measurement.rounds:
        return statistics.median(measurement.rounds)
    return math.nan if measurement.value is None else measurement.value


def measurements(results: Path, commit: str, *, since: float = 0.0, machine: str = "*") -> dict[str, Measurement]:
    """Everything measured at the commit at or after `since` (seconds since the epoch)."""
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
    """One benchmark, parameter by parameter; None in place of a list means that all of it is missing."""
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
    """`repeat` calls of the first process, then those of the next."""
    return tuple(min(samples[i : i + repeat]) for i in range(0, len(samples), repeat))
