"""Method card of `metropolis`: local updates of single spins, compiled, in many replicas.

Samples     p(s) = exp(-beta E) / Z of any pairwise model on the L x L square lattice: couplings of either sign, fields,
            torus or free edges, any finite beta.
Exactness   asymptotically exact, up to the rounding of probabilities to multiples of 2^-32. Successive draws are
            correlated; the burn-in reduces the bias of the start.
Update      a sweep visits every site once, as a checkerboard: first all even sites, then all odd ones. A torus of odd
            extent has no checkerboard and is visited row by row. `update = metropolis` flips a spin with probability
            min(1, exp(-beta dE)); `heat-bath` draws it from its conditional distribution given the four neighbours.
            At beta = 0 Metropolis would flip all spins in each sweep, so the heat bath is used there.
One draw    `sweeps_per_draw` sweeps of a chain. Energy and magnetisation are summed once a draw.
Cost        a sweep has N updates. One core of an AMD EPYC (family 25, model 17) makes about 7e8 updates a second at
            L = 64, 6e8 with Gaussian couplings, energies and magnetisations included
            (`tests/performance/local_updates.py`). 32 chains advance together: a number of chains that is not a
            multiple of 32 costs as much as the next multiple.
Start       random spins. beta rises in eight equal steps over the first half of the burn-in of `burn_in_sweeps`.
Randomness  each chain has a xoshiro128++ generator, which `prepare` seeds. Draws depend neither on how they are split
            into calls nor on the number of threads.
Failure     tau_int grows like L^2.17 at beta_c. Below the critical temperature the magnetisation keeps its sign, and a
            ferromagnet may freeze with two domains. In a spin glass at low temperature, chains stay in one valley; tau
            cannot show a valley that no chain visits. Metropolis without a field is slow at small beta, where almost
            every sweep flips almost all spins.
Reference   N. Metropolis et al., J. Chem. Phys. 21, 1087 (1953). R. J. Glauber, J. Math. Phys. 4, 294 (1963).
Differences none in the algorithm.
"""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator

from nisbench.api import ChainDraws, ChainSampler, ChainSeries, Target, lattice_of
from nisbench.nn.kernels.cache import kernel
from nisbench_plugins.registration import MetropolisOptions
from nisbench_plugins.sweeps import (
    HEAT_BATH,
    LANES,
    METROPOLIS,
    Sites,
    blocks_of_states,
    in_threads,
    measure,
    missing_lattice,
    randomise,
    sweep,
)

__all__ = ["Metropolis"]

_RAMP = 8
"""Steps in which beta rises during the burn-in."""


