"""Makes the sampling kernel 1.5 times as slow, to show that the gate fails on it and passes on its reversal.

`planted` appends a wrapper that waits half as long again as the sampling took, so the factor is 1.5 on any machine and
for any implementation of the kernel.

Run with `python -m tests.performance.slowdown`. No file changes; the slow code is a commit that belongs to no branch.
"""

import sys

from benchmarks import commits, gate

FILE = "nisbench/nn/dense.py"
NETWORK = "AutoregressiveDense"
METHOD = "draw"
BENCH = r"bench_kernels\.Sampling|bench_core\.Energy"
"""The benchmark of the kernel, and one that does not depend on the kernel."""
SLOWED = "bench_kernels.Sampling.time_draw"

SLOWDOWN = f"""

def _slowed(sampling, factor):
    import time

    def slow(*arguments):
        begin = time.process_time()
        result = sampling(*arguments)
        end = begin + factor * (time.process_time() - begin)
        while time.process_time() < end:
            pass
        return result

    return slow


{NETWORK}.{METHOD} = _slowed({NETWORK}.{METHOD}, 1.5)
"""


def planted(source: str) -> str:
    """Return the source with a slow kernel appended. Raises ValueError if the source lacks the class or the method."""
    needed = [f"\nclass {NETWORK}(", f"\n    def {METHOD}("]
    missing = [text.strip() for text in needed if text not in source]
    if missing:
        raise ValueError(f"{FILE} has no {missing}; name the sampling kernel in tests/performance/slowdown.py")
    return source + SLOWDOWN


def main() -> int:
    """Return 0 if the gate fails on the slowdown, names only the kernel, and passes on the reversal; else 1."""
    head = commits.resolve("HEAD")
    commits.prepare()
    slow = commits.trial_commit(head, {FILE: planted(commits.git("show", f"{head}:{FILE}"))}, "planted slowdown")
    try:
        outcome = gate.run(head, slow, [BENCH])
        failed = gate.report(outcome, head, slow) == 1
        named = {finding.name for finding in outcome.confirmed} == {SLOWED}
        passed = gate.report(gate.run(slow, head, [BENCH]), slow, head) == 0
    finally:
        commits.forget(slow)
    sys.stdout.write(f"planted: gate failed {failed}, named only the kernel {named}; reverted: gate passed {passed}\n")
    return 0 if failed and named and passed else 1


if __name__ == "__main__":
    sys.exit(main())
