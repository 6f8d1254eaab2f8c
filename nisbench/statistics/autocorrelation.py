"""tau_int = 1/2 + sum_{t>=1} rho(t), in draws, by Wolff's Gamma method.

Independent draws give 1/2, and error(mean)^2 = 2 tau_int Var/n. emcee and the hierarchical paper print twice this.
Wolff, Comput. Phys. Commun. 156, 143 (2004), hep-lat/0306017.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import irfft, next_fast_len, rfft

from nisbench.errors import TooShort

__all__ = ["MINIMUM_TAUS", "Autocorrelation", "gamma_method"]

MINIMUM_TAUS = 50
"""A chain shorter than this many tau_int cannot tell its tau_int."""


@dataclass(frozen=True)
class Autocorrelation:
    """An integrated autocorrelation time with one standard error, in draws."""

    tau_int: float
    """inf for a chain that does not move"""
    error: float
    window: int
    n_per_chain: int
    n_chains: int

    @property
    def n(self) -> int:
        """Draws of all chains together."""
        return self.n_per_chain * self.n_chains

    @property
    def ess(self) -> float:
        """Effective number of independent draws, n/(2 tau_int); 0 for a chain that does not move."""
        return self.n / (2 * self.tau_int)

    @property
    def trusted(self) -> bool:
        """Whether every single chain is at least 50 tau_int long."""
        return self.n_per_chain >= MINIMUM_TAUS * self.tau_int

    @property
    def doubt(self) -> str | None:
        """Why the estimate is not to be trusted, or None."""
        if math.isinf(self.tau_int):
            return "a chain never moves"
        if self.trusted:
            return None
        short = f"a chain of {self.n_per_chain} draws is shorter than {MINIMUM_TAUS} tau_int"
        return f"{short}, tau_int being {self.tau_int:.3g}"

    def checked(self) -> Self:
        """Itself; raises TooShort, carrying tau_int, where it is not to be trusted."""
        if self.doubt is not None:
            raise TooShort(self.doubt, self.tau_int)
        return self


def gamma_method(series: ArrayLike, s: float = 1.5) -> Autocorrelation:
    """The Gamma method with automatic window, eqs. (31)-(52) of the reference, for chains with a common mean.

    Parameters
    ----------
    series
        (n,) or (n, n_chains), finite. A chain that never changes its value gives tau_int = inf: nothing tells it from
        one that is stuck.
        Draws that are anticorrelated beyond the noise count as independent, 1/2: the window closes at the first
        negative lag and cannot tell how much better they are.
    s
        Assumed ratio of the exponential to the integrated autocorrelation time.

    Raises
    ------
    ValueError
        For an empty series or one with values that are not finite.
    """
    values = np.asarray(series, dtype=np.float64)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"series of shape {np.shape(series)}: give (n,) or (n, n_chains), not empty")
    if not np.isfinite(values).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(values))} of {values.size} values are not finite")
    n, n_chains = values.shape
    if (np.ptp(values, axis=0) == 0).any():
        return Autocorrelation(math.inf, math.inf, 0, n, n_chains)
    rho = _autocovariance(values)
    rho /= rho[0]
    total = n * n_chains
    sums = np.cumsum(rho[1:])  # G(W), W = 1..n - 1
    window = _window(sums, total, s)
    # subtracting the mean of the same data lowers every rho(t) by about 2 tau/n: eq. (49)
    plain = 0.5 + float(sums[window - 1])
    if plain < max(0.25, 0.5 - 3 / math.sqrt(total)):
        plain = 0.5
    tau = plain * (1 + (2 * window + 1) / total)
    return Autocorrelation(tau, 2 * tau * math.sqrt((window + 0.5 - plain) / total), window, n, n_chains)


def _autocovariance(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, n_chains) -> (n,): Gamma(t), mean over the pairs at distance t of all chains about the common mean."""
    n, n_chains = values.shape
    length = next_fast_len(2 * n, real=True)
    power = np.zeros(length // 2 + 1)
    mean = values.mean()
    for chain in values.T:
        spectrum = rfft(chain - mean, length)
        power += spectrum.real**2 + spectrum.imag**2
    covariance: NDArray[np.float64] = irfft(power, length)[:n] / (n_chains * np.arange(n, 0, -1))
    return covariance


def _window(sums: NDArray[np.float64], total: int, s: float) -> int:
    """The first W with exp(-W/tau_W) - tau_W/sqrt(W n) < 0, tau_W = s/ln((G + 1)/G); the last W if there is none."""
    lags = np.arange(1, len(sums) + 1)
    positive = sums > 0
    tau = s / np.log1p(1 / np.where(positive, sums, 1.0))
    # G <= 0 means tau_W -> 0, which closes the window
    closed = ~positive | (np.exp(-lags / tau) < tau / np.sqrt(lags * total))
    return int(np.argmax(closed)) + 1 if closed.any() else len(sums)
