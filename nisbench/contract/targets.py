"""The lattice behind a target, for plugins that read couplings or need a certain model."""

from nisbench.contract.interfaces import Target
from nisbench.physics.lattice import Lattice

__all__ = ["MAGNETISATION", "OVERLAP", "lattice_of", "order_parameters_of", "other_than_uniform_torus"]

MAGNETISATION, OVERLAP = "magnetisation", "overlap"
"""Names of order parameters."""


def lattice_of(target: Target) -> Lattice | None:
    """The neighbours, couplings and field of a pairwise model; None for a target without a `Lattice`."""
    lattice = getattr(target, "lattice", None)
    return lattice if isinstance(lattice, Lattice) else None


def order_parameters_of(target: Target) -> tuple[str, ...]:
    """The order parameters that the target names; the magnetisation if it names none."""
    return tuple(getattr(target, "order_parameters", (MAGNETISATION,)))


def other_than_uniform_torus(target: Target) -> str | None:
    """The reason for a method that contains the bonds of J = 1 on the torus without a field; None for this target.

    The name of a target is not enough: `ising` may have free edges or a field.
    """
    lattice = lattice_of(target)
    if lattice is not None and lattice.is_uniform_torus:
        return None
    if lattice is None:
        found = "no lattice of couplings"
    else:
        found = "free edges" if lattice.boundary == "free" else "other couplings" if lattice.z2 else "a field"
    return f"needs couplings J = 1 on the torus without a field; the target '{target.name}' has {found}"
