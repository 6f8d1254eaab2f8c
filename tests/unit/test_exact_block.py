"""The exact block: ln Z against sums over all states and another contraction, draws against exact frequencies."""

import itertools
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import chi2

from nisbench.errors import InvalidValue
from nisbench.nn import exact_block
from nisbench.nn.bernoulli import thresholds
from nisbench.nn.exact_block import _rounded, largest_beta, solve_blocks_torch
from nisbench.nn.hierarchy import exact_blocks
from nisbench.nn.ising import bond_energy

Shape = tuple[int, int]
"""Rows and columns of a block."""


def inner_states(shape: Shape) -> NDArray[np.int64]:
    """(2^(rows columns), rows, columns), row by row: the first site varies slowest."""
    return np.array(list(itertools.product((-1, 1), repeat=math.prod(shape)))).reshape(-1, *shape)


def sides(border: NDArray[np.float64], shape: Shape) -> list[NDArray[np.float64]]:
    """The border above, right, below and left."""
    rows, columns = shape
    return np.split(border, np.cumsum([columns, rows, columns]))


def minus_energy(spins: NDArray[np.int64], border: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n_states,) sum over the bonds inside and to the border, bond by bond from the definition."""
    rows, columns = shape = spins.shape[1:]
    above, right, below, left = sides(border, shape)
    total = np.zeros(len(spins))
    for r, c in itertools.product(range(rows), range(columns)):
        s = spins[:, r, c]
        total += s * (spins[:, r, c + 1] if c + 1 < columns else right[r])
        total += s * (spins[:, r + 1, c] if r + 1 < rows else below[c])
        total += s * above[c] if r == 0 else 0
        total += s * left[r] if c == 0 else 0
    return total


def row_transfer_log_z(border: NDArray[np.float64], beta: float, shape: Shape = (7, 7)) -> float:
    """ln Z by products of 2^columns x 2^columns matrices between whole rows."""
    n_rows, columns = shape
    above, right, below, left = sides(border, shape)
    rows = np.array(list(itertools.product((-1, 1), repeat=columns)))  # (2^columns, columns)
    along = (rows[:, 1:] * rows[:, :-1]).sum(1)
    between = np.exp(beta * rows @ rows.T)
    vector, scale = np.exp(beta * rows @ above), 0.0
    for r in range(n_rows):
        vector = vector * np.exp(beta * (along + left[r] * rows[:, 0] + right[r] * rows[:, -1]))
        vector = between @ vector if r < n_rows - 1 else vector * np.exp(beta * rows @ below)
        scale += math.log(vector.sum())
        vector = vector / vector.sum()
    return scale


def block_log_z(border: torch.Tensor, columns: int, beta: float) -> torch.Tensor:
    """ln Z, (n,), of lattices that are borders (2 (rows + columns), n); the weights have the type of the border."""
    sites = torch.arange(len(border)).unsqueeze(1)
    return exact_block.block_log_z(border.to(torch.int8), sites, columns, beta, border.dtype)[0]


def block_draw(
    border: torch.Tensor, columns: int, beta: float, limits: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Spins, (rows columns, n), and ln Z, (n,), of one block in each lattice; `limits` are logit(u)."""
    lattice = torch.cat([border, torch.zeros_like(limits)]).to(torch.int8)
    around, inside = torch.arange(len(lattice)).unsqueeze(1).split([len(border), len(limits)])
    log_z = exact_block.block_draw(lattice, inside, around, columns, beta, limits.exp())
    return lattice[len(border) :].to(border.dtype), log_z[0]


