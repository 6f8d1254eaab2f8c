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


def inner_states(side: int) -> NDArray[np.int64]:
    """(2^(side^2), side, side), row by row: the first site varies slowest."""
    return np.array(list(itertools.product((-1, 1), repeat=side * side))).reshape(-1, side, side)


def minus_energy(spins: NDArray[np.int64], border: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n_states,) sum over the bonds inside and to the border, bond by bond from the definition."""
    side = spins.shape[-1]
    above, right, below, left = border.reshape(4, side)
    total = np.zeros(len(spins))
    for r, c in itertools.product(range(side), repeat=2):
        s = spins[:, r, c]
        total += s * (spins[:, r, c + 1] if c + 1 < side else right[r])
        total += s * (spins[:, r + 1, c] if r + 1 < side else below[c])
        total += s * above[c] if r == 0 else 0
        total += s * left[r] if c == 0 else 0
    return total


def row_transfer_log_z(border: NDArray[np.float64], beta: float) -> float:
    """ln Z by products of 2^side x 2^side matrices between whole rows."""
    side = len(border) // 4
    above, right, below, left = border.reshape(4, side)
    rows = np.array(list(itertools.product((-1, 1), repeat=side)))  # (2^side, side)
    along = (rows[:, 1:] * rows[:, :-1]).sum(1)
    between = np.exp(beta * rows @ rows.T)
    vector, scale = np.exp(beta * rows @ above), 0.0
    for r in range(side):
        vector = vector * np.exp(beta * (along + left[r] * rows[:, 0] + right[r] * rows[:, -1]))
        vector = between @ vector if r < side - 1 else vector * np.exp(beta * rows @ below)
        scale += math.log(vector.sum())
        vector = vector / vector.sum()
    return scale


def block_log_z(border: torch.Tensor, side: int, beta: float) -> torch.Tensor:
    """ln Z, (n,), of lattices that are borders (4 side, n); the weights have the type of the border."""
    sites = torch.arange(4 * side).unsqueeze(1)
    return exact_block.block_log_z(border.to(torch.int8), sites, beta, border.dtype)[0]


def block_draw(border: torch.Tensor, side: int, beta: float, limits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Spins, (side^2, n), and ln Z, (n,), of one block in each lattice; `limits` are logit(u)."""
    lattice = torch.cat([border, torch.zeros_like(limits)]).to(torch.int8)
    sites = torch.arange(len(lattice)).unsqueeze(1)
    log_z = exact_block.block_draw(lattice, sites[4 * side :], sites[: 4 * side], beta, limits.exp())
    return lattice[4 * side :].to(border.dtype), log_z[0]


def borders(side: int, n: int, seed: int) -> torch.Tensor:
    """(4 side, n) random, the first all +1, the second alternating."""
    border = torch.randint(0, 2, (4 * side, n), generator=torch.Generator().manual_seed(seed)) * 2.0 - 1
    border[:, 0] = 1
    border[:, 1] = 1 - 2 * (torch.arange(4 * side) % 2)
    return border.double()


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(("L", "lines", "side"), [(8, 2, 3), (4, 1, 3), (8, 2, 1)])
def test_the_energy_of_blocks_is_the_sum_of_their_bonds(
    L: int, lines: int, side: int, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        monkeypatch.setattr("nisbench.nn.ising.on_cpu", lambda _: False)
    found_side, blocks = exact_blocks(L, lines=lines, largest=side)
    assert found_side == side
    lattice = torch.randint(0, 2, (L * L, 600), generator=torch.Generator().manual_seed(1), dtype=torch.int8) * 2 - 1
    energy = bond_energy(lattice, blocks.bonds)
    for b in range(blocks.n_blocks):
        states = lattice[blocks.drawn[:, b]].T.view(-1, side, side).long().numpy()
        for c in range(0, 600, 199):
            border = lattice[blocks.border[:, b], c].double().numpy()
            assert float(energy[b, c]) == -minus_energy(states[c : c + 1], border)[0]


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.44, 1.0, 2.0])
@pytest.mark.parametrize("side", [1, 3])
def test_log_z_is_the_sum_over_all_states(side: int, beta: float) -> None:
    border = borders(side, 70, seed=side)
    states = inner_states(side)
    exact = [np.logaddexp.reduce(beta * minus_energy(states, column)) for column in border.T.numpy()]
    np.testing.assert_allclose(block_log_z(border, side, beta), exact, rtol=0, atol=1e-12)
    np.testing.assert_allclose(block_log_z(border.float(), side, beta), exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.3, 0.44, 1.0, 1.5])
def test_log_z_of_side_7_is_that_of_a_row_transfer_matrix(beta: float) -> None:
    border = borders(7, 70, seed=7)
    exact = [row_transfer_log_z(column, beta) for column in border.T.numpy()]
    np.testing.assert_allclose(block_log_z(border, 7, beta), exact, rtol=0, atol=1e-11)
    np.testing.assert_allclose(block_log_z(border.float(), 7, beta), exact, rtol=0, atol=1e-6)


def test_the_row_transfer_matrix_is_the_sum_over_all_states() -> None:
    border = borders(3, 5, seed=3).T.numpy()
    exact = [np.logaddexp.reduce(0.44 * minus_energy(inner_states(3), column)) for column in border]
    np.testing.assert_allclose([row_transfer_log_z(column, 0.44) for column in border], exact, atol=1e-12)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("beta", [0.2, 0.3, 0.3333, 0.4, 0.44, 0.5])
