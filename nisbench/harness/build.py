"""Build the target and the plugin of a cell, and rebuild the model of a finished cell."""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from nisbench.contract.catalog import Catalog, load_catalog
from nisbench.contract.interfaces import Density, Model, Sampler, Target
from nisbench.contract.plugin_files import use_plugin_file
from nisbench.contract.records import Cell
from nisbench.errors import InvalidValue, NisbenchError, StoreError
from nisbench.harness.fit import DryReport, trains
from nisbench.harness.interpreter import worker_python
from nisbench.harness.seeds import seed_for
from nisbench.harness.store import Store
from nisbench.harness.training_data import training_data
from nisbench.harness.weights import load_weights, read_tensors

__all__ = [
    "UnavailableError",
    "build_model",
    "build_target",
    "model_without_storage",
    "rebuild",
    "rebuild_density",
    "select_device",
]


class UnavailableError(NisbenchError):
    """The plugin or the machine cannot run the cell; this is known before it starts."""


def select_device(kind: str) -> torch.device:
    """Return the device of that kind. For CUDA, set torch to full float32 precision and repeatable convolutions.

    Raises UnavailableError if there is none.
    """
    if kind == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UnavailableError(f"torch {version('torch')} finds no CUDA device; give --device cpu")
    # TensorFloat-32 rounds products to 10 bits: ln q of a draw would differ from its evaluation.
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.deterministic = True  # a seed repeats the gradient of a convolution bit by bit
    return torch.device("cuda", torch.cuda.current_device())


def build_target(cell: Cell, catalog: Catalog) -> Target:
    """Return the target of the cell. Raises UnavailableError if the target does not exist at this L."""
    entry = catalog.target(cell.target)
    options = entry.options(**(cell.target_options or {}))
    try:
        target: Target = entry.load()(cell.L, options)
    except (InvalidValue, ValueError) as error:
        raise UnavailableError(f"target {cell.target}: {error}") from error
    return target


def model_without_storage(plugin: type[Model], target: Target, options: Any) -> Model | None:
    """Return the model on the device `meta`, where tensors take no memory; None if its constructor needs real ones."""
    try:
        with torch.device("meta"):
            return plugin(target, options)
    except Exception:  # the constructor of a plugin may raise anything
        return None


def build_model(plugin: type[Model], target: Target, options: Any, cell: Cell, device: torch.device) -> Model:
    """Return the model with the initial weights of the cell's seed. The global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(cell, "init"))
        model = plugin(target, options)
    return model.to(device, getattr(torch, cell.dtype))


def rebuild_density(store: Store, cell: Cell) -> Density:
    """Return the density of a finished cell, as `rebuild` does. The cell must be that of a model or density."""
    density = rebuild(store, cell)
    assert isinstance(density, Density)
    return density


def rebuild(store: Store, cell: Cell) -> Sampler:
    """Return the sampler of a finished cell on the cpu: a model with its trained weights, others prepared anew.

    Raises
    ------
    UnknownName, PluginError
        If the plugin is not installed or cannot be loaded.
    StoreError
        If the run has no weights of the cell, or weights of another network.
    """
    if (python := worker_python(store, cell.plugin)) != sys.executable:
        raise StoreError(
            f"{cell.cell_id}: {cell.plugin} belongs to the environment of {python}; use this command with that Python"
        )
    for file in store.plan().get("plugin_files", ()):
        use_plugin_file(Path(file))
    catalog = load_catalog(names=(cell.plugin, cell.target))
    entry = catalog.plugin(cell.plugin)
    plugin, target = entry.load(), build_target(cell, catalog)
    try:
        options = entry.options(**cell.options)
    except TypeError as error:
        why = f"{cell.plugin} {entry.version} does not have its options ({error})"
        raise StoreError(f"{cell.cell_id}: {why}; install version {cell.plugin_version}") from error
    device = torch.device("cpu")
    if issubclass(plugin, Model):
        model = build_model(plugin, target, options, cell, device)
        load_weights(model, store.files(cell.cell_id).weights)
        return model.eval()
    sampler: Sampler = plugin(target, options)
    if cell.budget is not None:
        _restore(store, cell, sampler)
    prepare = torch.Generator(device).manual_seed(seed_for(cell, "prepare"))
    sampler.prepare(beta=cell.beta, generator=prepare)
    return sampler


def _restore(store: Store, cell: Cell, sampler: Sampler) -> None:
    """Give a sampler with a training loop of its own the state that its training left; without one, train it again."""
    budget, path = cell.budget, store.files(cell.cell_id).checkpoint
    if budget is None or not trains(budget):
        return
    state: Any = sampler
    if hasattr(sampler, "load_state_dict") and path.exists():
        tensors, _ = read_tensors(path, "cpu", advice=f"delete {path.parent} and run again")
        state.load_state_dict(tensors)
        return
    train = torch.Generator().manual_seed(seed_for(cell, "train"))
    again = DryReport(
        budget.steps or 0,
        before=lambda step: train.manual_seed(seed_for(cell, f"train/{step}")),
        data=lambda: training_data(store, cell, torch.device("cpu")).spins,
    )
    sampler.fit(beta=cell.beta, generator=train, budget=budget, report=again)
