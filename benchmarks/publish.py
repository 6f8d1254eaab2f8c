"""Measures HEAD unless it has been measured, and publishes the results as the pages of asv and reports/trend.html.

The pages of asv (.asv/html) need a web server (`asv preview`). The trend is one file that opens without a server.

Run with `python -m benchmarks.publish [--last 30] [--no-run]`.
"""

import argparse
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks import commits
from benchmarks.measurements import Measurement, measurements, typical
from benchmarks.trend import Commit, Tracked, build_trend

__all__ = ["history", "main"]

RESULTS = Path(".asv/results")
TREND = Path("reports/trend.html")


def history(results: Path, branch: str, last: int) -> tuple[str, list[Commit]]:
    """Return the machine with the most results, and its last measured commits of the branch, oldest first."""
    listed = commits.git("log", "--first-parent", "--format=%H%x09%cs%x09%s", branch).splitlines()
    lines = [line.split("\t", maxsplit=2) for line in listed]
    known = {path.name[:8]: path for path in results.glob("*/????????-*.json")}
    on_branch = Counter(known[line[0][:8]].parent.name for line in lines if line[0][:8] in known)
    if not on_branch:
        return "", []
    machine = on_branch.most_common(1)[0][0]
    measured = [_commit(results, machine, *line) for line in lines if list(results.glob(f"{machine}/{line[0][:8]}-*"))]
    return machine, [commit for commit in measured if commit.values][:last][::-1]


def _commit(results: Path, machine: str, commit: str, date: str, subject: str) -> Commit:
    """Return a measured commit with its values."""
    found = measurements(results, commit, machine=machine)
    values = {name: _tracked(one) for name, one in found.items() if not one.missing}
    return Commit(commit[:10], date, subject, values)


def _tracked(one: Measurement) -> Tracked:
    spread = (max(one.rounds) - min(one.rounds)) / 2 if one.rounds else None
    return Tracked(typical(one), one.unit, spread)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and publish; return 1 if there is nothing to publish or asv fails, otherwise 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--last", type=int, default=30, help="commits in the trend [30]")
    parser.add_argument("--no-run", action="store_true", help="publish existing results only")
    chosen = parser.parse_args(arguments)
    try:
        commits.resolve("refs/heads/main")
    except commits.UnknownCommit:
        sys.stderr.write("publish: asv needs a local branch main: git branch main origin/main\n")
        return 1
    commits.prepare()
    asv = [sys.executable, "-m", "asv"]
    if not chosen.no_run:
        subprocess.run([*asv, "run", "--record-samples", "--skip-existing-commits", "HEAD^!"], check=False)
    if subprocess.run([*asv, "publish"], check=False).returncode:
        return 1
    machine, measured = history(RESULTS, "main", chosen.last)
    if not measured:
        sys.stderr.write("publish: no commit of main is measured; run it without --no-run on main\n")
        return 1
    sys.stdout.write(f"{build_trend(measured, TREND, machine=machine)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
