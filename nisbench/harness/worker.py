"""One cell in one process: load ONE plugin -> build -> train -> draw -> measure -> result.

`python -m nisbench.harness.worker --store DIR --cell ID`. The only place where plugin, target, training and statistics
meet. Whatever happens to a cell ends here as its status with a reason, or kills this process alone.
"""

import argparse
import functools
import math
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nisbench.contract.catalog import Catalog, load_catalog
from nisbench.contract.checks import check_batch, check_chain_draws, check_density_draws, check_weighted_draws
from nisbench.contract.interfaces import ChainSampler, Density, Model, Sampler, Target, WeightedSampler
from nisbench.contract.levels import LevelModel
from nisbench.contract.records import Budget, Cell, CellResult, Estimate, Status
from nisbench.errors import NisbenchError
from nisbench.harness.clock import Clock
from nisbench.harness.cost import draw_costs, kernel_launches, matmul_rate, phase_memory
from nisbench.harness.limits import OverLimitError, check_training_memory, die_with_parent, limit_memory, size_text
from nisbench.harness.measure import (
    Measured,
    collect_reference,
    count_chains,
    draw_chain,
    draw_density,
    draw_weighted,
    evaluate_reference,
    independent_chunks,
    level_differences,
)
from nisbench.harness.seeds import seed_for
from nisbench.harness.store import CellFiles, Store
from nisbench.harness.train import train
from nisbench.statistics.quantities import (
    ReferenceSeries,
    chain_quantities,
    level_quantities,
    model_quantities,
    validity,
    weighted_quantities,
)

__all__ = ["main", "run_cell"]

_LEVEL_PAIRS = 2048
"""Pairs of draws for what each level loses; with them the error of a nat is about 3 %."""
_WARM_UP_BATCH = 32
"""On the cpu nothing is compiled for a shape; on a device the real shapes are warmed up."""


class UnavailableError(NisbenchError):
    """A cell that the plugin or the machine cannot run, known before it started."""


@dataclass
class _Run:
    """What the steps of one cell share."""

    cell: Cell
    store: Store
    files: CellFiles
    target: Target
    device: torch.device
    clock: Clock
    memory_limit: int | None
    quantities: dict[str, Estimate] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    @functools.cached_property
    def exact(self) -> Mapping[str, float]:
        """Exact values by quantity name."""
        return self.target.exact(self.cell.beta)

    def seed(self, role: str) -> int:
        """The seed of one source of randomness."""
        return seed_for(self.cell, role)

    def generator(self, role: str) -> torch.Generator:
        """A generator of its own for one source of randomness."""
        return torch.Generator(self.device).manual_seed(self.seed(role))

    def stage(self, name: str) -> None:
        """Tells the parent what the cell is at."""
        self.files.write_status(None, name)


def run_cell(store: Store, cell: Cell, catalog: Catalog, *, memory_limit: int | None = None) -> CellResult:
    """Runs one cell and returns its result; series, samples and reference are in the store by then.

    Raises UnavailableError or OverLimitError where the cell cannot run, and whatever the plugin raises.
    """
    files = store.files(cell.cell_id)
    files.write_status(None, "load")
    device = _device(cell.device)
    clock = Clock(device)
    begin = clock.now()
    entry = catalog.plugin(cell.plugin)
    plugin = entry.load()
    load_s = clock.now() - begin
    target: Target = catalog.target(cell.target).load()(cell.L)
    options = entry.options(**cell.options)
    if reason := plugin.unsupported(target, options):
        raise UnavailableError(reason)
    run = _Run(cell, store, files, target, device, clock, memory_limit)
    run.notes |= _facts(device)
    if entry.kind == "model":
        run.notes["matmul_flops_per_s"] = f"{matmul_rate(clock):.3e}"
    if memory_limit is not None:
        limit_memory(memory_limit, device)
    if issubclass(plugin, Model):
        reasons = _run_model(run, plugin, options, load_s)
    elif issubclass(plugin, Density):
        reasons = _run_density(run, plugin(target, options), load_s)
    else:
        reasons = _run_sampler(run, plugin(target, options), load_s)
    run.quantities |= phase_memory(clock.phases)
    status = Status.UNTRUSTED if reasons else Status.OK
    return CellResult(cell.cell_id, status, "; ".join(reasons) or None, run.quantities, run.notes)


