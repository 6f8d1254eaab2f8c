"""The tables of a lattice against a plain double loop, its digest and its refusals."""

import numpy as np
import pytest
import torch

from nisbench.errors import InvalidValue
from nisbench.physics.enumeration import lattice_energies
from nisbench.physics.lattice import square_lattice
from nisbench.physics.pairwise import PairwiseTarget


def random_lattice(L, boundary, *, seed=1, whole=False, field=True):
    rng = np.random.default_rng(seed)
    draw = (lambda size: rng.integers(-2, 3, size).astype(float)) if whole else rng.standard_normal
    values = {"right": draw((L, L)), "down": draw((L, L)), "field": draw(L * L) if field else 0.0}
    return square_lattice(L, boundary, **values)


def plain_energy(lattice, spins):
    """Double loop over sites, written apart from `lattice.py`; wraps around only on the torus."""
    L, total = lattice.L, 0.0
    for r in range(L):
        for c in range(L):
            total -= lattice.field[r * L + c] * spins[r, c]
            if c + 1 < L or lattice.boundary == "torus":
                total -= lattice.right[r, c] * spins[r, c] * spins[r, (c + 1) % L]
            if r + 1 < L or lattice.boundary == "torus":
                total -= lattice.down[r, c] * spins[r, c] * spins[(r + 1) % L, c]
    return total


@pytest.mark.parametrize("boundary", ["torus", "free"])
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("L", [2, 3, 6])
def test_energy_and_tables(L, boundary, whole):
    lattice = random_lattice(L, boundary, whole=whole)
    rng = np.random.default_rng(2)
    spins = rng.choice(np.array([-1, 1], dtype=np.int8), size=(3, 4, L, L))
    expected = np.array([[plain_energy(lattice, s) for s in row] for row in spins])
    for dtype in (torch.int8, torch.int64, torch.float32, torch.float64):
        energy = PairwiseTarget(lattice).energy(torch.from_numpy(spins).to(dtype))
        assert energy.dtype == torch.float64
        assert energy.numpy() == pytest.approx(expected, rel=1e-12, abs=1e-12)
    flat = spins.reshape(3, 4, -1).astype(float)
    local = (lattice.couplings * flat[..., lattice.neighbours]).sum(-1)  # (3, 4, n_sites)
    assert -(flat * (local / 2 + lattice.field)).sum(-1) == pytest.approx(expected, rel=1e-12, abs=1e-12)
    first, second, coupling = lattice.bonds
    by_bonds = -(coupling * flat[..., first] * flat[..., second]).sum(-1) - flat @ lattice.field
    assert by_bonds == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert len(first) == (2 * L * L if boundary == "torus" else 2 * L * (L - 1))


@pytest.mark.parametrize("boundary", ["torus", "free"])
def test_enumerated_energies(boundary):
    lattice = random_lattice(3, boundary)
    bits = (np.arange(2**9)[:, None] >> np.arange(8, -1, -1)) & 1
    spins = torch.from_numpy((2 * bits - 1).reshape(-1, 3, 3))
    assert lattice_energies(lattice) == pytest.approx(PairwiseTarget(lattice).energy(spins).numpy(), abs=1e-12)
    with pytest.raises(ValueError, match="L <= 5"):
        lattice_energies(square_lattice(6))


def test_missing_neighbours_are_the_site_itself():
    lattice = square_lattice(3, "free")
    assert lattice.neighbours.dtype == np.int64
    assert lattice.neighbours[0].tolist() == [1, 3, 0, 0]
    assert lattice.neighbours[4].tolist() == [5, 7, 3, 1]
    missing = lattice.neighbours == np.arange(9)[:, None]
    assert missing.sum() == 12
    assert not lattice.couplings[missing].any()
    assert square_lattice(2).neighbours[0].tolist() == [1, 2, 1, 2]  # each pair twice


def test_digest_and_flags():
    plain = square_lattice(4, "free")
    assert plain.digest == "d982a338ec4cf787b255c850c77c313b6650ef3de46f52af1f5e604255eb2969"
    assert square_lattice(4, "free", field=-0.0).digest == plain.digest
    wrapped = np.ones((4, 4))
    wrapped[:, -1] = 7.0
    assert square_lattice(4, "free", right=wrapped).digest == plain.digest  # free edges drop the wrapping bonds
    others = [square_lattice(4), square_lattice(5, "free"), square_lattice(4, "free", field=0.1)]
    others.append(square_lattice(4, "free", down=-1.0))
    assert len({plain.digest, *(other.digest for other in others)}) == 5
    assert [lattice.z2 for lattice in (plain, *others)] == [True, True, True, False, True]
    assert [lattice.is_uniform_torus for lattice in (plain, *others)] == [False, True, False, False, False]
    with pytest.raises(ValueError, match="read-only"):
        plain.right[0, 0] = 2.0


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"boundary": "open"}, "choose torus or free"),
        ({"right": np.ones((3, 4))}, "right has the shape"),
        ({"down": np.full((4, 4), np.nan)}, "down contains NaN"),
        ({"field": np.ones(5)}, "field has the shape"),
        ({"field": float("inf")}, "field contains NaN or infinity"),
    ],
)
def test_refusals(options, text):
    with pytest.raises(InvalidValue, match=text):
        square_lattice(4, **options)


def test_energy_refuses_other_shapes_and_types():
    target = PairwiseTarget(square_lattice(4, "free"))
    with pytest.raises(ValueError, match="4 x 4"):
        target.energy(torch.ones(3, 5, 5))
    with pytest.raises(ValueError, match="signed"):
        target.energy(torch.ones(4, 4, dtype=torch.uint8))
    with pytest.raises(ValueError, match="L >= 2"):
        square_lattice(1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("whole", [True, False])
def test_energy_on_the_gpu(whole):
    target = PairwiseTarget(random_lattice(8, "free", whole=whole))
    spins = 2 * torch.randint(0, 2, (50, 8, 8), generator=torch.Generator().manual_seed(1)) - 1
    assert target.energy(spins.cuda()).cpu().numpy() == pytest.approx(target.energy(spins).numpy(), rel=1e-13)
