"""Measures `boundary-mps`: effective sample size, KL, and times beside the same method in plain NumPy.

KL(q||p) = ln Z - mean(ln w) with ln Z from the Kac-Ward determinant; its error is the standard error of the mean. The
milliseconds of a draw are the shortest of some rounds in which all forms take turns in one process; `prepare` is timed
once. The plain form uses one core (tests/fakes/plain_boundary_mps.py), the compiled form one core and then all cores.

Run with `python -m tests.performance.boundary_mps [--draws 2000] [--rounds 3] [--rows 0,1,2]`.
"""

import argparse
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np
import torch

from nisbench.harness.execute import worker_environment
from nisbench.physics.glasses import EdwardsAnderson
from nisbench.physics.ising import Ising
from nisbench.physics.kac_ward import log_z
from nisbench.physics.kaufman import BETA_CRITICAL
from nisbench.physics.options import IsingOptions
from nisbench.physics.pairwise import PairwiseTarget
from nisbench_plugins.boundary_mps import BoundaryMps
from nisbench_plugins.registration import BoundaryMpsOptions
from tests.fakes.plain_boundary_mps import PlainBoundaryMps

PLAIN_DRAWS = 200


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    name: str
    target: Callable[[], PairwiseTarget]
    beta: float
    chi: int


def ferromagnet(L: int) -> Callable[[], PairwiseTarget]:
    return lambda: Ising(L, IsingOptions(boundary="free"))


def glass(L: int) -> Callable[[], PairwiseTarget]:
    return lambda: EdwardsAnderson(L)


ROWS = (
    Row("J = 1, 0.44, L = 32", ferromagnet(32), 0.44, 4),
    Row("J = 1, 0.44, L = 32", ferromagnet(32), 0.44, 8),
    Row("J = 1, beta_c, L = 64", ferromagnet(64), BETA_CRITICAL, 4),
    Row("J = 1, beta_c, L = 64", ferromagnet(64), BETA_CRITICAL, 8),
    Row("J = 1, beta_c, L = 128", ferromagnet(128), BETA_CRITICAL, 8),
    Row("J = 1, beta_c, L = 128", ferromagnet(128), BETA_CRITICAL, 16),
    Row("J = 1, beta_c, L = 256", ferromagnet(256), BETA_CRITICAL, 16),
    Row("+-J, 1, L = 64", glass(64), 1.0, 16),
    Row("+-J, 1, L = 128", glass(128), 1.0, 16),
    Row("+-J, 2, L = 128", glass(128), 2.0, 8),
    Row("+-J, 2, L = 128", glass(128), 2.0, 16),
    Row("+-J, 2, L = 128", glass(128), 2.0, 24),
)


def main() -> None:
    """Print the Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", default=",".join(map(str, range(len(ROWS)))), help="numbers of the rows")
    given = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    environment = worker_environment(cores) | {"OPENBLAS_NUM_THREADS": "1"}
    if environment != os.environ:  # the C libraries read the environment only when a process starts
        os.execve(sys.executable, [sys.executable, "-m", "tests.performance.boundary_mps", *sys.argv[1:]], environment)
    write = sys.stdout.write
    write(f"| target, beta | chi | KL (nats) | ess_fraction | prepare, s | ms a draw: 1 core | {cores} cores | NumPy |")
    write(" ratio: 1 core | all |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
    for number in map(int, given.rows.split(",")):
        write(f"{measured(ROWS[number], given.draws, given.rounds, cores)}\n")
        sys.stdout.flush()


def measured(row: Row, draws: int, rounds: int, cores: int) -> str:
    """Return one row of the table."""
    target, beta = row.target(), row.beta
    density = BoundaryMps(target, BoundaryMpsOptions(chi=row.chi))
    generator = torch.Generator().manual_seed(1)
    prepare_s = seconds(lambda: density.prepare(beta=beta, generator=generator))
    lattice = target.lattice
    field = lattice.field.reshape(lattice.shape)
    plain = PlainBoundaryMps(lattice.right[:, :-1], lattice.down[:-1], field, beta, row.chi)
    rng = np.random.default_rng(1)
    density.sample(1, beta=beta, generator=generator)  # compiles
    best = [math.inf] * 3
    for _ in range(rounds):
        for k, threads in enumerate((1, cores)):
            numba.set_num_threads(threads)
            best[k] = min(best[k], seconds(lambda: density.sample(draws, beta=beta, generator=generator)) / draws)
        best[2] = min(best[2], seconds(lambda: plain.sample(PLAIN_DRAWS, rng)) / PLAIN_DRAWS)
    one, both, numpy = best
    kl, error, ess = quality(target, density, beta, draws)
    cells = [row.name, f"{row.chi}", f"{kl:.1e} ± {error:.0e}", f"{ess:.4f}", f"{prepare_s:.1f}"]
    cells += [
        f"{1e3 * one:.2f}",
        f"{1e3 * both:.2f}",
        f"{1e3 * numpy:.2f}",
        f"{numpy / one:.1f}",
        f"{numpy / both:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def quality(target: PairwiseTarget, density: BoundaryMps, beta: float, n: int) -> tuple[float, float, float]:
    """Return KL(q||p) with its error, and ess_fraction, from n draws."""
    draws = density.sample(n, beta=beta, generator=torch.Generator().manual_seed(2))
    log_weight = (-beta * target.energy(draws.spins) - draws.log_prob).numpy()
    w = np.exp(log_weight - log_weight.max())
    kl = log_z(target.lattice, beta) - log_weight.mean()
    return kl, log_weight.std() / math.sqrt(n), w.mean() ** 2 / (w**2).mean()


def seconds(work: Callable[[], object]) -> float:
    """Return the wall time of `work`."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
