"""The table of quantities: one row for each named number that a cell, a comparison or a report can hold.

Each row defines a constant (`KL_NATS == "kl_nats"`) and adds its `Quantity` to QUANTITIES. Other modules import these
constants and select their lists of names from the table, so a new quantity needs one row here, one row in
docs/conventions.md and its estimator. The rows stand in the order of the columns of a report. Families of names, such
as `kl_nats_level_<k>`, follow at the end.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

__all__ = [
    "FAMILIES",
    "KIND_LETTERS",
    "QUANTITIES",
    "Direction",
    "Family",
    "Part",
    "Quantity",
    "SamplerKind",
    "describe",
    "exponent_name",
    "level_name",
    "peak_name",
    "select",
]

SamplerKind = Literal["model", "density", "chain", "weighted"]
Direction = Literal["lower", "higher", "same"]

KIND_LETTERS: Mapping[str, SamplerKind] = MappingProxyType(
    {"m": "model", "d": "density", "c": "chain", "w": "weighted"}
)
"""Kinds of samplers by the letters of docs/conventions.md: trained models, exactly normalised densities that are not
trained, chains, and independent draws with weights."""

_MIB = 2.0**20


class Part(StrEnum):
    """The part of a report to which a quantity belongs."""

    QUALITY = "quality"
    OBSERVABLE = "observable"
    OVERLAP = "overlap"
    """Numbers of targets whose order parameter is the overlap of two independent configurations."""
    TIME = "time"
    MEMORY = "memory"
    COUNT = "count"


@dataclass(frozen=True)
class Quantity:
    """One row of the table."""

    name: str
    heading: str
    """Name in headings and on axes, without the unit."""
    part: Part
    kinds: tuple[SamplerKind, ...] = ()
    """Kinds of samplers that have the quantity."""
    unit: str = ""
    """Unit shown in headings."""
    scale: float = 1.0
    """Shown value = stored value / scale."""
    better: Direction | None = None
    """Direction of an improvement. `same`: both sides of a comparison estimate one number, and the value nearer to the
    exact one is better. None: neither direction is an improvement."""
    grows: bool = False
    """True if the exponent a of value ~ L^a is fitted."""
    timed: bool = False
    """True for timings and memory, which are comparable on the same hardware only."""
    shared_reference: bool = False
    """True if the reference configurations enter: models judged on the same configurations have correlated errors."""
    fraction: bool = False
    """True if the value lies between 0 and 1, up to its error."""

    @property
    def axis(self) -> str:
        """The heading with its unit."""
        return f"{self.heading} ({self.unit})" if self.unit else self.heading


@dataclass(frozen=True)
class Family:
    """Quantities whose names share a prefix; `row` makes the row of one member from its name."""

    pattern: str
    """The name as documented, for example `kl_nats_level_<k>`."""
    row: Callable[[str], Quantity]

    @property
    def prefix(self) -> str:
        """The part of the name that all members share."""
        return self.pattern.partition("<")[0]


_ROWS: dict[str, Quantity] = {}
QUANTITIES: Mapping[str, Quantity] = MappingProxyType(_ROWS)
"""Every quantity with a fixed name, in the order of the table."""


def _row(
    name: str,
    heading: str,
    part: Part,
    letters: str,
    *,
    unit: str = "",
    scale: float = 1.0,
    better: Direction | None = None,
    grows: bool = False,
    timed: bool = False,
    shared_reference: bool = False,
    fraction: bool = False,
) -> str:
    """Adds one row to the table; `letters` are keys of KIND_LETTERS. Returns the name."""
    kinds = tuple(KIND_LETTERS[letter] for letter in letters)
    _ROWS[name] = Quantity(name, heading, part, kinds, unit, scale, better, grows, timed, shared_reference, fraction)
    return name


# ln Z and free energies. ln Z is known from draws of a density (m, d), from weighted draws (w), and from chains with
# several temperatures (c).
LOG_Z_PER_SITE = _row("log_z_per_site", "ln Z / N", Part.QUALITY, "mdcw", better="same")
FREE_ENERGY_VARIATIONAL = _row(
    "free_energy_variational", "F/N variational, upper bound", Part.QUALITY, "md", better="lower"
)
FREE_ENERGY_NIS = _row("free_energy_nis", "F/N from q (NIS)", Part.QUALITY, "mdw", better="same")
FREE_ENERGY_P = _row("free_energy_p", "F/N from p", Part.QUALITY, "md", better="same", shared_reference=True)
RELATIVE_FREE_ENERGY_ERROR = _row(
    "relative_free_energy_error", "relative error of variational F", Part.QUALITY, "md", better="lower"
)
KL_NATS = _row("kl_nats", "KL(q‖p)", Part.QUALITY, "md", unit="nats", better="lower")
KL_FORWARD_NATS = _row(
    "kl_forward_nats", "KL(p‖q)", Part.QUALITY, "md", unit="nats", better="lower", shared_reference=True
)

# Quality of the draws.
ESS_FRACTION = _row("ess_fraction", "ESS per draw, q side", Part.QUALITY, "mdw", better="higher", fraction=True)
ESS_FRACTION_P = _row(
    *("ess_fraction_p", "ESS per draw, p side", Part.QUALITY, "md"),
    better="higher",
    shared_reference=True,
    fraction=True,
)
PARETO_K = _row("pareto_k", "Pareto k of the weights", Part.QUALITY, "mdw", better="lower")
ESS_FRACTION_TENTH = _row(
    "ess_fraction_tenth", "ESS per draw, first tenth of the draws", Part.QUALITY, "mdw", fraction=True
)
ESS_FRACTION_HALF = _row(
    "ess_fraction_half", "ESS per draw, first half of the draws", Part.QUALITY, "mdw", fraction=True
)
SAMPLE_EXPONENT = _row("sample_exponent", "a in draws from q^a", Part.QUALITY, "md", better="same")
TV_ENERGY = _row(
    *("tv_energy", "excess distance of the energy histogram", Part.QUALITY, "md"), better="lower", shared_reference=True
)
TV_ABS_MAGNETISATION = _row(
    *("tv_abs_magnetisation", "excess distance of the |m| histogram", Part.QUALITY, "md"),
    better="lower",
    shared_reference=True,
)
ACCEPTANCE_RATE = _row("acceptance_rate", "NMCMC acceptance", Part.QUALITY, "md", better="higher", fraction=True)
LONGEST_REJECTION_RUN = _row("longest_rejection_run", "longest run of rejections", Part.QUALITY, "md", unit="draws")
TAU_INT_ENERGY = _row("tau_int_energy", "τ_int of energy", Part.QUALITY, "mdc", unit="draws", better="lower")
TAU_INT_ABS_MAGNETISATION = _row(
    "tau_int_abs_magnetisation", "τ_int of |m|", Part.QUALITY, "mdc", unit="draws", better="lower"
)
TAU_INT_SWEEPS_ENERGY = _row(
    "tau_int_sweeps_energy", "τ_int of energy", Part.QUALITY, "c", unit="sweeps", better="lower"
)
TAU_INT_SWEEPS_ABS_MAGNETISATION = _row(
    "tau_int_sweeps_abs_magnetisation", "τ_int of |m|", Part.QUALITY, "c", unit="sweeps", better="lower"
)
MEAN_CLUSTER_SIZE = _row("mean_cluster_size", "mean cluster size", Part.QUALITY, "c", unit="spins", better="same")

# Observables per site.
ENERGY = _row("energy", "energy per site", Part.OBSERVABLE, "mdcw", better="same")
SPECIFIC_HEAT = _row("specific_heat", "specific heat per site", Part.OBSERVABLE, "mdcw", better="same")
ENTROPY = _row("entropy", "entropy per site", Part.OBSERVABLE, "mdw", better="same")
ABS_MAGNETISATION = _row("abs_magnetisation", "|m| per site", Part.OBSERVABLE, "mdcw", better="same")
SUSCEPTIBILITY = _row("susceptibility", "susceptibility per site", Part.OBSERVABLE, "mdcw", better="same")
BINDER_CUMULANT = _row("binder_cumulant", "Binder cumulant", Part.OBSERVABLE, "mdcw", better="same")

MAGNETIC = (
    TAU_INT_ABS_MAGNETISATION,
    TAU_INT_SWEEPS_ABS_MAGNETISATION,
    ABS_MAGNETISATION,
    SUSCEPTIBILITY,
    BINDER_CUMULANT,
)
"""Quantities that mean something only if the magnetisation is an order parameter of the target."""

# Overlap of two independent configurations, for targets that name it as their order parameter.
TAU_INT_OVERLAP = _row("tau_int_overlap", "τ_int of |q|", Part.OVERLAP, "c", unit="draws", better="lower")
ABS_OVERLAP = _row("abs_overlap", "overlap |q|", Part.OVERLAP, "mdcw", better="same")
OVERLAP_SQUARED = _row("overlap_squared", "overlap q²", Part.OVERLAP, "mdcw", better="same")
OVERLAP_BINDER = _row("overlap_binder", "Binder cumulant of q", Part.OVERLAP, "mdcw", better="same")
LINK_OVERLAP = _row("link_overlap", "link overlap", Part.OVERLAP, "mdcw", better="same")

TAU_INTS = (TAU_INT_ENERGY, TAU_INT_ABS_MAGNETISATION, TAU_INT_OVERLAP)
"""tau_int of the energy and of the order parameters, in draws; a target has those of its own order parameters."""

# Time.
TRAIN_STEPS = _row("train_steps", "training steps", Part.COUNT, "m")
TRAIN_S = _row("train_s", "training", Part.TIME, "m", unit="s", better="lower", grows=True, timed=True)
TRAIN_STEP_S = _row(
    *("train_step_s", "one training step", Part.TIME, "m"),
    unit="ms",
    scale=1e-3,
    better="lower",
    grows=True,
    timed=True,
)
TRAIN_S_TO_KL = _row(
    *("train_s_to_kl", "training until KL ≤ 0.1", Part.TIME, "m"),
    unit="s",
    better="lower",
    grows=True,
    timed=True,
)
TRAIN_CPU_S = _row("train_cpu_s", "training, CPU time", Part.TIME, "m", unit="s", better="lower", timed=True)
PREPARE_S = _row("prepare_s", "preparation", Part.TIME, "mdcw", unit="s", better="lower", timed=True)
PREPARE_CPU_S = _row("prepare_cpu_s", "preparation, CPU time", Part.TIME, "mdcw", unit="s", better="lower", timed=True)
DRAW_S = _row("draw_s", "drawing", Part.TIME, "mdcw", unit="s", timed=True)
DRAW_CPU_S = _row("draw_cpu_s", "drawing, CPU time", Part.TIME, "mdcw", unit="s", timed=True)
DRAW_S_PER_1000 = _row(
    "draw_s_per_1000", "1000 draws", Part.TIME, "mdcw", unit="s", better="lower", grows=True, timed=True
)
S_PER_EFFECTIVE_SAMPLE = _row(
    *("s_per_effective_sample", "per effective sample", Part.TIME, "mdcw"),
    unit="s",
    better="lower",
    grows=True,
    timed=True,
)
BREAK_EVEN_SAMPLES = _row("break_even_samples", "break-even", Part.TIME, "m", unit="effective samples", timed=True)
COMPILE_S = _row("compile_s", "loading and warm-up", Part.TIME, "mdcw", unit="s", better="lower", timed=True)
MATMUL_FLOPS_PER_S = _row(
    "matmul_flops_per_s", "matrix product", Part.TIME, "mdcw", unit="GFLOP/s", scale=1e9, timed=True
)

# Size of a model, operations and memory. Counts have no error, so any change of one counts in a comparison.
N_PARAMETERS = _row("n_parameters", "parameters", Part.MEMORY, "m", better="lower", grows=True)
PARAMETER_BYTES = _row(
    "parameter_bytes", "size of parameters", Part.MEMORY, "m", unit="MiB", scale=_MIB, better="lower"
)
OPTIMIZER_BYTES = _row("optimizer_bytes", "optimiser state", Part.MEMORY, "m", unit="MiB", scale=_MIB, better="lower")
FLOPS_PER_DRAW = _row("flops_per_draw", "operations per draw", Part.COUNT, "md", better="lower", grows=True)
NETWORK_CALLS_PER_DRAW = _row(
    "network_calls_per_draw", "network calls per draw", Part.COUNT, "md", better="lower", grows=True
)
KERNEL_LAUNCHES_PER_DRAW = _row(
    "kernel_launches_per_draw", "kernel launches per draw", Part.COUNT, "md", better="lower"
)


def peak_name(where: str, phase: str) -> str:
    """Name of the peak of memory in one phase: `where` is host or device, `phase` is train, prepare or draw."""
    return f"peak_{where}_{phase}_bytes"


def _peak(where: str, phase: str, activity: str, letters: str, *, grows: bool = False) -> str:
    """Adds the row of one peak of memory."""
    name, heading = peak_name(where, phase), f"{where} peak, {activity}"
    return _row(name, heading, Part.MEMORY, letters, unit="MiB", scale=_MIB, better="lower", grows=grows, timed=True)


# Only the peaks of training are fitted against L: draws are taken in parts whose size the harness chooses by L.
PEAK_HOST_TRAIN_BYTES = _peak("host", "train", "training", "m", grows=True)
PEAK_HOST_PREPARE_BYTES = _peak("host", "prepare", "preparation", "dcw")
PEAK_HOST_DRAW_BYTES = _peak("host", "draw", "drawing", "mdcw")
PEAK_DEVICE_TRAIN_BYTES = _peak("device", "train", "training", "m", grows=True)
PEAK_DEVICE_PREPARE_BYTES = _peak("device", "prepare", "preparation", "dcw")
PEAK_DEVICE_DRAW_BYTES = _peak("device", "draw", "drawing", "mdcw")

_LEVEL_PREFIX = "kl_nats_level_"
_EXPONENT_PREFIX = "exponent_"


def level_name(k: int) -> str:
    """Name of the part of KL(q‖p) that level k of a hierarchical model adds; level 0 is the largest scale."""
    return f"{_LEVEL_PREFIX}{k}"


def exponent_name(cost: str) -> str:
    """Name of the fitted exponent a of cost ~ L^a."""
    return f"{_EXPONENT_PREFIX}{cost}"


def _level(name: str) -> Quantity:
    heading = f"KL(q‖p) of level {name.removeprefix(_LEVEL_PREFIX)}"
    return Quantity(name, heading, Part.QUALITY, ("model", "density"), unit="nats")


def _exponent(name: str) -> Quantity:
    cost = describe(name.removeprefix(_EXPONENT_PREFIX))
    return Quantity(name, f"exponent of {cost.heading}", cost.part, cost.kinds, timed=cost.timed)


FAMILIES = (Family("kl_nats_level_<k>", _level), Family("exponent_<cost>", _exponent))


def describe(name: str) -> Quantity:
    """Return the row of a quantity.

    The heading of a quantity that only a plugin defines is its name. Such a quantity counts as a cost without a unit.
    """
    if name in QUANTITIES:
        return QUANTITIES[name]
    family = next((family for family in FAMILIES if name.startswith(family.prefix)), None)
    return family.row(name) if family else Quantity(name, name, Part.COUNT)


def select(*parts: Part, kind: SamplerKind | None = None) -> tuple[str, ...]:
    """The names of the quantities of these parts, in the order of the table; with `kind` those that this kind has."""
    return tuple(row.name for row in QUANTITIES.values() if row.part in parts and (kind is None or kind in row.kinds))
