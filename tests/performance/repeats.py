"""Run a plan N times on the machine as it is and N times beside a load, and count verdicts that contradict each other.

The load is one process per core that multiplies matrices, for a share of the time. Two runs contradict each other at a
size and number of samples if they name different samplers although the costs of these samplers do not overlap within
two errors in either run. Overlapping costs are ties, and the verdict may then name either of them. Within the printed
range of a crossing, a verdict names the samplers of both sides.

Run with `python -m tests.performance.repeats [--repeats 10] [--plan quick] [--out DIR] [--load 0.5]`. Ten repeats of
`quick` take about an hour. Finished runs in DIR are kept, so the command can be stopped and goes on.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from nisbench.contract.quantities import S_PER_EFFECTIVE_SAMPLE
from nisbench.contract.records import Estimate
from nisbench.harness.store import Store
from nisbench.report.sentences import verdict_sentences
from nisbench.results.advice import advice
from nisbench.results.cells import Results, load
from nisbench.results.costs import differ, limits
from nisbench.results.doubts import timing_doubts
from nisbench.results.groups import combined_errors, grouped
from nisbench.results.numbers import concise

SAMPLES = 1e3, 1e6, 1e9
"""Numbers of samples at which the verdicts are compared."""
_BURN = """
import time, numpy as np
a = np.ones((300, 300))
while True:
    end = time.perf_counter() + {share}
    while time.perf_counter() < end:
        a @ a
    time.sleep(1 - {share})
"""


@dataclass(frozen=True)
class Repeat:
    """One run of the plan."""

    name: str
    results: Results

    @property
    def costs(self) -> dict[tuple[int, str], Estimate]:
        """Cost of an effective sample by size and sampler."""
        groups = [group for group in grouped(self.results.contest) if group.trusted]
        found = {(group.L, group.label): group.estimate(S_PER_EFFECTIVE_SAMPLE) for group in groups}
        return {place: cost for place, cost in found.items() if cost is not None and cost.value}

    @property
    def best(self) -> dict[tuple[int, float], set[str]]:
        """The samplers that the verdict names, by size and number of samples."""
        found: dict[tuple[int, float], set[str]] = {}
        for at in (at for place in advice(self.results) for at in place):
            for span in at.spans:
                for n in SAMPLES:
                    if limits(span.first)[0] <= n <= limits(span.last)[1]:
                        found.setdefault((at.L, n), set()).update(rival.group.label for rival in span.best)
        return found


def contradictions(a: Repeat, b: Repeat) -> list[str]:
    """Verdicts of two runs that name different samplers without overlapping costs, and costs that differ."""
    found = []
    for place in a.best.keys() & b.best.keys():
        L, n = place
        if a.best[place] & b.best[place]:
            continue
        apart = [
            differ(run.costs.get((L, x)), run.costs.get((L, y)))
            for run in (a, b)
            for x in a.best[place]
            for y in b.best[place]
        ]
        if all(apart):
            found.append(
                f"L = {L}, {n:g} samples: {sorted(a.best[place])} in {a.name}, {sorted(b.best[place])} in {b.name}"
            )
    return found


def outliers(repeats: list[Repeat]) -> tuple[int, int]:
    """Pairs of costs of one cell that differ by more than two combined errors, and the number of pairs."""
    apart = [
        abs(combined_errors(a.costs[place], b.costs[place])) > 2
        for a, b in combinations(repeats, 2)
        for place in a.costs.keys() & b.costs.keys()
    ]
    return sum(apart), len(apart)


@contextmanager
def burning(share: float) -> Iterator[None]:
    """A process for each core that works for this share of the time."""
    command = [sys.executable, "-c", _BURN.format(share=share)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    processes = [subprocess.Popen(command, env=environment) for _ in os.sched_getaffinity(0)] if share else []
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def repeat(plan: str, folder: Path) -> Repeat:
    """Run the plan in `folder`, unless it has been run there."""
    command = [sys.executable, "-P", "-m", "nisbench", "run", "--plan", plan, "--out", str(folder), "--no-report"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return Repeat(folder.name, load([Store.open(folder)]))


def main() -> None:
    """Run, and print costs, verdicts and contradictions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--plan", default="quick")
    parser.add_argument("--out", type=Path, default=Path("runs/repeats"))
    parser.add_argument("--load", type=float, default=0.5, help="share of the time that the load works")
    given = parser.parse_args()
    repeats = []
    for kind, share in (("quiet", 0.0), ("loaded", given.load)):
        for k in range(given.repeats):
            begin = time.monotonic()
            with burning(share):
                repeats.append(repeat(given.plan, given.out / f"{kind}-{k + 1}"))
            _say(f"{repeats[-1].name}: {time.monotonic() - begin:.0f} s")
    _costs(repeats)
    _verdicts(repeats)


def _costs(repeats: list[Repeat]) -> None:
    """Print the cost of each sampler in each run, and the spread over the runs."""
    _say("\n| L | sampler | " + " | ".join(each.name for each in repeats) + " | spread over runs |")
    _say("|---:|---|" + "---:|" * (len(repeats) + 1))
    for place in sorted({place for each in repeats for place in each.costs}):
        found = [each.costs.get(place) for each in repeats]
        known = [cost.value for cost in found if cost is not None and cost.value]
        spread = f"{statistics.stdev(known) / statistics.mean(known):.0%}" if len(known) > 1 else ""
        texts = ["none" if cost is None else concise(cost.value, cost.error) for cost in found]
        _say(f"| {place[0]} | {place[1]} | {' | '.join(texts)} | {spread} |")


def _verdicts(repeats: list[Repeat]) -> None:
    """Print the verdict and the marks of each run, and count what contradicts."""
    for each in repeats:
        marks = [doubt for group in grouped(each.results.contest) for doubt in timing_doubts(group)]
        _say(f"\n{each.name} ({len(marks)} marks of a busy machine):")
        for sentence in verdict_sentences(each.results)[:3]:
            _say(f"  {sentence}")
    found = [text for a, b in combinations(repeats, 2) for text in contradictions(a, b)]
    apart, pairs = outliers(repeats)
    _say(f"\n{len(found)} contradicting verdicts in {len(repeats) * (len(repeats) - 1) // 2} pairs of runs")
    for text in found:
        _say(f"  {text}")
    _say(f"{apart} of {pairs} pairs of costs of one cell differ by more than two combined errors")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