def _run_model(run: _Run, plugin: type[Model], options: Any, load_s: float) -> list[str]:
    cell = run.cell
    budget = cell.budget or Budget(steps=0)
    model = _build(run, plugin, options)
    run.stage("compile")
    compile_s = load_s + _timed(run.clock, lambda: _warm_up_model(run, model))
    run.stage("train")
    log_z = run.exact.get("log_z_per_site")
    with run.clock.phase("train"):
        training = train(
            model,
            beta=cell.beta,
            budget=budget,
            options=options,
            seeds=run.seed,
            files=run.files,
            clock=run.clock,
            exact_log_z=None if log_z is None else log_z * run.target.n_sites,
        )
    if training.resumed:
        run.clock.phases["train"].forget_peaks("the training was resumed: its peak may lie in an earlier process")
    model.zero_grad(set_to_none=True)
    model.eval()
    _evaluate(run, model, options.batch_size, compile_s)
    parameters = list(model.parameters())
    run.quantities |= {
        "n_parameters": Estimate(float(sum(p.numel() for p in parameters))),
        "parameter_bytes": Estimate(float(sum(p.numel() * p.element_size() for p in parameters))),
        "optimizer_bytes": Estimate(float(training.optimizer_bytes)),
        "train_steps": Estimate(float(training.steps)),
        "train_s": Estimate(training.seconds),
        "train_step_s": Estimate(training.seconds / training.steps, n=training.steps)
        if training.steps
        else Estimate.missing("no training"),
    }
    run.quantities = _counted(model) | run.quantities  # what was measured stands
    return [*validity("model", run.quantities), *_doubts_of_reference(run)]


def _run_density(run: _Run, density: Density, load_s: float) -> list[str]:
    compile_s = load_s + _timed(run.clock, lambda: _warm_up_density(run, type(density)(run.target, density.options)))
    _fit_and_prepare(run, density, run.generator("prepare"))
    batch = independent_chunks(run.cell.draws, run.target.n_sites, run.device)[0]
    _evaluate(run, density, batch, compile_s)
    run.quantities = _counted(density) | run.quantities
    return [*validity("density", run.quantities), *_doubts_of_reference(run)]


def _evaluate(run: _Run, density: Density, batch: int, compile_s: float) -> None:
    """Draws from q, evaluates q on the reference configurations and adds all estimates of both sides."""
    cell = run.cell
    run.stage("draw")
    measured = draw_density(density, cell.draws, beta=cell.beta, generator=run.generator("draw"), clock=run.clock)
    if run.device.type == "cuda":
        generator = run.generator("warm-up")
        draw = functools.partial(density.sample, batch, beta=cell.beta, generator=generator)
        run.quantities["kernel_launches_per_draw"] = kernel_launches(draw)
    run.stage("reference")
    reference, no_reference = _reference_series(run, density)
    run.stage("estimate")
    run.quantities |= model_quantities(
        log_prob=measured.series["log_prob"],
        energy=measured.series["energy"],
        magnetisation=measured.series["magnetisation"],
        beta=cell.beta,
        n_sites=run.target.n_sites,
        exact=run.exact,
        seed=run.seed("nmcmc"),
        reference=reference,
        no_reference_reason=no_reference,
    )
    series = dict(measured.series)
    if reference is not None:
        series |= {
            "reference_log_prob": reference.log_prob,
            "reference_energy": reference.energy,
            "reference_magnetisation": reference.magnetisation,
            "reference_chain": reference.chain,
        }
    if isinstance(density, LevelModel) and cell.draws:
        run.stage("levels")
        n = min(cell.draws, _LEVEL_PAIRS)
        differences = level_differences(density, n, beta=cell.beta, generator=run.generator("levels"))
        series["level_differences"] = differences
        run.quantities |= level_quantities(run.quantities["kl_nats"], differences)
    _save(run, measured, series, compile_s)


