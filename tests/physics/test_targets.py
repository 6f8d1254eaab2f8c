"""The built-in targets: options, couplings that never change, files of couplings and their refusals."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import sparse

from nisbench.errors import InvalidValue
from nisbench.physics import kac_ward, kaufman
from nisbench.physics.disorder import edwards_anderson_couplings
from nisbench.physics.enumeration import all_spins, ising_energy
from nisbench.physics.glasses import Couplings, EdwardsAnderson, Villain
from nisbench.physics.ising import Ising
from nisbench.physics.lattice import square_lattice
from nisbench.physics.options import CouplingsOptions, EdwardsAndersonOptions, IsingOptions, VillainOptions
from nisbench.physics.pairwise import PairwiseTarget

DIGESTS = {  # of instance 1 with free edges: a change of one of them changes published results
    (4, "pm1"): "a004dea9cb6e533dec5b38c7256f9f3f029cddf4e64a3021e0153fcfff711327",
    (4, "gaussian"): "ad14f5756e3e8b474fad762d51a28c8ca747247021572da272dc3d141750f63a",
    (16, "pm1"): "22745e66e9051e9a03c079732f2fca91b678917725deb2ca134fe8c83b4e45cf",
    (16, "gaussian"): "1d167b66972401d78e3f4ab155d119d88543eb0c81739b184b782a76eeaf08e8",
}


@pytest.mark.parametrize(("L", "disorder"), DIGESTS)
def test_instances_never_change(L, disorder):
    target = EdwardsAnderson(L, EdwardsAndersonOptions(disorder=disorder))
    assert target.lattice.digest == DIGESTS[L, disorder]


def test_first_couplings():
    """The first numbers of two streams, written out."""
    assert edwards_anderson_couplings(4, "pm1", 1)[0][0].tolist() == [1.0, -1.0, 1.0, -1.0]
    assert edwards_anderson_couplings(4, "gaussian", 1)[0][0].tolist() == [
        1.2002652684027137,
        0.5501432215890667,
        -0.2840754116334471,
        -0.09751170332494971,
    ]


@pytest.mark.parametrize("disorder", ["pm1", "gaussian"])
def test_distribution_of_the_couplings(disorder):
    """Moments of 32768 couplings within 5 standard errors; instances and sizes are independent."""
    right, down = edwards_anderson_couplings(128, disorder, 1)
    values, n = np.concatenate([right.ravel(), down.ravel()]), 2 * 128**2
    assert abs(values.mean()) < 5 / np.sqrt(n)
    if disorder == "pm1":
        assert set(values) == {-1.0, 1.0}
    else:
        assert abs((values**2).mean() - 1) < 5 * np.sqrt(2 / n)
        assert abs((values**4).mean() - 3) < 5 * np.sqrt(96 / n)
    other = edwards_anderson_couplings(128, disorder, 2)[0]
    assert abs((right * other).mean()) < 5 / 128
    assert abs((right * down).mean()) < 5 / 128


def test_torus_and_free_edges_share_their_couplings():
    free = EdwardsAnderson(6).lattice
    torus = EdwardsAnderson(6, EdwardsAndersonOptions(boundary="torus")).lattice
    assert np.array_equal(free.right[:, :-1], torus.right[:, :-1])
    assert not free.right[:, -1].any()
    assert np.abs(torus.right[:, -1]).all()
    assert EdwardsAnderson(6, EdwardsAndersonOptions(boundary="torus")).exact(1.0) == {}


@pytest.mark.parametrize("L", [4, 6])
def test_every_plaquette_of_villain_is_frustrated(L):
    lattice = Villain(L, VillainOptions(boundary="torus")).lattice
    right, down = lattice.right, lattice.down
    assert (right * np.roll(down, -1, 1) * np.roll(right, -1, 0) * down == -1).all()
    assert Villain(L).exact(1.0)["log_z_per_site"] == kac_ward.log_z(Villain(L).lattice, 1.0) / L**2


def test_options_are_frozen_and_have_defaults():
    for options in (IsingOptions(), EdwardsAndersonOptions(), VillainOptions(), CouplingsOptions()):
        with pytest.raises(dataclasses.FrozenInstanceError):
            options.boundary = "torus"
    for target in (Ising(4), EdwardsAnderson(4), Villain(4)):
        assert (target.L, target.n_sites, target.z2) == (4, 16, True)
    assert [target.name for target in (Ising, EdwardsAnderson, Villain, Couplings)] == [
        "ising",
        "edwards-anderson",
        "villain",
        "couplings",
    ]


def test_ising_options():
    spins = all_spins(4)
    magnetisation = spins.sum((-2, -1), dtype=np.float64)
    torus = Ising(4, IsingOptions(field=0.25))
    assert torus.energy(torch.from_numpy(spins)).numpy() == pytest.approx(ising_energy(spins) - 0.25 * magnetisation)
    assert not torus.z2
    assert torus.exact(0.44) == {}
    free = Ising(4, IsingOptions(boundary="free"))
    wrapping = (spins[..., -1] * spins[..., 0]).sum(-1) + (spins[..., -1, :] * spins[..., 0, :]).sum(-1)
    assert np.array_equal(free.energy(torch.from_numpy(spins)).numpy(), ising_energy(spins) + wrapping)
    assert free.exact(0.44)["log_z_per_site"] == pytest.approx(13.6675523842 / 16, abs=1e-11)
    assert Ising(4).exact(0.44) == kaufman.exact_values(4, 0.44)


def test_the_two_formulas_of_the_energy_agree_bit_for_bit():
    """The torus of `ising` has a formula of its own, which is faster."""
    spins = 2 * torch.randint(0, 2, (20, 16, 16), generator=torch.Generator().manual_seed(1), dtype=torch.int8) - 1
    assert torch.equal(Ising(16).energy(spins), PairwiseTarget(square_lattice(16)).energy(spins))


@pytest.mark.parametrize("boundary", ["free", "torus"])
@pytest.mark.parametrize("L", [2, 3, 4])
@pytest.mark.parametrize("first_site", [0, 1])
def test_files_of_couplings(tmp_path, L, boundary, first_site):
    rng = np.random.default_rng(5)
    right, down, field = rng.standard_normal((3, L, L))
    lattice = square_lattice(L, boundary, right=right, down=down, field=field)
    np.savez(tmp_path / "a.npz", right=lattice.right, down=lattice.down, field=field)
    bonds = [
        f"{i + first_site} {j + first_site} {J!r}"
        for i, j, J in zip(*map(np.ndarray.tolist, lattice.bonds), strict=True)
    ]
    fields = [f"{i + first_site} {i + first_site} {h!r}" for i, h in enumerate(field.ravel().tolist())]
    (tmp_path / "a.txt").write_text("\n".join(["# a comment", "", *bonds, *fields]))
    for name in ("a.npz", "a.txt"):
        target = Couplings(L, CouplingsOptions(file=str(tmp_path / name), boundary=boundary))
        assert target.lattice.digest == lattice.digest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1 1.0\n0 2 1.0\n", "line 2: the sites are not neighbours"),
        ("0 1 1.0\n1 0 1.0\n", "line 2: this bond or field has a value already"),
        ("0 1 1.0\n15 17 1.0\n", "sites are 0 ... 15"),
        ("0 1\n", "line 1 is '0 1'; write i j J"),
        ("0 one 1.0\n", "line 1 is '0 one 1.0'; write i j J"),
        ("0 1 nan\n", "nan is not a finite number"),
        ("0 3 1.0\n0 1 1.0\n", "bonds that wrap around"),
        ("# nothing\n", "no line with a bond"),
    ],
)
def test_malformed_text(tmp_path, text, message):
    path = tmp_path / "bad.txt"
    path.write_text(text)
    with pytest.raises(InvalidValue) as caught:
        Couplings(4, CouplingsOptions(file=str(path)))
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"couplings file {path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"right": np.ones((3, 3))}, "it needs the arrays right and down"),
        ({"right": np.zeros((3, 3)), "down": np.zeros((3, 3)), "extra": np.ones(1)}, "it needs the arrays"),
        ({"right": np.zeros((4, 4)), "down": np.zeros((4, 4))}, "right has the shape (4, 4)"),
        ({"right": np.zeros(9), "down": np.zeros((3, 3))}, "right has the shape (9,)"),
        ({"right": np.zeros((3, 3), complex), "down": np.zeros((3, 3))}, "give real numbers"),
        ({"right": np.zeros((3, 3)), "down": np.full((3, 3), np.inf)}, "NaN or infinity"),
        ({"right": np.ones((3, 3)), "down": np.zeros((3, 3))}, "bonds that wrap around"),
    ],
)
def test_malformed_archives(tmp_path, arrays, message):
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays)
    with pytest.raises(InvalidValue) as caught:
        Couplings(3, CouplingsOptions(file=str(path)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def saved(tmp_path, lattice, triangle=sparse.triu):
    """File with the matrix of the couplings, each bond once, as `create_instances.py` of TwoBo writes it."""
    first, second, coupling = lattice.bonds
    matrix = sparse.coo_array((coupling, (first, second)), shape=(lattice.n_sites,) * 2)
    path = tmp_path / "instance.npz"
    sparse.save_npz(path, sparse.csr_array(triangle(matrix + matrix.T, k=1 if triangle is sparse.triu else -1)))
    return str(path)


@pytest.mark.parametrize("triangle", [sparse.triu, sparse.tril])
@pytest.mark.parametrize("boundary", ["torus", "free"])
@pytest.mark.parametrize("L", [3, 4, 12])
def test_instances_in_the_format_of_twobo(tmp_path, L, boundary, triangle):
    glass = EdwardsAnderson(L, EdwardsAndersonOptions(boundary=boundary))
    file = saved(tmp_path, glass.lattice, triangle)
    read = Couplings(L, CouplingsOptions(file=file, boundary=boundary))
    assert read.lattice.digest == glass.lattice.digest
    spins = torch.from_numpy(np.random.default_rng(1).choice([-1, 1], (5, L, L)).astype(np.int8))
    matrix, x = sparse.load_npz(file).toarray(), spins.reshape(5, -1).numpy().astype(float)
    np.testing.assert_allclose(read.energy(spins).numpy(), -np.einsum("ij,mi,mj->m", matrix, x, x))


def test_sites_of_networkx_are_numbered_by_rows(tmp_path):
    networkx = pytest.importorskip("networkx", reason="the authors of TwoBo made their instances with it")
    graph, L = networkx.grid_graph((4, 4), periodic=True), 4
    lattice = EdwardsAnderson(L, EdwardsAndersonOptions(boundary="torus")).lattice
    for (row, column), sign in zip(np.ndindex(L, L), lattice.right.ravel(), strict=True):
        graph[row, column][row, (column + 1) % L]["weight"] = sign
    for (row, column), sign in zip(np.ndindex(L, L), lattice.down.ravel(), strict=True):
        graph[row, column][(row + 1) % L, column]["weight"] = sign
    sparse.save_npz(tmp_path / "a.npz", sparse.triu(networkx.adjacency_matrix(graph), k=1, format="csr"))
    read = Couplings(L, CouplingsOptions(file=str(tmp_path / "a.npz"), boundary="torus"))
    assert read.lattice.digest == lattice.digest


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.eye(9, k=1)[:4, :4], r"shape \(4, 4\); the 3 x 3 lattice needs \(9, 9\)"),
        (np.eye(9, k=4), r"entry \(0, 4\): the sites are not neighbours"),
        (np.eye(9, k=3) + np.eye(9, k=-3), r"entry \(3, 0\): this bond or field has a value already"),
        (np.diag(np.full(6, np.inf), k=3), "not finite"),
    ],
)
def test_malformed_matrices(tmp_path, matrix, message):
    sparse.save_npz(tmp_path / "bad.npz", sparse.csr_array(matrix))
    with pytest.raises(InvalidValue, match=message):
        Couplings(3, CouplingsOptions(file=str(tmp_path / "bad.npz"), boundary="torus"))


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "text.npz").write_text("0 1 1.0")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    np.savez(tmp_path / "objects.npz", right=np.array([None]), down=np.zeros((3, 3)))
    for name, message in [
        ("absent.txt", "No such file"),
        ("absent.npz", "No such file"),
        ("text.npz", "not an archive"),
        ("objects.npz", "not an archive"),
        ("binary.txt", "neither .npz nor text"),
    ]:
        with pytest.raises(InvalidValue, match=message):
            Couplings(3, CouplingsOptions(file=str(tmp_path / name)))
    with pytest.raises(InvalidValue, match=r"give --option couplings\.file"):
        Couplings(3)


def test_refusals():
    with pytest.raises(InvalidValue, match="instance = 0"):
        EdwardsAndersonOptions(instance=0)
    with pytest.raises(InvalidValue, match="field = inf"):
        IsingOptions(field=float("inf"))
    with pytest.raises(InvalidValue, match="even L"):
        Villain(5, VillainOptions(boundary="torus"))
    with pytest.raises(InvalidValue, match="choose pm1 or gaussian"):
        edwards_anderson_couplings(4, "other", 1)