class Metropolis(ChainSampler):
    """Sampler of p by local updates of `n_chains` independent replicas."""

    options: MetropolisOptions

    def __init__(self, target: Target, options: MetropolisOptions) -> None:
        super().__init__(target, options)
        self._sites = Sites.of(lattice_of(target))
        self._thresholds = np.empty((0, 0), dtype=np.uint32)
        self._states = np.empty((0, 4, LANES), dtype=np.uint32)
        self._bits = np.empty((0, target.n_sites, LANES), dtype=np.uint8)

    @classmethod
    def unsupported(cls, target: Target, options: Any) -> str | None:
        """Return the reason why this target cannot be sampled, or None: it needs the couplings of a lattice."""
        return missing_lattice("metropolis", target, lattice_of(target))

    def prepare(self, *, beta: float, generator: Generator) -> None:
        """Seed new chains, start them with random spins and discard the burn-in. ValueError unless beta is finite."""
        if not math.isfinite(beta):
            raise ValueError(f"beta = {beta}: metropolis needs a finite beta")
        width = METROPOLIS if self.options.update == "metropolis" and beta != 0 else HEAT_BATH
        self._states = blocks_of_states(self.options.n_chains, generator)
        self._bits = np.empty((len(self._states), self.target.n_sites, LANES), dtype=np.uint8)
        ramp = self._sites.thresholds(beta * np.arange(1, _RAMP + 1) / _RAMP, width)
        burn_in = self.options.burn_in_sweeps
        stages = [(ramp[:, k * width : (k + 1) * width].copy(), burn_in // (2 * _RAMP)) for k in range(_RAMP)]
        stages.append((stages[-1][0], burn_in - sum(sweeps for _, sweeps in stages)))
        self._thresholds = stages[-1][0]
        in_threads(len(self._states), lambda block: self._burn_in(block, stages))

    def draw(self, n: int, *, generator: Generator) -> ChainDraws:
        """Return n draws of each chain as spins (n, n_chains, L, L) int8.

        The chains continue from their last state with their own random numbers; `generator` is not used.
        """
        lanes, L = len(self._states) * LANES, self.target.L
        spins = np.empty((n, lanes, L * L), dtype=np.int8)
        self._advance(n, spins)
        chosen = spins[:, : self.options.n_chains].reshape(n, -1, L, L)
        return ChainDraws(spins=torch.from_numpy(np.ascontiguousarray(chosen)))

    def draw_series(self, n: int, *, generator: Generator) -> ChainSeries:
        """Return energy and magnetisation of the draws that `draw` would return, (n, n_chains) each."""
        series = self._advance(n, np.empty((0, 0, 0), dtype=np.int8))
        return ChainSeries(energy=series[0], magnetisation=series[1])

    def _burn_in(self, block: int, stages: list[tuple[NDArray[np.uint32], int]]) -> None:
        """Start a block with random spins and make the sweeps of each stage with its thresholds."""
        randomise(self._bits[block], self._states[block])
        for thresholds, sweeps in stages:
            _sweeps(self._bits[block], self._states[block], self._sites.visits, thresholds, _base(thresholds), sweeps)

    def _advance(self, n: int, spins: NDArray[np.int8]) -> NDArray[np.float64]:
        """Make n draws; return (2, n, n_chains): energy and magnetisation.

        Writes the configurations to `spins` (n, lanes, n_sites), unless it is empty. Raises RuntimeError if `prepare`
        was not called.
        """
        if not len(self._states):
            raise RuntimeError("metropolis has no chains; call prepare(beta=..., generator=...) before the first draw")
        series = np.empty((2, n, len(self._states) * LANES))
        sites, base, steps = self._sites, _base(self._thresholds), self.options.sweeps_per_draw

        def work(block: int) -> None:
            lanes = slice(block * LANES, (block + 1) * LANES)
            bits, state = self._bits[block], self._states[block]
            _draw(
                *(bits, state, sites.visits, self._thresholds, base, steps, sites.weights, sites.offset),
                *(sites.uniform, series[:, :, lanes], spins[:, lanes]),
            )

        in_threads(len(self._states), work)
        return np.ascontiguousarray(series[:, :, : self.options.n_chains])


def _base(thresholds: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Return the argument `base` of `sweep`: all lanes have the only temperature of `thresholds` (n_classes, width)."""
    base = np.zeros(1 + LANES, dtype=np.uint64)
    base[0] = thresholds.shape[1]
    return base


@kernel(nogil=True)
def _sweeps(bits: Any, state: Any, visits: Any, thresholds: Any, base: Any, n: Any) -> None:
    """Make n sweeps of a block."""
    for _ in range(n):
        sweep(bits, state, visits, thresholds, base)


@kernel(nogil=True)
def _draw(
    bits: Any, state: Any, visits: Any, thresholds: Any, base: Any, n_sweeps: Any, weights: Any, offset: Any,
    uniform: Any, series: Any, spins: Any,
) -> None:  # fmt: skip
    """Make the draws of a block: fill `series` (2, n, LANES) and, unless it is empty, `spins` (n, LANES, n_sites)."""
    energy, magnetisation = np.empty(LANES), np.empty(LANES)
    for draw in range(series.shape[1]):
        for _ in range(n_sweeps):
            sweep(bits, state, visits, thresholds, base)
        measure(bits, visits, weights, offset, uniform, energy, magnetisation)
        series[0, draw], series[1, draw] = energy, magnetisation
        if spins.size:
            for e in range(LANES):
                for i in range(len(bits)):
                    spins[draw, e, i] = np.int8(2 * bits[i, e]) - np.int8(1)
