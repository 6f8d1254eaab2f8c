"""Method card of `annealed`: annealed importance sampling (AIS) from beta = 0 by heat-bath sweeps.

Samples     independent configurations with weights w for p(s) = exp(-beta E) / Z of any pairwise model on the L x L
            square lattice: couplings of either sign, fields, torus or free edges, any finite beta.
Exactness   weighted averages are asymptotically exact and E[w] = Z exactly, for every number of steps, up to the
            rounding of probabilities to multiples of 2^-32. The estimate of ln Z is biased downwards by about half the
            variance of w / Z over the number of draws.
Method      a draw starts with random spins, which is exact at beta = 0, with ln w = N ln 2. In step k it adds
            -(beta_k - beta_(k-1)) E(s) to ln w and makes `sweeps_per_step` heat-bath sweeps at beta_k.
Schedule    beta_0 = 0, ..., beta_K = beta at equal distances in standard deviations of the energy
            (`sweeps.energy_ladder`), K = `n_steps`.
Cost        one draw: `n_steps` x (`sweeps_per_step` sweeps and one sum of the energy). One core of an AMD EPYC
            makes about 6e8 updates a second at L = 64, 3e8 with Gaussian couplings, energies included
            (`tests/performance/local_updates.py`).
Randomness  128 bits of the generator for each draw, which seed a xoshiro128++ stream. Draws depend neither on the
            number of threads nor on how n is split into calls.
Failure     the variance of ln w grows with N, so that `n_steps` must grow with N for a fixed ess_fraction. Where a
            sweep relaxes slowly, near a critical point or in a glass at low temperature, steps that are much shorter
            than the relaxation do not help: few draws then carry all the weight.
Reference   R. M. Neal, "Annealed importance sampling", Stat. Comput. 11, 125 (2001), arXiv:physics/9803008.
            C. Jarzynski, Phys. Rev. Lett. 78, 2690 (1997).
Differences none in the algorithm. The schedule is chosen before the draws, from the couplings alone.
"""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator

from nisbench.api import Target, WeightedDraws, WeightedSampler, lattice_of
from nisbench.nn.kernels.cache import kernel
from nisbench_plugins.registration import AnnealedOptions
from nisbench_plugins.sweeps import (
    HEAT_BATH,
    LANES,
    Sites,
    blocks_of_states,
    energy_ladder,
    fill_thresholds,
    in_threads,
    measure,
    missing_lattice,
    randomise,
    sweep,
)

__all__ = ["Annealed"]

_GROUP = 8
"""Blocks that take a step of beta together, so that the thresholds are computed once for all of them."""


class Annealed(WeightedSampler):
    """Independent draws with weights from `n_steps` steps of beta."""

    options: AnnealedOptions

    def __init__(self, target: Target, options: AnnealedOptions) -> None:
        super().__init__(target, options)
        self._lattice: Any = lattice_of(target)
        self._sites = Sites.of(self._lattice)
        self._betas: NDArray[np.float64] | None = None

    @classmethod
    def unsupported(cls, target: Target, options: Any) -> str | None:
        """Return the reason why this target cannot be sampled, or None: it needs the couplings of a lattice."""
        return missing_lattice("annealed", target, lattice_of(target))

    def prepare(self, *, beta: float, generator: Generator) -> None:
        """Compute the schedule. Raises ValueError unless beta is finite."""
        if not math.isfinite(beta):
            raise ValueError(f"beta = {beta}: annealed needs a finite beta")
        self._betas = energy_ladder(self._lattice, beta, self.options.n_steps + 1)

    def draw(self, n: int, *, generator: Generator) -> WeightedDraws:
        """Return n independent draws with E[w] = Z. Raises RuntimeError if `prepare` was not called."""
        betas = self._betas
        if betas is None:
            raise RuntimeError("annealed has no schedule; call prepare(beta=..., generator=...) before the first draw")
        states, n_sites = blocks_of_states(n, generator), self.target.n_sites
        spins = np.empty((len(states) * LANES, n_sites), dtype=np.int8)
        log_weight = np.full((len(states), LANES), n_sites * math.log(2))
        sites, sweeps = self._sites, self.options.sweeps_per_step

        def work(group: int) -> None:
            part = slice(group * _GROUP, (group + 1) * _GROUP)
            bits = np.empty((len(states[part]), n_sites, LANES), dtype=np.uint8)
            _anneal(
                *(bits, states[part], sites.visits, sites.strength, sites.weights, sites.offset, sites.uniform),
                *(betas, sweeps, log_weight[part]),
            )
            # (blocks, n_sites, LANES) -> (blocks LANES, n_sites)
            found = 2 * bits.transpose(0, 2, 1).astype(np.int8) - 1
            spins[group * _GROUP * LANES :][: len(bits) * LANES] = found.reshape(-1, n_sites)

        in_threads(-(-len(states) // _GROUP), work)
        return WeightedDraws(
            spins=torch.from_numpy(spins[:n].reshape(n, self.target.L, self.target.L)),
            log_weight=torch.from_numpy(log_weight.ravel()[:n].copy()),
            normalised=True,
        )


@kernel(nogil=True)
def _anneal(
    bits: Any, states: Any, visits: Any, strength: Any, weights: Any, offset: Any, uniform: Any, betas: Any,
    n_sweeps: Any, log_weight: Any,
) -> None:  # fmt: skip
    """Take blocks of spins (blocks, n_sites, LANES) from beta = 0 to the last of `betas`; add to `log_weight`."""
    energy, magnetisation = np.empty(LANES), np.empty(LANES)
    thresholds = np.empty((len(strength), HEAT_BATH), dtype=np.uint32)
    base = np.zeros(1 + LANES, dtype=np.uint64)
    base[0] = HEAT_BATH
    for block in range(len(bits)):
        randomise(bits[block], states[block])
    for k in range(1, len(betas)):
        fill_thresholds(thresholds, strength, betas[k])
        for block in range(len(bits)):
            measure(bits[block], visits, weights, offset, uniform, energy, magnetisation)
            for e in range(LANES):
                log_weight[block, e] -= (betas[k] - betas[k - 1]) * energy[e]
            for _ in range(n_sweeps):
                sweep(bits[block], states[block], visits, thresholds, base)
