"""Method card of `parallel-tempering`: exchange Monte Carlo with Houdayer cluster moves.

Samples     p(s) = exp(-beta E) / Z of any pairwise model on the L x L square lattice: couplings of either sign, fields,
            torus or free edges, any finite beta; also ln Z.
Exactness   asymptotically exact, up to the rounding of probabilities to multiples of 2^-32. Successive draws are
            correlated; the burn-in reduces the bias of the start.
Method      a system has T inverse temperatures from 0 to beta, with two replicas at each (one if houdayer_every = 0).
            In each round every replica makes a heat-bath sweep. Replicas at neighbouring temperatures are exchanged
            with probability min(1, exp((beta - beta')(E - E'))), even and odd pairs in turns. Every `houdayer_every`
            rounds, a Houdayer move exchanges a cluster of differing spins between the two replicas at each temperature
            of the colder half. It keeps the sum of their energies, with a field as well.
Ladder      equal distances in standard deviations of the energy (`sweeps.energy_ladder`). If n_temperatures = 0, the
            distance is at most 1.5 and the number a multiple of 16, which fills the blocks of 32 replicas.
One draw    `sweeps_per_draw` rounds. It returns one replica at beta of each system. The second replica is not returned:
            Houdayer moves pass energy from one to the other, and the two together would look less correlated in time
            than they are.
Cost        2 T N spin updates and one sum of the energy of all replicas a round, all charged to the draws. One core of
            an AMD EPYC (family 25, model 17) makes about 5e8 updates a second at L = 64, everything included: 14 times
            as many as the package peapods on one ladder (`tests/performance/local_updates.py`). With Gaussian
            couplings it makes 8e7 to 9e7, 2.6 times as many as peapods, because the thresholds of all sites and
            temperatures do not fit into the cache.
ln Z        N ln 2 plus the sum of ln(Z' / Z) of all neighbouring temperatures by Bennett's acceptance ratio, from all
            replicas after each draw.
Start       random spins at every temperature, then `burn_in_sweeps` rounds.
Randomness  a xoshiro128++ generator for each replica and a SplitMix64 stream for the exchanges and clusters of each
            system, which `prepare` seeds. Draws depend neither on how they are split into calls nor on the threads.
Failure     a system whose replicas do not reach beta = 0 and come back during the run. Near the critical point of a
            large ferromagnet the exchanges become rare, because sigma is larger there than the ladder assumes. In a
            two-dimensional glass the time grows quickly beyond beta = 2 and L = 64. With +-J couplings at L = 64 and
            beta = 2 the default burn-in is too short: one of four systems was not in equilibrium after 1000 sweeps;
            10 000 were enough (plan `spin-glass`).
Reference   K. Hukushima, K. Nemoto, J. Phys. Soc. Jpn. 65, 1604 (1996). J. Houdayer, Eur. Phys. J. B 22, 479 (2001).
            C. H. Bennett, J. Comput. Phys. 22, 245 (1976).
Differences Houdayer's paper uses many replicas; here they come in pairs.
"""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator

from nisbench.api import Bridges, ChainDraws, ChainSampler, ChainSeries, Target, lattice_of
from nisbench_plugins.parallel_tempering_kernels import BINS, Ladder, System, advance, burn_in
from nisbench_plugins.registration import ParallelTemperingOptions
from nisbench_plugins.sweeps import (
    HEAT_BATH,
    LANES,
    Sites,
    blocks_of_states,
    energy_ladder,
    in_threads,
    missing_lattice,
)

__all__ = ["ParallelTempering"]


