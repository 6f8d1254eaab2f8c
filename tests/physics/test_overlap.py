"""Overlaps of two configurations by loops over sites and bonds."""

import numpy as np

from nisbench.contract.targets import order_parameters_of
from nisbench.physics.glasses import EdwardsAnderson, Villain
from nisbench.physics.ising import Ising
from nisbench.physics.lattice import square_lattice
from nisbench.physics.options import EdwardsAndersonOptions, IsingOptions
from nisbench.physics.overlap import link_overlap, overlap
from nisbench.physics.pairwise import PairwiseTarget


def test_overlaps_by_loops():
    lattice = EdwardsAnderson(4, EdwardsAndersonOptions("pm1", "torus")).lattice
    s, t = np.random.default_rng(1).choice(np.array([-1, 1], dtype=np.int8), (2, 5, 4, 4))
    for k in range(5):
        q = sum(int(s[k, r, c]) * int(t[k, r, c]) for r in range(4) for c in range(4)) / 16
        links = [
            int(s[k, r, c]) * int(t[k, r, c]) * int(s[k, r2 % 4, c2 % 4]) * int(t[k, r2 % 4, c2 % 4])
            for r in range(4)
            for c in range(4)
            for r2, c2 in ((r, c + 1), (r + 1, c))
        ]
        assert overlap(s, t)[k] == q
        assert link_overlap(s, t, lattice)[k] == sum(links) / 32
    assert (overlap(s, s) == 1).all()
    assert (link_overlap(s, -s, lattice) == 1).all()
    cut = square_lattice(4, "free", right=0.0)  # bonds of strength 0 do not count: 12 vertical bonds remain
    u = (s * t)[:, :-1].astype(int) * (s * t)[:, 1:]
    assert np.allclose(link_overlap(s, t, cut), u.mean(axis=(1, 2)))


def test_order_parameters_follow_from_the_couplings():
    assert order_parameters_of(Ising(4)) == ("magnetisation",)
    assert order_parameters_of(Ising(4, IsingOptions("free", 0.3))) == ("magnetisation",)
    assert order_parameters_of(EdwardsAnderson(4)) == ("overlap",)
    assert order_parameters_of(Villain(4)) == ("overlap",)
    both = PairwiseTarget(square_lattice(4, right=-1.0, field=0.1))
    assert order_parameters_of(both) == ("magnetisation", "overlap")
    assert order_parameters_of(object()) == ("magnetisation",)