def _run_sampler(run: _Run, sampler: ChainSampler | WeightedSampler, load_s: float) -> list[str]:
    compile_s = load_s + _timed(run.clock, lambda: _warm_up_sampler(run, type(sampler)(run.target, sampler.options)))
    generator = run.generator("draw")
    _fit_and_prepare(run, sampler, generator)
    run.stage("draw")
    if isinstance(sampler, ChainSampler):
        measured = _measure_chains(run, sampler, generator)
    else:
        measured = _measure_weighted(run, sampler, generator)
    _save(run, measured, measured.series, compile_s)
    run.quantities = _counted(sampler) | run.quantities
    return validity("sampler", run.quantities)


def _fit_and_prepare(run: _Run, sampler: Sampler, generator: torch.Generator) -> None:
    """The timed training, if the plugin has its own training loop, and then the timed preparation."""
    beta, budget = run.cell.beta, run.cell.budget
    if budget is not None:
        run.stage("train")
        with run.clock.phase("train") as phase:
            sampler.fit(beta=beta, generator=run.generator("train"), budget=budget)
        run.quantities["train_s"] = Estimate(phase.seconds)
    run.stage("prepare")
    with run.clock.phase("prepare") as phase:
        sampler.prepare(beta=beta, generator=generator)
    run.quantities["prepare_s"] = Estimate(phase.seconds)


def _measure_chains(run: _Run, sampler: ChainSampler, generator: torch.Generator) -> Measured:
    n_chains = count_chains(sampler, generator)
    measured = draw_chain(sampler, run.cell.draws, n_chains, generator=generator, clock=run.clock)
    run.quantities |= chain_quantities(
        energy=measured.series["energy"],
        magnetisation=measured.series["magnetisation"],
        cluster_size=measured.series.get("cluster_size"),
        beta=run.cell.beta,
        n_sites=run.target.n_sites,
        exact=run.exact,
    )
    if run.cell.reference_draws:
        run.stage("reference")
        _leave_reference(run, sampler, generator)
    return measured


def _measure_weighted(run: _Run, sampler: WeightedSampler, generator: torch.Generator) -> Measured:
    measured, normalised = draw_weighted(sampler, run.cell.draws, generator=generator, clock=run.clock)
    run.quantities |= weighted_quantities(
        log_weight=measured.series["log_weight"],
        energy=measured.series["energy"],
        magnetisation=measured.series["magnetisation"],
        normalised=normalised,
        beta=run.cell.beta,
        n_sites=run.target.n_sites,
        exact=run.exact,
    )
    if run.cell.reference_draws:
        run.notes["reference"] = "none: weighted draws are not configurations of p"
    return measured


def _build(run: _Run, plugin: type[Model], options: Any) -> Model:
    """The model with its seeded initial weights on its device, after its memory was estimated on `meta`."""
    try:
        with torch.device("meta"):
            skeleton = plugin(run.target, options)
    except Exception:  # a constructor that needs real tensors cannot be estimated
        skeleton = None
    if skeleton is not None:
        needed = check_training_memory(skeleton, run.memory_limit, run.device)
        run.notes["training_memory_estimate"] = size_text(needed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed("init"))
        model = plugin(run.target, options)
    return model.to(run.device, getattr(torch, run.cell.dtype))


def _warm_up_model(run: _Run, model: Model) -> None:
    """First calls, with randomness of their own and without a trace in the model."""
    generator = run.generator("warm-up")
    on_cpu = run.device.type == "cpu"
    n = _WARM_UP_BATCH if on_cpu else int(model.options.batch_size)
    _warm_up_draws(run, model, {n} if on_cpu else {n, *_draw_sizes(run)}, generator)
    batch = model.training_batch(n, beta=run.cell.beta, generator=generator)
    check_batch(batch, n)
    batch.loss().backward()  # type: ignore[no-untyped-call]
    model.zero_grad(set_to_none=True)


