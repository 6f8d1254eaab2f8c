"""Transfer matrices of a torus with any couplings and any field, against two independent sources."""

import numpy as np
import pytest

from nisbench.physics import kaufman
from nisbench.physics.enumeration import lattice_energies, lattice_values
from nisbench.physics.lattice import square_lattice
from nisbench.physics.transfer_matrix import torus_log_z


@pytest.mark.parametrize(("L", "beta"), [(2, 0.7), (3, 0.4), (4, 1.3)])
def test_torus_with_random_couplings_and_field_against_enumeration(L, beta):
    values = np.random.default_rng(L).normal(size=(3, L, L))
    lattice = square_lattice(L, right=values[0], down=values[1], field=values[2])
    exact = lattice_values(lattice_energies(lattice), beta)[0]
    assert torus_log_z(lattice, beta) == pytest.approx(exact, rel=1e-13)
    turned = square_lattice(L, right=values[1], down=values[0], field=values[2])
    assert abs(torus_log_z(turned, beta) - exact) > 1e-3  # the negative control


def test_uniform_torus_against_kaufman():
    assert torus_log_z(square_lattice(8), 0.44) == pytest.approx(kaufman.log_z(8, 0.44), rel=1e-13)
    for other in (square_lattice(4, "free"), square_lattice(11)):
        with pytest.raises(ValueError, match="only a torus with L <= 10 fits"):
            torus_log_z(other, 0.44)
