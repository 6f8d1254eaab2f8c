"""Method card of `boundary-mps`: ancestral sampling with boundary matrix-product states (MPS).

Samples     a normalised density q(s) close to p(s) = exp(-beta E(s)) / Z for a pairwise model on the L x L square
            lattice, any couplings and any field. Nothing is trained. Free edges are cheap; the torus costs much more.
Exactness   q is exactly normalised for every bond dimension chi: it is a product of conditional probabilities. q = p if
            chi >= 2^(L/2), on the torus 4^(L/2), where nothing is truncated. Averages over p need importance weights or
            a Metropolis step.
Method      docs/methods/boundary-mps.md has the formulas. `prepare` sums the rows from below: the weight of all rows
            below row r, as a function of row r, is an MPS. Each row doubles its bonds; a QR sweep and truncated
            singular value decompositions reduce them to `chi`. A draw visits the rows from above. It computes the right
            environments of the row, then draws the row from left to right. On the torus the MPS depends on row 0 as
            well, and a row carries the spin of its first column along, so that a row multiplies the bonds by four.
Cost        one draw: 4 L^2 chi^2 multiply-adds, on the torus 12 L^2 chi^2. `prepare`: L^2 decompositions of matrices of
            extent 2 chi, on the torus 4 chi. Memory: 16 L^2 chi^2 bytes for the MPS of all rows, on the torus twice as
            many; 268 MB at L = 256 and chi = 16. The tables in docs/methods/boundary-mps.md have times, ESS and KL.
Choice      the method of choice for models with free edges, at any temperature where a small chi suffices:
            ferromagnets, spin glasses and frustrated models. The torus is not among them, because it needs a chi of
            about 32 at L = 32 where free edges need 8, at a cost that grows as chi^2 for a draw and chi^3 for
            `prepare`; ferromagnets on the torus are cheaper with a cluster algorithm. There it is a source of an exact
            density and of ln Z for couplings without exact values.
Failure     chi too small at low temperature; `ess_fraction` and `ess_fraction_p` both fall. With +-J couplings, free
            edges, beta = 2 and L = 128, three instances had an ess_fraction of about 0.96 at chi = 16, 0.99 at
            chi = 20 and 0.997 or more at chi = 24; instance 1 had 0.13 at chi = 8.
Limits      a conditional probability is at least 1 / (1 + exp(2 beta (sum of abs(J) + abs(h)))), as it is in p, and
            at least 1e-16. The limit repairs negative weights, which a truncated MPS may have.
Randomness  one 64-bit number of the generator for each draw, which numbers a SplitMix64 stream with one number a site.
            Draws depend neither on the number of threads nor on how n is split into calls.
Reference   M. Frias-Perez, M. Marien, D. Perez Garcia, M. C. Banuls, S. Iblisdir, "Collective Monte Carlo updates
            through tensor network renormalization", SciPost Phys. 14, 123 (2023). T. Chen et al., arXiv:2409.06538.
            T. Chen, J. Zhang, J. Liu, Y. Deng, P. Zhang, "BatchTNMC: Efficient sampling of two-dimensional spin glasses
            using tensor network Monte Carlo", arXiv:2509.19006.
Differences none in the density. Configurations are drawn in groups of 64, compiled, on all cores.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from nisbench.api import Density, ModelDraws, Target, lattice_of
from nisbench_plugins.boundary_mps_kernels import visit
from nisbench_plugins.boundary_mps_rows import free_environments, torus_environments, width
from nisbench_plugins.boundary_mps_torus_kernels import visit_torus
from nisbench_plugins.registration import BoundaryMpsOptions

__all__ = ["BoundaryMps"]

_Array = NDArray[np.float64]
_SPIN = np.array([-1.0, 1.0])


class BoundaryMps(Density):
    """Density q(s) from row environments of bond dimension `chi`."""

    options: BoundaryMpsOptions

    def __init__(self, target: Target, options: BoundaryMpsOptions) -> None:
        super().__init__(target, options)
        self._tables: _Tables | None = None

    @classmethod
    def unsupported(cls, target: Target, options: Any) -> str | None:
        """Return the reason why this target cannot be sampled, or None: it needs couplings."""
        lattice = lattice_of(target)
        if lattice is None:
            return f"boundary-mps needs the couplings of a square lattice; the target '{target.name}' has none"
        return None

    def prepare(self, *, beta: float, generator: Generator) -> None:
        """Compute the environments of all rows. Raises ValueError if beta is not finite."""
        if not math.isfinite(beta):
            raise ValueError(f"beta = {beta}: boundary-mps needs a finite beta")
        self._tables = _Tables.build(lattice_of(self.target), beta, self.options.chi)

    def sample(self, n: int, *, beta: float, generator: Generator) -> ModelDraws:
        """Draw n configurations with their ln q."""
        # torch has no random uint64, so the bits come as int64
        keys = torch.randint(-(2**63), 2**63 - 1, (n,), generator=generator)
        spins = torch.empty((n, self.target.L, self.target.L), dtype=torch.int8)
        return ModelDraws(spins=spins, log_prob=self._visit(spins, keys, beta))

    def log_prob(self, spins: Tensor, *, beta: float) -> Tensor:
        """Evaluate ln q of spins (n, L, L) by the conditional probabilities that `sample` draws from."""
        return self._visit(spins.to(torch.int8).contiguous(), torch.empty(0, dtype=torch.int64), beta)

    def costs(self) -> Mapping[str, float]:
        """Return the operations of a draw: four products of a vector and a matrix a site, and eight of vectors."""
        lattice: Any = lattice_of(self.target)
        torus = lattice.boundary == "torus"
        extent = width(self.target.L, self.options.chi, 4 if torus else 2)
        return {"flops_per_draw": (24.0 if torus else 8.0) * extent * (extent + 2) * self.target.n_sites}

    def _visit(self, spins: Tensor, keys: Tensor, beta: float) -> Tensor:
        """Return ln q (n,) of spins (n, L, L), which are drawn first unless `keys` is empty."""
        tables = self._tables
        if tables is None or tables.beta != beta:
            raise RuntimeError(f"boundary-mps has no environments for beta = {beta}; call prepare(beta=...) first")
        log_prob = torch.empty(len(spins), dtype=torch.float64)
        streams = keys.numpy().view(np.uint64)
        visit_all = visit_torus if tables.tensors.shape[2] == 4 else visit
        visit_all(tables.tensors, tables.left, tables.upper, tables.least, streams, spins.numpy(), log_prob.numpy())
        return log_prob


@dataclass(frozen=True)
class _Tables:
    """Everything that the kernel reads, at one beta. Spin index 0 is -1 and spin index 1 is +1."""

    beta: float
    left: _Array
    """(L, L, 2, 2) weight of the bond to the left neighbour, [neighbour's spin, own spin], largest entry 1"""
    upper: _Array
    """(L, L, 2, 2) the same for the upper neighbour, times the weight of the field at the site"""
    least: _Array
    """(L, L) lower limit of the conditional probabilities"""
    tensors: _Array
    """(L, L, 2, D, D) environment A of each site and its spin, filled with zeros up to D; (L, L, 4, D, D) on the torus,
    where A depends on the spin of row 0 as well"""

    @classmethod
    def build(cls, lattice: Any, beta: float, chi: int) -> "_Tables":
        """Compute the weights and the environments of a lattice."""
        field = lattice.field.reshape(lattice.shape)
        to_left, to_upper = np.roll(lattice.right, 1, axis=1), np.roll(lattice.down, 1, axis=0)
        left = _bond_weights(beta * to_left)
        upper = _bond_weights(beta * to_upper)
        around = upper[0].copy()
        upper[0] = 1.0  # row 0 is drawn first; on the torus, its bonds to the last row belong to the environments
        upper *= _field_weights(beta * field)[:, :, None, :]
        strength = sum(np.abs(array) for array in (lattice.right, lattice.down, to_left, to_upper, field))
        opposed = np.exp(-2 * abs(beta) * strength)
        least = np.maximum(opposed / (1 + opposed), 1e-16)
        if lattice.boundary == "torus":
            tensors = torus_environments(left, upper, around, chi)
        else:
            tensors = free_environments(left, upper, chi)
        return cls(beta, left, upper, least, tensors)


def _bond_weights(coupling: _Array) -> _Array:
    """exp(K s t) for spins s, t, divided by the largest: (L, L) -> (L, L, 2, 2)."""
    pairs: _Array = coupling[:, :, None, None] * np.outer(_SPIN, _SPIN)
    return np.exp(pairs - np.abs(pairs))


def _field_weights(field: _Array) -> _Array:
    """exp(h s) for spins s, divided by the largest: (L, L) -> (L, L, 2)."""
    products: _Array = field[:, :, None] * _SPIN
    return np.exp(products - np.abs(products))
