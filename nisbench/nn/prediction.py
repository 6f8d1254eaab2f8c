"""The best linear prediction of a spin from the spins before it on the critical torus: the start of the skip matrix.

The correlations come from a closed formula for large distances, so the start needs no configurations. Away from the
critical point it is only a start; the training moves it.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from nisbench.nn.hierarchy import Level

__all__ = ["critical_correlation", "predicting_weights"]

CRITICAL_BETA = math.log(1 + math.sqrt(2)) / 2
AMPLITUDE = 0.70338
"""<s_0 s_r> r^(1/4) of the infinite critical lattice at large r (T. T. Wu et al., Phys. Rev. B 13, 316 (1976))."""
NOME = math.exp(-math.pi)
"""Nome of the theta functions of a square torus. Their terms fall like NOME^(n^2): TERMS are exact in float64."""
TERMS = 6
RIDGE = 0.01
"""Added to the diagonal of the correlations: the border of a block may hold a site twice."""


def critical_correlation(L: int) -> Tensor:
    """(L, L) float64: <s_0 s_r> on the critical torus for all r = (row, column), within 3 % for r >= 1.

    With u = pi (column + i row) / L and the theta functions of the nome exp(-pi), for r > 0

    AMPLITUDE (pi/L)^(1/4) abs(theta_1'(0) / theta_1(u))^(1/4) sum_k abs(theta_k(u/2)) / sum_k abs(theta_k(0)),

    the limit of large r (P. Di Francesco, H. Saleur, J.-B. Zuber, Nucl. Phys. B 290, 527 (1987)).
    """
    along = torch.arange(L, dtype=torch.float64, device="cpu")
    along = torch.where(along > L / 2, along - L, along)
    u = torch.complex(along.expand(L, L), along[:, None].expand(L, L)) * (math.pi / L)
    zero = torch.zeros(1, dtype=torch.complex128, device="cpu")
    slope: float = 2 * sum((-1) ** n * NOME ** ((n + 0.5) ** 2) * (2 * n + 1) for n in range(TERMS))  # theta_1'(0)
    first = _thetas(u)[0]
    first[0, 0] = 1.0  # instead of 0; the correlation at r = 0 is set below
    result: Tensor = AMPLITUDE * (math.pi / L * slope / first) ** 0.25 * _thetas(u / 2).sum(0) / _thetas(zero).sum()
    result[0, 0] = 1.0
    return result


def predicting_weights(level: Level, L: int) -> Tensor:
    """(n_drawn, n_border + n_drawn) float: weights W, so that 2 beta W x is the logit of the best linear prediction.

    Let m_k be the linear prediction of spin k from the spins before it with the smallest mean square error, and rho_k^2
    = <m_k^2>. If m_k were either -rho_k or +rho_k, the logit of spin k would be 2 artanh(m_k), which is 2 m_k
    artanh(rho_k) / rho_k. This linear function of m_k is 2 beta (W x)_k at the critical beta.
    """
    sites = torch.cat([level.border[:, 0], level.drawn[:, 0]])
    row, column = sites // L, sites % L
    correlation = critical_correlation(L)[(row[:, None] - row) % L, (column[:, None] - column) % L]
    # <x x^T> = R R^T with R lower triangular: x = R z, z_j uncorrelated, and the sum over j < k predicts x_k
    factor = torch.linalg.cholesky(correlation + RIDGE * torch.eye(len(sites), dtype=torch.float64, device="cpu"))
    prediction = torch.linalg.solve_triangular(factor, factor.tril(-1), upper=False, left=False)
    drawn = slice(len(level.border), None)
    rho = (1 - factor.diagonal()[drawn, None] ** 2 / (1 + RIDGE)).sqrt()  # (n_drawn, 1)
    slope = torch.where(rho > 0, torch.atanh(rho) / rho, 1.0)  # the first spin of a frame has no prediction
    # a new tensor of the default type and device, which may be `meta`
    return torch.zeros(len(level.drawn), len(sites)).copy_(slope / CRITICAL_BETA * prediction[drawn])


def _thetas(u: Tensor) -> Tensor:
    """(4, ...): absolute values of the Jacobi theta functions theta_1 to theta_4 of complex u."""
    odd = [2 * NOME ** ((n + 0.5) ** 2) for n in range(TERMS)]
    even = [2 * NOME ** (n * n) for n in range(1, TERMS)]
    first = _sum([(-1) ** n * c * torch.sin((2 * n + 1) * u) for n, c in enumerate(odd)])
    second = _sum([c * torch.cos((2 * n + 1) * u) for n, c in enumerate(odd)])
    third = 1 + _sum([c * torch.cos(2 * n * u) for n, c in enumerate(even, 1)])
    fourth = 1 + _sum([(-1) ** n * c * torch.cos(2 * n * u) for n, c in enumerate(even, 1)])
    return torch.stack([first, second, third, fourth]).abs()


def _sum(terms: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(terms)).sum(0)
