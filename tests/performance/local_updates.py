"""Measures the local updates: spins per second on one core, and `parallel-tempering` beside the package peapods.

Rates are per second of processor time. Every row is the median of some rounds, in which all contestants take turns in
one process, so that a busy machine slows all of them. A spin update includes its share of energies, magnetisations,
exchanges and clusters.

Both tempering codes run the same ladder on the torus with two replicas per temperature, an exchange after every sweep
and a Houdayer move every ten sweeps. peapods moves one cluster at every temperature, `parallel-tempering` at the colder
half. peapods also measures overlaps after each sweep. The last columns are the energies per site at the coldest
temperature, which show that both sample the same distribution.

Run with `python -m tests.performance.local_updates [--sizes 16,64] [--rounds 5] [--seconds 0.5]`. Without peapods
(extra `peers`) the second table is left out.
"""

import argparse
import importlib.util
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from nisbench.physics.glasses import EdwardsAnderson
from nisbench.physics.ising import Ising
from nisbench.physics.kaufman import BETA_CRITICAL
from nisbench.physics.options import EdwardsAndersonOptions
from nisbench.physics.pairwise import PairwiseTarget
from nisbench_plugins.annealed import Annealed
from nisbench_plugins.metropolis import Metropolis
from nisbench_plugins.parallel_tempering import ParallelTempering
from nisbench_plugins.registration import AnnealedOptions, MetropolisOptions, ParallelTemperingOptions

Work = Callable[[int], float]
"""Makes n units of work and returns the number of spin updates."""


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="16,64")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="per contestant and round")
    given = parser.parse_args()
    torch.set_num_threads(1)
    sys.stdout.write(f"{processor()}, one core; spin updates per second\n")
    for L in map(int, given.sizes.split(",")):
        for name, target in targets(L).items():
            found = rates(contestants(target), given.rounds, given.seconds)
            sys.stdout.write(f"L = {L:3}, {name:9}" + "".join(f" | {key} {rate:.2e}" for key, rate in found.items()))
            sys.stdout.write("\n")
            sys.stdout.flush()
    if importlib.util.find_spec("peapods") is None:
        return
    for L in map(int, given.sizes.split(",")):
        for disorder in ("pm1", "gaussian"):
            sys.stdout.write(f"{compare(L, disorder, given.rounds, given.seconds)}\n")
            sys.stdout.flush()


def processor() -> str:
    """Return the name of the processor."""
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()


def targets(L: int) -> dict[str, PairwiseTarget]:
    return {
        "ising": Ising(L),
        "pm1": EdwardsAnderson(L),
        "gaussian": EdwardsAnderson(L, EdwardsAndersonOptions(disorder="gaussian")),
    }


def contestants(target: PairwiseTarget) -> dict[str, Work]:
    """Return the samplers of nisbench on one target at beta_c, with one draw per unit of work."""
    generator, n_sites = torch.Generator().manual_seed(1), target.n_sites
    found: dict[str, Work] = {}
    for update in ("metropolis", "heat-bath"):
        local = Metropolis(target, MetropolisOptions(update=update, burn_in_sweeps=0))
        local.prepare(beta=BETA_CRITICAL, generator=generator)
        found[update] = lambda n, s=local: 10 * s.draw_series(n, generator=generator).energy.size * n_sites
    annealed = Annealed(target, AnnealedOptions(n_steps=100))
    annealed.prepare(beta=BETA_CRITICAL, generator=generator)
    found["annealed"] = lambda n: 100 * len(annealed.draw(256 * n, generator=generator).spins) * n_sites
    tempering = ParallelTempering(target, ParallelTemperingOptions(n_chains=1, burn_in_sweeps=0))
    tempering.prepare(beta=1.0, generator=generator)
    replicas = tempering._systems[0].lane.size
    found["tempering"] = lambda n: 10 * replicas * len(tempering.draw_series(n, generator=generator).energy) * n_sites
    return found