def _warm_up_density(run: _Run, density: Density) -> None:
    """First calls on a density that is thrown away."""
    generator = run.generator("warm-up")
    _warm_up_preparation(run, density, generator)
    on_cpu = run.device.type == "cpu"
    _warm_up_draws(run, density, {_WARM_UP_BATCH} if on_cpu else set(_draw_sizes(run)), generator)


def _warm_up_draws(run: _Run, density: Density, sizes: set[int], generator: torch.Generator) -> None:
    with torch.no_grad():
        for size in sorted(sizes):
            draws = density.sample(size, beta=run.cell.beta, generator=generator)
            check_density_draws(draws, size, run.target.L, device=run.device)


def _draw_sizes(run: _Run) -> tuple[int, ...]:
    """Chunk sizes of the measured draws."""
    return independent_chunks(run.cell.draws, run.target.n_sites, run.device)


def _warm_up_sampler(run: _Run, sampler: ChainSampler | WeightedSampler) -> None:
    """First calls on a sampler that is thrown away."""
    generator = run.generator("warm-up")
    _warm_up_preparation(run, sampler, generator)
    if isinstance(sampler, ChainSampler):
        check_chain_draws(sampler.draw(1, generator=generator), 1, run.target.L)
        sampler.draw_series(1, generator=generator)
    else:
        check_weighted_draws(sampler.draw(1, generator=generator), 1, run.target.L)


def _warm_up_preparation(run: _Run, sampler: Sampler, generator: torch.Generator) -> None:
    run.stage("compile")
    if run.cell.budget is not None:
        sampler.fit(beta=run.cell.beta, generator=generator, budget=Budget(steps=1))
    sampler.prepare(beta=run.cell.beta, generator=generator)


def _reference_series(run: _Run, density: Density) -> tuple[ReferenceSeries | None, str | None]:
    """Series of ln q, energy and magnetisation of the reference configurations, or the reason why there are none."""
    if run.cell.reference is None:
        return None, "the plan has no reference sampler"
    reference = run.store.reference(run.cell.reference)
    if reference is None:
        run.notes["reference"] = "missing"
        status, reason = run.store.status(run.cell.reference)
        return None, f"reference cell {run.cell.reference} left no configurations ({status or 'not run'}: {reason})"
    log_prob = evaluate_reference(density, reference, beta=run.cell.beta, device=run.device)
    energy = run.target.energy(torch.from_numpy(reference.spins)).numpy()
    magnetisation = reference.spins.sum(axis=(1, 2), dtype=np.int64).astype(np.float64)
    return ReferenceSeries(log_prob, energy, magnetisation, reference.chain), None


def _counted(sampler: Sampler) -> dict[str, Estimate]:
    """Cost counters from the `costs` of the plugin."""
    counts = {name: float(value) for name, value in sampler.costs().items()}
    return {
        name: Estimate(value) if math.isfinite(value) else Estimate.missing(f"costs() of the plugin gave {value}")
        for name, value in counts.items()
    }


def _doubts_of_reference(run: _Run) -> list[str]:
    """Why the p side proves nothing in a plan that has a reference sampler."""
    if run.cell.reference is None:
        return []
    status, reason = run.store.status(run.cell.reference)
    if status is not Status.OK:
        return [f"the p side was not judged: reference cell {run.cell.reference} is {status or 'not run'}: {reason}"]
    if run.notes.get("reference") == "missing":
        return [f"the p side was not judged: reference cell {run.cell.reference} left no configurations"]
    return []


