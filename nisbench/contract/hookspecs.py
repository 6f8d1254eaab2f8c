"""The hooks a plugin may implement. Registration is eager and torch-free; the class is loaded by a worker only."""

from collections.abc import Callable

import pluggy

hookspec = pluggy.HookspecMarker("nisbench")


@hookspec
def register_models(register: Callable[..., None]) -> None:
    """Call register(name, options=OptionsDataclass, factory="module:Class", summary=...) for each trainable model.

    Options are bool, int, float, str or Literal, each with a default.
    """


@hookspec
def register_samplers(register: Callable[..., None]) -> None:
    """Call register(name, factory="module:Class", summary=..., options=OptionsDataclass, devices=("cpu",)) for each.

    Without `options` a sampler has none, without `devices` it is taken to run on cpu and cuda.
    """


@hookspec
def register_targets(register: Callable[..., None]) -> None:
    """Call register(name, factory="module:Class", summary=...) for each target.

    The factory is called with the extent L. A plan takes the target by `target = NAME`.
    """