def rates(works: dict[str, Work], rounds: int, seconds: float) -> dict[str, float]:
    """Return the median rate of each contestant."""
    lengths = {name: calibrate(work, seconds) for name, work in works.items()}
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            start = time.process_time()
            updates = work(lengths[name])
            found[name].append(updates / (time.process_time() - start))
    return {name: float(np.median(values)) for name, values in found.items()}


def calibrate(work: Work, seconds: float) -> int:
    """Return the units of work that take about `seconds`; the calls also serve as warm-up."""
    n = 1
    while True:
        start = time.process_time()
        work(n)
        elapsed = time.process_time() - start
        if elapsed > seconds / 8:
            return max(1, round(n * seconds / elapsed))
        n *= 4


def peer(target: PairwiseTarget, betas: Sequence[float]):  # type: ignore[no-untyped-def]
    """Return a simulation of peapods with two replicas at each temperature, from random spins."""
    from peapods import Ising as Peer

    couplings = np.stack([target.lattice.down, target.lattice.right], axis=-1)
    temperatures = 1 / np.maximum(betas, 1e-6)
    return Peer(target.lattice.shape, couplings=couplings, temperatures=temperatures, n_replicas=2)


def run_peer(simulation, sweeps: int, warmup: float = 0.0) -> None:  # type: ignore[no-untyped-def]
    simulation.sample(
        sweeps, "gibbs", pt_interval=1, overlap_cluster_update_interval=10, sequential=True, warmup_ratio=warmup
    )


def peer_energies(
    target: PairwiseTarget, betas: Sequence[float], runs: int, sweeps: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean energy per site at each temperature and its error, from independent runs of peapods."""
    energies = []
    for _ in range(runs):
        simulation = peer(target, betas)
        run_peer(simulation, sweeps, warmup=0.25)
        energies.append(-np.asarray(simulation.energies_avg, dtype=np.float64))  # its energy is + sum J s s
    return np.mean(energies, axis=0), np.std(energies, axis=0, ddof=1) / np.sqrt(runs)


def compare(L: int, disorder: str, rounds: int = 5, seconds: float = 0.5) -> str:
    """Return a row that compares `parallel-tempering` with peapods at beta = 1 on one ladder."""
    target = EdwardsAnderson(L, EdwardsAndersonOptions(disorder=disorder, boundary="torus"))
    generator = torch.Generator().manual_seed(1)
    ours = ParallelTempering(target, ParallelTemperingOptions(n_chains=1, burn_in_sweeps=1000))
    ours.prepare(beta=1.0, generator=generator)
    betas = ours._ladder.betas
    theirs, per_sweep, energy = peer(target, betas), 2 * len(betas) * target.n_sites, [0.0]

    def tempering(n: int) -> float:
        energy[0] = ours.draw_series(n, generator=generator).energy.mean() / target.n_sites
        return 10.0 * n * per_sweep

    def peapods(n: int) -> float:
        run_peer(theirs, 10 * n)
        return 10.0 * n * per_sweep

    works = {"parallel-tempering": tempering, "peapods": peapods}
    lengths = {name: calibrate(work, seconds) for name, work in works.items()}
    found = np.empty((rounds, 2))
    for turn in range(rounds):
        for i, (name, work) in enumerate(works.items()):
            start = time.process_time()
            updates = work(lengths[name])
            found[turn, i] = updates / (time.process_time() - start)
    mine, other = np.median(found, axis=0)
    ratio = np.median(found[:, 0] / found[:, 1])
    return (
        f"L = {L:3}, {disorder:8}, {len(betas)} temperatures: parallel-tempering {mine:.2e}, peapods {other:.2e}, "
        f"ratio {ratio:.1f}; energies {energy[0]:.3f} and {-theirs.energies_avg[-1]:.3f}"
    )


if __name__ == "__main__":
    main()
