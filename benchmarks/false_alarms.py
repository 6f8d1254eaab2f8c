"""A/A runs: the gate compares two commits of identical code. The fraction of failures is its rate of false alarms.

Run with `python -m benchmarks.false_alarms [--runs 10] [--bench REGEX]`. Every run adds a line to
.asv/false-alarms.jsonl, so the runs may be made on different days. The gate prints an upper bound of the rate.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scipy.stats import beta

from benchmarks import commits

__all__ = ["main", "record", "summary", "upper_bound"]

RECORD = Path(".asv/false-alarms.jsonl")


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


def one_run(head: str, number: int, bench: Sequence[str]) -> int:
    """Compare `head` with a commit of the same code, record the outcome, and return the number of alarms."""
    from benchmarks import gate  # imported here, because gate imports this module

    same = commits.trial_commit(head, {}, f"A/A run {time.time()} {number}")
    try:
        outcome = gate.run(head, same, bench)
    finally:
        commits.forget(same)
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": platform.node(),
        "commit": head,
        "bench": list(bench),
        "compared": outcome.compared,
        "suspected": len(outcome.suspected),
        "alarms": len(outcome.confirmed),
        "largest_ratio": outcome.largest_ratio,
        "told": [str(finding) for finding in (*outcome.suspected, *outcome.confirmed)],
    }
    with RECORD.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    sys.stdout.write(f"A/A run {number}: {json.dumps(line)}\n")
    return len(outcome.confirmed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the A/A runs; return 1 if one of them gave an alarm, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--bench", action="append", default=[], help="only these; does not count towards the rate")
    chosen = parser.parse_args(arguments)
    head = commits.resolve("HEAD")
    commits.prepare()
    alarms = [one_run(head, number + 1, chosen.bench) for number in range(chosen.runs)]
    sys.stdout.write(f"{summary()}\n")
    return 1 if any(alarms) else 0


if __name__ == "__main__":
    sys.exit(main())
