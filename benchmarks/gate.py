"""Regression gate: compares two commits with asv, and repeats the comparison for benchmarks that look slower.

A time fails if all of the following hold in two interleaved runs, one after the other:
(1) the processes of the new commit are slower by the exact one-sided Mann-Whitney test, p < 0.05;
(2) the ratio of the medians exceeds 1.25;
(3) the difference exceeds 1 ms.
Peak memory fails if it exceeds a ratio of 1.1 and a difference of 16 MB, also in two runs. A deterministic counter
fails if it rises at all. A benchmark fails if it raises an error, no longer applies, or was removed. An intended change
is accepted by a line in a commit message: `Accept-benchmark: PATTERN`.

Run with `python -m benchmarks.gate [--base REF] [--head REF] [--bench REGEX]`. Exit code 0: passed; 1: failed, with
the names of the benchmarks that got worse; 2: nothing could be compared.
"""

import argparse
import fnmatch
import math
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import mannwhitneyu

from benchmarks import alarm_rate, commits
from benchmarks.measurements import Measurement, measurements, typical

__all__ = ["Finding", "Outcome", "accepted", "compare", "gone", "judge", "main", "report", "run"]

ALPHA = 0.05
RATIO = {"time": 1.25, "peakmemory": 1.1}
FLOOR = {"time": 1e-3, "peakmemory": 16e6}
CONFIRMING_ROUNDS = 6
RESULTS = Path(".asv/results")


class NothingToCompare(Exception):
    """No benchmark could be compared; the message is the reason."""


@dataclass(frozen=True)
class Finding:
    """A benchmark that got worse."""

    name: str
    what: str
    """`slower`, `more memory`, `counter rose`, `failed`, `no longer applies` or `gone`"""
    numbers: str = ""
    """values before and after, as text"""

    @property
    def noisy(self) -> bool:
        """True if a second run has to reproduce the finding."""
        return self.what in ("slower", "more memory")

    def __str__(self) -> str:
        return f"{self.what}: {self.name} {self.numbers}".rstrip()


@dataclass(frozen=True)
class Outcome:
    """Result of a comparison of two commits."""

    compared: int
    """number of benchmarks with a value at both commits"""
    suspected: tuple[Finding, ...]
    """findings of the first run"""
    confirmed: tuple[Finding, ...]
    """findings that fail the gate"""
    largest_ratio: float = math.nan
    """largest ratio of a time, new over old, in the first run"""


def compare(base: Mapping[str, Measurement], head: Mapping[str, Measurement]) -> list[Finding]:
    """Return a finding for each benchmark that is worse in `head` than in `base`."""
    found = (_finding(name, base.get(name), head.get(name)) for name in sorted({*base, *head}))
    return [finding for finding in found if finding is not None]


def _finding(name: str, base: Measurement | None, head: Measurement | None) -> Finding | None:
    """Return what got worse in one benchmark, or None; None as a measurement means that it is not in the suite."""
    if head is None or head.value is None:
        return Finding(name, "failed" if head else "gone", "at the new commit")
    if base is None or base.missing or head.missing:
        return Finding(name, "no longer applies") if base is not None and not base.missing else None
    if base.kind == "track":
        rose = typical(head) > typical(base)
        return Finding(name, "counter rose", f"{base.value:.17g} -> {head.value:.17g} {head.unit}") if rose else None
    return _noisy(name, base, head)


def _noisy(name: str, base: Measurement, head: Measurement) -> Finding | None:
    """Return a finding if a time or a peak of memory exceeds its thresholds, else None."""
    before, after = typical(base), typical(head)
    if after <= RATIO[base.kind] * before or after - before <= FLOOR[base.kind]:
        return None
    if base.kind == "peakmemory":
        return Finding(name, "more memory", f"{before / 1e6:.0f} MB -> {after / 1e6:.0f} MB ({after / before:.2f} x)")
    p = _p_value(base.rounds, head.rounds)
    numbers = f"{1e3 * before:.3g} ms -> {1e3 * after:.3g} ms ({after / before:.2f} x, p = {p:.3f})"
    return Finding(name, "slower", numbers) if p < ALPHA else None


def _p_value(before: Sequence[float], after: Sequence[float]) -> float:
    """Return the one-sided p value of `after` > `before`; 1, not significant, if a side has no values."""
    if not before or not after:
        return 1.0
    return float(mannwhitneyu(after, before, alternative="greater", method="exact").pvalue)