def test_float32_has_no_bias(beta: float, compiled: bool) -> None:
    """Errors of single blocks must not add up: ln Z of a lattice has hundreds of them."""
    border = borders(7, 1024, seed=4)
    single = border.float()
    if compiled:
        found = block_log_z(single, 7, beta)
    else:
        unlike = _rounded(math.exp(-2 * beta), 7, torch.float32).tolist()
        found = solve_blocks_torch(single, 7, unlike, single.new_empty(0, 1024))[1] + beta * 112
    difference = found - block_log_z(border, 7, beta)
    assert difference.abs().max() < (1e-6 if compiled else 4e-6)
    assert abs(difference.mean()) < 5e-7


def test_one_rounding_in_all_bonds_would_be_a_bias() -> None:
    """Negative control of the test above: the same kernel with exp(-2 beta) rounded once."""
    border = borders(7, 1024, seed=4)
    once = [math.exp(-0.6)] * 7  # which float32 rounds
    log_z = solve_blocks_torch(border.float(), 7, once, border.float().new_empty(0, 1024))[1] + 0.3 * 112
    assert abs((log_z - block_log_z(border, 7, 0.3)).mean()) > 1e-6


def test_extreme_couplings_stay_finite() -> None:
    border = borders(7, 64, seed=5)
    for beta in (5.0, 20.0):
        log_z = block_log_z(border, 7, beta)
        assert log_z.isfinite().all()
        assert log_z[0] == pytest.approx(beta * 112, abs=1e-3)  # all alike: the ground state alone


def test_site_frequencies_of_side_7() -> None:
    """Single spins and neighbours against ln Z of the same block with one more field, by finite differences."""
    n, beta, side = 40_000, 0.44, 7
    border = borders(side, 3, seed=11)[:, 2:].expand(-1, n).contiguous()
    generator = torch.Generator().manual_seed(1)
    spins, _ = block_draw(border, side, beta, thresholds(side * side, n, like=border, generator=generator))
    energy = torch.from_numpy(minus_energy(spins.T.reshape(n, side, side).long().numpy(), border[:, 0].numpy()))
    step = 1e-4
    up, down = (row_transfer_log_z(border[:, 0].numpy(), beta + sign * step) for sign in (1, -1))
    mean, error = (up - down) / (2 * step), float(energy.std()) / math.sqrt(n)
    assert abs(float(energy.mean()) - mean) < 4 * error
    wrong = beta * 0.98  # what the check resolves
    up, down = (row_transfer_log_z(border[:, 0].numpy(), wrong + sign * step) for sign in (1, -1))
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
@pytest.mark.parametrize("side", [1, 3])
def test_draws_have_the_exact_frequencies(side: int, compiled: bool) -> None:
    """100 000 draws over 512 states; p > 1e-4 for the right beta, < 1e-4 for one that is 3 % off."""
    n, beta = 100_000, 0.44
    border = borders(side, 3, seed=21)[:, 2:].float().expand(-1, n).contiguous()
    limits = thresholds(side * side, n, like=border, generator=torch.Generator().manual_seed(2))
    if compiled:
        spins, _ = block_draw(border, side, beta, limits)
    else:
        unlike = [math.exp(-2 * beta)] * side
        spins, _ = solve_blocks_torch(border, side, unlike, limits.exp())
    codes = (spins.T.numpy() > 0) @ (1 << np.arange(side * side)[::-1])
    p = []
    for tried in (beta, 0.97 * beta):
        weight = tried * minus_energy(inner_states(side), border[:, 0].double().numpy())
        p.append(chi_square(codes, np.exp(weight - np.logaddexp.reduce(weight))))
    assert p[0] > 1e-4
    assert p[1] < 1e-4 or side == 1  # one spin has little to tell


@pytest.mark.parametrize("n", [1, 63, 64, 130])
@pytest.mark.parametrize("side", [1, 3, 7])
def test_torch_operations_draw_the_same(side: int, n: int) -> None:
    border = borders(side, max(n, 2), seed=n)[:, :n].contiguous()
    limits = thresholds(side * side, n, like=border, generator=torch.Generator().manual_seed(n))
    spins, log_z = block_draw(border, side, 0.4, limits)
    plain, plain_log_z = solve_blocks_torch(border, side, [math.exp(-0.8)] * side, limits.exp())
    assert torch.equal(spins, plain)
    plain_log_z += 0.4 * (2 * side * (side - 1) + 4 * side)
    torch.testing.assert_close(log_z, plain_log_z, rtol=0, atol=1e-11)
    torch.testing.assert_close(log_z, block_log_z(border, side, 0.4), rtol=0, atol=0)


def log_domain_log_z(border: NDArray[np.float64], beta: float) -> float:
    """ln Z by sums over whole rows with logarithms throughout, which cannot underflow."""
    side = len(border) // 4
    above, right, below, left = border.reshape(4, side)
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
    border = borders(7, 40, seed=3).float()
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
    with pytest.raises(InvalidValue, match=r"exact blocks of side 7: they work up to beta = 23\.\d"):
        block_log_z(borders(7, 2, seed=1), 7, 25.0)
    block_log_z(borders(7, 2, seed=1), 7, largest_beta(7))
