"""The vocabulary: Cell, Budget, Status, Estimate, CellResult, TrainingOptions. Frozen values that travel as JSON.

Read these and the rest of nisbench can be read. JSON has no NaN here: a missing number is null with a reason.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, Literal, Self

__all__ = [
    "PROTOCOL_VERSION",
    "SCHEMA_VERSION",
    "Budget",
    "Cell",
    "CellResult",
    "Estimate",
    "Kind",
    "Status",
    "TrainingOptions",
    "canonical_json",
]

SCHEMA_VERSION = 1
"""Version of the files in a run folder."""

PROTOCOL_VERSION = 1
"""Version of what is measured and how; a change makes every cell a new cell."""

Kind = Literal["model", "density", "sampler"]


class Status(StrEnum):
    """How a cell ended; everything but `ok` carries a reason."""

    OK = "ok"
    UNTRUSTED = "untrusted"
    """It ran, but a validity gate failed: its numbers are shown and marked."""
    FAILED = "failed"
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    """The plugin or the machine cannot run it; known before it started."""
    INTERRUPTED = "interrupted"

    @property
    def finished(self) -> bool:
        """Whether resuming keeps the cell; failed, timed-out and interrupted cells are run again."""
        return self in (Status.OK, Status.UNTRUSTED, Status.UNAVAILABLE)


@dataclass(frozen=True)
class Budget:
    """Training budget: exactly one of steps and seconds; 0 steps evaluates a model as it is."""

    steps: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.steps, self.seconds) if value is not None]
        if len(given) != 1 or given[0] < 0:
            raise ValueError(f"a budget is a non-negative number of steps or of seconds, one of the two; got {self}")

    def __str__(self) -> str:
        return f"{self.steps} steps" if self.steps is not None else f"{self.seconds:g} s"


@dataclass(frozen=True)
class TrainingOptions:
    """How the core trains a model: Adam on the reverse KL with the batch mean as baseline.

    The Options of every model inherit these and set their defaults by measurement. All schedules but the stepwise
    annealing are functions of the fraction of the budget used, so that a budget in steps and one in seconds mean the
    same.
    """

    learning_rate: float = field(default=1e-3, metadata={"help": "peak learning rate of Adam"})
    fan_in: int = field(
        default=0,
        metadata={"help": "layers with more inputs get learning_rate * fan_in / inputs; 0: one rate for all"},
    )
    batch_size: int = field(default=1024, metadata={"help": "configurations per training step"})
    schedule: Literal["constant", "cosine", "linear"] = field(
        default="cosine", metadata={"help": "learning rate over the budget: constant, or decay to zero"}
    )
    adam_beta1: float = field(default=0.9, metadata={"help": "decay of Adam's mean of gradients"})
    adam_beta2: float = field(default=0.999, metadata={"help": "decay of Adam's mean of squared gradients"})
    warmup_fraction: float = field(
        default=0.0, metadata={"help": "fraction of the budget over which the learning rate rises linearly"}
    )
    annealing: Literal["none", "linear", "stepwise"] = field(
        default="linear",
        metadata={"help": "beta while training: fixed, linear rise, or beta (1 - annealing_rate^step)"},
    )
    annealing_start: float = field(default=0.0, metadata={"help": "fraction of beta at which the linear rise starts"})
    annealing_fraction: float = field(
        default=0.5, metadata={"help": "fraction of the budget that the linear rise takes"}
    )
    annealing_rate: float = field(default=0.998, metadata={"help": "base of the stepwise annealing"})
    clip_norm: float = field(default=0.0, metadata={"help": "largest gradient norm; 0 switches clipping off"})

    def __post_init__(self) -> None:
        checks = {
            "learning_rate": self.learning_rate > 0,
            "fan_in": self.fan_in >= 0,
            "batch_size": self.batch_size >= 2,
            "adam_beta1": 0 <= self.adam_beta1 < 1,
            "adam_beta2": 0 <= self.adam_beta2 < 1,
            "warmup_fraction": 0 <= self.warmup_fraction < 1,
            "annealing_start": 0 <= self.annealing_start <= 1,
            "annealing_fraction": 0 <= self.annealing_fraction <= 1,
            "annealing_rate": 0 < self.annealing_rate < 1,
            "clip_norm": self.clip_norm >= 0,
        }
        for name, good in checks.items():
            if not good:
                raise ValueError(f"{name} = {getattr(self, name)} is out of range")


@dataclass(frozen=True)
class Cell:
    """One measurement: a plugin with its options on a target, at one size, temperature and seed.

    Every field can change a number, and all of them make up `cell_id`; code does not.
    """

    plugin: str
    kind: Kind
    plugin_version: str
    options: Mapping[str, Any]
    """Every option of the plugin, defaults filled in."""
    target: str
    L: int
    beta: float
    seed: int
    draws: int
    """Draws for the estimates, all chains together."""
    budget: Budget | None = None
    """Training budget of a model; None for a sampler."""
    device: str = "cpu"
    """Kind of device, `cpu` or `cuda`."""
    dtype: str = "float32"
    """Of the networks; what becomes a number in a table is summed in float64."""
    reference: str | None = None
    """cell_id of the cell whose configurations serve the p-side quantities of a model."""
    reference_draws: int = 0
    """Configurations that this cell leaves behind as a reference, thinned by their tau_int; 0 if it is none."""
    protocol_version: int = PROTOCOL_VERSION

    @property
    def cell_id(self) -> str:
        """`<plugin>-L<L>-<hash>`: the first 12 hexadecimal digits of SHA-256 over the canonical JSON."""
        digest = hashlib.sha256(canonical_json(self.to_json()).encode()).hexdigest()
        return f"{_slug(self.plugin)}-L{self.L}-{digest[:12]}"

    def to_json(self) -> dict[str, Any]:
        """The cell as plain JSON values."""
        return asdict(self) | {"options": dict(self.options)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of to_json; raises TypeError or ValueError on anything else."""
        budget = data.get("budget")
        return cls(**{**data, "budget": Budget(**budget) if budget is not None else None})


