"""Order parameters of a target in a cell: leave out those of the magnetisation, and measure those of the overlap."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nisbench.contract.interfaces import ChainSampler, Target
from nisbench.contract.quantities import LINK_OVERLAP, MAGNETIC, TAU_INT_OVERLAP
from nisbench.contract.records import Estimate
from nisbench.contract.targets import MAGNETISATION, OVERLAP, lattice_of, order_parameters_of
from nisbench.physics.overlap import link_overlap, overlap
from nisbench.statistics.overlap import overlaps_of_chains, overlaps_of_pairs

__all__ = ["chain_overlaps", "meaningful", "pair_overlaps", "weighted_overlaps"]

_LARGEST_ROWS = 4096
"""Successive draws of each chain from which overlaps are measured."""
_SPINS = 2**25
"""Spins of all chains that are in memory at a time, at most."""
_Q = "overlap"
_Series = Mapping[str, NDArray[Any]]


def meaningful(target: Target, quantities: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """Return the quantities without those of the magnetisation, unless it is an order parameter of the target."""
    left_out = () if MAGNETISATION in order_parameters_of(target) else MAGNETIC
    return {name: estimate for name, estimate in quantities.items() if name not in left_out}


def pair_overlaps(target: Target, spins: torch.Tensor) -> dict[str, NDArray[np.float64]]:
    """Return the overlaps of draws 2k and 2k + 1, (n // 2,) each; {} for a target without this order parameter."""
    if OVERLAP not in order_parameters_of(target):
        return {}
    even = spins.to(torch.int8).cpu().numpy()[: len(spins) // 2 * 2]  # (2k, L, L)
    return _overlaps(target, even[0::2], even[1::2])


def weighted_overlaps(series: _Series, log_weight: NDArray[np.float64]) -> dict[str, Estimate]:
    """Return the overlap quantities of independent draws with weights; {} if the series have no overlaps."""
    return overlaps_of_pairs(series[_Q], series.get(LINK_OVERLAP), log_weight) if _Q in series else {}


def chain_overlaps(
    sampler: ChainSampler, n: int, n_chains: int, *, generator: torch.Generator
) -> tuple[dict[str, NDArray[np.float64]], dict[str, Estimate]]:
    """Continue the chains for n draws each, at most 4096, and return series and quantities of overlaps.

    Chains 2k and 2k + 1 make a pair, so the series are (n, n_chains // 2). Empty for a target without this order
    parameter.
    """
    target = sampler.target
    if OVERLAP not in order_parameters_of(target):
        return {}, {}
    if n_chains < 2:
        return {}, {TAU_INT_OVERLAP: Estimate.missing("an overlap needs two chains; the sampler has one")}
    parts: list[dict[str, NDArray[np.float64]]] = []
    left, even = min(n, _LARGEST_ROWS), n_chains // 2 * 2
    while left > 0:
        size = min(left, max(1, _SPINS // (n_chains * target.n_sites)))
        spins = sampler.draw(size, generator=generator).spins.to(torch.int8).cpu().numpy()[:, :even]
        parts.append(_overlaps(target, spins[:, 0::2], spins[:, 1::2]))
        left -= size
    series = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return series, overlaps_of_chains(series[_Q], series.get(LINK_OVERLAP))


def _overlaps(target: Target, first: NDArray[np.int8], second: NDArray[np.int8]) -> dict[str, NDArray[np.float64]]:
    """Return q and, for a target with a lattice, the link overlap of each pair."""
    found, lattice = {_Q: overlap(first, second)}, lattice_of(target)
    return found if lattice is None else found | {LINK_OVERLAP: link_overlap(first, second, lattice)}
