"""Frustrated and disordered targets: `edwards-anderson`, `villain` and `couplings` from a file."""

import numpy as np

from nisbench.errors import InvalidValue
from nisbench.physics.couplings_file import read_couplings
from nisbench.physics.disorder import edwards_anderson_couplings
from nisbench.physics.lattice import square_lattice
from nisbench.physics.options import CouplingsOptions, EdwardsAndersonOptions, VillainOptions
from nisbench.physics.pairwise import PairwiseTarget

__all__ = ["Couplings", "EdwardsAnderson", "Villain"]


class EdwardsAnderson(PairwiseTarget):
    """Two-dimensional spin glass: independent random couplings, one set for each L and instance.

    S. F. Edwards and P. W. Anderson, J. Phys. F 5, 965 (1975). The generator is in `nisbench.physics.disorder`.
    """

    name = "edwards-anderson"

    def __init__(self, L: int, options: EdwardsAndersonOptions | None = None) -> None:
        options = options or EdwardsAndersonOptions()
        right, down = edwards_anderson_couplings(L, options.disorder, options.instance)
        super().__init__(square_lattice(L, options.boundary, right=right, down=down))


class Villain(PairwiseTarget):
    """Fully frustrated square lattice: vertical bonds +1, horizontal bonds +1 in even rows and -1 in odd rows.

    The product of the couplings around each plaquette is -1 (J. Villain, J. Phys. C 10, 1717 (1977)).
    """

    name = "villain"

    def __init__(self, L: int, options: VillainOptions | None = None) -> None:
        options = options or VillainOptions()
        if options.boundary == "torus" and L % 2:
            raise InvalidValue(f"villain on the torus with L = {L}: rows of alternating sign need an even L")
        signs = np.where(np.arange(L) % 2, -1.0, 1.0)  # (L,)
        right = np.broadcast_to(signs[:, None], (L, L))
        super().__init__(square_lattice(L, options.boundary, right=right))


class Couplings(PairwiseTarget):
    """Couplings and field of a file; see `nisbench.physics.couplings_file` for the two formats."""

    name = "couplings"

    def __init__(self, L: int, options: CouplingsOptions | None = None) -> None:
        options = options or CouplingsOptions()
        if not options.file:
            raise InvalidValue("the target couplings needs a file; give --option couplings.file=PATH")
        super().__init__(read_couplings(options.file, L, options.boundary))
