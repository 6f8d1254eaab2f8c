"""The sampling kernel made 1.5 times as slow, to show that the gate sees it and lets it go when it is reverted.

`planted` appends a wrapper that spins half as long again as the sampling took, so the factor holds on any machine and
for any implementation of the kernel.

Run with `python -m tests.performance.slowdown`: no file is changed, the slow code is a commit on no branch.
"""

import sys

from benchmarks import commits, gate

FILE = "nisbench/nn/dense.py"
NETWORK = "AutoregressiveDense"
METHOD = "draw"
BENCH = r"bench_kernels\.Sampling|bench_core\.Energy"
"""The benchmark of the kernel and one that has nothing to do with it."""
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
    """The networks with a slow kernel; ValueError where there is nothing of that name to slow down."""
    needed = [f"\nclass {NETWORK}(", f"\n    def {METHOD}("]
    missing = [text.strip() for text in needed if text not in source]
    if missing:
        raise ValueError(f"{FILE} has no {missing}; name the sampling kernel here")
    return source + SLOWDOWN


def main() -> int:
    """0 if the gate fails on the slowdown, names the kernel alone, and passes on its reversal."""
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
    sys.stdout.write(f"planted: gate failed {failed}, named the kernel alone {named}; reverted: gate passed {passed}\n")
    return 0 if failed and named and passed else 1


if __name__ == "__main__":
    sys.exit(main())
