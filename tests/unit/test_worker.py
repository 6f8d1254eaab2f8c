"""run_cell: every quantity of a kind, right within its error; a wrong sampler is caught by the same gates."""

import math
import time
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from numba import njit

from nisbench.api import (
    ChainDraws,
    ChainSampler,
    Density,
    Model,
    ModelDraws,
    TrainingBatch,
    TrainingOptions,
    WeightedDraws,
    WeightedSampler,
)
from nisbench.contract.catalog import Catalog, Entry, TargetEntry
from nisbench.contract.doubts import Doubt, Gate
from nisbench.contract.records import Budget, Cell, CellResult, Hardware, ReferenceState, Status
from nisbench.errors import PluginError
from nisbench.harness import densities, worker
from nisbench.harness.environment import cpu_name
from nisbench.harness.limits import OverLimitError
from nisbench.harness.plan import Plan
from nisbench.harness.store import Store
from nisbench.harness.worker import UnavailableError, run_cell
from nisbench.physics.ising import Ising
from nisbench.physics.options import IsingOptions
from nisbench.statistics import gates

L, BETA = 3, 0.3


@dataclass(frozen=True)
class CoinOptions(TrainingOptions):
    batch_size: int = 32
    refuse: bool = False


@dataclass(frozen=True)
class ExactOptions:
    tilt: float = 1.0


def _states(L):
    bits = torch.arange(2 ** (L * L)).unsqueeze(1).bitwise_right_shift(torch.arange(L * L)) & 1
    return (2 * bits - 1).to(torch.int8).reshape(-1, L, L)


class Coin(Model):
    """Independent spins with one trainable logit."""

    def __init__(self, target, options):
        super().__init__(target, options)
        self.logit = torch.nn.Parameter(torch.randn(()) * 0.1)

    @classmethod
    def unsupported(cls, target, options):
        return "asked to refuse" if options.refuse else None

    def sample(self, n, *, beta, generator):
        up = torch.rand(n, self.target.L, self.target.L, generator=generator) < self.logit.sigmoid()
        spins = (2 * up - 1).to(torch.int8)
        return ModelDraws(spins, self.log_prob(spins, beta=beta).detach())

    def log_prob(self, spins, *, beta):
        return torch.nn.functional.logsigmoid(spins.double() * self.logit.double()).sum((-2, -1))

    def costs(self):
        return {"flops_per_draw": 1.0}


class _Enumerated:
    """Independent draws from exp(-tilt beta E)/Z: from p for tilt = 1, from another density otherwise."""

    def prepare(self, *, beta, generator):
        self.beta, self.states = beta, _states(self.target.L)
        action = -self.options.tilt * beta * self.target.energy(self.states)
        self.cumulative, self.log_norm = torch.softmax(action, 0).cumsum(0), torch.logsumexp(action, 0)

    def log_q(self, spins):
        return -self.options.tilt * self.beta * self.target.energy(spins) - self.log_norm

    def _spins(self, generator, *shape):
        u = torch.rand(*shape, generator=generator, dtype=torch.float64)
        return self.states[torch.searchsorted(self.cumulative, u).clamp(max=len(self.states) - 1)]


class Exact(_Enumerated, ChainSampler):
    """The draws as chains."""

    n_chains = 5

    def draw(self, n, *, generator):
        return ChainDraws(self._spins(generator, n, self.n_chains))


class Reweighted(_Enumerated, WeightedSampler):
    """The same draws with the weights that correct them."""

    def draw(self, n, *, generator):
        spins = self._spins(generator, n)
        return WeightedDraws(spins, -self.beta * self.target.energy(spins) - self.log_q(spins), normalised=True)


class Tilted(_Enumerated, Density):
    """The same draws with their ln q; off by `misstated`."""

    misstated = 0.0

    def sample(self, n, *, beta, generator):
        spins = self._spins(generator, n)
        return ModelDraws(spins, self.log_prob(spins, beta=beta))

    def log_prob(self, spins, *, beta):
        return (1 + self.misstated) * self.log_q(spins)


class _Fitting:
    """A training loop of 5 ms a step, a preparation of 20 ms."""

    steps = 0

    def fit(self, *, beta, generator, budget, report):
        time.sleep(0.005 * budget.steps)
        self.steps = budget.steps

    def prepare(self, *, beta, generator):
        time.sleep(0.02)
        super().prepare(beta=beta, generator=generator)

    def costs(self):
        return {"network_calls_per_draw": float(self.steps)}


class FittedChains(_Fitting, Exact):
    """Chains with a training of their own."""