def borders(shape: Shape, n: int, seed: int) -> torch.Tensor:
    """(2 (rows + columns), n) random, the first all +1, the second alternating."""
    m = 2 * sum(shape)
    border = torch.randint(0, 2, (m, n), generator=torch.Generator().manual_seed(seed)) * 2.0 - 1
    border[:, 0] = 1
    border[:, 1] = 1 - 2 * (torch.arange(m) % 2)
    return border.double()


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(
    ("L", "lines", "columns", "strip", "shape"),
    [(8, 2, 3, 3, (3, 3)), (4, 1, 3, 1, (3, 3)), (8, 2, 1, 1, (1, 1)), (8, 2, 1, 3, (3, 1)), (16, 2, 1, 3, (3, 1))],
)
def test_the_energy_of_blocks_is_the_sum_of_their_bonds(
    L: int, lines: int, columns: int, strip: int, shape: Shape, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        monkeypatch.setattr("nisbench.nn.ising.on_cpu", lambda _: False)
    found, blocks = exact_blocks(L, lines=lines, largest=columns, strip=strip)
    assert found == shape
    lattice = torch.randint(0, 2, (L * L, 600), generator=torch.Generator().manual_seed(1), dtype=torch.int8) * 2 - 1
    energy = bond_energy(lattice, blocks.bonds)
    for b in range(blocks.n_blocks):
        states = lattice[blocks.drawn[:, b]].T.view(-1, *shape).long().numpy()
        for c in range(0, 600, 199):
            border = lattice[blocks.border[:, b], c].double().numpy()
            assert float(energy[b, c]) == -minus_energy(states[c : c + 1], border)[0]


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.44, 1.0, 2.0])
@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (3, 1), (1, 3), (5, 2), (2, 5), (9, 1)])
def test_log_z_is_the_sum_over_all_states(shape: Shape, beta: float) -> None:
    border, columns = borders(shape, 70, seed=3), shape[1]
    states = inner_states(shape)
    exact = [logsumexp(beta * minus_energy(states, around)) for around in border.T.numpy()]
    np.testing.assert_allclose(block_log_z(border, columns, beta), exact, rtol=0, atol=1e-12)
    np.testing.assert_allclose(block_log_z(border.float(), columns, beta), exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.3, 0.44, 1.0, 1.5])
@pytest.mark.parametrize("rows", [7, 15, 31, 63])
def test_log_z_of_seven_columns_is_that_of_a_row_transfer_matrix(rows: int, beta: float) -> None:
    border = borders((rows, 7), 70, seed=7)
    exact = [row_transfer_log_z(column, beta, (rows, 7)) for column in border.T.numpy()]
    # rounding errors grow with the number of rows
    rtol, atol = (0, 1e-6) if rows == 7 else (1e-13, 1.1e-6 * rows / 7)
    np.testing.assert_allclose(block_log_z(border, 7, beta), exact, rtol=rtol, atol=1e-11)
    np.testing.assert_allclose(block_log_z(border.float(), 7, beta), exact, rtol=0, atol=atol)


@pytest.mark.parametrize("shape", [(3, 3), (5, 2)])
def test_the_row_transfer_matrix_is_the_sum_over_all_states(shape: Shape) -> None:
    border = borders(shape, 5, seed=3).T.numpy()
    exact = [np.logaddexp.reduce(0.44 * minus_energy(inner_states(shape), column)) for column in border]
    np.testing.assert_allclose([row_transfer_log_z(column, 0.44, shape) for column in border], exact, atol=1e-12)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("beta", [0.2, 0.3, 0.3333, 0.4, 0.44, 0.5])
@pytest.mark.parametrize("rows", [7, 31])
def test_float32_has_no_bias(rows: int, beta: float, compiled: bool) -> None:
    """Errors of single blocks must not add up: ln Z of a lattice has hundreds of them."""
    border = borders((rows, 7), 1024, seed=4)
    single = border.float()
    if compiled:
        found = block_log_z(single, 7, beta)
    else:
        unlike = _rounded(math.exp(-2 * beta), rows, single)
        bonds = (rows + 1) * 7 + rows * 8
        found = solve_blocks_torch(single, 7, unlike, single.new_empty(0, 1024))[1] + beta * bonds
    difference = found - block_log_z(border, 7, beta)
    assert difference.abs().max() < (1e-6 if compiled else 4e-6) * rows / 7
    assert abs(difference.mean()) < 5e-7 * rows / 7


