"""Swendsen-Wang updates of many chains in torch, for GPUs; `swendsen_wang.py` has the method card."""

import torch
from torch import Generator, Tensor

from nisbench.api import ChainSeries, Target, lattice_of

__all__ = ["LabelPropagation", "clusters"]


class LabelPropagation:
    """Chains in one batch. They start ordered, all spins +1, and draw from the generator of each call."""

    def __init__(self, target: Target, beta: float, n_chains: int, device: torch.device) -> None:
        lattice = lattice_of(target)
        assert lattice is not None, "unsupported() refuses targets without a lattice"
        self._target = target
        couplings = [torch.from_numpy(array.copy()).to(device) for array in (lattice.right, lattice.down)]
        self._signs = [coupling.sign().to(torch.int8) for coupling in couplings]
        self._kept = [-torch.expm1(-2 * beta * coupling.abs()) for coupling in couplings]
        self._field = None
        if not lattice.z2:
            self._field = torch.from_numpy(2 * beta * lattice.field).to(device)
        self.spins = torch.ones((n_chains, *lattice.shape), dtype=torch.int8, device=device)
        """(n_chains, L, L)"""

    def update(self, generator: Generator) -> Tensor:
        """Update all chains once; return the number of flipped spins (n_chains,)."""
        spins, kept = self.spins, []
        for axis, sign, probability in zip((-1, -2), self._signs, self._kept, strict=True):
            satisfied = spins * spins.roll(-1, axis) * sign > 0
            kept.append(satisfied & (_uniform(spins.shape, generator) < probability))
        labels = clusters(*kept)  # (n_chains, N)
        flip = _uniform(labels.shape, generator) < self._flip_probability(labels)
        flip = flip.gather(1, labels).view_as(spins)  # every site takes the decision of its root
        self.spins = torch.where(flip, -spins, spins)
        return flip.sum((-2, -1))

    def draw(self, n: int, sweeps: int, generator: Generator) -> Tensor:
        """Return n draws, `sweeps` updates apart: (n, n_chains, L, L) int8."""
        draws = torch.empty((n, *self.spins.shape), dtype=torch.int8, device=self.spins.device)
        for i in range(n):
            for _ in range(sweeps):
                self.update(generator)
            draws[i] = self.spins
        return draws

    def draw_series(self, n: int, sweeps: int, generator: Generator) -> ChainSeries:
        """Return energy, magnetisation and flipped spins of n draws, (n, n_chains) each."""
        rows = []
        for _ in range(n):
            flipped = torch.stack([self.update(generator) for _ in range(sweeps)]).sum(0).double()
            magnetisation = self.spins.sum((-2, -1), dtype=torch.float64)
            rows.append(torch.stack([self._target.energy(self.spins), magnetisation, flipped]))
        energy, magnetisations, cluster_size = torch.stack(rows, 1).cpu().numpy()  # (3, n, n_chains)
        return ChainSeries(energy=energy, magnetisation=magnetisations, cluster_size=cluster_size)

    def _flip_probability(self, labels: Tensor) -> Tensor | float:
        """Return the probability to flip the cluster of each root: 1/2, or (n_chains, N) with a field."""
        if self._field is None:
            return 0.5
        sums = torch.zeros(labels.shape, dtype=torch.float64, device=labels.device)
        sums.scatter_add_(1, labels, self._field * self.spins.flatten(1))
        return torch.sigmoid(-sums)


def _uniform(shape: torch.Size, generator: Generator) -> Tensor:
    """Return numbers uniform in [0, 1), float64: float32 would round a probability to a multiple of 2^-24."""
    return torch.rand(shape, generator=generator, device=generator.device, dtype=torch.float64)


def clusters(right: Tensor, down: Tensor) -> Tensor:
    """Return the smallest site number in the cluster of each site, (n, N), from kept bonds (n, L, L) of bool.

    `right` is a bond to the right neighbour on the torus, `down` to the lower one. The number of iterations grows like
    the logarithm of N.
    """
    n, L, _ = right.shape
    labels = torch.arange(L * L, device=right.device).repeat(n, 1)  # (n, N)
    while True:
        low = labels.view(n, L, L)
        for axis, kept in ((-1, right), (-2, down)):
            # smallest label on either side of each kept bond
            low = torch.where(kept, torch.minimum(low, low.roll(-1, axis)), low)
            low = torch.where(kept.roll(1, axis), torch.minimum(low, low.roll(1, axis)), low)
        smallest = low.flatten(1)
        found = torch.minimum(labels, smallest)
        found = found.scatter_reduce(1, labels, smallest, "amin")  # a root takes the smallest label of its sites
        found = found.gather(1, found)
        if torch.equal(found, labels):
            return labels
        labels = found
