"""Regression gate: compares two commits by asv, and once more what looks slower; exit 1 names what got worse.

A time fails if, in two interleaved runs one after the other, (1) the processes of the new commit are slower than those
of the old one by the exact Mann-Whitney test, one-sided, p < 0.05; (2) the ratio of the medians exceeds 1.25; (3) the
difference exceeds 1 ms. A peak of memory fails, likewise twice, above 1.1 and 16 MB. A deterministic counter fails if
it rises at all. A benchmark that fails, that stops to apply or that has gone fails, and so does a run without a single
comparison. A change that is meant is named in a commit message: `Accept-benchmark: PATTERN`.

Run with `python -m benchmarks.gate [--base REF] [--head REF] [--bench REGEX]`. Exit 2: nothing could be compared.
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

from benchmarks import commits, false_alarms
from benchmarks.measurements import Measurement, measurements, typical

__all__ = ["Finding", "Outcome", "compare", "judge", "main"]

ALPHA = 0.05
RATIO = {"time": 1.25, "peakmemory": 1.1}
FLOOR = {"time": 1e-3, "peakmemory": 16e6}
CONFIRMING_ROUNDS = 6
RESULTS = Path(".asv/results")


class NothingToCompare(Exception):
    """Why there is no verdict."""


@dataclass(frozen=True)
class Finding:
    """One benchmark that got worse."""

    name: str
    what: str
    """`slower`, `more memory`, `counter rose`, `failed`, `no longer applies` or `gone`"""
    told: str = ""
    """the numbers"""

    @property
    def noisy(self) -> bool:
        """Whether a second run has to reproduce it."""
        return self.what in ("slower", "more memory")

    def __str__(self) -> str:
        return f"{self.what}: {self.name} {self.told}".rstrip()


@dataclass(frozen=True)
class Outcome:
    """What two runs found."""

    compared: int
    suspected: tuple[Finding, ...]
    """what the first run found"""
    confirmed: tuple[Finding, ...]
    """what fails the gate"""
    largest_ratio: float = math.nan
    """of all times of the first run"""


def compare(base: Mapping[str, Measurement], head: Mapping[str, Measurement]) -> list[Finding]:
    """Everything that is worse in `head`."""
    found = (_finding(name, base.get(name), head.get(name)) for name in sorted({*base, *head}))
    return [finding for finding in found if finding is not None]


def _finding(name: str, base: Measurement | None, head: Measurement | None) -> Finding | None:
    if head is None or head.value is None:
        return Finding(name, "failed" if head else "gone", "at the new commit")
    if base is None or base.missing or head.missing:
        return Finding(name, "no longer applies") if base is not None and not base.missing else None
    if base.kind == "track":
        rose = typical(head) > typical(base)
        return Finding(name, "counter rose", f"{base.value:.17g} -> {head.value:.17g} {head.unit}") if rose else None
    return _noisy(name, base, head)


def _noisy(name: str, base: Measurement, head: Measurement) -> Finding | None:
    """A time or a peak of memory beyond its thresholds."""
    before, after = typical(base), typical(head)
    if after <= RATIO[base.kind] * before or after - before <= FLOOR[base.kind]:
        return None
    if base.kind == "peakmemory":
        return Finding(name, "more memory", f"{before / 1e6:.0f} MB -> {after / 1e6:.0f} MB ({after / before:.2f} x)")
    p = _p_value(base.rounds, head.rounds)
    told = f"{1e3 * before:.3g} ms -> {1e3 * after:.3g} ms ({after / before:.2f} x, p = {p:.3f})"
    return Finding(name, "slower", told) if p < ALPHA else None


def _p_value(before: Sequence[float], after: Sequence[float]) -> float:
    """1 where a side has no rounds: nothing is significant then."""
    if not before or not after:
        return 1.0
    return float(mannwhitneyu(after, before, alternative="greater", method="exact").pvalue)


def judge(first: Sequence[Finding], second: Sequence[Finding]) -> list[Finding]:
    """What fails: what needs no second run, and of the rest what the second run finds again, in its numbers."""
    again = {(finding.name, finding.what): finding for finding in second}
    certain = [finding for finding in first if not finding.noisy]
    return certain + [again[key] for f in first if f.noisy and (key := (f.name, f.what)) in again]


def accepted(findings: Iterable[Finding], patterns: Sequence[str]) -> tuple[list[Finding], list[Finding]]:
    """The findings that stand and those that a commit message accepts."""
    stands: list[Finding] = []
    meant: list[Finding] = []
    for finding in findings:
        (meant if any(fnmatch.fnmatchcase(finding.name, pattern) for pattern in patterns) else stands).append(finding)
    return stands, meant


def run(base: str, head: str, bench: Sequence[str] = (), *, confirm_always: bool = False) -> Outcome:
    """Compares two commits by one run of all benchmarks, or of those that match `bench`, and a second if need be."""
    before, after = _measured(base, head, bench)
    compared = [name for name in before if name in after and not before[name].missing and not after[name].missing]
    if not compared:
        raise NothingToCompare("no benchmark gave a number at both commits")
    first = compare(before, after) + ([] if bench else gone(base))
    again = [f"^{re.escape(finding.name)}$" for finding in first if finding.noisy]
    second = compare(*_measured(base, head, again, confirming=True)) if again else []
    ratios = [typical(after[n]) / typical(before[n]) for n in compared if before[n].kind == "time"]
    return Outcome(len(compared), tuple(first), tuple(judge(first, second)), max(ratios, default=math.nan))


def gone(base: str) -> list[Finding]:
    """Benchmarks that the suite of the old commit has and the one at hand has not."""
    return [Finding(name, "gone", "from the suite") for name in sorted(commits.suite_at(base) - commits.suite_here())]


def _measured(
    base: str, head: str, bench: Sequence[str], *, confirming: bool = False
) -> tuple[dict[str, Measurement], dict[str, Measurement]]:
    """An interleaved run; asv's own exit code mixes `worse` with `could not run`, so what it wrote decides."""
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
    """asv keeps older values of the parameters that a run leaves out."""
    return not bench or any(re.search(pattern, name) for pattern in bench)


def report(outcome: Outcome, base: str, head: str) -> int:
    """Prints the verdict and returns the exit code."""
    stands, meant = accepted(outcome.confirmed, commits.accepted_patterns(base, head))
    names = {finding.name for finding in outcome.confirmed}
    lines = [f"{outcome.compared} benchmarks compared, {base[:10]} -> {head[:10]}"]
    lines += [f"not reproduced: {finding}" for finding in outcome.suspected if finding.name not in names]
    lines += [f"accepted by a commit message: {finding}" for finding in meant]
    lines += [f"WORSE, {finding}" for finding in stands]
    lines += [false_alarms.summary(), "gate: failed" if stands else "gate: passed"]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if stands else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """0 passed, 1 failed, 2 nothing could be compared."""
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