class FittedDensity(_Fitting, Tilted):
    """A density with a training of its own."""


CATALOG = Catalog(
    plugins={
        "coin": Entry("coin", "model", "d", "1", options=CoinOptions, factory=f"{__name__}:Coin"),
        "exact": Entry("exact", "sampler", "d", "1", options=ExactOptions, factory=f"{__name__}:Exact"),
        "reweighted": Entry("reweighted", "sampler", "d", "1", options=ExactOptions, factory=f"{__name__}:Reweighted"),
        "tilted": Entry("tilted", "density", "d", "1", options=ExactOptions, factory=f"{__name__}:Tilted"),
        "chains": Entry(
            "chains", "sampler", "d", "1", options=ExactOptions, factory=f"{__name__}:FittedChains", trains=True
        ),
        "fitted": Entry(
            "fitted", "density", "d", "1", options=ExactOptions, factory=f"{__name__}:FittedDensity", trains=True
        ),
    },
    targets={"ising": TargetEntry("ising", "nisbench.physics.ising:Ising", options=IsingOptions)},
)


def _cell(plugin, given=None, **changes):
    entry = CATALOG.plugins[plugin]
    budget = Budget(steps=20) if entry.takes_budget else None
    cell = Cell(plugin, entry.kind, "1", entry.fill(given or {}), "ising", L, BETA, 1, 20000, budget)
    return replace(cell, **changes)


def _run(path, *cells, **limits):
    store = Store.create(path / "run", Plan("p", "t", "d", groups=(), cells=cells), {})
    results = []
    for cell in cells:
        results.append(run_cell(store, cell, CATALOG, **limits))
        store.files(cell.cell_id).write_result(results[-1])
    return store, results


@pytest.fixture(scope="module", autouse=True)
def _importable():
    """The factories name this module as pytest imports it."""
    for entry in CATALOG.plugins.values():
        entry.load()


MODEL_QUANTITIES = {
    "log_z_per_site",
    "free_energy_variational",
    "free_energy_nis",
    "free_energy_p",
    "relative_free_energy_error",
    "kl_nats",
    "kl_forward_nats",
    "ess_fraction",
    "ess_fraction_p",
    "ess_fraction_tenth",
    "ess_fraction_half",
    "pareto_k",
    "sample_exponent",
    "tv_energy",
    "tv_abs_magnetisation",
    "acceptance_rate",
    "tau_int_energy",
    "tau_int_abs_magnetisation",
    "longest_rejection_run",
    "energy",
    "abs_magnetisation",
    "specific_heat",
    "susceptibility",
    "binder_cumulant",
    "entropy",
    "n_parameters",
    "parameter_bytes",
    "optimizer_bytes",
    "flops_per_draw",
    "train_steps",
    "train_s",
    "train_cpu_s",
    "train_step_s",
    "prepare_s",
    "prepare_cpu_s",
    "draw_s",
    "draw_cpu_s",
    "compile_s",
    "draw_s_per_1000",
    "s_per_effective_sample",
    "matmul_flops_per_s",
    "peak_host_train_bytes",
    "peak_device_train_bytes",
    "peak_host_draw_bytes",
    "peak_device_draw_bytes",
}


def test_a_model_cell_with_its_reference(tmp_path):
    reference = _cell("exact", reference_draws=500, seed=0)
    store, (left, result) = _run(tmp_path, reference, _cell("coin", reference=reference.cell_id))
    assert left.status is Status.OK
    assert set(result.quantities) == MODEL_QUANTITIES
    values = {name: q.value for name, q in result.quantities.items()}
    assert (values["train_steps"], values["n_parameters"], values["parameter_bytes"]) == (20, 1, 4)
    series = store.series(result.cell_id)
    assert {name: len(v) for name, v in series.items() if name.startswith("reference")} == {
        "reference_log_prob": 500,
        "reference_energy": 500,
        "reference_magnetisation": 500,
        "reference_chain": 500,
    }
    assert len(series["log_prob"]) == 20000
    # a product of coins is no ferromagnet, but reweighting makes up for it on 9 spins
    for name in ("log_z_per_site", "energy"):
        assert abs(result.quantities[name].z) < 5, (name, result.quantities[name])
    # the reference is of p: its mean energy is the exact one
    energy = series["reference_energy"] / L**2
    exact = Ising(L).exact(BETA)["energy"]
    assert abs(energy.mean() - exact) < 5 * energy.std() / np.sqrt(500)
    assert values["s_per_effective_sample"] == pytest.approx(
        values["draw_s_per_1000"] / 1000 * min(1 / values["ess_fraction"], 2 * _larger_tau(values))
    )
    assert result.cost_basis in ("ess_fraction", "tau_int")
    assert result.hardware == Hardware(cpu_name(), torch.get_num_threads(), torch.__version__)
    assert __name__ in result.source.modules
    assert (left.reference, result.reference) == (ReferenceState.LEFT, ReferenceState.USED)


