"""A target of another distribution in one file: the axial next-nearest-neighbour Ising model (ANNNI) on the torus.

E(s) = -sum over nearest neighbours of s s' + kappa sum over second neighbours along the rows of s s'.
R. J. Elliott, "Phenomenological discussion of magnetic ordering in the heavy rare-earth metals", Phys. Rev. 124, 346
(1961). The file needs no torch: it calls the methods of the spins that it is given.
"""

import math
from dataclasses import dataclass, field

from nisbench import hookimpl


@dataclass(frozen=True)
class AnnniOptions:
    """Options of `annni`."""

    kappa: float = field(default=0.5, metadata={"help": "strength of the second neighbours"})

    def __post_init__(self):
        if self.kappa < 0:
            raise ValueError(f"kappa = {self.kappa}: give a number that is not negative")


class Annni:
    """The target at one extent."""

    name = "annni"
    z2 = True

    def __init__(self, L, options):
        if L < 3:
            raise ValueError(f"L = {L}: second neighbours need L >= 3")
        self.L, self.n_sites, self.kappa = L, L * L, options.kappa

    def energy(self, spins):
        """Spins (..., L, L) of -1 and +1 -> (...,) float64."""
        if spins.shape[-2:] != (self.L, self.L):
            raise ValueError(f"spins of shape {tuple(spins.shape)}; L is {self.L}")
        spins = spins.double()
        local = spins.roll(1, -1) + spins.roll(1, -2) - self.kappa * spins.roll(2, -1)
        return -(spins * local).sum((-2, -1))

    def exact(self, beta):
        """Known at beta = 0 only."""
        return {"log_z_per_site": math.log(2), "energy": 0.0} if beta == 0 else {}


@hookimpl
def register_targets(register):
    """Register the target under the name that plans use."""
    register(
        "annni",
        options=AnnniOptions,
        factory=f"{__name__}:Annni",
        summary="Ising model with competing second neighbours",
        citation="R. J. Elliott, Phys. Rev. 124, 346 (1961)",
    )
