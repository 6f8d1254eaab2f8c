"""Histograms of the magnetisation per site and of the overlap; every bin covers the same number of allowed values."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Histogram", "magnetisation_histogram", "overlap_histogram"]

_MAX_BINS = 41


@dataclass(frozen=True)
class Histogram:
    """Density of the magnetisation per site, or of the overlap, and two means."""

    edges: NDArray[np.float64]
    """(n_bins + 1,)"""
    density: NDArray[np.float64]
    """(n_bins,)"""
    share_positive: float
    """Weight of m > 0 plus half the weight of m = 0"""
    mean_abs: float


def magnetisation_histogram(series: Mapping[str, NDArray[Any]], L: int) -> Histogram | None:
    """Histogram of the series `magnetisation` (signed totals), weighted by exp(log_weight) if that series exists.

    The total takes the values -N, -N + 2, ... N. Bins with unequal numbers of these values would look like a comb. None
    if the series has no finite value.
    """
    if "magnetisation" not in series:
        return None
    total = np.asarray(series["magnetisation"], dtype=np.float64).ravel()  # (n, n_chains) -> (n n_chains,)
    return _histogram(total, _weights(series, total.size), L)


def overlap_histogram(series: Mapping[str, NDArray[Any]], L: int) -> Histogram | None:
    """Histogram of the series `overlap`, weighted by the weights of both draws of a pair if there are weights.

    N q takes the values of the magnetisation. None if the series has no finite value.
    """
    if "overlap" not in series:
        return None
    q = np.asarray(series["overlap"], dtype=np.float64).ravel()  # (n, n_pairs) -> (n n_pairs,)
    weight = np.ones(q.size)
    if "log_weight" in series:
        single = np.asarray(series["log_weight"], dtype=np.float64)
        weight = _weights({"log_weight": single[0 : 2 * q.size : 2] + single[1 : 2 * q.size : 2]}, q.size)
    return _histogram(np.rint(q * L * L), weight, L)


def _histogram(total: NDArray[np.float64], weight: NDArray[np.float64], L: int) -> Histogram | None:
    """The histogram of totals (n,) between -N and N with their weights."""
    kept = np.isfinite(total) & np.isfinite(weight)
    total, weight = total[kept], weight[kept]
    if not total.size or not weight.sum() > 0:
        return None
    edges = _edges(L * L)
    heights, _ = np.histogram(total / (L * L), bins=edges, weights=weight, density=True)
    share = float((weight * (np.sign(total) + 1) / 2).sum() / weight.sum())
    return Histogram(edges, heights, share, float((weight * np.abs(total)).sum() / weight.sum() / (L * L)))


def _weights(series: Mapping[str, NDArray[Any]], n: int) -> NDArray[np.float64]:
    if "log_weight" not in series:
        return np.ones(n)
    log_weight = np.asarray(series["log_weight"], dtype=np.float64).ravel()
    # Only ratios of weights matter; without the maximum subtracted, exp overflows.
    weight: NDArray[np.float64] = np.exp(log_weight - np.max(log_weight, initial=-np.inf, where=~np.isnan(log_weight)))
    return weight


def _edges(n_sites: int) -> NDArray[np.float64]:
    """Edges of bins with k allowed values each; they lie between allowed values, symmetric about zero, over [-1, 1]."""
    k = math.ceil((n_sites + 1) / _MAX_BINS)
    # The N + 1 allowed values and the n_bins k places for them must be both even or both odd; otherwise the edges
    # cannot be symmetric about zero and lie between allowed values.
    k += (n_sites + k + 1) % 2 if n_sites % 2 == 0 else 0
    n_bins = math.ceil((n_sites + 1) / k)
    n_bins += (n_bins * k - n_sites - 1) % 2
    half = n_bins * k / n_sites  # allowed values of m are 2/N apart, so a bin is 2 k/N wide
    return np.linspace(-half, half, n_bins + 1)
