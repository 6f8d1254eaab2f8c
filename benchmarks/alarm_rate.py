"""The rate of false alarms of the gate on this machine, from the recorded A/A runs (benchmarks/false_alarms.py)."""

import json
import platform
from pathlib import Path
from typing import Any

from scipy.stats import beta

__all__ = ["RECORD", "record", "summary", "upper_bound"]

RECORD = Path(".asv/false-alarms.jsonl")
"""One line of JSON per A/A run."""


def upper_bound(alarms: int, runs: int) -> float:
    """Return the one-sided 95 % upper bound of the rate (Clopper and Pearson); 0 alarms in 10 runs give 0.26."""
    return 1.0 if alarms >= runs else float(beta.ppf(0.95, alarms + 1, runs - alarms))


def record() -> list[dict[str, Any]]:
    """Return the recorded A/A runs of the whole suite on this machine."""
    lines = RECORD.read_text(encoding="utf-8").splitlines() if RECORD.exists() else []
    found = [json.loads(line) for line in lines]
    return [line for line in found if line["machine"] == platform.node() and line["bench"] == []]


def summary() -> str:
    """Return one line with alarms, runs and the upper bound of the rate."""
    runs = record()
    if not runs:
        return "false alarms: not measured on this machine (make bench-aa)"
    alarms = sum(run["alarms"] > 0 for run in runs)
    suspected, compared = sum(run["suspected"] for run in runs), sum(run["compared"] for run in runs)
    return (
        f"false alarms: {alarms} in {len(runs)} A/A runs, so a rate of at most {upper_bound(alarms, len(runs)):.2f} "
        f"(95 %); first runs suspected {suspected} of {compared} benchmarks, largest ratio "
        f"{max(run['largest_ratio'] for run in runs):.2f}"
    )