@dataclass(frozen=True)
class Estimate:
    """A number with one standard error, or None with the reason why there is none."""

    value: float | None
    error: float | None = None
    """One standard error, autocorrelation included; None for a deterministic number."""
    n: int | None = None
    """Number of draws behind it."""
    exact: float | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        for name in ("value", "error", "exact"):
            number = getattr(self, name)
            if number is not None and math.isnan(number):
                raise ValueError(f"{name} is NaN; use Estimate.missing(reason)")
        if self.value is None and not self.reason:
            raise ValueError("an estimate without a value needs a reason")

    @classmethod
    def missing(cls, reason: str, *, exact: float | None = None) -> Self:
        """No number, and why."""
        return cls(value=None, exact=exact, reason=reason)

    @property
    def z(self) -> float | None:
        """(value - exact) / error, where all three are finite and the error is not zero."""
        if self.value is None or self.exact is None or not self.error:
            return None
        z = (self.value - self.exact) / self.error
        return z if math.isfinite(z) else None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; infinities become the strings "inf" and "-inf"."""
        return {
            f.name: str(v) if isinstance(v, float) and math.isinf(v) else v
            for f in fields(self)
            if (v := getattr(self, f.name)) is not None or f.name == "value"
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of to_json."""
        numbers: dict[str, Any] = {k: float(v) if k != "reason" and isinstance(v, str) else v for k, v in data.items()}
        return cls(**numbers)


@dataclass(frozen=True)
class CellResult:
    """What a cell leaves behind: its status, the reason for it and its quantities by name."""

    cell_id: str
    status: Status
    reason: str | None = None
    quantities: Mapping[str, Estimate] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    """Facts beside the numbers: device name, number of threads, which window was used."""
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if (self.status is Status.OK) == bool(self.reason):
            raise ValueError(f"status {self.status} with reason {self.reason!r}: every status but ok has a reason")

    def to_json(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        return {
            "schema_version": self.schema_version,
            "cell_id": self.cell_id,
            "status": str(self.status),
            "reason": self.reason,
            "quantities": {name: estimate.to_json() for name, estimate in self.quantities.items()},
            "notes": dict(self.notes),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of to_json."""
        quantities = {name: Estimate.from_json(estimate) for name, estimate in data["quantities"].items()}
        return cls(**{**data, "status": Status(data["status"]), "quantities": quantities})


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no white space; equal values give equal text. Raises ValueError on NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _slug(name: str) -> str:
    """A plugin's name as it may stand in a path."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in name)[:40]
