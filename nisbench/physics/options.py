"""Options of the built-in targets: frozen dataclasses of plain values with defaults. This module imports no torch."""

import hashlib
import math
from dataclasses import dataclass, field
from pathlib import Path

from nisbench.errors import InvalidValue
from nisbench.physics.disorder import Disorder
from nisbench.physics.lattice import Boundary

__all__ = ["CouplingsOptions", "EdwardsAndersonOptions", "IsingOptions", "VillainOptions"]


@dataclass(frozen=True)
class IsingOptions:
    """Options of `ising`."""

    boundary: Boundary = field(default="torus", metadata={"help": "torus or free edges"})
    # the last option: below this line the name `field` is the option
    field: float = field(default=0.0, metadata={"help": "uniform field h of the term -h sum_i s_i"})

    def __post_init__(self) -> None:
        if not math.isfinite(self.field):
            raise InvalidValue(f"field = {self.field}: give a finite number")

    def traits(self) -> tuple[str, ...]:
        """Return the traits of the target, for the choice of its reference."""
        return ("pairwise", self.boundary, "ferromagnet", *(() if self.field else ("z2",)))


@dataclass(frozen=True)
class EdwardsAndersonOptions:
    """Options of `edwards-anderson`."""

    disorder: Disorder = field(
        default="pm1", metadata={"help": "pm1: J = +1 or -1 with probability 1/2; gaussian: mean 0 and variance 1"}
    )
    boundary: Boundary = field(default="free", metadata={"help": "free edges or torus"})
    instance: int = field(default=1, metadata={"help": "number of the set of couplings: 1, 2, ..."})

    def __post_init__(self) -> None:
        if self.instance < 1:
            raise InvalidValue(f"instance = {self.instance}: instances are numbered 1, 2, ...")

    def traits(self) -> tuple[str, ...]:
        """Return the traits of the target, for the choice of its reference."""
        return "pairwise", self.boundary, "frustrated", "z2"


@dataclass(frozen=True)
class VillainOptions:
    """Options of `villain`."""

    boundary: Boundary = field(default="free", metadata={"help": "free edges, or torus with an even L"})

    def traits(self) -> tuple[str, ...]:
        """Return the traits of the target, for the choice of its reference."""
        return "pairwise", self.boundary, "frustrated", "z2"


@dataclass(frozen=True)
class CouplingsOptions:
    """Options of `couplings`. Reads the file, so that a changed file gives other options and thus another cell.

    Raises InvalidValue if the file cannot be read or does not have the given digest.
    """

    file: str = field(
        default="", metadata={"help": ".npz with right, down and optionally field, or text with a line i j J per bond"}
    )
    boundary: Boundary = field(default="free", metadata={"help": "free edges or torus"})
    digest: str = field(default="", metadata={"help": "SHA-256 of the file; filled in, and checked when given"})

    def __post_init__(self) -> None:
        if not self.file:
            return
        try:
            found = hashlib.sha256(Path(self.file).read_bytes()).hexdigest()
        except OSError as error:
            raise InvalidValue(f"couplings file {self.file}: {error.strerror or error}") from error
        if self.digest not in ("", found):
            raise InvalidValue(f"couplings file {self.file}: its SHA-256 is {found}; asked for was {self.digest}")
        object.__setattr__(self, "digest", found)

    def traits(self) -> tuple[str, ...]:
        """Return the traits for the choice of the reference; the file may be frustrated and may have a field."""
        return "pairwise", self.boundary, "frustrated"
