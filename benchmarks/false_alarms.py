"""A/A runs: the gate compares two commits of identical code, so every failure is a false alarm.

Run with `python -m benchmarks.false_alarms [--runs 10] [--bench REGEX]`. Every run adds a line to
.asv/false-alarms.jsonl, so the runs may be made on different days.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Sequence

from benchmarks import commits, gate
from benchmarks.alarm_rate import RECORD, summary

__all__ = ["main", "one_run"]


def one_run(head: str, number: int, bench: Sequence[str]) -> int:
    """Compare `head` with a commit of the same code, record the outcome, and return the number of alarms."""
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
        "findings": [str(finding) for finding in (*outcome.suspected, *outcome.confirmed)],
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
