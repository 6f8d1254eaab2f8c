"""Measures `boundary-mps`: effective sample size, KL, and times beside the same method in plain NumPy.

KL(q||p) = ln Z - mean(ln w) with ln Z from the Kac-Ward determinant or, on the torus, from Kaufman's formula or a
transfer matrix; its error is the standard error of the mean. Both forms run on one core, and all cores follow. They
take turns in one process; the shortest of some rounds counts. Times on one core are processor time, which other work on
the machine changes little; those on all cores are wall time. `prepare` is timed once.
The plain forms are tests/fakes/plain_boundary_mps.py and plain_torus_mps.py.

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
from nisbench.physics import kac_ward, kaufman, transfer_matrix
from nisbench.physics.glasses import EdwardsAnderson
from nisbench.physics.ising import Ising
from nisbench.physics.kaufman import BETA_CRITICAL
from nisbench.physics.lattice import Boundary
from nisbench.physics.options import EdwardsAndersonOptions, IsingOptions
from nisbench.physics.pairwise import PairwiseTarget
from nisbench_plugins.boundary_mps import BoundaryMps
from nisbench_plugins.registration import BoundaryMpsOptions
from tests.fakes.plain_boundary_mps import PlainBoundaryMps
from tests.fakes.plain_torus_mps import PlainTorusMps

PLAIN_DRAWS = 200


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    name: str
    target: Callable[[], PairwiseTarget]
    beta: float
    chi: int


def ferromagnet(L: int, boundary: Boundary = "free") -> Callable[[], PairwiseTarget]:
    return lambda: Ising(L, IsingOptions(boundary=boundary))


def glass(L: int, boundary: Boundary = "free") -> Callable[[], PairwiseTarget]:
    return lambda: EdwardsAnderson(L, EdwardsAndersonOptions(boundary=boundary))


CRITICAL_TORUS = (8, 8), (8, 16), (16, 16), (16, 32), (32, 16), (32, 32), (32, 64)
GLASSY_TORUS = (8, 16), (8, 32), (16, 32), (16, 64), (32, 64)
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
    *(Row(f"torus, J = 1, beta_c, L = {L}", ferromagnet(L, "torus"), BETA_CRITICAL, chi) for L, chi in CRITICAL_TORUS),
    *(Row(f"torus, +-J, 1, L = {L}", glass(L, "torus"), 1.0, chi) for L, chi in GLASSY_TORUS),
    *(Row(f"torus, +-J, 2, L = {L}", glass(L, "torus"), 2.0, chi) for L, chi in GLASSY_TORUS),
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
    write("| target, beta | chi | KL (nats) | ess_fraction | prepare, s | ms a draw, 1 core | NumPy | ratio |")
    write(f" {cores} cores, wall |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|\n")
    for number in map(int, given.rows.split(",")):
        write(f"{measured(ROWS[number], given.draws, given.rounds, cores)}\n")
        sys.stdout.flush()


def measured(row: Row, draws: int, rounds: int, cores: int) -> str:
    """Return one row of the table."""
    target, beta = row.target(), row.beta
    density = BoundaryMps(target, BoundaryMpsOptions(chi=row.chi))
    generator = torch.Generator().manual_seed(1)
    prepare_s = seconds(lambda: density.prepare(beta=beta, generator=generator))
    plain = plain_form(target, beta, row.chi)
    rng = np.random.default_rng(1)
    density.sample(1, beta=beta, generator=generator)  # compiles

    def draw() -> None:
        density.sample(draws, beta=beta, generator=generator)

    best = [math.inf] * 3
    for _ in range(rounds):
        numba.set_num_threads(1)
        best[0] = min(best[0], seconds(draw) / draws)
        best[1] = min(best[1], seconds(lambda: plain.sample(PLAIN_DRAWS, rng)) / PLAIN_DRAWS)
        numba.set_num_threads(cores)
        best[2] = min(best[2], seconds(draw, time.perf_counter) / draws)
    one, numpy, both = best
    kl, error, ess = quality(target, density, beta, draws)
    cells = [row.name, f"{row.chi}", f"{kl:.1e} ± {error:.0e}", f"{ess:.4f}", f"{prepare_s:.1f}"]
    cells += [f"{1e3 * one:.2f}", f"{1e3 * numpy:.2f}", f"{numpy / one:.1f}", f"{1e3 * both:.2f}"]
    return f"| {' | '.join(cells)} |"


def quality(target: PairwiseTarget, density: BoundaryMps, beta: float, n: int) -> tuple[float, float, float]:
    """Return KL(q||p) with its error, and ess_fraction, from n draws."""
    draws = density.sample(n, beta=beta, generator=torch.Generator().manual_seed(2))
    log_weight = (-beta * target.energy(draws.spins) - draws.log_prob).numpy()
    w = np.exp(log_weight - log_weight.max())
    kl = exact_log_z(target, beta) - log_weight.mean()
    return kl, log_weight.std() / math.sqrt(n), w.mean() ** 2 / (w**2).mean()


def exact_log_z(target: PairwiseTarget, beta: float) -> float:
    """Return ln Z, or NaN where it is not known."""
    lattice = target.lattice
    if lattice.boundary == "free":
        return kac_ward.log_z(lattice, beta)
    if lattice.is_uniform_torus:
        return kaufman.log_z(lattice.L, beta)
    return transfer_matrix.torus_log_z(lattice, beta) if lattice.L <= transfer_matrix.LARGEST_TORUS_WIDTH else math.nan


def plain_form(target: PairwiseTarget, beta: float, chi: int) -> PlainBoundaryMps | PlainTorusMps:
    """Return the plain form with its environments."""
    lattice = target.lattice
    if lattice.boundary == "torus":
        return PlainTorusMps(lattice.right, lattice.down, beta, chi)
    field = lattice.field.reshape(lattice.shape)
    return PlainBoundaryMps(lattice.right[:, :-1], lattice.down[:-1], field, beta, chi)


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """Return the time of `work` by a clock."""
    begin = clock()
    work()
    return clock() - begin


if __name__ == "__main__":
    main()
