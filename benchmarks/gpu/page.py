"""All tables of one call as Markdown."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.gpu.record import Rows

__all__ = ["TABLES", "device_name", "page", "table"]


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    key: str
    heading: str
    text: Callable[[Any], str] = str
    error: str | None = None
    """key of the standard error, shown behind the value"""


@dataclass(frozen=True)
class Table:
    """One kind of rows, and how they are shown."""

    stage: str
    caption: str
    columns: Sequence[Column]


def _digits(value: float) -> str:
    return f"{value:.3g}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _yes(value: bool | str | None) -> str:
    """The word for a check: `value` is True if it passed, a text if it decides nothing, and absent if it failed."""
    return value if isinstance(value, str) else "yes" if value else "**no**"


def _mib(value: float) -> str:
    return f"{value / 2**20:.0f}"


_PLACE = (Column("plugin", "plugin"), Column("L", "L"))
_NOTE = Column("note", "note")
TABLES = {
    "checks": Table(
        "right",
        "Each check compares two ways to the same result.",
        (
            Column("check", "check"),
            Column("of", "of"),
            Column("passed", "passed", _yes),
            Column("found", "found"),
            _NOTE,
        ),
    ),
    "ceilings": Table(
        "ceilings",
        "The most that the device does, the best of some repeats.",
        (Column("quantity", "quantity"), Column("value", "value", _digits), Column("unit", "unit"), _NOTE),
    ),
    "draws": Table(
        "draws",
        "A batch of draws with ln q. Ceiling: useful operations per second over those of the float32 matrix product, "
        "measured in the same process. First call: compilation and warm-up.",
        (
            *_PLACE,
            Column("batch", "batch"),
            Column("ms_per_1000", "ms per 1000 draws", _digits),
            Column("launches", "launches a batch", lambda value: f"{value:.0f}"),
            Column("peak_bytes", "device peak, MiB", _mib),
            Column("of_ceiling", "of the ceiling", _percent),
            Column("first_s", "first call, s", _digits),
            _NOTE,
        ),
    ),
    "steps": Table(
        "steps",
        "A training step (drawing, loss, gradient, Adam) over a draw of the same batch.",
        (
            *_PLACE,
            Column("batch", "batch"),
            Column("step_ms", "ms a step", _digits),
            Column("draw_ms", "ms a draw of the batch", _digits),
            Column("ratio", "step/draw", _digits),
            Column("peak_bytes", "device peak, MiB", _mib),
            Column("first_s", "first step, s", _digits),
            _NOTE,
        ),
    ),
    "kernels": Table(
        "steps",
        "The ten kernels that take most of a training step.",
        (
            *_PLACE,
            Column("kernel", "kernel"),
            Column("calls", "calls"),
            Column("ms", "ms", _digits),
            Column("share", "share", _percent),
        ),
    ),
    "quality": Table(
        "quality",
        "Effective sample size (ESS) per draw seen from q and from p, Kullback-Leibler divergence (KL), and deviation "
        "z of ln Z from the exact value in standard errors.",
        (
            *_PLACE,
            Column("status", "status"),
            Column("train_s", "training, s", _digits),
            Column("steps", "steps", lambda value: f"{value:.0f}"),
            Column("ess", "ESS per draw, q side", _digits, "ess_error"),
            Column("ess_p", "p side", _digits, "ess_p_error"),
            Column("kl_nats", "KL, nats", _digits),
            Column("z", "z of ln Z", lambda value: f"{value:+.1f}"),
            Column("ms_per_1000", "ms per 1000 draws", _digits),
            Column("s_per_effective", "s per effective sample", _digits),
            Column("peak_bytes", "device peak of training, MiB", _mib),
            _NOTE,
        ),
    ),
    "baselines": Table(
        "baselines",
        "Samplers without a network, each on the device for which it is registered.",
        (
            *_PLACE,
            Column("on", "runs on"),
            Column("status", "status"),
            Column("ms_per_1000", "ms per 1000 draws", _digits),
            Column("tau_energy", "tau_int, E", _digits),
            Column("tau_magnetisation", "tau_int, m", _digits),
            Column("s_per_effective", "s per effective sample", _digits),
            _NOTE,
        ),
    ),
}
PROVENANCE = {
    "device": "device",
    "driver": "driver",
    "device_memory_bytes": "device memory, bytes",
    "compute_capability": "compute capability",
    "cuda": "CUDA",
    "torch": "torch",
    "triton": "triton",
    "numba": "numba",
    "numpy": "numpy",
    "python": "Python",
    "nisbench": "nisbench",
    "commit": "commit",
    "source": "digest of the source",
    "cpu": "processor",
    "cores": "cores",
    "started": "started",
    "command": "command",
}


def device_name(numbers: Mapping[str, Any]) -> str:
    """`CUDA, NAME`, or the processor of a dry run."""
    found = numbers["provenance"]
    return f"dry run on the CPU, {found['cpu']}" if numbers["dry"] else f"CUDA, {found['device']}"


def page(numbers: Mapping[str, Any]) -> str:
    """The Markdown page of the numbers of one call."""
    parts = [f"# Figures of a GPU: {device_name(numbers)}\n"]
    if numbers["dry"]:
        parts.append("A dry run at the smallest sizes: its numbers mean nothing.\n")
    rows = [[label, _cell(numbers["provenance"].get(key))] for key, label in PROVENANCE.items()]
    parts.append(_markdown(["what", "value"], rows))
    stages = numbers["stages"]
    outcomes = [[s["name"], s["title"], s["status"], f"{s['seconds']:.0f}", _cell(s["reason"])] for s in stages]
    parts.append("## Stages\n\n" + _markdown(["stage", "what it does", "status", "s", "reason"], outcomes))
    for stage in stages:
        shown = [table(name, numbers["tables"]) for name, kind in TABLES.items() if kind.stage == stage["name"]]
        parts.append("\n".join([f"## {stage['title']}\n", *(text for text in shown if text)]))
    return "\n".join(parts)


def table(name: str, tables: Rows) -> str:
    """One table with its caption; empty without rows. Columns that no row fills are left out."""
    rows, kind = tables.get(name, []), TABLES[name]
    if not rows:
        return ""
    columns = [c for c in kind.columns if c.key == "passed" or any(row.get(c.key) not in (None, "") for row in rows)]
    lines = [[_shown(column, row) for column in columns] for row in rows]
    return f"{kind.caption}\n\n" + _markdown([column.heading for column in columns], lines)


def _shown(column: Column, row: Mapping[str, Any]) -> str:
    value = row.get(column.key)
    if column.key == "passed":
        return column.text(value)
    if value in (None, ""):
        return ""
    error = row.get(column.error) if column.error else None
    return _cell(column.text(value) + (f" +- {error:.1g}" if error is not None else ""))


def _cell(value: Any) -> str:
    return "" if value is None else str(value).replace("|", "\\|").replace("\n", " ")


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