def test_one_rounding_in_all_bonds_would_be_a_bias() -> None:
    """Negative control of the test above: the same kernel with exp(-2 beta) rounded once."""
    border = borders((7, 7), 1024, seed=4)
    once = torch.full((7,), math.exp(-0.6))  # rounded
    log_z = solve_blocks_torch(border.float(), 7, once, border.float().new_empty(0, 1024))[1] + 0.3 * 112
    assert abs((log_z - block_log_z(border, 7, 0.3)).mean()) > 1e-6


@pytest.mark.parametrize(("rows", "bonds"), [(7, 112), (63, 952)])
def test_extreme_couplings_stay_finite(rows: int, bonds: int) -> None:
    border = borders((rows, 7), 64, seed=5)
    for beta in (5.0, 20.0):
        log_z = block_log_z(border, 7, beta)
        assert log_z.isfinite().all()
        assert log_z[0] == pytest.approx(beta * bonds, abs=1e-3)  # all alike: the ground state alone


def test_the_product_of_the_sums_of_many_rows_stays_finite_in_float32() -> None:
    """At beta = 1 the weights of 63 rows between opposite sides multiply to less than 1e-308."""
    border = borders((63, 7), 2, seed=5)
    border[7:70, 0], border[77:, 0] = 1, -1
    border[7:70:2, 1], border[8:70:2, 1], border[77::2, 1], border[78::2, 1] = 1, -1, -1, 1
    found = block_log_z(border.float(), 7, 1.0)
    np.testing.assert_allclose(found, block_log_z(border, 7, 1.0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("rows", [7, 31])
def test_site_frequencies_of_seven_columns(rows: int) -> None:
    """Single spins and neighbours against ln Z of the same block with one more field, by finite differences."""
    n, beta = 40_000, 0.44
    border = borders((rows, 7), 3, seed=11)[:, 2:].expand(-1, n).contiguous()
    generator = torch.Generator().manual_seed(1)
    spins, _ = block_draw(border, 7, beta, thresholds(rows * 7, n, like=border, generator=generator))
    energy = torch.from_numpy(minus_energy(spins.T.reshape(n, rows, 7).long().numpy(), border[:, 0].numpy()))
    step = 1e-4
    up, down = (row_transfer_log_z(border[:, 0].numpy(), beta + sign * step, (rows, 7)) for sign in (1, -1))
    mean, error = (up - down) / (2 * step), float(energy.std()) / math.sqrt(n)
    assert abs(float(energy.mean()) - mean) < 4 * error
    wrong = beta * 0.98  # what the check resolves
    up, down = (row_transfer_log_z(border[:, 0].numpy(), wrong + sign * step, (rows, 7)) for sign in (1, -1))
    assert abs(float(energy.mean()) - (up - down) / (2 * step)) > 4 * error


def chi_square(codes: NDArray[np.int64], probability: NDArray[np.float64]) -> float:
    """p-value over the states, those expected fewer than 10 times in one bin."""
    expected = len(codes) * probability
    observed = np.bincount(codes, minlength=len(probability))
    rare = expected < 10
    if rare.any():
        observed = np.append(observed[~rare], observed[rare].sum())
        expected = np.append(expected[~rare], expected[rare].sum())
    return float(chi2.sf(((observed - expected) ** 2 / expected).sum(), len(expected) - 1))


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (4, 2), (9, 1)])
def test_draws_have_the_exact_frequencies(shape: Shape, compiled: bool) -> None:
    """100 000 draws over up to 512 states; p > 1e-4 for the right beta, < 1e-4 for one that is 3 % off."""
    n, beta = 100_000, 0.44
    border = borders(shape, 3, seed=21)[:, 2:].float().expand(-1, n).contiguous()
    limits = thresholds(math.prod(shape), n, like=border, generator=torch.Generator().manual_seed(2))
    if compiled:
        spins, _ = block_draw(border, shape[1], beta, limits)
    else:
        unlike = border.new_full((shape[0],), math.exp(-2 * beta))
        spins, _ = solve_blocks_torch(border, shape[1], unlike, limits.exp())
    codes = (spins.T.numpy() > 0) @ (1 << np.arange(math.prod(shape))[::-1])
    p = []
    for tried in (beta, 0.97 * beta):
        weight = tried * minus_energy(inner_states(shape), border[:, 0].double().numpy())
        p.append(chi_square(codes, np.exp(weight - np.logaddexp.reduce(weight))))
    assert p[0] > 1e-4
    assert p[1] < 1e-4 or shape == (1, 1)  # one spin has little to tell


