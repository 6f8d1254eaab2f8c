"""Registers plugins that work, and samplers that fail in every way in which a plugin can fail."""

from dataclasses import dataclass, field

from nisbench import TrainingOptions, hookimpl


@dataclass(frozen=True)
class TiltedOptions(TrainingOptions):
    batch_size: int = 64
    step_sleep: float = field(default=0.0, metadata={"help": "seconds that a training batch takes longer"})
    slow_while: str = field(default="", metadata={"help": "batches take longer only while this file exists"})
    stops_at: int = field(default=0, metadata={"help": "number of the training batch in which the process stops"})


@dataclass(frozen=True)
class SizedOptions(TrainingOptions):
    width: int = 1


@dataclass(frozen=True)
class PerfectOptions:
    n_chains: int = 4
    fails_while: str = field(default="", metadata={"help": "raises while this file exists"})


@hookimpl
def register_models(register):
    register("tilted", options=TiltedOptions, factory="fake_samplers:Tilted", summary="independent spins, trainable")
    register("giant", options=SizedOptions, factory="fake_samplers:Giant", summary="too many parameters")


@hookimpl
def register_samplers(register):
    register(
        "exact-draws", options=PerfectOptions, factory="fake_samplers:Perfect", summary="exact draws", devices=("cpu",)
    )
    register(
        "fitted",
        options=PerfectOptions,
        factory="fake_samplers:Fitted",
        summary="exact draws after training",
        devices=("cpu",),
        trains=True,
    )
    for name in ("Raises", "Exits", "Segfaults", "Sleeps", "Hungry", "Choosy"):
        register(name.lower(), factory=f"fake_samplers:{name}", summary="fails")
    register("unloadable", factory="no_such_module:Sampler", summary="cannot be imported")


@hookimpl
def register_densities(register):
    register("coins", factory="fake_samplers:Coins", summary="independent spins, not trained", devices=("cpu",))
