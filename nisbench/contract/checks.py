"""Checks of the contract that the core makes in every run: the class of a plugin, and the shapes of its draws.

Each check raises PluginError with one line. By default the checks of draws look at shapes, types and devices, which
costs no time. With `values=True`, as in the conformance checks, they also look at the numbers.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import torch

from nisbench.contract.interfaces import (
    ChainDraws,
    ChainSampler,
    Density,
    Model,
    ModelDraws,
    Sampler,
    Target,
    TrainingBatch,
    WeightedDraws,
    WeightedSampler,
)
from nisbench.contract.records import Kind
from nisbench.errors import PluginError

__all__ = [
    "check_batch",
    "check_chain_draws",
    "check_class",
    "check_density_draws",
    "check_spins",
    "check_weighted_draws",
    "kind_of",
    "refusal",
]

_Shaped = tuple[tuple[int, ...], torch.dtype]

_HOOKS: dict[Kind, tuple[str, str]] = {
    "model": ("register_models", "nisbench.api.Model"),
    "density": ("register_densities", "nisbench.api.Density"),
    "sampler": ("register_samplers", "nisbench.api.ChainSampler or nisbench.api.WeightedSampler"),
}
"""Hook and base class of each kind."""


def kind_of(factory: Any) -> Kind | None:
    """The kind of a class; None if it inherits none of the four base classes."""
    if not isinstance(factory, type):
        return None
    if issubclass(factory, Model):  # a Model is a Density too, so it comes first
        return "model"
    if issubclass(factory, Density):
        return "density"
    return "sampler" if issubclass(factory, ChainSampler | WeightedSampler) else None


def check_class(factory: Any, *, name: str, where: str, kind: Kind, trains: bool) -> None:
    """Raises PluginError unless the class at `where` fits the hook that registered it."""
    hook, base = _HOOKS[kind]
    found = kind_of(factory)
    if found != kind:
        if found is not None:
            hint = f"register it in {_HOOKS[found][0]}, or inherit {base}"
        elif isinstance(factory, type) and issubclass(factory, Sampler):
            hint = f"it inherits Sampler directly; inherit {base}"
        else:
            hint = f"it is not a subclass of {base}"
        raise PluginError(f"'{name}' is registered in {hook}, and {where} does not fit: {hint}")
    has_fit = factory.fit is not Sampler.fit
    if has_fit != trains:
        found_fit = "has a `fit`; register it with trains=True" if has_fit else "has no `fit`, but trains=True"
        raise PluginError(f"'{name}': {where} {found_fit}")


def refusal(plugin: Any, target: Target, options: Any, beta: float) -> Any:
    """The answer of the plugin's `unsupported`, which is told beta if it has an argument of this name."""
    told = {"beta": beta} if "beta" in inspect.signature(plugin.unsupported).parameters else {}
    return plugin.unsupported(target, options, **told)


def check_density_draws(draws: ModelDraws, n: int, L: int, *, device: torch.device, values: bool = False) -> None:
    """Raises PluginError unless `draws` is the answer of `sample(n)` on this kind of device."""
    _check_type(draws, ModelDraws)
    spins, log_prob = draws.spins, draws.log_prob
    _compare(draws, [spins, log_prob], [((n, L, L), torch.int8), ((n,), torch.float64)])
    if not spins.device.type == log_prob.device.type == device.type:
        raise PluginError(f"spins on {spins.device}, log_prob on {log_prob.device}; the generator is on {device}")
    if values:
        check_spins(spins)
        if log_prob.requires_grad or not log_prob.isfinite().all():
            raise PluginError("log_prob of sample carries a gradient or is not finite")


def check_chain_draws(draws: ChainDraws, n: int, L: int, *, values: bool = False) -> None:
    """Raises PluginError unless `draws` is the answer of a chain sampler's `draw(n)`, for any number of chains."""
    _check_type(draws, ChainDraws)
    n_chains = max(1, *draws.spins.shape[1:2], 1)
    _compare(draws, [draws.spins], [((n, n_chains, L, L), torch.int8)])
    if values:
        check_spins(draws.spins)


def check_weighted_draws(draws: WeightedDraws, n: int, L: int, *, values: bool = False) -> None:
    """Raises PluginError unless `draws` is the answer of a weighted sampler's `draw(n)`."""
    _check_type(draws, WeightedDraws)
    _compare(draws, [draws.spins, draws.log_weight], [((n, L, L), torch.int8), ((n,), torch.float64)])
    if not isinstance(draws.normalised, bool):
        raise PluginError(f"normalised = {draws.normalised!r} of WeightedDraws is not True or False")
    if values:
        check_spins(draws.spins)


def check_batch(batch: TrainingBatch, n: int) -> None:
    """Raises PluginError unless `log_prob` and `signal` are (n,) float64."""
    _check_type(batch, TrainingBatch)
    _compare(batch, [batch.log_prob, batch.signal], [((n,), torch.float64)] * 2)


def _check_type(found: object, asked: type) -> None:
    if not isinstance(found, asked):
        raise PluginError(f"the plugin returned {type(found).__name__}; return {asked.__name__}")


def check_spins(spins: torch.Tensor) -> None:
    """Raises PluginError unless every spin is -1 or +1."""
    if not (spins.abs() == 1).all():
        raise PluginError("spins other than -1 and +1")


def _compare(record: object, tensors: Sequence[torch.Tensor], asked: Sequence[_Shaped]) -> None:
    found = [(tuple(tensor.shape), tensor.dtype) for tensor in tensors]
    if found != list(asked):
        raise PluginError(f"{type(record).__name__} of {_text(found)}; asked for were {_text(asked)}")


def _text(tensors: Sequence[_Shaped]) -> str:
    return " and ".join(f"{shape} {str(dtype).removeprefix('torch.')}" for shape, dtype in tensors)
