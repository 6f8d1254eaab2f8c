"""Run folders with made-up series of known properties, written through the functions of the store.

ln w of a model is Gaussian with a standard normal g: ln w = ln Z - sigma^2/2 + sigma g under q, and
ln Z + sigma^2/2 + sigma g under p. Hence KL(q||p) = sigma^2/2 and ESS = exp(-sigma^2) on both sides.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from nisbench.contract.records import Budget, Cell, CellResult, Estimate, Hardware, Status
from nisbench.harness.cell_files import Reference
from nisbench.harness.cost import draw_costs
from nisbench.harness.plan import Group, Plan
from nisbench.harness.store import Store
from nisbench.physics.kaufman import exact_values
from nisbench.statistics.gates import judged
from nisbench.statistics.quantities import (
    ReferenceSeries,
    chain_quantities,
    level_quantities,
    model_quantities,
)

DEVICE_NAME = "Imaginary CPU 3000"
ENVIRONMENT = {
    "command": "nisbench run --plugins hier,van,wolff --sizes 4,8,16",
    "started": "2026-01-02T03:04:05+00:00",
    "python": "3.11.7",
    "nisbench": "0.1.0",
    "torch": "2.13.0+cpu",
    "numpy": "2.4.6",
    "scipy": "1.17.1",
    "numba": "0.65.0",
    "platform": "Linux-6.1-x86_64",
    "cpu": DEVICE_NAME,
    "cores": 2,
    "memory_bytes": 8 * 2**30,
    "gpu": None,
}
SIGMA = {"hier": lambda L: 0.011 * L, "van": lambda L: 0.0009 * L**3}
COST = {"hier": lambda L: 1.1e-6 * L**1.4, "van": lambda L: 3.1e-8 * L**3.1, "wolff": lambda L: 9.0e-9 * L**1.8}
STEP = {"hier": lambda L: 2.2e-3 * L**0.9, "van": lambda L: 2.4e-4 * L**2.0}
PARAMETERS = {"hier": lambda L: 48 * L**2, "van": lambda L: 2 * L**4 + 3 * L**2}


HOSTILE = (
    "<script>alert(1)</script>",
    "$x^{2}$ \\frac | a_b*c*",
    '"><img src=http://evil.example/x.png onerror=alert(1)>',
    "[link](http://evil.example) `code` --> ]]>",
    "日本語 \u202e \x07 name",
    "_hidden",
)
"""Names that try to break out of the page."""


@dataclass(frozen=True)
class Sixty:
    """A report on 65 cells."""

    page: Path
    n_cells: int


@dataclass
class StoreMaker:
    """Collects cells and their endings, and writes them as a run folder."""

    draws: int = 2000
    steps: int = 2000
    cells: list[tuple[Cell, Callable[[Store, Cell], None]]] = field(default_factory=list)

    def reference(self, L: int, beta: float = 0.44) -> Cell:
        cell = self._cell(
            "wolff", "sampler", L, beta, 0, draws=self.draws, reference_draws=400, options={"n_chains": 8}
        )
        if cell.cell_id not in {known.cell_id for known, _ in self.cells}:
            self.cells.append((cell, finish_chain))
        return cell

    def model(
        self, plugin: str, L: int, seed: int = 1, *, beta: float = 0.44, profile: str = "", **fields: object
    ) -> Cell:
        reference = self.reference(L, beta)
        options = {"learning_rate": 0.003, "batch_size": 512, "z2": True}
        if plugin == "van":
            options["net"] = "dense"
        budget = Budget(steps=self.steps)
        cell = self._cell(
            plugin, "model", L, beta, seed, options=options, budget=budget, reference=reference.cell_id, **fields
        )
        self.cells.append((cell, lambda store, cell: finish_model(store, cell, profile or plugin)))
        return cell

    def sampler(self, L: int, seed: int = 1, *, plugin: str = "wolff", beta: float = 0.44) -> Cell:
        cell = self._cell(plugin, "sampler", L, beta, seed, options={"n_chains": 8})
        self.cells.append((cell, finish_chain))
        return cell

    def ends(self, cell: Cell, status: Status, reason: str) -> None:
        """Let `cell` end with this status and reason, without numbers."""
        self._replace(
            cell, lambda store, cell: store.files(cell.cell_id).write_result(CellResult(cell.cell_id, status, reason))
        )

    def waits(self, cell: Cell) -> None:
        self._replace(cell, lambda store, cell: None)

    def write(self, path: Path, *, title: str = "Three samplers up to L = 16", name: str = "quick") -> Store:
        cells = sorted((cell for cell, _ in self.cells), key=lambda c: (c.reference_draws == 0, c.L))
        members = [cell for cell in cells if not cell.reference_draws]
        claim = "the hierarchical network keeps the relative free-energy error below 1e-3"
        group = Group(
            name="comparison",
            claim=claim,
            plugins=tuple(sorted({cell.plugin for cell in members})),
            sizes=tuple(sorted({cell.L for cell in members})),
            beta=tuple(sorted({cell.beta for cell in members})),
            seeds=tuple(sorted({cell.seed for cell in members})),
            cells=tuple(cell.cell_id for cell in members),
        )
        plan = Plan(name=name, title=title, description="Made-up numbers.", groups=(group,), cells=tuple(cells))
        store = Store.create(path, plan, ENVIRONMENT)
        for cell, finish in self.cells:
            finish(store, cell)
        return store

    def _cell(self, plugin: str, kind: str, L: int, beta: float, seed: int, **fields: object) -> Cell:
        given = {"draws": self.draws, "plugin_version": "0.1.0", "target": "ising", "options": {}, **fields}
        return Cell(plugin=plugin, kind=kind, L=L, beta=beta, seed=seed, **given)

    def _replace(self, cell: Cell, finish: Callable[[Store, Cell], None]) -> None:
        self.cells = [(known, finish if known == cell else old) for known, old in self.cells]


def quick(sizes: Sequence[int] = (4, 8, 16), seeds: Sequence[int] = (1,), draws: int = 2000) -> StoreMaker:
    """Return hier, van and wolff at these sizes, as the default command runs them."""
    maker = StoreMaker(draws=draws)
    for L in sizes:
        for seed in seeds:
            maker.model("hier", L, seed)
            maker.model("van", L, seed)
            maker.sampler(L, seed)
    return maker


def finish_model(store: Store, cell: Cell, profile: str) -> None:
    """Write series, history and result of a model; `profile` chooses how well it has learned."""
    L, n_sites = cell.L, cell.L**2
    rng = np.random.default_rng([cell.seed, L, len(cell.plugin)])
    exact = exact_values(L, cell.beta)
    log_z, sigma = exact["log_z_per_site"] * n_sites, SIGMA.get(profile, SIGMA["hier"])(L)
    energy, magnetisation = _totals(rng, cell, cell.draws)
    log_prob = -cell.beta * energy - (log_z - sigma**2 / 2 + sigma * rng.standard_normal(cell.draws))
    reference = store.reference(cell.reference) if cell.reference else None
    found = None
    if reference is not None:
        m = len(reference.spins)
        e, magnet = _totals(rng, cell, m)
        p_side = -cell.beta * e - (log_z + sigma**2 / 2 + sigma * rng.standard_normal(m))
        found = ReferenceSeries(p_side, e, magnet, reference.chain)
    quantities = model_quantities(
        log_prob=log_prob,
        energy=energy,
        magnetisation=magnetisation,
        beta=cell.beta,
        n_sites=n_sites,
        exact=exact,
        seed=cell.seed,
        reference=found,
        no_reference_reason="the plan has no reference sampler",
    )
    if profile == "hier":  # each level loses the same
        levels = int(math.log2(L)) - 1
        deviations = [math.sqrt(2 * sigma**2 * (1 - k / levels)) for k in range(1, levels)]
        pairs = np.outer(deviations, np.random.default_rng(L).standard_normal(1000)).reshape(-1, 1000)
        quantities |= level_quantities(quantities["kl_nats"], pairs)
    step = STEP.get(profile, STEP["hier"])(L) * (1 + 0.02 * rng.standard_normal())
    steps = cell.budget.steps
    parameters = float(PARAMETERS.get(profile, PARAMETERS["hier"])(L))
    quantities |= {
        "n_parameters": Estimate(parameters),
        "parameter_bytes": Estimate(4 * parameters),
        "optimizer_bytes": Estimate(8 * parameters),
        "flops_per_draw": Estimate(float(L**4 if profile == "van" else (16 + 36 * (math.log2(L) - 2)) * L**2)),
        "train_steps": Estimate(float(steps)),
        "train_s": Estimate(step * steps),
        "train_step_s": Estimate(step, n=steps),
    }
    files = store.files(cell.cell_id)
    for i in sorted({round(steps ** (k / 25)) for k in range(26)}):
        kl = sigma**2 / 2 + 0.3 * L**2 * math.exp(-6 * (i / steps) ** 0.5)
        line = {"step": i, "seconds": i * step, "beta": cell.beta, "learning_rate": 1e-3, "gradient_norm": 1.0}
        line |= {"free_energy_variational": (kl - log_z) / (cell.beta * n_sites), "kl_nats": kl}
        files.append_history(line | {"ess_fraction": math.exp(-2 * kl)})
    series = {"log_prob": log_prob, "energy": energy, "magnetisation": magnetisation}
    _finish(store, cell, "model", quantities, series, COST.get(profile, COST["hier"])(L), rng)


def finish_chain(store: Store, cell: Cell) -> None:
    """Write series and result of eight chains with a short autocorrelation, and configurations of a reference cell."""
    rng = np.random.default_rng([cell.seed, cell.L, 77])
    n, n_chains, n_sites = cell.draws // 8, 8, cell.L**2
    noise = rng.standard_normal((n, n_chains))
    for t in range(1, n):
        noise[t] = 0.3 * noise[t - 1] + math.sqrt(1 - 0.3**2) * noise[t]
    energy, magnetisation = _totals(rng, cell, n * n_chains, noise)
    series = {
        "energy": energy.reshape(n, n_chains),
        "magnetisation": magnetisation.reshape(n, n_chains),
        "cluster_size": rng.uniform(1, 0.9 * n_sites, (n, n_chains)),
    }
    exact = exact_values(cell.L, cell.beta)
    quantities = chain_quantities(**series, beta=cell.beta, n_sites=n_sites, exact=exact)
    quantities["prepare_s"] = Estimate(1e-4 * cell.L)
    if cell.reference_draws:
        spins = _spins(rng, cell, cell.reference_draws)
        chain = np.arange(cell.reference_draws) % n_chains
        store.files(cell.cell_id).write_reference(Reference(spins, np.sort(chain), 1.0, cell.seed))
    _finish(store, cell, "chain", quantities, series, COST["wolff"](cell.L), rng)


def _finish(store, cell, kind, quantities, series, per_draw, rng) -> None:
    chunks = per_draw * (1 + 0.03 * rng.standard_normal(10))
    costs, basis = draw_costs(per_draw * cell.draws, cell.draws, chunks, quantities)
    memory = {
        "peak_host_train_bytes": Estimate(3e6 * cell.L**1.5),
        "peak_host_draw_bytes": Estimate(8e5 * cell.L**1.8),
        "peak_device_draw_bytes": Estimate.missing("the cpu has no memory of its own"),
    }
    if kind == "chain":
        del memory["peak_host_train_bytes"]
    quantities = {**quantities, **costs, **memory, "compile_s": Estimate(1.234)}
    if kind == "model":
        quantities["matmul_flops_per_s"] = Estimate(1e11)
    files = store.files(cell.cell_id)
    files.write_series(series)
    files.write_samples(_spins(rng, cell, 8))
    hardware = Hardware(DEVICE_NAME, 1, "2.13.0+cpu")
    files.write_result(replace(judged(cell, quantities), hardware=hardware, cost_basis=basis))


def _totals(rng, cell, n, noise=None):
    """Return energies with exact mean and variance, and magnetisations in two equal peaks."""
    n_sites = cell.L**2
    exact = exact_values(cell.L, cell.beta)
    noise = rng.standard_normal(n) if noise is None else noise.ravel()
    energy = n_sites * exact["energy"] + math.sqrt(n_sites * exact["specific_heat"]) / cell.beta * noise
    m = np.clip(rng.choice([-1, 1], n) * (1.0 * cell.L**-0.125 + 0.12 * rng.standard_normal(n)), -1, 1)
    return energy, n_sites - 2 * np.round(n_sites * (1 - m) / 2)


def _spins(rng, cell, n):
    """Return configurations with domains, for pictures."""
    field_ = rng.standard_normal((n, cell.L, cell.L))
    for _ in range(2):
        field_ = field_ + sum(np.roll(field_, shift, axis) for axis in (1, 2) for shift in (-1, 1))
    return np.where(field_ + 1.5 * rng.standard_normal((n, 1, 1)) > 0, 1, -1).astype(np.int8)


def troubled() -> StoreMaker:
    """Return a half-finished run with a cell of every status, and one that has not started."""
    maker = quick(sizes=(4, 8))
    maker.ends(maker.model("hier", 12), Status.UNAVAILABLE, "L = 12 is no power of two")
    maker.ends(maker.model("hier", 32), Status.TIMEOUT, "no result after 60 s; give a larger --timeout")
    maker.ends(maker.model("van", 32), Status.FAILED, "RuntimeError: exploded | badly")
    maker.ends(maker.sampler(32), Status.INTERRUPTED, "stopped by the user")
    maker.waits(maker.sampler(64))
    return maker
