"""The targets of the core, registered through the same hook as those of plugins."""

from collections.abc import Callable

import pluggy

from nisbench.physics.options import CouplingsOptions, EdwardsAndersonOptions, IsingOptions, VillainOptions

__all__ = ["register_targets"]


@pluggy.HookimplMarker("nisbench")
def register_targets(register: Callable[..., None]) -> None:
    """Register the targets of `nisbench.physics`."""
    register(
        "ising",
        options=IsingOptions,
        factory="nisbench.physics.ising:Ising",
        summary="2-D Ising ferromagnet on the torus or with free edges",
        traits=IsingOptions.traits,
        citation='E. Ising, "Beitrag zur Theorie des Ferromagnetismus", Z. Phys. 31, 253 (1925)',
    )
    register(
        "edwards-anderson",
        options=EdwardsAndersonOptions,
        factory="nisbench.physics.glasses:EdwardsAnderson",
        summary="2-D spin glass with random couplings",
        traits=EdwardsAndersonOptions.traits,
        citation='S. F. Edwards, P. W. Anderson, "Theory of spin glasses", J. Phys. F 5, 965 (1975)',
    )
    register(
        "villain",
        options=VillainOptions,
        factory="nisbench.physics.glasses:Villain",
        summary="fully frustrated square lattice",
        traits=VillainOptions.traits,
        citation='J. Villain, "Spin glass with non-random interactions", J. Phys. C 10, 1717 (1977)',
    )
    register(
        "couplings",
        options=CouplingsOptions,
        factory="nisbench.physics.glasses:Couplings",
        traits=CouplingsOptions.traits,
        summary="couplings and field of a file",
    )