@pytest.mark.parametrize("n", [1, 63, 64, 130])
@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (7, 7), (31, 7), (15, 3), (3, 1), (3, 5)])
def test_torch_operations_draw_the_same(shape: Shape, n: int) -> None:
    rows, columns = shape
    border = borders(shape, max(n, 2), seed=n)[:, :n].contiguous()
    limits = thresholds(rows * columns, n, like=border, generator=torch.Generator().manual_seed(n))
    spins, log_z = block_draw(border, columns, 0.4, limits)
    plain, plain_log_z = solve_blocks_torch(border, columns, border.new_full((rows,), math.exp(-0.8)), limits.exp())
    assert torch.equal(spins, plain)
    plain_log_z += 0.4 * ((rows + 1) * columns + rows * (columns + 1))
    torch.testing.assert_close(log_z, plain_log_z, rtol=0, atol=1e-11)
    torch.testing.assert_close(log_z, block_log_z(border, columns, 0.4), rtol=0, atol=0)


def log_domain_log_z(border: NDArray[np.float64], beta: float) -> float:
    """ln Z by sums over whole rows with logarithms throughout, which cannot underflow."""
    side = len(border) // 4
    above, right, below, left = sides(border, (side, side))
    rows = np.array(list(itertools.product((-1, 1), repeat=side)))
    along = (rows[:, 1:] * rows[:, :-1]).sum(1)
    vector = beta * rows @ above
    for r in range(side):
        vector = vector + beta * (along + left[r] * rows[:, 0] + right[r] * rows[:, -1])
        if r < side - 1:
            vector = logsumexp(beta * rows @ rows.T + vector, axis=1)
    return float(logsumexp(vector + beta * rows @ below))


@pytest.mark.parametrize("beta", [2.9, 6.0, 10.0, 23.0])
def test_cold_blocks_of_float32_networks(beta: float) -> None:
    """At beta = 10 float32 weights would be lost in 87 % of these blocks, and ln Z would be infinite."""
    border = borders((7, 7), 40, seed=3).float()
    found = block_log_z(border, 7, beta)
    exact = [log_domain_log_z(border[:, i].double().numpy(), beta) for i in range(40)]
    np.testing.assert_allclose(found.numpy(), exact, rtol=1e-12)
    limits = thresholds(49, 40, like=border, generator=torch.Generator().manual_seed(1))
    spins, log_z = block_draw(border, 7, beta, limits)
    assert torch.equal(log_z, found)
    weights = [
        beta * minus_energy(spins[:, i].view(1, 7, 7).long().numpy(), border[:, i].double().numpy())[0]
        for i in range(40)
    ]
    assert (torch.tensor(weights) - found).max() <= 1e-9, "no state has more weight than all"


def test_a_beta_that_no_float_bears_is_refused_with_the_largest() -> None:
    assert 23.4 < largest_beta(7) < 23.5
    with pytest.raises(InvalidValue, match=r"exact blocks with 7 columns: they work up to beta = 23\.\d"):
        block_log_z(borders((7, 7), 2, seed=1), 7, 25.0)
    block_log_z(borders((7, 7), 2, seed=1), 7, largest_beta(7))
