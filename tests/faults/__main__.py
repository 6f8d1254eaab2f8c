"""Run samplers with known faults, and honest ones, and write docs/known-faults.md.

    python -m tests.faults [--seeds 20] [--only NAME,...] [--results FILE] [--write]

A row counts the seeds for which the named gate fires; for an honest sampler, any gate. Outcomes are kept one by one, so
that a call that was stopped goes on where it was. A change of nisbench or of a sampler makes its outcomes void.
"""

import argparse
import sys
import time
from pathlib import Path

import torch

from tests.faults.cases import FAULTY, HONEST
from tests.faults.outcomes import outcome
from tests.faults.page import PAGE, count, page
from tests.faults.record import ROOT, Record


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", default="", help="names of plugins or classes, with commas")
    parser.add_argument("--results", type=Path, default=ROOT / "build" / "faults.jsonl", help="where outcomes are kept")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    parser.add_argument("--no-run", action="store_true", help="run nothing; use the outcomes that are kept")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    only = set(filter(None, given.only.split(",")))
    record = Record(given.results)
    for case in (*FAULTY, *HONEST):
        if (only and case.name not in only) or given.no_run:
            continue
        begin, known = time.process_time(), len(record.found(case, given.seeds))
        for seed in range(1, given.seeds + 1):
            if not record.has(case, seed):
                record.add(case, seed, outcome(case, seed))
        found = record.found(case, given.seeds)
        spent = f"{time.process_time() - begin:.1f} s of CPU time for {given.seeds - known} seeds"
        sys.stdout.write(f"{count(case, found)} {case.name} {case.check}, {spent}: {found[0][:150]!r}\n")
        sys.stdout.flush()
    if given.write:
        rows = [(case, record.found(case, given.seeds)) for case in (*FAULTY, *HONEST)]
        PAGE.write_text(page(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
