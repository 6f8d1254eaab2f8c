"""Compares the speed of `wolff` or `swendsen-wang` with the Rust package mcising, in one process.

Both record energy and magnetisation after every cluster flip or update of the lattice at beta_c: nisbench with
draw_series, mcising with production_sweeps. The method `sweep` of mcising is its bare update, which records nothing.
The contestants take turns, so that a busy machine slows all of them; a ratio is the median over the rounds. The columns
`z` are (mean energy - exact)/error, which show that both packages sample the same distribution.

Run with `python -m benchmarks.peer_wolff [--algorithm wolff|swendsen-wang] [--sizes 16,64] [--rounds 7]
[--seconds 0.5] [--threads 1]`. Times are wall time; with `--cpu` the processor time of the process, for a busy machine.
"""

import argparse
import importlib.metadata
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from nisbench.physics.ising import Ising
from nisbench.physics.kaufman import BETA_CRITICAL, exact_values
from nisbench.statistics.autocorrelation import gamma_method
from nisbench_plugins.registration import SwendsenWangOptions, WolffOptions
from nisbench_plugins.swendsen_wang import SwendsenWang
from nisbench_plugins.wolff import Wolff

HEADER = f"{'L':>4} {'nisbench/s':>10} {'spins/s':>9} {'z':>5} | {'mcising/s':>10} {'z':>5} {'sweep/s':>9} | "
HEADER += f"{'ratio':>6} {'to bare sweep':>13}"

Update = Callable[[int], NDArray[np.float64]]


@dataclass(frozen=True)
class Comparison:
    """Result at one size L: medians over the rounds; rates are per second for all chains together."""

    size: int
    own: float
    """cluster flips of `wolff` or updates of `swendsen-wang`"""
    spins: float
    """flipped spins of `wolff` or visited spins of `swendsen-wang`"""
    own_z: float
    peer: float
    """the same of mcising with energy and magnetisation"""
    peer_z: float
    bare: float
    """the same of mcising without measurement"""
    ratio: float
    """own / peer"""
    ratio_to_bare: float
    """own / bare"""

    def __str__(self) -> str:
        return (
            f"{self.size:>4} {self.own:>10.0f} {self.spins:>9.2e} {self.own_z:>5.1f} | {self.peer:>10.0f} "
            f"{self.peer_z:>5.1f} {self.bare:>9.0f} | {self.ratio:>6.2f} {self.ratio_to_bare:>13.2f}"
        )


def main() -> None:
    """Print one line for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="16,32,64,128,256")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="per contestant and round")
    parser.add_argument(
        "--threads", type=int, default=1, help="of nisbench, with as many chains; mcising has one chain"
    )
    parser.add_argument("--algorithm", choices=["wolff", "swendsen-wang"], default="wolff")
    parser.add_argument("--cpu", action="store_true", help="processor time instead of wall time")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    version = importlib.metadata.version("mcising")
    title = f"beta_c, {arguments.algorithm} with {arguments.threads} thread(s), mcising {version} with one"
    sys.stdout.write(f"{title}\n{HEADER}\n")
    clock = time.process_time if arguments.cpu else time.perf_counter
    for size in map(int, arguments.sizes.split(",")):
        found = compare(
            size, arguments.threads, arguments.rounds, arguments.seconds, algorithm=arguments.algorithm, clock=clock
        )
        sys.stdout.write(f"{found}\n")
        sys.stdout.flush()


def compare(
    size: int,
    threads: int = 1,
    rounds: int = 7,
    seconds: float = 0.5,
    *,
    algorithm: str = "wolff",
    clock: Callable[[], float] = time.perf_counter,
) -> Comparison:
    """Measure one size L: nisbench with one chain per thread, mcising with one chain."""
    from mcising import IsingSimulation  # imported here, because asv imports this file without the package

    generator = torch.Generator().manual_seed(size)
    own: Wolff | SwendsenWang = Wolff(Ising(size), WolffOptions(n_chains=threads))
    if algorithm == "swendsen-wang":
        own = SwendsenWang(Ising(size), SwendsenWangOptions(n_chains=threads))
    own.prepare(beta=BETA_CRITICAL, generator=generator)
    peer = IsingSimulation(size, 1.0, 0.0, 0.0, 0.0, size, algorithm.replace("-", "_"))
    peer.set_spins(np.ones((size, size), dtype=np.int8))
    peer.sweep(1000, temperature=1 / BETA_CRITICAL)

    def ours(n: int) -> NDArray[np.float64]:
        series = own.draw_series(n, generator=generator)
        visited = series.cluster_size if algorithm == "wolff" else np.full_like(series.energy, size**2)
        return np.stack([series.energy / size**2, visited])

    def theirs(n: int) -> NDArray[np.float64]:
        block = peer.production_sweeps(n, 1, temperature=1 / BETA_CRITICAL, store_configs=False)
        return np.asarray(block["energies"])[None]

    def bare(n: int) -> NDArray[np.float64]:
        peer.sweep(n, temperature=1 / BETA_CRITICAL)
        return np.empty((1, 0))

    contestants: list[Update] = [ours, theirs, bare]
    lengths = [calibrate(update, seconds, clock) for update in contestants]
    rates = np.empty((rounds, 3))
    values: list[list[NDArray[np.float64]]] = [[], [], []]  # per contestant and round: (1 or 2, n[, n_chains])
    for turn in range(rounds):
        for i, (update, n) in enumerate(zip(contestants, lengths, strict=True)):
            start = clock()
            values[i].append(update(n))
            rates[turn, i] = n / (clock() - start)
    rates[:, 0] *= threads
    exact = exact_values(size, BETA_CRITICAL)["energy"]
    z = [deviation(np.concatenate([v[0] for v in values[i]]), exact) for i in (0, 1)]
    mine, other, update_only = np.median(rates, axis=0)
    ratio, to_bare = np.median(rates[:, :1] / rates[:, 1:], axis=0)
    visited = np.concatenate([v[1] for v in values[0]]).mean()
    return Comparison(size, mine, mine * visited, z[0], other, z[1], update_only, ratio, to_bare)


def calibrate(update: Update, seconds: float, clock: Callable[[], float]) -> int:
    """Return the number of updates that take about `seconds`; the calls also serve as warm-up."""
    n = 64
    while True:
        start = clock()
        update(n)
        elapsed = clock() - start
        if elapsed > seconds / 8:
            return max(20, round(n * seconds / elapsed))
        n *= 4


def deviation(series: NDArray[np.float64], exact: float) -> float:
    """Return (mean - exact) / error of a series (n,) or (n, n_chains), with autocorrelation in the error."""
    tau_int = gamma_method(series).tau_int
    return float((series.mean() - exact) / np.sqrt(2 * tau_int * series.var() / series.size))


if __name__ == "__main__":
    main()
