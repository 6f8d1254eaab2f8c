"""The process of one cell: load one plugin and one target, measure, write the result.

`python -m nisbench.harness.worker --store DIR --cell ID`. A failure of the plugin becomes the status of the cell, with
a reason, or ends this process alone.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from nisbench.contract.catalog import Catalog, load_catalog
from nisbench.contract.checks import refusal
from nisbench.contract.interfaces import ChainSampler, Density, Model
from nisbench.contract.plugin_files import use_plugin_file
from nisbench.contract.quantities import COMPILE_S, TRAIN_S, TRAIN_STEPS
from nisbench.contract.records import Cell, CellResult, Hardware, Status
from nisbench.errors import describe
from nisbench.harness.build import UnavailableError, build_target, select_device
from nisbench.harness.clock import Clock
from nisbench.harness.context import CellContext, Outcome
from nisbench.harness.cost import phase_memory, phase_times
from nisbench.harness.densities import measure_density, measure_model
from nisbench.harness.environment import cpu_name
from nisbench.harness.fit import declared_training
from nisbench.harness.interpreter import environment_note
from nisbench.harness.limits import OverLimitError, limit_memory, size_text
from nisbench.harness.processor import Machine, Pulse
from nisbench.harness.samplers import measure_chains, measure_weighted
from nisbench.harness.source import loaded_source
from nisbench.harness.stop import StopRequestedError, StopSignals
from nisbench.harness.store import Store
from nisbench.harness.unclocked import UNSUPPORTED, ImportTimes, charged_times, unclocked
from nisbench.statistics.gates import judged, reference_doubts

__all__ = ["main", "run_cell"]

_STOPPED = 143
"""Exit code of a process that SIGTERM ended, as shells give it."""


def run_cell(
    store: Store,
    cell: Cell,
    catalog: Catalog,
    *,
    memory_limit: int | None = None,
    keep: bool = False,
    stop: StopSignals | None = None,
    imports: ImportTimes | None = None,
) -> CellResult:
    """Measure one cell and return its result; series, samples and weights are in the store by then.

    Parameters
    ----------
    memory_limit
        Bytes that the cell may take.
    keep
        Continue a training although the source of the plugin has changed.
    stop
        Signals that ask this process to end; a training writes its checkpoint first.
    imports
        Times of the imports of this process. If given, imports are being counted already.

    Raises
    ------
    UnavailableError, OverLimitError
        If the cell cannot run. Exceptions of the plugin pass through.
    """
    with Pulse() as pulse, nullcontext(imports) if imports else ImportTimes() as times:
        assert times is not None
        limits = memory_limit, keep, stop or StopSignals()
        return _run(store, cell, catalog, times, Clock(select_device(cell.device), pulse), limits)


def _run(
    store: Store,
    cell: Cell,
    catalog: Catalog,
    imports: ImportTimes,
    clock: Clock,
    limits: tuple[int | None, bool, StopSignals],
) -> CellResult:
    """Load, measure and judge the cell; `limits` are memory_limit, keep and stop of `run_cell`."""
    machine, files = Machine.read(), store.files(cell.cell_id)
    files.write_stage("load")
    begin = clock.now()  # importing a plugin can take seconds; they belong to its compile_s
    entry = catalog.plugin(cell.plugin)
    plugin = entry.load()
    load_s, imported = clock.now() - begin, imports.of(entry.factory)
    target, options = build_target(cell, catalog), entry.options(**cell.options)
    with clock.part(UNSUPPORTED):
        reason = refusal(plugin, target, options, cell.beta)
    if reason:
        raise UnavailableError(reason)
    # The limit starts here, after the libraries are loaded; the error names what they have taken.
    if limits[0] is not None:
        limit_memory(limits[0], clock.device)
    factories = entry.factory, catalog.target(cell.target).factory
    context = CellContext(cell, store, files, target, clock, factories, *limits)
    outcome = _measure(context, plugin, options)
    loading = replace(outcome.quantities[COMPILE_S], value=load_s + (outcome.quantities[COMPILE_S].value or 0.0))
    phases = charged_times(clock)
    quantities = {**outcome.quantities, COMPILE_S: loading, **phase_memory(clock.phases), **phase_times(phases)}
    context.notes.update(environment_note(store, cell.plugin, entry.distribution))
    declared, notes = declared_training(entry, options, quantities.get(TRAIN_S), files)
    quantities |= declared
    steps = outcome.quantities.get(TRAIN_STEPS)
    compiled = context.compilation.seconds
    hidden = unclocked(clock, cell.draws, steps.value if steps else None, imported, compiled)
    hidden += [outcome.background] if outcome.background else []
    doubts = list(outcome.doubts)
    if cell.reference is not None and cell.kind != "sampler":  # a sampler has no p side
        doubts += reference_doubts(cell.reference, store.state(cell.reference), outcome.reference)
    return replace(
        judged(cell, quantities, doubts),
        hardware=_hardware(clock.device),
        cost_basis=outcome.cost_basis,
        reference=outcome.reference,
        source=loaded_source(*factories),
        notes={**context.notes, **outcome.notes, **notes},
        timing=replace(machine.timing(), phases=phases, unclocked=tuple(hidden)),
    )


def _measure(context: CellContext, plugin: type[Any], options: Any) -> Outcome:
    """Measure the plugin as the kind of its class."""
    # A Model is also a Density, so it comes first.
    if issubclass(plugin, Model):
        return measure_model(context, plugin, options)
    if issubclass(plugin, Density):
        return measure_density(context, plugin, options)
    if issubclass(plugin, ChainSampler):
        return measure_chains(context, plugin, options)
    return measure_weighted(context, plugin, options)


def _hardware(device: torch.device) -> Hardware:
    """Return the device that the cell ran on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    return Hardware(name, torch.get_num_threads(), version("torch"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the process. Its exit code is 0 whenever the cell has a result."""
    parser = argparse.ArgumentParser(prog="python -m nisbench.harness.worker", description=__doc__)
    parser.add_argument("--store", required=True)
    parser.add_argument("--cell", required=True)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--memory-limit", type=int, default=None)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--concurrent", type=int, default=1, help="cells that the run works on at a time")
    parser.add_argument("--gpu", default=None, help="CUDA_VISIBLE_DEVICES of this process")
    given = parser.parse_args(arguments)
    stop = StopSignals()
    if given.threads:  # 0 leaves the choice to torch
        torch.set_num_threads(given.threads)
    # Weights of the Z2 average can lie below 1e-38, where some processors take twenty times as long. Set it before
    # torch starts its threads, so that it holds in all of them.
    torch.set_flush_denormal(True)
    store = Store.open(given.store)
    cell = store.cell(given.cell)
    files = store.files(cell.cell_id)
    try:
        stop.install()
        result = _guarded(store, cell, given.memory_limit, given.keep, stop)
        if result.timing is not None:
            timing = replace(result.timing, concurrent=given.concurrent, gpu=given.gpu)
            result = replace(result, timing=timing)
        files.write_result(result)
    except StopRequestedError as request:
        files.write_status(Status.INTERRUPTED, f"{request}; the cell was at: {store.state(cell.cell_id).stage}")
        sys.exit(_STOPPED)


def _guarded(store: Store, cell: Cell, memory_limit: int | None, keep: bool, stop: StopSignals) -> CellResult:
    """Return the result of the cell, or its failure as a result."""
    empty = CellResult(cell.cell_id, Status.FAILED, "nothing ran")
    try:
        with ImportTimes() as imports:
            for file in store.plan().get("plugin_files", ()):
                use_plugin_file(Path(file))
            catalog = load_catalog(names=(cell.plugin, cell.target))
            return run_cell(store, cell, catalog, memory_limit=memory_limit, keep=keep, stop=stop, imports=imports)
    except UnavailableError as error:
        # With its source, so that a plugin which learns to run the cell is asked again.
        source = loaded_source(catalog.plugin(cell.plugin).factory, catalog.target(cell.target).factory)
        return replace(empty, status=Status.UNAVAILABLE, reason=str(error), source=source)
    except OverLimitError as error:
        return replace(empty, status=Status.UNAVAILABLE, reason=str(error), memory_needed_bytes=error.needed)
    except Exception as error:  # a plugin may raise anything, and this costs its own cell only
        traceback.print_exc()
        return replace(empty, reason=_failure(error, memory_limit))


def _failure(error: Exception, memory_limit: int | None) -> str:
    """Return `Type: message` on one line; for lack of memory, that line with the memory limit."""
    message = describe(error)
    exhausted = isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)
    if not exhausted:
        return message
    limit = f"the memory limit is {size_text(memory_limit)}" if memory_limit else "no memory limit was given"
    return f"out of memory; {limit}: {message}"


if __name__ == "__main__":
    main(sys.argv[1:])
    # Not the ordinary end of a process, which a thread or an exit handler of a plugin could hold up for ever.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