def _larger_tau(values):
    return max(values["tau_int_energy"], values["tau_int_abs_magnetisation"])


def test_subnormal_numbers_are_zero_in_the_process_of_a_cell(tmp_path, monkeypatch):
    """With them a gradient has been seen to take eighteen times as long."""
    seen = []

    def halved(store, cell, catalog, **_):
        seen.append(half_of(np.full(1000, np.finfo(np.float32).tiny)))
        return CellResult(cell.cell_id, Status.OK)

    store = Store.create(tmp_path / "run", Plan("p", "t", "d", (), (_cell("coin"),)), {})
    monkeypatch.setattr(worker, "run_cell", halved)
    monkeypatch.setattr(worker, "load_catalog", lambda names: CATALOG)
    arguments = ["--store", str(store.path), "--cell", _cell("coin").cell_id]
    before = half_of(np.full(1000, np.finfo(np.float32).tiny))
    try:
        worker.main(arguments)
    finally:
        torch.set_flush_denormal(False)
    assert (before > 0).all()
    assert (seen[0] == 0).all()


@njit
def half_of(values):
    result = np.empty_like(values)
    for i in range(values.size):
        result[i] = values[i] * np.float32(0.5)
    return result


def test_draws_of_the_wrong_shape_are_refused(tmp_path, monkeypatch):
    half = lambda self, n, *, beta, generator: Coin.sample_all(self, n // 2, beta=beta, generator=generator)  # noqa: E731
    monkeypatch.setattr(Coin, "sample_all", Coin.sample, raising=False)
    monkeypatch.setattr(densities, "train", None)  # refused before it is trained
    with monkeypatch.context() as wrong:
        wrong.setattr(Coin, "sample", half)
        with pytest.raises(PluginError, match=r"ModelDraws of .*; asked for were .* int8 and .* float64"):
            _run(tmp_path / "a", _cell("coin"))
    column = lambda self, n, *, beta, generator: TrainingBatch(torch.ones(n, 1), torch.ones(n))  # noqa: E731
    monkeypatch.setattr(Coin, "training_batch", column)
    with pytest.raises(PluginError, match=r"TrainingBatch of \(\d+, 1\) float32 .*; asked for were \(\d+,\) float64"):
        _run(tmp_path / "d", _cell("coin"))
    flat = lambda self, n, *, generator: ChainDraws(self._spins(generator, n))  # noqa: E731
    monkeypatch.setattr(Exact, "draw", flat)
    with pytest.raises(PluginError, match=r"ChainDraws of \(1, 3, 3\) int8"):
        _run(tmp_path / "b", _cell("exact"))
    monkeypatch.setattr(Exact, "draw", lambda self, n, *, generator: None)
    with pytest.raises(PluginError, match="returned NoneType; return ChainDraws"):
        _run(tmp_path / "c", _cell("exact"))


def test_stated_costs_replace_nothing_that_was_measured(tmp_path, monkeypatch):
    costs = {"ess_fraction": 5.0, "flops_per_draw": math.nan, "network_calls_per_draw": 3.0}
    monkeypatch.setattr(Coin, "costs", lambda self: costs)
    _, (result,) = _run(tmp_path, _cell("coin"))
    assert result.quantities["ess_fraction"].value <= 1
    assert result.quantities["flops_per_draw"].reason == "costs() of the plugin gave nan"
    assert result.quantities["network_calls_per_draw"].value == 3


def test_two_runs_give_the_same_numbers(tmp_path):
    # torch's own generator is in another state the second time: nothing may depend on it
    runs = []
    for name in ("a", "b"):
        torch.manual_seed(len(runs))
        store, results = _run(tmp_path / name, _cell("exact"), _cell("coin"))
        runs.append((store, results))
    for first, second in zip(runs[0][1], runs[1][1], strict=True):
        for name, values in runs[0][0].series(first.cell_id).items():
            np.testing.assert_array_equal(values, runs[1][0].series(second.cell_id)[name])
        untimed = {n for n in first.quantities if not n.endswith(("_s", "_bytes", "_1000", "_sample"))}
        assert {n: first.quantities[n] for n in untimed} == {n: second.quantities[n] for n in untimed}


def test_another_seed_gives_other_numbers(tmp_path):
    _, (a, b) = _run(tmp_path, _cell("coin"), _cell("coin", seed=2))
    assert a.quantities["energy"].value != b.quantities["energy"].value


@pytest.mark.parametrize(("tilt", "status"), [("1.0", Status.OK), ("1.1", Status.UNTRUSTED)])
def test_a_sampler_at_the_wrong_temperature_is_caught(tmp_path, tilt, status):
    # energy/N changes by C/beta x 10 % with sd(E)/N error / sqrt(20000): an expected z above 20
    _, (result,) = _run(tmp_path, _cell("exact", {"tilt": tilt}))
    assert result.status is status, result.reason
    assert (abs(result.quantities["energy"].z) < 5) is (status is Status.OK)
    assert result.quantities["tau_int_energy"].value == pytest.approx(0.5, abs=0.1)
    assert "ess_fraction" not in result.quantities
    tau = _larger_tau({n: q.value for n, q in result.quantities.items()})
    assert result.quantities["s_per_effective_sample"].value == pytest.approx(
        result.quantities["draw_s_per_1000"].value / 1000 * max(1.0, 2 * tau)
    )


def test_weighted_draws_are_corrected(tmp_path):
    # the same wrong draws as above, but with their weights
    store, (result,) = _run(tmp_path, _cell("reweighted", {"tilt": "1.1"}))
    assert result.status is Status.OK, result.reason
    assert abs(result.quantities["energy"].z) < 5
    assert abs(result.quantities["log_z_per_site"].z) < 5
    assert 0.9 < result.quantities["ess_fraction"].value < 1
    assert set(store.series(result.cell_id)) == {"log_weight", "energy", "magnetisation"}


OF_MODELS_ALONE = {
    "matmul_flops_per_s",
    "n_parameters",
    "parameter_bytes",
    "optimizer_bytes",
    "flops_per_draw",
    "train_steps",
    "train_s",
    "train_cpu_s",
    "train_step_s",
    "peak_host_train_bytes",
    "peak_device_train_bytes",
}
OF_PREPARATION = {"peak_host_prepare_bytes", "peak_device_prepare_bytes"}


def test_a_density_has_the_estimates_of_a_model(tmp_path):
    # q = p at 1.1 beta: ess_fraction is near one on both sides, and reweighting gives the exact values
    reference = _cell("exact", reference_draws=500, seed=0)
    store, (_, result) = _run(tmp_path, reference, _cell("tilted", {"tilt": "1.1"}, reference=reference.cell_id))
    assert result.status is Status.OK, result.reason
    assert set(result.quantities) == MODEL_QUANTITIES - OF_MODELS_ALONE | OF_PREPARATION
    values = {name: q.value for name, q in result.quantities.items()}
    for name in ("energy", "log_z_per_site"):
        assert abs(result.quantities[name].z) < 5, (name, result.quantities[name])
    assert 0.9 < values["ess_fraction"] < 1
    assert 0.9 < values["ess_fraction_p"] < 1
    assert 0 < values["kl_nats"] < 0.1
    assert 0 < values["acceptance_rate"] < 1
    assert len(store.series(result.cell_id)["reference_log_prob"]) == 500


def test_a_density_is_the_reference(tmp_path):
    # q = p at 1.1 beta leaves states of its Metropolis chain, which have the distribution p
    reference = _cell("tilted", {"tilt": "1.1"}, reference_draws=500, seed=0)
    judged = _cell("tilted", {"tilt": "1.1"}, reference=reference.cell_id)
    store, (left, result) = _run(tmp_path, reference, judged)
    assert (left.status, left.reference, result.reference) == (Status.OK, ReferenceState.LEFT, ReferenceState.USED)
    assert left.quantities["ess_fraction_p"].reason == "this cell is the reference"
    assert 0.9 < result.quantities["ess_fraction_p"].value < 1.05
    assert abs(result.quantities["free_energy_p"].z) < 5
    assert len(store.reference(reference.cell_id).spins) == 500


def test_a_density_that_misstates_its_log_prob_is_untrusted(tmp_path, monkeypatch):
    # ln q of -4.6 on average is off by 10 %: ln Z is off by far more than 5 errors
    monkeypatch.setattr(Tilted, "misstated", 0.1)
    reference = _cell("exact", reference_draws=500, seed=0)
    _, (_, result) = _run(tmp_path, reference, _cell("tilted", {"tilt": "1.1"}, reference=reference.cell_id))
    assert result.status is Status.UNTRUSTED
    assert "log_z_per_site" in result.reason


@pytest.mark.usefixtures("made_up_time")
@pytest.mark.parametrize("plugin", ["chains", "fitted"])
def test_a_training_loop_of_the_plugin_is_charged_as_training(tmp_path, plugin):
    _, (result,) = _run(tmp_path, _cell(plugin, budget=Budget(steps=40)))
    assert result.status is Status.OK, result.reason
    values = {name: q.value for name, q in result.quantities.items()}
    assert values["network_calls_per_draw"] == 40  # the instance that is measured got the budget of the cell
    assert values["train_s"] == pytest.approx(0.2, abs=1e-3)  # 40 steps of 5 ms
    assert values["prepare_s"] == pytest.approx(0.02, abs=1e-3)
    assert {"peak_host_train_bytes", "peak_host_prepare_bytes"} <= set(values)


@pytest.mark.usefixtures("made_up_time")
def test_a_budget_of_zero_reaches_the_training_loop_of_a_plugin(tmp_path):
    _, (result,) = _run(tmp_path, _cell("chains", budget=Budget(steps=0)))
    assert result.quantities["network_calls_per_draw"].value == 0
    assert result.quantities["train_s"].value < 1e-3


def test_without_a_reference_the_p_side_has_a_reason(tmp_path):
    absent = _cell("exact", reference_draws=10, seed=0)
    _, (none, missing) = _run(tmp_path, _cell("coin"), _cell("coin", reference=absent.cell_id))
    assert none.quantities["ess_fraction_p"].reason == "the plan has no reference sampler"
    assert absent.cell_id in missing.quantities["ess_fraction_p"].reason
    assert missing.reference is ReferenceState.MISSING
    assert none.reason is None or "reference" not in none.reason
    assert missing.status is Status.UNTRUSTED
    assert f"the p side was not judged: reference cell {absent.cell_id} is not started" in missing.reason


def test_a_reference_that_is_not_trusted_judges_nobody(tmp_path, monkeypatch):
    reference = _cell("exact", reference_draws=500, seed=0)
    made_up = Doubt(Gate.FAR_FROM_EXACT, "made so")
    monkeypatch.setattr(gates, "validity", lambda kind, _: [made_up] if kind == "sampler" else [])
    _, (left, model) = _run(tmp_path, reference, _cell("coin", reference=reference.cell_id))
    assert left.status is Status.UNTRUSTED
    assert model.status is Status.UNTRUSTED
    assert f"reference cell {reference.cell_id} is untrusted: made so" in model.reason


def test_a_resumed_training_has_no_peak(tmp_path):
    cell = _cell("coin", budget=Budget(steps=3))
    _run(tmp_path, cell)
    _, (again,) = _run(tmp_path, cell)
    assert again.quantities["peak_host_train_bytes"].value is None
    assert "resumed" in again.quantities["peak_host_train_bytes"].reason
    assert again.quantities["peak_device_train_bytes"].reason == "the cpu has no memory of its own"
    assert "resumed" not in (again.quantities["peak_host_draw_bytes"].reason or "")


def test_a_budget_of_zero_evaluates(tmp_path):
    _, (result,) = _run(tmp_path, _cell("coin", budget=Budget(steps=0)))
    assert result.quantities["train_steps"].value == 0
    assert result.quantities["train_step_s"].value is None
    assert result.quantities["energy"].value is not None


def test_what_cannot_run_is_unavailable(tmp_path, monkeypatch):
    with pytest.raises(UnavailableError, match="asked to refuse"):
        _run(tmp_path / "a", _cell("coin", {"refuse": True}))
    if not torch.cuda.is_available():
        with pytest.raises(UnavailableError, match="finds no CUDA device"):
            _run(tmp_path / "b", _cell("coin", device="cuda"))
    monkeypatch.setattr(worker, "limit_memory", lambda *_: None)  # it would bind this process
    with pytest.raises(OverLimitError, match="training 1 parameters with Adam needs at least"):
        _run(tmp_path / "c", _cell("coin"), memory_limit=10)


def test_the_estimate_takes_no_memory_and_no_randomness(tmp_path):
    store = Store.create(tmp_path / "run", Plan("p", "t", "d", groups=(), cells=(_cell("coin"),)), {})
    state = torch.random.get_rng_state()
    run_cell(store, _cell("coin"), CATALOG)
    assert torch.equal(torch.random.get_rng_state(), state)
