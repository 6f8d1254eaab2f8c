"""measure: shapes and order of the series from chunked draws, and the time that is charged to them."""

import time

import numpy as np
import pytest
import torch

from nisbench.api import ChainDraws, ChainSampler, ModelDraws, WeightedDraws, WeightedSampler
from nisbench.errors import PluginError
from nisbench.harness import measure, references
from nisbench.harness.clock import Clock
from nisbench.physics.ising import Ising

CPU = torch.device("cpu")


class SlowIsing(Ising):
    def energy(self, spins):
        time.sleep(0.05)
        return super().energy(spins)


def _spins(generator, *shape):
    return (2 * torch.randint(0, 2, shape, generator=generator) - 1).to(torch.int8)


class Coin:
    """q(s) = 2^-N; log_prob is the magnetisation, so that the order can be checked."""

    def __init__(self, target):
        self.target = target
        self.sizes = []

    def sample(self, n, *, beta, generator):
        self.sizes.append(n)
        spins = _spins(generator, n, self.target.L, self.target.L)
        return ModelDraws(spins, self.log_prob(spins, beta=beta))

    def log_prob(self, spins, *, beta):
        return spins.sum((-2, -1), dtype=torch.float64)


class Counter(ChainSampler):
    """Chains whose magnetisation is the number of the draw: draw k of each chain has k spins up, in row order."""

    n_chains = 3

    def __init__(self, target):
        super().__init__(target, None)
        self.k = 0

    def prepare(self, *, beta, generator):
        pass

    def draw(self, n, *, generator):
        site = torch.arange(self.target.n_sites).reshape(self.target.L, self.target.L)
        steps = torch.arange(self.k, self.k + n).reshape(-1, 1, 1, 1)
        self.k += n
        spins = torch.where(site < steps, 1, -1).to(torch.int8)
        return ChainDraws(spins.expand(-1, self.n_chains, -1, -1))


class Weighted(WeightedSampler):
    def prepare(self, *, beta, generator):
        pass

    def draw(self, n, *, generator):
        spins = _spins(generator, n, 4, 4)
        return WeightedDraws(spins, spins.sum((-2, -1), dtype=torch.float64), normalised=n > 1)


def _generator(seed=1):
    return torch.Generator().manual_seed(seed)


def test_model_draws_are_chunked_and_timed_with_their_energies(monkeypatch):
    monkeypatch.setattr(measure, "_INDEPENDENT_CHUNK", {"cpu": 10})
    model, clock = Coin(SlowIsing(4)), Clock(CPU)
    measured = measure.draw_density(model, 100, beta=0.44, generator=_generator(), clock=clock)
    assert model.sizes == [13] * 4 + [12] * 4
    assert {name: values.shape for name, values in measured.series.items()} == {
        "log_prob": (100,),
        "energy": (100,),
        "magnetisation": (100,),
    }
    assert all(values.dtype == np.float64 for values in measured.series.values())
    np.testing.assert_array_equal(measured.series["log_prob"], measured.series["magnetisation"])
    assert measured.samples.shape == (16, 4, 4)
    np.testing.assert_array_equal(
        measured.series["energy"][:16], Ising(4).energy(torch.from_numpy(measured.samples)).numpy()
    )
    assert len(measured.chunk_s) == 8
    # a chain counts its energies while it moves, so the energies of a model are timed too: eight calls of 0.05 s
    assert clock.phases["draw"].seconds >= 0.4
    assert sum(s * n for s, n in zip(measured.chunk_s, model.sizes, strict=True)) == pytest.approx(
        clock.phases["draw"].seconds
    )


def test_chunks_are_bounded_in_spins():
    assert measure.largest_chunk(16, "cpu") == 4096
    assert measure.largest_chunk(512**2, "cpu") * 512**2 <= 2**24
    assert measure.largest_chunk(512**2, "cuda") * 512**2 <= 2**27
    assert measure.largest_chunk(10**9, "cpu") == 16


