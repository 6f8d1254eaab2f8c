"""Exact ln Z, energy and specific heat for free edges and any couplings without a field, by the Kac-Ward determinant.

Z = 2^N prod_bonds cosh(beta J) det(1 - K)^(1/2) for a planar lattice. K is indexed by the 4N - 4L directed bonds:
K[e, e'] = tanh(beta J_e) exp(i a/2) if e' starts where e ends and does not turn back, with the angle a between them
(M. Kac and J. C. Ward, Phys. Rev. 88, 1332 (1952); proof: D. Cimasoni, arXiv:1007.5195).

Two choices make the sparse LU factorisation fast and its derivative exact:

- K is real here. The similarity transformation diag(exp(i theta_e / 2)), with the direction theta_e of bond e in
  [0, 2 pi), turns the phase exp(i a/2) into 1, or into -1 if the turn crosses theta = 0. The determinant stays.
- The energy is a complex-step derivative, d ln Z / d beta = Im ln Z(beta + i h) / h with h = 1e-20. No two close
  numbers are subtracted, so the energy is as accurate as ln Z (W. Squire and G. Trapp, SIAM Rev. 40, 110 (1998)).

The specific heat is a central difference of that energy. docs/exact-values.md lists errors and times.
"""

import math
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, eye
from scipy.sparse.linalg import splu

from nisbench.errors import InvalidValue
from nisbench.physics.lattice import Lattice

__all__ = ["LARGEST_BETA", "LARGEST_ERROR", "exact_values", "log_z", "refusal"]

LARGEST_BETA = 3.0
"""Largest beta that the tests cover, for couplings of order 1."""
LARGEST_ERROR = 1e-2
"""Largest bound eps * (1-norm of (1 - K)^-1) on the rounding error of ln Z of the whole lattice.

Frustration makes 1 - K nearly singular at low temperature, and the norm grows with the error. The bound is cautious: at
beta = 3 and L = 64 it is 1e4 times the error. A limit on beta max|J| would be wrong: +-1 couplings lose digits at
beta = 4, but a ferromagnet does not at beta = 5, nor do Gaussian couplings at beta max|J| = 13.
"""

_ORDER: Final = "COLAMD"
"""Order of elimination that stays sparse under full partial pivoting, which frustrated couplings need.

The minimum-degree order has fewer entries without pivoting, but takes 50 times as long with it at beta = 3.
"""
_COMPLEX_STEP = 1e-20
_STENCIL = ((1, 3 / 4), (2, -3 / 20), (3, 1 / 60))
"""Central first difference of order 6: sum of weight (f(x + k h) - f(x - k h)) / h."""
_STEP = 0.05
"""Step h of the difference times L; the energy of a critical lattice varies on the scale beta = 1/L."""


def refusal(lattice: Lattice, beta: float) -> str | None:
    """Return the reason why the Kac-Ward determinant does not apply, or None."""
    if lattice.boundary != "free":
        return "the Kac-Ward determinant needs free edges; this lattice is a torus"
    if not lattice.z2:
        return "the Kac-Ward determinant needs a model without a field"
    if not (math.isfinite(beta) and beta >= 0):
        return f"beta = {beta}: the inverse temperature is finite and not negative"
    if beta > LARGEST_BETA:
        return f"beta = {beta}: the Kac-Ward determinant loses digits at low temperature; give beta <= {LARGEST_BETA:g}"
    return None


def log_z(lattice: Lattice, beta: float) -> float:
    """Return ln Z of the whole lattice; N ln 2 at beta = 0.

    Raises InvalidValue with the text of `refusal`, or if the estimated error exceeds `LARGEST_ERROR`.
    """
    reason = refusal(lattice, beta)
    if reason:
        raise InvalidValue(reason)
    factors = splu(_matrix(lattice, beta), permc_spec=_ORDER)
    error = float(np.finfo(float).eps) * _norm_of_inverse(factors)
    if not error < LARGEST_ERROR:
        raise InvalidValue(
            f"beta = {beta}: the Kac-Ward determinant of these couplings has lost its digits "
            f"(bound on the error of ln Z: {error:.1g}); give a smaller beta"
        )
    return _log_cosh(lattice, beta) + math.fsum(np.log(np.abs(factors.U.diagonal()))) / 2