def _leave_reference(run: _Run, sampler: ChainSampler, generator: torch.Generator) -> None:
    """Configurations for other cells, if the chain was seen to move."""
    taus = [run.quantities[f"tau_int_{name}"].value for name in ("energy", "abs_magnetisation")]
    known = [tau for tau in taus if tau is not None and np.isfinite(tau)]
    if len(known) < len(taus):
        run.notes["reference"] = "none: tau_int of the chain is not known"
        return
    run.files.write_reference(
        collect_reference(
            sampler, run.cell.reference_draws, tau_int=max(known), seed=run.cell.seed, generator=generator
        )
    )


def _save(run: _Run, measured: Measured, series: Mapping[str, np.ndarray[Any, Any]], compile_s: float) -> None:
    """Series and samples into the store, costs into the quantities."""
    run.files.write_series(series)
    run.files.write_samples(measured.samples)
    seconds = run.clock.phases["draw"].seconds
    costs, basis = draw_costs(seconds, measured.n_draws, measured.chunk_s, run.quantities)
    run.quantities |= {**costs, "compile_s": Estimate(compile_s)}
    run.notes["draw_cost_basis"] = basis


def _device(kind: str) -> torch.device:
    if kind == "cuda" and not torch.cuda.is_available():
        raise UnavailableError(f"torch {version('torch')} finds no CUDA device; give --device cpu")
    if kind == "cpu":
        return torch.device(kind)
    torch.backends.cudnn.allow_tf32 = False  # float32 it is, or ln q of a draw would not be that of its evaluation
    return torch.device(kind, torch.cuda.current_device())


def _facts(device: torch.device) -> dict[str, str]:
    """What the numbers depend on beside the cell."""
    return {
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name(),
        "threads": str(torch.get_num_threads()),
        "torch": version("torch"),
    }


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "cpu"


def _timed(clock: Clock, work: Callable[[], None]) -> float:
    begin = clock.now()
    work()
    return clock.now() - begin


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry of the worker process; its exit code is 0 whenever the cell has a result."""
    parser = argparse.ArgumentParser(prog="python -m nisbench.harness.worker", description=__doc__)
    parser.add_argument("--store", required=True)
    parser.add_argument("--cell", required=True)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--memory-limit", type=int, default=None)
    parser.add_argument("--parent", type=int, default=None)
    given = parser.parse_args(arguments)
    if given.parent is not None:
        die_with_parent(given.parent)
    if given.threads:
        torch.set_num_threads(given.threads)
    # Weights of the Z2 average can lie below 1e-38, where some processors take twenty times as long; for all threads.
    torch.set_flush_denormal(True)
    store = Store.open(given.store)
    cell = store.cell(given.cell)
    store.files(cell.cell_id).write_result(_guarded(store, cell, given.memory_limit))


def _guarded(store: Store, cell: Cell, memory_limit: int | None) -> CellResult:
    """The result of the cell, or the failure as a result."""
    empty = CellResult(cell.cell_id, Status.FAILED, "nothing ran")
    try:
        return run_cell(store, cell, load_catalog(), memory_limit=memory_limit)
    except UnavailableError as error:
        return replace(empty, status=Status.UNAVAILABLE, reason=str(error))
    except OverLimitError as error:
        notes = {"memory_needed_bytes": str(error.needed)}
        return replace(empty, status=Status.UNAVAILABLE, reason=str(error), notes=notes)
    except Exception as error:  # whatever a plugin does wrong costs its own row only
        traceback.print_exc()
        return replace(empty, reason=_failure(error, memory_limit))


def _failure(error: Exception, memory_limit: int | None) -> str:
    """`Type: message` on one line; memory that ran out is named as such."""
    text = str(error).strip().splitlines()
    message = f"{type(error).__name__}: {text[0] if text else ''}".rstrip(": ")
    exhausted = isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)
    if not exhausted:
        return message
    limit = f"the memory limit is {size_text(memory_limit)}" if memory_limit else "no memory limit was given"
    return f"out of memory; {limit}: {message}"


if __name__ == "__main__":
    main(sys.argv[1:])
