"""Options of the built-in targets: frozen dataclasses of plain values with defaults. This module imports no torch."""

import math
from dataclasses import dataclass

from nisbench.errors import InvalidValue
from nisbench.physics.disorder import Disorder
from nisbench.physics.lattice import Boundary

__all__ = ["CouplingsOptions", "EdwardsAndersonOptions", "IsingOptions", "VillainOptions"]


@dataclass(frozen=True)
class IsingOptions:
    """Options of `ising`."""

    boundary: Boundary = "torus"
    """torus or free edges"""
    field: float = 0.0
    """uniform field h of the term -h sum_i s_i"""

    def __post_init__(self) -> None:
        if not math.isfinite(self.field):
            raise InvalidValue(f"field = {self.field}: give a finite number")


@dataclass(frozen=True)
class EdwardsAndersonOptions:
    """Options of `edwards-anderson`."""

    disorder: Disorder = "pm1"
    """pm1: J = +1 or -1 with probability 1/2 each; gaussian: J of mean 0 and variance 1"""
    boundary: Boundary = "free"
    """free edges or torus"""
    instance: int = 1
    """number of the set of couplings: 1, 2, ..."""

    def __post_init__(self) -> None:
        if self.instance < 1:
            raise InvalidValue(f"instance = {self.instance}: instances are numbered 1, 2, ...")


@dataclass(frozen=True)
class VillainOptions:
    """Options of `villain`."""

    boundary: Boundary = "free"
    """free edges or torus; the torus needs an even L"""


@dataclass(frozen=True)
class CouplingsOptions:
    """Options of `couplings`."""

    file: str = ""
    """path of the couplings: .npz with right, down and optionally field, or text with a line `i j J` for each bond"""
    boundary: Boundary = "free"
    """free edges or torus"""