def test_chunks_are_all_of_it_and_multiples_of_16():
    for n, n_sites in ((128, 16), (129, 16), (5000, 64**2), (100_000, 64**2), (100_000, 100**2), (99_999, 10**9)):
        for device in (CPU, torch.device("cuda")):
            *chunks, last = measure.independent_chunks(n, n_sites, device)
            assert sum(chunks) + last == n
            assert all(chunk % 16 == 0 for chunk in chunks)
            assert 0 < last <= max([last, *chunks]) <= measure.largest_chunk(n_sites, device.type)


@pytest.mark.parametrize("largest", [1, 3, 16, 48, 4096])
def test_there_are_8_timed_chunks_however_few_the_draws(largest):
    for n in range(1, 600):
        chunks = measure.timed_chunks(n, largest)
        assert sum(chunks) == n
        assert 0 < min(chunks) <= max(chunks) <= largest
        assert len(chunks) >= min(n, 8)
        assert max(chunks) - min(chunks) < 32  # nearly equal


def test_the_evaluation_lies_between_the_two_halves_of_the_drawing():
    model, at = Coin(Ising(4)), []
    between = lambda: at.append(len(model.sizes))  # noqa: E731
    measure.draw_density(model, 1000, beta=0.4, generator=_generator(), clock=Clock(CPU), between=between)
    assert at == [len(model.sizes) // 2] == [4]
    one = Coin(Ising(4))
    between = lambda: at.append(len(one.sizes))  # noqa: E731
    measure.draw_density(one, 1, beta=0.4, generator=_generator(), clock=Clock(CPU), between=between)
    assert at == [4, 0]


def test_chain_series_continue_through_the_chunks(monkeypatch):
    monkeypatch.setattr(measure, "_CHAIN_SPINS", 4 * 3 * 16)
    measured = measure.draw_chain(Counter(Ising(4)), 28, 3, generator=_generator(), clock=Clock(CPU))
    # 28 draws from 3 chains: 10 from each
    assert measured.n_draws == 30
    assert measured.series["magnetisation"].shape == (10, 3)
    np.testing.assert_array_equal(measured.series["magnetisation"][:, 1], 2 * np.arange(10) - 16)
    assert set(measured.series) == {"energy", "magnetisation"}
    assert measured.samples.shape == (3, 4, 4)


def test_weighted_draws():
    measured, normalised = measure.draw_weighted(Weighted(Ising(4), None), 50, generator=_generator(), clock=Clock(CPU))
    assert normalised
    np.testing.assert_array_equal(measured.series["log_weight"], measured.series["magnetisation"])
    assert not measure.draw_weighted(Weighted(Ising(4), None), 1, generator=_generator(), clock=Clock(CPU))[1]


def test_reference_is_thinned_by_twice_tau_and_keeps_the_order_of_each_chain():
    reference = references.collect_reference(Counter(Ising(4)), 10, tau_int=1.2, seed=3, generator=_generator())
    up = (reference.spins > 0).sum((1, 2))
    # every third draw of each of the three chains: draws 2, 5, 8, 11
    assert up.tolist() == [2, 2, 2, 5, 5, 5, 8, 8, 8, 11]
    assert reference.chain.tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
    assert (reference.tau_int, reference.seed) == (1.2, 3)


def test_reference_is_evaluated_in_order():
    model = Coin(Ising(4))
    reference = references.collect_reference(Counter(Ising(4)), 10, tau_int=1.2, seed=3, generator=_generator())
    log_prob = references.evaluate_reference(model, reference, beta=0.44, device=CPU)
    np.testing.assert_array_equal(log_prob, reference.spins.sum((1, 2), dtype=float))


def test_chains_are_counted_from_a_checked_draw():
    sampler = Counter(Ising(4))
    assert measure.count_chains(sampler, _generator()) == 3
    assert sampler.k == 1
    sampler.draw = lambda n, *, generator: Weighted(Ising(4), None).draw(n, generator=generator)
    with pytest.raises(PluginError, match="returned WeightedDraws; return ChainDraws"):
        measure.count_chains(sampler, _generator())