def judge(first: Sequence[Finding], second: Sequence[Finding]) -> list[Finding]:
    """Return the findings that fail the gate.

    These are the findings of the first run that need no second run, and the findings of the second run that the first
    run had too.
    """
    again = {(finding.name, finding.what): finding for finding in second}
    certain = [finding for finding in first if not finding.noisy]
    return certain + [again[key] for f in first if f.noisy and (key := (f.name, f.what)) in again]


def accepted(findings: Iterable[Finding], patterns: Sequence[str]) -> tuple[list[Finding], list[Finding]]:
    """Split findings into those that fail the gate and those that a commit message accepts."""
    stands: list[Finding] = []
    meant: list[Finding] = []
    for finding in findings:
        (meant if any(fnmatch.fnmatchcase(finding.name, pattern) for pattern in patterns) else stands).append(finding)
    return stands, meant


def run(base: str, head: str, bench: Sequence[str] = ()) -> Outcome:
    """Compare two commits: one run of all benchmarks, or of those that match `bench`, and a second run of suspects."""
    before, after = _measured(base, head, bench)
    compared = [name for name in before if name in after and not before[name].missing and not after[name].missing]
    if not compared:
        raise NothingToCompare("no benchmark has a value at both commits")
    first = compare(before, after) + ([] if bench else gone(base))
    again = [f"^{re.escape(finding.name)}$" for finding in first if finding.noisy]
    second = compare(*_measured(base, head, again, confirming=True)) if again else []
    ratios = [typical(after[n]) / typical(before[n]) for n in compared if before[n].kind == "time"]
    return Outcome(len(compared), tuple(first), tuple(judge(first, second)), max(ratios, default=math.nan))


def gone(base: str) -> list[Finding]:
    """Return a finding for each benchmark of the suite of `base` that the working tree no longer has."""
    return [Finding(name, "gone", "from the suite") for name in sorted(commits.suite_at(base) - commits.suite_here())]


def _measured(
    base: str, head: str, bench: Sequence[str], *, confirming: bool = False
) -> tuple[dict[str, Measurement], dict[str, Measurement]]:
    """Run both commits in turns and return their measurements.

    asv returns exit code 1 both for a slowdown and for an error, so only the files that it wrote are used.
    """
    begin = time.time()
    command = [sys.executable, "-m", "asv", "continuous", "--interleave-rounds", "--show-stderr", base, head]
    command += [word for pattern in bench for word in ("--bench", pattern)]
    command += ["--attribute", f"rounds={CONFIRMING_ROUNDS}"] if confirming else []
    subprocess.run(command, check=False)
    if not (RESULTS / "benchmarks.json").exists():
        raise NothingToCompare("asv wrote no results")
    both = (measurements(RESULTS, commit, since=begin) for commit in (base, head))
    before, after = ({name: m for name, m in found.items() if _selected(name, bench)} for found in both)
    return before, after


def _selected(name: str, bench: Sequence[str]) -> bool:
    """Return True if a benchmark was part of this run; asv keeps older values of parameters that a run leaves out."""
    return not bench or any(re.search(pattern, name) for pattern in bench)


def report(outcome: Outcome, base: str, head: str) -> int:
    """Print the verdict and return the exit code, 0 or 1."""
    stands, meant = accepted(outcome.confirmed, commits.accepted_patterns(base, head))
    names = {finding.name for finding in outcome.confirmed}
    lines = [f"{outcome.compared} benchmarks compared, {base[:10]} -> {head[:10]}"]
    lines += [f"not reproduced: {finding}" for finding in outcome.suspected if finding.name not in names]
    lines += [f"accepted by a commit message: {finding}" for finding in meant]
    lines += [f"WORSE, {finding}" for finding in stands]
    lines += [alarm_rate.summary(), "gate: failed" if stands else "gate: passed"]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if stands else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the gate; return 0 if it passed, 1 if it failed, 2 if nothing could be compared."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", help="the old commit [where HEAD left main; on main its parent]")
    parser.add_argument("--head", default="HEAD", help="the new commit [HEAD]")
    parser.add_argument("--bench", action="append", default=[], help="only benchmarks that match the expression")
    chosen = parser.parse_args(arguments)
    try:
        head = commits.resolve(chosen.head)
        base = commits.resolve(chosen.base) if chosen.base else commits.base_of(head)
        commits.prepare()
        return report(run(base, head, chosen.bench), base, head)
    except (NothingToCompare, commits.UnknownCommit) as error:
        sys.stderr.write(f"gate: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
