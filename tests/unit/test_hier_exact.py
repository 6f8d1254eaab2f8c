"""Hierarchy with exact blocks: a geometry that covers the torus, exact sums over frames, fast paths and plain ones."""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import pytest
import torch

from nisbench.contract.interfaces import Model
from nisbench.contract.records import Estimate
from nisbench.harness.measure import level_differences
from nisbench.nn.exact_block import block_log_z, largest_beta
from nisbench.nn.hierarchy import displacements, distances, exact_blocks, known_neighbours, levels
from nisbench.physics.enumeration import all_spins
from nisbench.physics.ising import Ising
from nisbench.physics.kaufman import log_z
from nisbench.statistics.quantities import level_quantities
from nisbench_plugins.hier_exact import HierExact
from nisbench_plugins.registration import HierExactOptions

LAYOUTS = [*itertools.product((1, 3, 7), (1,), (1, 2)), (1, 31, 1), (3, 31, 2), (7, 31, 2)]
"""(block, strip, lines). With a strip of 1 blocks are divided by crosses, with one of 31 by columns, up to L = 64."""


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def model(
    L: int, block: int, strip: int, lines: int, *, dtype: torch.dtype = torch.float64, width: int = 3, **other: bool
) -> HierExact:
    """With random weights, so that q is far from anything simple."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(L)
        options = HierExactOptions(block=block, strip=strip, lines=lines, width=width, **other)  # type: ignore[arg-type]
        result = HierExact(Ising(L), options)
        for parameter in result.parameters():
            parameter.data += torch.randn_like(parameter) / parameter.shape[1] ** 0.5
    return result.to(dtype)


@pytest.mark.parametrize(("block", "strip", "lines"), LAYOUTS)
@pytest.mark.parametrize("L", [4, 8, 16, 64])
def test_every_site_is_drawn_once_and_blocks_touch_known_spins_only(L: int, block: int, strip: int, lines: int) -> None:
    known: set[int] = set()
    (rows, columns), blocks = exact_blocks(L, lines=lines, largest=block, strip=strip)
    assert columns == min(block, L // lines - 1)
    assert rows == min(max(block, strip), L // lines - 1)
    for level in [*levels(L, lines=lines, largest=block, strip=strip), blocks]:
        for b in range(level.drawn.shape[1]):
            own, border = set(level.drawn[:, b].tolist()), set(level.border[:, b].tolist())
            assert border <= known
            assert len(own) == len(level.drawn)
            for site in own:
                r, c = divmod(site, L)
                around = {((r + i) % L) * L + (c + j) % L for i, j in ((1, 0), (-1, 0), (0, 1), (0, -1))}
                assert not (around & known) - border  # Markov: what is known around it is on its border
                assert level is not blocks or around <= own | border
        drawn = set(level.drawn.flatten().tolist())
        assert len(drawn) == level.drawn.numel()
        assert not known & drawn
        known |= drawn
    assert known == set(range(L * L))


def bond_energy(lattice: torch.Tensor) -> torch.Tensor:
    """(n, L, L) -> (n,): energy of the bonds between sites with a spin; sites without a spin are 0."""
    return -sum((lattice * lattice.roll(1, axis)).sum((-2, -1)) for axis in (-2, -1))


@pytest.mark.parametrize(("strip", "lines"), [(1, 1), (1, 2), (7, 2), (15, 1)])
def test_known_neighbours_are_the_bonds_between_upper_spins(strip: int, lines: int) -> None:
    """Each bond once, from its later end, and not twice where a border holds a site twice."""
    L, upper = 16, torch.zeros(1, 256, dtype=torch.int8)
    bonds = 0.0
    for level in levels(L, lines=lines, largest=3, strip=strip):
        bonds += float(known_neighbours(level, L).sum()) * level.drawn.shape[1]
        upper[0, level.drawn.flatten()] = 1
    assert bonds == -float(bond_energy(upper.view(1, L, L)))


@pytest.mark.parametrize("beta", [0.2, 0.44, 0.7])
@pytest.mark.parametrize(("L", "lines"), [(4, 1), (4, 2), (8, 1)])
def test_the_sum_over_all_frames_is_z(L: int, lines: int, beta: float) -> None:
    """exp(-beta E(frame)) times the Z(border) of the blocks, over all 2^7, 2^12 and 2^15 frames."""
    (frame,) = levels(L, lines=lines, largest=L)
    (_, columns), blocks = exact_blocks(L, lines=lines, largest=7)
    sites = frame.drawn[:, 0]
    bits = torch.arange(2 ** len(sites)) >> torch.arange(len(sites)).unsqueeze(1) & 1  # (n_sites, n)
    lattice = torch.zeros(L * L, bits.shape[1], dtype=torch.float64)
    lattice[sites] = 2 * bits.double() - 1
    inner = block_log_z(lattice.to(torch.int8), blocks.border, columns, beta, torch.float64).sum(0)
    energy = bond_energy(lattice.T.reshape(-1, L, L))
    assert float(torch.logsumexp(inner - beta * energy, 0)) == pytest.approx(log_z(L, beta), abs=1e-10)


@pytest.mark.parametrize("width", [1, 8])
@pytest.mark.parametrize(("block", "strip", "lines"), LAYOUTS)
def test_q_sums_to_one_and_is_even(block: int, strip: int, lines: int, width: int) -> None:
    net = model(4, block, strip, lines, width=width)
    states = torch.from_numpy(all_spins(4))
    with torch.no_grad():
        log_prob = net.log_prob(states, beta=0.44)
    total = float(log_prob.exp().sum())
    assert abs(total - 1) < 1e-10
    mirror = log_prob.flip(0)  # row 2^16 - 1 - i of the states is the mirror of row i
    torch.testing.assert_close(log_prob, mirror, rtol=0, atol=1e-12)


@pytest.mark.parametrize("switched", [{"odd": False}, {"skip": False}, {"bisect": True}, {"shared": False}])
@pytest.mark.parametrize(("block", "strip", "lines"), [(1, 1, 1), (1, 1, 2), (1, 3, 1), (1, 7, 2)])
def test_with_an_idea_switched_off_q_still_sums_to_one_and_fast_is_slow(
    switched: dict[str, bool], block: int, strip: int, lines: int
) -> None:
    net = model(4, block, strip, lines, **switched)
    with torch.no_grad():
        log_prob = net.log_prob(torch.from_numpy(all_spins(4)), beta=0.44)
    assert abs(float(log_prob.exp().sum()) - 1) < 1e-10
    even = bool((log_prob - log_prob.flip(0)).abs().max() < 1e-12)
    assert even == switched.get("odd", True)
    net = model(16, block, strip, lines, pairs=False, **switched)
    draws = net.sample(20, beta=0.4, generator=generator(1))
    again = net.log_prob(draws.spins, beta=0.4).detach()
    torch.testing.assert_close(draws.log_prob, again, rtol=0, atol=1e-9)
    fast = net.training_batch(20, beta=0.4, generator=generator(2))
    slow = Model.training_batch(net, 20, beta=0.4, generator=generator(2))
    found, expected = (torch.autograd.grad(b.log_prob.sum(), list(net.parameters())) for b in (fast, slow))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


def test_bisected_crosses_hold_the_same_sites_their_middle_first() -> None:
    for plain, bisected in zip(levels(32)[1:], levels(32, bisect=True)[1:], strict=True):
        assert torch.equal(plain.drawn.sort(0).values, bisected.drawn.sort(0).values)
        assert torch.equal(plain.border, bisected.border)
        side = (len(plain.drawn) + 1) // 2
        assert torch.equal(bisected.drawn[0], plain.drawn[side // 2])


@pytest.mark.parametrize(("block", "strip", "lines"), LAYOUTS)
@pytest.mark.parametrize(("L", "n"), [(4, 33), (8, 1), (16, 7), (32, 3)])
def test_log_prob_of_a_draw_is_the_log_prob_of_its_spins(L: int, n: int, block: int, strip: int, lines: int) -> None:
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 2e-7 * L * L)):
        net = model(L, block, strip, lines, dtype=dtype)
        draws = net.sample(n, beta=0.4, generator=generator(n))
        found = net.log_prob(draws.spins, beta=0.4).detach()
        torch.testing.assert_close(draws.log_prob, found, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("block", "strip", "lines"), LAYOUTS)
@pytest.mark.parametrize(("L", "n"), [(4, 50), (16, 20), (32, 5)])
def test_the_marginal_has_the_signal_and_the_gradient_of_the_whole(
    L: int, n: int, block: int, strip: int, lines: int
) -> None:
    net = model(L, block, strip, lines, pairs=False)
    fast = net.training_batch(n, beta=0.4, generator=generator(1))
    slow = Model.training_batch(net, n, beta=0.4, generator=generator(1))
    torch.testing.assert_close(fast.signal, slow.signal, rtol=0, atol=1e-9)
    weight = torch.randn(n, generator=generator(2), dtype=torch.float64)
    found, expected = (torch.autograd.grad((weight * b.log_prob).sum(), list(net.parameters())) for b in (fast, slow))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


def flat(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])


@pytest.mark.parametrize("strip", [1, 3])
def test_pairs_have_the_exact_gradient(strip: int) -> None:
    """Along the exact gradient of the network that they train, from sums over all 2^16 states, and its length.

    |z| > 5 has probability 6e-7. The standard error is held below 2.5 %, so that the negative control, pairs whose
    signal is a fifth too small, has |z| > 5 with probability > 0.99.
    """
    net, beta, batches = model(4, 1, strip, 1, width=2), 0.44, 300
    states, parameters = torch.from_numpy(all_spins(4)), list(net.networks[1].parameters())
    log_prob = net.log_prob(states, beta=beta)
    action = (log_prob.exp() * (log_prob + beta * net.target.energy(states))).sum()
    exact = flat(torch.autograd.grad(action, parameters))
    source, along = generator(5), torch.empty(batches, 2)
    for i in range(batches):
        batch = net.training_batch(200, beta=beta, generator=source)
        weaker = [dataclasses.replace(pair, signal=0.8 * pair.signal) for pair in batch.terms]
        for j, tried in enumerate((batch, dataclasses.replace(batch, terms=weaker))):
            found = flat(torch.autograd.grad(tried.loss(), parameters, retain_graph=j == 0))
            along[i, j] = (found @ exact) / exact.square().sum()  # 1 in the mean
    error = along.std(0) / batches**0.5
    right, wrong = ((along.mean(0) - 1) / error).tolist()
    assert error.max() < 0.025
    assert abs(right) < 5 < abs(wrong)


@pytest.mark.parametrize(
    ("L", "block", "strip", "lines"), [(32, 7, 1, 2), (32, 7, 15, 2), (16, 3, 1, 1), (32, 3, 15, 1), (16, 1, 1, 2)]
)
def test_the_signals_of_the_blocks_add_up_to_that_of_the_lattice(L: int, block: int, strip: int, lines: int) -> None:
    net, n, beta = model(L, block, strip, lines), 7, 0.4
    batch = net.training_batch(n, beta=beta, generator=generator(7))
    whole = model(L, block, strip, lines, pairs=False).training_batch(n, beta=beta, generator=generator(7))
    torch.testing.assert_close(batch.signal, whole.signal, rtol=0, atol=1e-9)  # the first draws are the same
    assert len(batch.terms) == net.n_levels - 1
    for level, pair in enumerate(batch.terms, 1):
        n_blocks = net.levels[level].n_blocks
        m = max(1, min(n, 2 * n // n_blocks))
        assert pair.log_prob.shape == pair.signal.shape == (2, n_blocks, m)
        assert not pair.signal.requires_grad
        assert (pair.signal[0] != pair.signal[1]).any()


def test_displacements_of_a_frame() -> None:
    """Pairs have one class where both sites are on the same two parallel lines at the same displacement."""
    L = 8
    (frame,) = levels(L, largest=L)
    assert frame.lengths == [8, 7, 7, 6]  # a row and a column twice, each site once
    classes = displacements(frame, L)
    place = [divmod(site, L) for site in frame.drawn[:, 0].tolist()]
    line = [number for number, length in enumerate(frame.lengths) for _ in range(length)]
    keys: dict[int, tuple[int, ...]] = {}
    for k, j in itertools.product(range(28), repeat=2):
        (r, c), (s, d) = place[k], place[j]
        if j > k or (line[k] - line[j]) % 2:
            assert classes[k, j] == 0
        else:
            key = (line[k], line[j], c - d if line[k] % 2 == 0 else r - s)
            assert keys.setdefault(int(classes[k, j]), key) == key
    assert len(set(keys.values())) == len(keys) == int(classes.max())


def test_weights_learn_more_slowly_with_the_distance_of_their_sites() -> None:
    """The closeness of a pair is (1 + d)^-locality, with the shortest way around the torus."""
    L = 16
    near, alike = (HierExact(Ising(L), HierExactOptions(locality=a, block=3, strip=3)) for a in (2.0, 0.0))
    for level, network, other in zip(levels(L, largest=3), near.networks, alike.networks, strict=True):
        sites = [divmod(site, L) for site in [*level.border[:, 0].tolist(), *level.drawn[:, 0].tolist()]]
        drawn = sites[len(level.border) :]
        ways = list(itertools.product((-L, 0, L), repeat=2))
        expected = torch.tensor(
            [[min(math.hypot(r - s + i, c - d + j) for i, j in ways) for s, d in sites] for r, c in drawn]
        )
        torch.testing.assert_close(distances(level, L), expected)
        torch.testing.assert_close(network.closeness, (1 + expected) ** -2)
        assert (other.closeness == 1).all()


def test_a_shared_weight_acts_between_equal_displacements() -> None:
    """A kernel that is one number: all the bonds of a row of the frame get it, and nothing else."""
    L = 8
    net = HierExact(Ising(L), HierExactOptions()).networks[0]
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        before = int(displacements(levels(L)[0], L)[1, 0])  # the class of the site before, in the first row
        net.skip_kernel[0, before - 1] = 1 / (net.rates.skip * net.closeness[1, 0])
        spins = torch.where(torch.rand(28, 5, generator=generator(8)) < 0.5, -1.0, 1.0)
        logits = net(spins, spins.new_empty(0, 5), beta=0.3)
    expected = torch.zeros(28, 5)
    expected[1:8] = 0.6 * spins[:7]
    torch.testing.assert_close(logits, expected)


def test_weights_depend_on_the_upper_spins_alone() -> None:
    """ln w of a draw with its blocks drawn once more is the same; of one with another upper spin it is not."""
    net, n, beta = model(16, 7, 7, 2), 20, 0.44
    spins = net.sample(n, beta=beta, generator=generator(3)).spins

    def log_weight(spins: torch.Tensor) -> torch.Tensor:
        return -net.log_prob(spins, beta=beta).detach() - beta * net.target.energy(spins)

    inner, upper = spins.clone().flatten(1), spins.clone().flatten(1)
    inner[:, net.blocks.drawn[10, 2]] *= -1
    upper[:, net.blocks.border[10, 2]] *= -1
    torch.testing.assert_close(log_weight(inner.view_as(spins)), log_weight(spins), rtol=0, atol=1e-9)
    assert (log_weight(upper.view_as(spins)) - log_weight(spins)).abs().min() > 1e-3


@pytest.mark.parametrize(("block", "strip", "lines"), [(1, 1, 2), (3, 1, 1), (3, 7, 2), (1, 15, 1), (7, 1, 2)])
def test_pairs_share_the_levels_before_and_carry_their_log_prob(block: int, strip: int, lines: int) -> None:
    net, n, beta = model(16, block, strip, lines), 20, 0.4
    for level in range(net.n_levels + 1):
        first, second = net.draw_pairs(n, level=level, beta=beta, generator=generator(level))
        for draws in (first, second):
            found = net.log_prob(draws.spins, beta=beta).detach()
            torch.testing.assert_close(draws.log_prob, found, rtol=0, atol=1e-9)
        equal = (first.spins == second.spins).flatten(1)
        for i in range(net.n_levels):
            same = equal[:, net.levels[i].drawn.flatten()].all(1)
            assert bool(same.all()) if i < level else not bool(same.any())
        assert not equal[:, net.blocks.drawn.flatten()].all(1).any()


def test_what_the_levels_lose_is_their_exact_kl() -> None:
    """At L = 4 over all states, with a network that is good and then with one level of it spoilt; 5 standard errors.

    Half the variance is the KL to second order only; a tenth of the largest is allowed for that.
    """
    L, beta, n = 4, 0.25, 40_000
    states = torch.from_numpy(all_spins(L))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        net = HierExact(Ising(L), HierExactOptions(block=1, strip=1, lines=1)).double()
    assert net.n_levels == 2
    before = net.levels[0].drawn.flatten()
    frame = ((states.flatten(1)[:, before] > 0).long() << torch.arange(len(before))).sum(1)  # (2^16,)
    log_p = -beta * Ising(L).energy(states)
    log_p -= torch.logsumexp(log_p, 0)
    lost = []
    for spoilt in (None, 0, 1):  # and it stays so
        if spoilt is not None:
            net.networks[spoilt].skip.data *= 0.3
        with torch.no_grad():
            log_q = net.log_prob(states, beta=beta)
        q, p = (torch.zeros(2 ** len(before), dtype=torch.float64).index_add(0, frame, x.exp()) for x in (log_q, log_p))
        top = float((q * (q / p).log()).sum())
        exact = [top, float((log_q.exp() * (log_q - log_p)).sum()) - top]
        differences = level_differences(net, n, beta=beta, generator=generator(5))
        found = level_quantities(Estimate(sum(exact), 0.0), differences)
        for k, expected in enumerate(exact):
            estimate = found[f"kl_nats_level_{k}"]
            assert estimate.value is not None
            assert estimate.error is not None
            assert estimate.error < 0.05 * max(exact)
            assert abs(estimate.value - expected) < 5 * estimate.error + 0.1 * max(exact), (spoilt, exact, found)
        lost.append(exact)
    assert lost[1][0] > 2 * lost[0][0]  # the negative control: each level tells of itself
    assert lost[2][1] > 2 * lost[1][1]


def test_a_short_training_solves_l_8() -> None:
    """300 steps: ess_fraction above 0.98 and ln Z within 3 standard errors of the exact one."""
    L, beta, n = 8, 0.44, 4000
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        net = HierExact(Ising(L), HierExactOptions())
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for step in range(300):
        batch = net.training_batch(256, beta=beta, generator=generator(step))
        optimizer.zero_grad()
        batch.loss().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    draws = net.sample(n, beta=beta, generator=generator(1000))
    weight = (-draws.log_prob - beta * net.target.energy(draws.spins) - log_z(L, beta)).exp()
    ess = float(weight.sum() ** 2 / (n * weight.square().sum()))
    assert ess > 0.98
    assert abs(float(weight.mean()) - 1) < 3 * math.sqrt((1 / ess - 1) / n)


@pytest.mark.parametrize("L", [3, 2, 6, 12, 1])
def test_other_extents_are_unsupported_with_the_reason(L: int) -> None:
    target = Ising(4)
    target.L = L
    assert HierExact.unsupported(target, HierExactOptions()) == f"hier-exact needs L = 2^m with m >= 2; L = {L}"


@pytest.mark.parametrize(("L", "lines", "block", "columns"), [(4, 2, 7, 1), (8, 2, 7, 3), (8, 1, 7, 7), (64, 2, 3, 3)])
def test_a_beta_beyond_the_exact_blocks_is_unsupported(L: int, lines: int, block: int, columns: int) -> None:
    options = HierExactOptions(lines=lines, block=block)  # type: ignore[arg-type]
    assert HierExact(Ising(L), options).columns == columns
    limit = largest_beta(columns)
    assert HierExact.unsupported(Ising(L), options, beta=limit) is None
    words = HierExact.unsupported(Ising(L), options, beta=limit + 0.01)
    assert words is not None
    assert f"exact blocks with {columns} columns work up to beta = {limit:.4g}" in words


@pytest.mark.parametrize(
    "given", [{"block": 5}, {"block": 0}, {"strip": 9}, {"lines": 3}, {"width": 0}, {"locality": -1.0}]
)
def test_other_options_are_refused(given: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="block must be 1, 3 or 7"):
        HierExactOptions(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(("strip", "n_inside"), [(1, 4), (7, 2)])
def test_the_signal_of_a_block_is_the_part_inside_it(strip: int, n_inside: int) -> None:
    """Level 1 of L = 16: four crosses or columns and the exact blocks inside each block, on a lattice of its own.

    The exact blocks are found by their place and not by their number, so a wrong order of the blocks is seen.
    """
    L, n, beta = 16, 5, 0.4
    net = model(L, 3, strip, 2)
    spins = net._empty(n)
    with torch.no_grad():
        parts = net._draw_levels(spins, range(net.n_levels), net._matrices(beta), generator(9))
        signal = net._signals(spins, parts, beta)[1]
    log_z = block_log_z(spins, net.blocks.border, net.columns, beta, torch.float64)
    lattice = spins.double()
    level, network = net.levels[1], net.networks[1]
    assert signal.shape == (4, n)
    for b in range(4):
        drawn, border = level.drawn[:, b], level.border[:, b]
        alone, around = torch.zeros_like(lattice), torch.zeros_like(lattice)
        alone[torch.cat([drawn, border])] = lattice[torch.cat([drawn, border])]
        around[border] = lattice[border]
        before, after = (net.target.energy(x.T.reshape(n, L, L)) for x in (around, alone))
        logits = network(lattice[drawn], lattice[border], beta=beta).detach()
        log_q = torch.nn.functional.logsigmoid(lattice[drawn] * logits).sum(0)
        rows, columns = drawn // L, drawn % L
        places = net.blocks.drawn // L, net.blocks.drawn % L
        middle, reach = columns.median(), (rows.max() - rows.min()) / 2  # the block is a square
        inside = [
            bool((rows.min() <= r).all() and (r <= rows.max()).all()) and bool(((c - middle).abs() <= reach).all())
            for r, c in zip(places[0].T, places[1].T, strict=True)
        ]
        assert sum(inside) == n_inside
        expected = log_q + beta * (after - before) - log_z[inside].sum(0)
        torch.testing.assert_close(signal[b], expected, rtol=0, atol=1e-9)