def exact_values(lattice: Lattice, beta: float) -> dict[str, float]:
    """Return exact values per site by quantity name; `free_energy` is absent at beta = 0.

    The cost is seven complex factorisations. Raises InvalidValue as `log_z` does.
    """
    n_sites = lattice.n_sites
    value, slope, curvature = _with_derivatives(lattice, beta)
    values = {
        "log_z_per_site": value / n_sites,
        "energy": -slope / n_sites,
        "specific_heat": beta**2 * curvature / n_sites,
        "entropy": (value - beta * slope) / n_sites,
    }
    if beta > 0:
        values["free_energy"] = -value / (beta * n_sites)
    return values


@lru_cache(maxsize=16)
def _with_derivatives(lattice: Lattice, beta: float) -> tuple[float, float, float]:
    """Return ln Z with its first and second derivative by beta."""
    value, step = log_z(lattice, beta), _STEP / lattice.L
    curvature = sum(
        weight * (_derivative(lattice, beta + k * step) - _derivative(lattice, beta - k * step)) / step
        for k, weight in _STENCIL
    )
    return value, _derivative(lattice, beta), curvature


def _derivative(lattice: Lattice, beta: float) -> float:
    """Return d ln Z / d beta."""
    pivots = splu(_matrix(lattice, complex(beta, _COMPLEX_STEP)), permc_spec=_ORDER).U.diagonal()
    coupling = lattice.bonds.coupling
    bonds = math.fsum(coupling * np.tanh(beta * coupling))  # from the factors cosh
    return bonds + math.fsum(pivots.imag / pivots.real) / (2 * _COMPLEX_STEP)


def _log_cosh(lattice: Lattice, beta: float) -> float:
    """Return N ln 2 + sum over bonds of ln cosh(beta J)."""
    x = np.abs(beta * lattice.bonds.coupling)
    return lattice.n_sites * math.log(2) + math.fsum(x + np.log1p(np.exp(-2 * x)) - math.log(2))


def _norm_of_inverse(factors: Any) -> float:
    """Estimate the 1-norm of the inverse from below (W. W. Hager, SIAM J. Sci. Stat. Comput. 5, 311 (1984))."""
    n = factors.shape[0]
    x = np.full(n, 1 / n)
    norm = 0.0
    for _ in range(5):
        y = factors.solve(x)
        norm = float(np.abs(y).sum())
        z = factors.solve(np.where(y < 0, -1.0, 1.0), "T")
        best = int(np.argmax(np.abs(z)))
        if not abs(z[best]) > z @ x:
            break
        x = np.zeros(n)
        x[best] = 1.0
    return norm


def _matrix(lattice: Lattice, beta: complex) -> Any:
    """Return 1 - K as a sparse matrix (n, n), n directed bonds; complex if beta is."""
    start, direction = np.nonzero(lattice.neighbours != np.arange(lattice.n_sites)[:, None])  # (n,) each
    end = lattice.neighbours[start, direction]
    number = np.full((lattice.n_sites, 4), -1)  # of the directed bond that leaves a site in a direction
    number[start, direction] = np.arange(len(start))
    tanh: NDArray[Any] = np.tanh(beta * lattice.couplings[start, direction])
    rows, columns, values = [], [], []
    for turn in (-1, 0, 1):
        turned = direction + turn
        following = number[end, turned % 4]
        sign = np.where((turned < 0) | (turned > 3), -1, 1)  # the turn crosses theta = 0
        row = np.flatnonzero(following >= 0)
        rows.append(row)
        columns.append(following[row])
        values.append((sign * tanh)[row])
    k = coo_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(len(start), len(start))
    )
    return (eye(len(start)) - k).tocsc()