class ParallelTempering(ChainSampler):
    """Sampler of p by `n_chains` independent systems with temperatures from beta = 0 on."""

    options: ParallelTemperingOptions

    def __init__(self, target: Target, options: ParallelTemperingOptions) -> None:
        super().__init__(target, options)
        self._lattice: Any = lattice_of(target)
        self._sites = Sites.of(self._lattice)
        self._replicas = 2 if options.houdayer_every else 1
        self._systems: list[System] = []

    @classmethod
    def unsupported(cls, target: Target, options: Any) -> str | None:
        """Return the reason why this target cannot be sampled, or None: it needs the couplings of a lattice."""
        return missing_lattice("parallel-tempering", target, lattice_of(target))

    def prepare(self, *, beta: float, generator: Generator) -> None:
        """Build the ladder, seed new systems and discard the burn-in. Raises ValueError unless beta is finite."""
        if not math.isfinite(beta):
            raise ValueError(f"beta = {beta}: parallel-tempering needs a finite beta")
        self._ladder = self._build(self._temperatures(beta))
        self._systems = [self._seeded(generator) for _ in range(self.options.n_chains)]
        means: list[Any] = [None] * len(self._systems)

        def work(i: int) -> None:
            means[i] = burn_in(self._systems[i], self._ladder, self.options.burn_in_sweeps)

        in_threads(len(self._systems), work)
        energy = np.mean(means, axis=0)  # (T,)
        # the trapezoidal rule of thermodynamic integration; the estimate of ln Z is right for any shift
        self._shift = -np.diff(self._ladder.betas) * (energy[1:] + energy[:-1]) / 2

    def draw(self, n: int, *, generator: Generator) -> ChainDraws:
        """Return n draws of each system as spins (n, n_chains, L, L) int8.

        The systems continue from their last state with their own random numbers; `generator` is not used.
        """
        L = self.target.L
        spins = np.empty((self.options.n_chains, n, L * L), dtype=np.int8)
        self._advance(n, spins)
        ordered = np.ascontiguousarray(spins.transpose(1, 0, 2)).reshape(n, -1, L, L)
        return ChainDraws(spins=torch.from_numpy(ordered))

    def draw_series(self, n: int, *, generator: Generator) -> ChainSeries:
        """Return energy and magnetisation of the draws that `draw` would return, (n, n_chains) each."""
        series = self._advance(n, np.empty((self.options.n_chains, 0, 0), dtype=np.int8))
        return ChainSeries(energy=series[0], magnetisation=series[1])

    def bridges(self) -> Bridges | None:
        """Return the terms of ln Z of all draws since `prepare`; None before the first draw."""
        counts = self._systems[0].counts if self._systems else np.zeros(3, dtype=np.int64)
        full = int(counts[1] // counts[2]) if counts[1] else 0
        if not full:
            return None
        # (n_chains, 2, BINS, T - 1) -> (2, bins, n_chains, T - 1); an incomplete last bin is left out
        terms = np.stack([system.bins for system in self._systems])[:, :, :full].transpose(1, 2, 0, 3) / counts[2]
        start = self.target.n_sites * math.log(2)
        return Bridges(start, self._shift, above=terms[0], below=terms[1], draws_per_bin=int(counts[2]))

    def _temperatures(self, beta: float) -> NDArray[np.float64]:
        """Return the ladder of inverse temperatures from 0 to beta."""
        if self.options.n_temperatures:
            return energy_ladder(self._lattice, beta, self.options.n_temperatures)
        multiple = LANES // 2
        n = len(energy_ladder(self._lattice, beta))
        return energy_ladder(self._lattice, beta, -(-n // multiple) * multiple)

    def _build(self, betas: NDArray[np.float64]) -> Ladder:
        """Return the tables of the kernels for a ladder."""
        sites, thresholds = self._sites, self._sites.thresholds(betas)
        return Ladder(
            *(sites.visits, sites.weights, sites.offset, sites.uniform),
            *(self._lattice.neighbours.copy(), thresholds, betas),
            houdayer_every=self.options.houdayer_every,
        )

    def _seeded(self, generator: Generator) -> System:
        """Return a system with new generators; lane r T + t starts as replica r at temperature t."""
        n = len(self._ladder.betas)
        states = blocks_of_states(self._replicas * n, generator)
        base = np.zeros((len(states), 1 + LANES), dtype=np.uint64)
        base[:, 0] = HEAT_BATH
        lanes = np.arange(self._replicas * n)
        base[lanes // LANES, 1 + lanes % LANES] = lanes % n * HEAT_BATH
        key = torch.randint(-(2**63), 2**63 - 1, (1,), generator=generator, device=generator.device)
        return System(
            bits=np.empty((len(states), self.target.n_sites, LANES), dtype=np.uint8),
            states=states,
            base=base,
            lane=lanes.reshape(self._replicas, n),
            energy=np.zeros(len(states) * LANES),
            magnetisation=np.zeros(len(states) * LANES),
            stream=key.cpu().numpy().view(np.uint64),
            counts=np.array([0, 0, 1], dtype=np.int64),
            bins=np.zeros((2, BINS, n - 1)),
        )

    def _advance(self, n: int, spins: NDArray[np.int8]) -> NDArray[np.float64]:
        """Make n draws; return (2, n, n_chains): energy and magnetisation.

        Writes the configurations to `spins` (n_chains, n, n_sites), unless it is empty. Raises RuntimeError if
        `prepare` was not called.
        """
        if not self._systems:
            raise RuntimeError("parallel-tempering has no chains; call prepare(beta=..., generator=...) first")
        series = np.empty((len(self._systems), 2, n))
        steps = self.options.sweeps_per_draw

        def work(i: int) -> None:
            advance(self._systems[i], self._ladder, self._shift, steps, series[i], spins[i])

        in_threads(len(self._systems), work)
        return np.ascontiguousarray(series.transpose(1, 2, 0))
