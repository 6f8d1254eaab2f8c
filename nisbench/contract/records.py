"""The records of nisbench: Cell, Budget, Status, CellState, Estimate, CellResult, TrainingOptions.

All are frozen dataclasses that are stored as JSON. Read this module first; every other module uses these names.
The JSON never contains NaN: a missing number is null, with a reason.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal, Self

import msgspec

from nisbench.contract.doubts import Doubt, joined
from nisbench.contract.timing import Timing

__all__ = [
    "PROTOCOL_VERSION",
    "SCHEMA_VERSION",
    "Budget",
    "Cell",
    "CellResult",
    "CellState",
    "CostBasis",
    "Estimate",
    "Hardware",
    "Kind",
    "PluginSource",
    "ReferenceState",
    "Status",
    "TrainingOptions",
    "canonical_json",
    "slug",
]

SCHEMA_VERSION = 3
"""Version of the files in a run folder."""

PROTOCOL_VERSION = 5
"""Version of the measurement. Raise it when a number of an unchanged cell changes: every cell then gets a new id.

`tests/unit/test_protocol.py` fails when a number changes and this version does not.
"""

Kind = Literal["model", "density", "sampler"]
"""model: a density that nisbench trains. density: an exactly normalised q(s) without training by nisbench.
sampler: a Markov chain, or draws with weights.
"""

CostBasis = Literal["ess_fraction", "ess_fraction_p", "tau_int"]
"""The estimate from which the cost of an effective sample follows."""


class Status(StrEnum):
    """How a cell ended. Every status except `ok` has a reason."""

    OK = "ok"
    UNTRUSTED = "untrusted"
    """The cell ran, but a validity gate failed. The report shows its numbers and marks them."""
    FAILED = "failed"
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    """The plugin or the machine cannot run the cell. This was known before it started."""
    INTERRUPTED = "interrupted"

    @property
    def finished(self) -> bool:
        """True if resuming keeps the cell. Failed, timed-out and interrupted cells run again."""
        return self in (Status.OK, Status.UNTRUSTED, Status.UNAVAILABLE)


@dataclass(frozen=True)
class CellState:
    """The state of a cell: waiting (all fields None), queued, running (a stage), or ended (a status)."""

    status: Status | None = None
    """How the cell ended; None before its end."""
    reason: str | None = None
    """Why the status is not `ok`."""
    stage: str | None = None
    """What a running cell is doing, for example `train`; None unless it runs."""
    queue: str | None = None
    """The job of a scheduler that waits to run the cell, for example `slurm 123_4`."""

    @property
    def running(self) -> bool:
        """True while a process works on the cell."""
        return self.stage is not None

    @property
    def finished(self) -> bool:
        """True if resuming keeps the cell."""
        return self.status is not None and self.status.finished

    def __str__(self) -> str:
        """`not started`, `queued`, `running`, or the status."""
        waiting = "queued" if self.queue is not None else "not started"
        return str(self.status) if self.status is not None else "running" if self.running else waiting

    def describe(self) -> str:
        """Return the state with its reason or stage: `failed: out of memory`, `running: train`, `not started`."""
        detail = self.reason or self.stage or self.queue
        return f"{self}: {detail}" if detail else str(self)


class ReferenceState(StrEnum):
    """Use of reference configurations by a cell: a model is evaluated on them, a reference cell leaves them."""

    USED = "used"
    """The model was evaluated on the configurations of its reference cell."""
    MISSING = "missing"
    """The reference cell had left no configurations when the model was measured."""
    LEFT = "left"
    """This cell is a reference cell and left configurations."""
    WITHHELD = "withheld"
    """This cell is a reference cell but could not leave configurations; the notes say why."""


@dataclass(frozen=True)
class Hardware:
    """The hardware and the libraries that the timings of a cell depend on."""

    device_name: str
    """Processor or GPU, as the system names it."""
    threads: int
    torch: str
    """Version of torch."""


@dataclass(frozen=True)
class PluginSource:
    """The source files of a plugin, and of a target of another distribution, that a cell used."""

    modules: tuple[str, ...]
    """Names of the modules, sorted."""
    sha256: str
    """Hash of the names and the contents of these modules."""


@dataclass(frozen=True)
class Budget:
    """Training budget, in steps or in seconds. A budget of 0 evaluates the model without training."""

    steps: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.steps, self.seconds) if value is not None]
        if len(given) != 1 or given[0] < 0:
            raise ValueError(f"a budget needs steps or seconds, exactly one of them and not negative; got {given}")

    def __str__(self) -> str:
        return f"{self.steps} steps" if self.steps is not None else f"{self.seconds:g} s"


@dataclass(frozen=True)
class TrainingOptions:
    """Options of the training loop: Adam on the reverse Kullback-Leibler divergence, batch mean as baseline.

    The Options of every model inherit from this class and choose their defaults by measurement. The schedules depend
    on the fraction of the budget that is used, so they mean the same for a budget in steps and in seconds. The
    stepwise annealing is the exception: it depends on the number of the step.
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

    `cell_id` is a hash of all fields, because each of them can change a number. The code of the plugin is not part of
    it: `CellResult.source` records that.
    """

    plugin: str
    kind: Kind
    plugin_version: str
    options: Mapping[str, Any]
    """All options of the plugin, including the defaults."""
    target: str
    L: int
    beta: float
    seed: int
    draws: int
    """Number of draws for the estimates, summed over all chains."""
    budget: Budget | None = None
    """Training budget; None for a plugin without training."""
    device: str = "cpu"
    """Kind of device, `cpu` or `cuda`."""
    dtype: str = "float32"
    """Floating-point type of the networks. Sums that become a number in a table are always float64."""
    reference: str | None = None
    """cell_id of the reference cell. Its configurations give the p-side estimates of a model or density."""
    reference_draws: int = 0
    """Number of configurations that this cell leaves for other cells; 0 if this is not a reference cell."""
    protocol_version: int = PROTOCOL_VERSION
    target_options: Mapping[str, Any] | None = None
    """All options of the target, including the defaults; None in a cell from before targets had options."""
    target_version: str | None = None
    """Version of the distribution that contains the target; None in a cell from before it was recorded."""

    @cached_property
    def cell_id(self) -> str:
        """`<plugin>-L<L>-<hash>`, where hash is the first 12 hexadecimal digits of SHA-256 of the canonical JSON."""
        digest = hashlib.sha256(canonical_json(self.to_json()).encode()).hexdigest()
        return f"{slug(self.plugin)}-L{self.L}-{digest[:12]}"

    def to_json(self) -> dict[str, Any]:
        """Return the cell as plain JSON values. Fields of the target that are None are absent, as in older files."""
        record = {name: getattr(self, name) for name in _CELL_FIELDS}
        record["options"] = dict(self.options)
        record["budget"] = asdict(self.budget) if self.budget else None
        for name in ("target_options", "target_version"):
            if record[name] is None:
                del record[name]
        if self.target_options is not None:
            record["target_options"] = dict(self.target_options)
        return record

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Build a cell from the values of `to_json`. Raises msgspec.ValidationError for other values."""
        return msgspec.convert(data, cls)


