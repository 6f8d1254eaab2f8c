"""Cluster flips per second of `wolff` and of the Rust package mcising, side by side in one process.

Both record energy and magnetisation after every flip at beta_c: `wolff` by draw_series, mcising by its measured
production block (`sweep` is its bare update, which records nothing). The two take turns, so that a busy machine slows
both; the ratio is the median over the rounds. The column `z` is the difference of the mean energies from the exact
value in standard errors, which shows that both sample the same distribution.

Run with `python benchmarks/peer_wolff.py [--sizes 16,64] [--rounds 7] [--seconds 0.5] [--threads 1]`.
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
from nisbench_plugins.registration import WolffOptions
from nisbench_plugins.wolff import Wolff

HEADER = f"{'L':>4} {'wolff/s':>10} {'spins/s':>9} {'z':>5} | {'mcising/s':>10} {'z':>5} {'sweep/s':>9} | "
HEADER += f"{'ratio':>6} {'to bare sweep':>13}"

Update = Callable[[int], NDArray[np.float64]]


@dataclass(frozen=True)
class Comparison:
    """Medians over the rounds; rates per second of all chains together."""

    size: int
    wolff: float
    spins: float
    wolff_z: float
    peer: float
    peer_z: float
    bare: float
    ratio: float
    ratio_to_bare: float

    def __str__(self) -> str:
        return (
            f"{self.size:>4} {self.wolff:>10.0f} {self.spins:>9.2e} {self.wolff_z:>5.1f} | {self.peer:>10.0f} "
            f"{self.peer_z:>5.1f} {self.bare:>9.0f} | {self.ratio:>6.2f} {self.ratio_to_bare:>13.2f}"
        )


def main() -> None:
    """Prints one line per size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="16,32,64,128,256")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="per contestant and round")
    parser.add_argument("--threads", type=int, default=1, help="of wolff, with as many chains; mcising has one chain")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    version = importlib.metadata.version("mcising")
    sys.stdout.write(f"beta_c, wolff with {arguments.threads} thread(s), mcising {version} with one\n{HEADER}\n")
    for size in map(int, arguments.sizes.split(",")):
        sys.stdout.write(f"{compare(size, arguments.threads, arguments.rounds, arguments.seconds)}\n")
        sys.stdout.flush()


def compare(size: int, threads: int = 1, rounds: int = 7, seconds: float = 0.5) -> Comparison:
    """One size: wolff with as many chains as threads, mcising with one chain."""
    from mcising import IsingSimulation  # not needed to collect the benchmarks

    generator = torch.Generator().manual_seed(size)
    wolff = Wolff(Ising(size), WolffOptions(n_chains=threads))
    wolff.prepare(beta=BETA_CRITICAL, generator=generator)
    peer = IsingSimulation(size, 1.0, 0.0, 0.0, 0.0, size, "wolff")
    peer.set_spins(np.ones((size, size), dtype=np.int8))
    peer.sweep(1000, temperature=1 / BETA_CRITICAL)

    def ours(n: int) -> NDArray[np.float64]:
        series = wolff.draw_series(n, generator=generator)
        return np.stack([series.energy / size**2, series.cluster_size])

    def theirs(n: int) -> NDArray[np.float64]:
        block = peer.production_sweeps(n, 1, temperature=1 / BETA_CRITICAL, store_configs=False)
        return np.asarray(block["energies"])[None]

    def bare(n: int) -> NDArray[np.float64]:
        peer.sweep(n, temperature=1 / BETA_CRITICAL)
        return np.empty((1, 0))

    contestants: list[Update] = [ours, theirs, bare]
    lengths = [calibrate(update, seconds) for update in contestants]
    rates = np.empty((rounds, 3))
    values: list[list[NDArray[np.float64]]] = [[], [], []]
    for turn in range(rounds):
        for i, (update, n) in enumerate(zip(contestants, lengths, strict=True)):
            start = time.perf_counter()
            values[i].append(update(n))
            rates[turn, i] = n / (time.perf_counter() - start)
    rates[:, 0] *= threads
    exact = exact_values(size, BETA_CRITICAL)["energy"]
    z = [deviation(np.concatenate([v[0] for v in values[i]]), exact) for i in (0, 1)]
    mine, other, update_only = np.median(rates, axis=0)
    ratio, to_bare = np.median(rates[:, :1] / rates[:, 1:], axis=0)
    cluster_size = np.concatenate([v[1] for v in values[0]]).mean()
    return Comparison(size, mine, mine * cluster_size, z[0], other, z[1], update_only, ratio, to_bare)


def calibrate(update: Update, seconds: float) -> int:
    """Number of updates that take about `seconds`; also the warm-up."""
    n = 64
    while True:
        start = time.perf_counter()
        update(n)
        elapsed = time.perf_counter() - start
        if elapsed > seconds / 8:
            return max(20, round(n * seconds / elapsed))
        n *= 4


def deviation(series: NDArray[np.float64], exact: float) -> float:
    """(mean - exact) / error of a series (n,) or (n, n_chains), autocorrelation included."""
    tau_int = gamma_method(series).tau_int
    return float((series.mean() - exact) / np.sqrt(2 * tau_int * series.var() / series.size))


if __name__ == "__main__":
    main()