_CELL_FIELDS = tuple(each.name for each in fields(Cell))
_INFINITIES = ("inf", "-inf")


@dataclass(frozen=True)
class Estimate:
    """A number with one standard error, or None with a reason."""

    value: float | None
    error: float | None = None
    """One standard error, which includes the autocorrelation; None for a deterministic number."""
    n: int | None = None
    """Number of draws in the estimate."""
    exact: float | None = None
    """The exact value, where it is known."""
    reason: str | None = None
    """Why there is no value, or why the value is doubtful."""

    def __post_init__(self) -> None:
        for name in ("value", "error", "exact"):
            number = getattr(self, name)
            if number is not None and math.isnan(number):
                raise ValueError(f"{name} is NaN; use Estimate.missing(reason)")
        if self.value is None and not self.reason:
            raise ValueError("an estimate without a value needs a reason")

    @classmethod
    def missing(cls, reason: str, *, exact: float | None = None) -> Self:
        """Return an estimate without a value."""
        return cls(value=None, exact=exact, reason=reason)

    @property
    def z(self) -> float | None:
        """(value - exact) / error; None unless all three are finite and the error is positive."""
        if self.value is None or self.exact is None or not self.error:
            return None
        z = (self.value - self.exact) / self.error
        return z if math.isfinite(z) else None

    def to_json(self) -> dict[str, Any]:
        """Return the estimate as plain JSON values; infinities become the strings "inf" and "-inf"."""
        return {
            f.name: str(v) if isinstance(v, float) and math.isinf(v) else v
            for f in fields(self)
            if (v := getattr(self, f.name)) is not None or f.name == "value"
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Build an estimate from the values of `to_json`. Raises msgspec.ValidationError for other values."""
        # JSON has no infinity; every other text stays text, which is refused where a number belongs.
        infinite = {name: float(data[name]) for name in ("value", "error", "exact") if data.get(name) in _INFINITIES}
        return msgspec.convert({**data, **infinite}, cls)


@dataclass(frozen=True)
class CellResult:
    """The result of a cell: its status with the reason, and its quantities by name."""

    cell_id: str
    status: Status
    reason: str | None = None
    quantities: Mapping[str, Estimate] = field(default_factory=dict)
    hardware: Hardware | None = None
    """None for a cell that ended before its device was known."""
    cost_basis: CostBasis | None = None
    """The estimate behind `s_per_effective_sample`; None if there is none."""
    reference: ReferenceState | None = None
    """None for a cell that neither uses nor leaves reference configurations."""
    source: PluginSource | None = None
    """The source of plugin and target; None for a cell that failed or needed too much memory."""
    memory_needed_bytes: int | None = None
    """Memory that the cell needs at least; known for cells that were refused for their memory."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Facts for the reader of a report. No code reads them back."""
    timing: Timing | None = None
    """The machine while the cell was timed; None for a cell that ended before, and in files from before it was kept."""
    doubts: tuple[Doubt, ...] = ()
    """The gates that an untrusted cell did not pass; `reason` has them as text."""
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if (self.status is Status.OK) == bool(self.reason):
            raise ValueError(f"status {self.status} with reason {self.reason!r}: every status except ok needs a reason")
        if self.doubts and self.reason != joined(self.doubts):
            raise ValueError(f"reason {self.reason!r} is not that of the doubts {joined(self.doubts)!r}")

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain JSON values."""
        return {
            "schema_version": self.schema_version,
            "cell_id": self.cell_id,
            "status": str(self.status),
            "reason": self.reason,
            "quantities": {name: estimate.to_json() for name, estimate in self.quantities.items()},
            "hardware": asdict(self.hardware) if self.hardware else None,
            "cost_basis": self.cost_basis,
            "reference": str(self.reference) if self.reference else None,
            "source": asdict(self.source) if self.source else None,
            "memory_needed_bytes": self.memory_needed_bytes,
            "notes": dict(self.notes),
            "timing": asdict(self.timing) if self.timing else None,
            "doubts": [asdict(doubt) for doubt in self.doubts],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Build a result from the values of `to_json`. Raises msgspec.ValidationError for other values."""
        raw = msgspec.convert(data.get("quantities"), dict[str, dict[str, Any]])
        quantities = {name: Estimate.from_json(estimate) for name, estimate in raw.items()}
        return msgspec.convert({**data, "quantities": quantities}, cls)


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and without white space: equal values give equal text. Raises ValueError for NaN."""
    return _CANONICAL.encode(value)


def slug(name: str) -> str:
    """Return `name` with every character replaced that is unsafe in a path; at most 40 characters."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in name)[:40]
