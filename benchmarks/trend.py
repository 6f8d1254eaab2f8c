"""Makes one self-contained page with the benchmarks of the last commits: a drawing for each benchmark, and tables."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nisbench.harness.atomic import guard, write_text
from nisbench.report.charts import figure
from nisbench.report.document import ABSENT, Block, Column, Document, Entry, Paragraph, Section, Table, plain
from nisbench.report.page import rendered
from nisbench.report.palette import marks
from nisbench.report.panels import Panel, Point, Series
from nisbench.results.cells import load
from nisbench.results.numbers import significant

__all__ = ["Commit", "Tracked", "build_trend"]

_SCALES = {"seconds": (1e-3, "ms"), "bytes": (1e6, "MB")}
"""Scale and name of the unit in which values of a unit are shown."""


@dataclass(frozen=True)
class Tracked:
    """The value of one benchmark with one set of parameters at one commit; lower is better."""

    value: float
    unit: str
    error: float | None = None


@dataclass(frozen=True)
class Commit:
    """One commit of the trend."""

    name: str
    """The abbreviated hash."""
    date: str
    subject: str
    values: Mapping[str, Tracked]
    """Values by `file.Class.benchmark(parameters)`; a benchmark that did not run or does not apply is left out."""


def build_trend(commits: Sequence[Commit], out: Path, *, machine: str) -> Path:
    """Writes the page for `commits`, oldest first, all measured on `machine`; returns `out`.

    Raises ValueError if no commit has a value, and StoreError if `out` cannot be written.
    """
    if not any(commit.values for commit in commits):
        raise ValueError("no commit has a value to draw")
    document = Document(
        title="Benchmarks of the last commits",
        lead=(f"{len(commits)} commits from {commits[0].date} to {commits[-1].date}, measured on {machine}.",),
        verdict=tuple(map(Paragraph, _verdict(commits))),
        open=(*_drawings(commits), _latest(commits), _history(commits)),
        folded=(),
    )
    guard(out, lambda: out.parent.mkdir(parents=True, exist_ok=True))
    write_text(out, rendered(document, load(())))
    return out


def _verdict(commits: Sequence[Commit]) -> Iterator[str]:
    """A sentence that compares the last commit with the commit before, by single measurements."""
    if len(commits) < 2:
        yield "One commit is measured: there is no trend yet."
        return
    changes = [(after / before, name) for name, before, after in _pairs(commits) if before > 0]
    slower, faster = ([c for c in changes if c[0] > 1.25], [c for c in changes if c[0] < 0.8])
    yield (
        f"From {commits[-2].name} to {commits[-1].name}: {len(slower)} of {len(changes)} benchmarks rose by more than "
        f"a quarter and {len(faster)} fell by more than a fifth, in one measurement each and without a second run."
    )


def _pairs(commits: Sequence[Commit]) -> Iterator[tuple[str, float, float]]:
    before, after = commits[-2].values, commits[-1].values
    return ((name, before[name].value, after[name].value) for name in sorted(before.keys() & after.keys()))


def _drawings(commits: Sequence[Commit]) -> Iterator[Section]:
    """One section for each file of the suite, one drawing for each benchmark, one line for each set of parameters."""
    names = sorted({name for commit in commits for name in commit.values})
    for module in dict.fromkeys(name.split(".")[0] for name in names):
        benchmarks = dict.fromkeys(_benchmark(name) for name in names if name.startswith(f"{module}."))
        panels = [
            _panel(commits, benchmark, [n for n in names if _benchmark(n) == benchmark]) for benchmark in benchmarks
        ]
        caption = "Lower is better. The bars are half the range over the processes; commits are numbered as below."
        drawn = figure(panels, caption)
        blocks: tuple[Block, ...] = (drawn,) if drawn else ()
        yield Section(module.replace("_", "-"), module.removeprefix("bench_").capitalize(), blocks)


def _benchmark(name: str) -> str:
    return name.split("(", maxsplit=1)[0]


def _panel(commits: Sequence[Commit], benchmark: str, names: Sequence[str]) -> Panel:
    variants = [_variant(name) for name in names]
    looks = marks(variants)
    series = tuple(Series(v, _points(commits, name), looks[v]) for v, name in zip(variants, names, strict=True))
    unit = next(commit.values[name].unit for name in names for commit in commits if name in commit.values)
    return Panel(
        name=re.sub(r"\W+", "-", benchmark),
        title=benchmark.split(".", maxsplit=1)[1],
        x_label="commit",
        y_label=_SCALES.get(unit, (1.0, unit))[1],
        series=series,
        x_scale="linear",
        y_scale="log" if all(point.y > 0 for one in series for point in one.points) else "linear",
    )


def _variant(name: str) -> str:
    return name[len(_benchmark(name)) :].strip("()").replace("'", "") or "all"


def _points(commits: Sequence[Commit], name: str) -> tuple[Point, ...]:
    points = []
    for number, commit in enumerate(commits):
        if (tracked := commit.values.get(name)) is not None:
            scale = _SCALES.get(tracked.unit, (1.0, ""))[0]
            points.append(
                Point(number + 1, tracked.value / scale, None if tracked.error is None else tracked.error / scale)
            )
    return tuple(points)


def _latest(commits: Sequence[Commit]) -> Section:
    """Every benchmark at the last commit, compared with the commit before and with the smallest earlier value."""
    columns = [
        Column("Benchmark", numeric=False),
        Column("Last"),
        Column("Unit", numeric=False),
        Column("Ratio to the commit before"),
        Column("Ratio to the smallest"),
    ]
    rows = [_row(commits, name) for name in sorted(commits[-1].values)]
    note = Paragraph(
        "Ratios above 1 are worse. Each value is one measurement; the gate, in contrast, measures twice and in turns."
    )
    return Section("latest", "The last commit", (note, Table.of("Benchmarks at the last commit", columns, rows)))


def _row(commits: Sequence[Commit], name: str) -> list[Entry]:
    found = commits[-1].values[name]
    scale, unit = _SCALES.get(found.unit, (1.0, found.unit))
    before = [commit.values[name].value for commit in commits[:-1] if name in commit.values]
    last = Entry(significant(found.value / scale), found.value / scale)
    least = min(before, default=None)
    return [
        plain(name),
        last,
        plain(unit),
        _ratio(found.value, before[-1] if before else None),
        _ratio(found.value, least),
    ]


def _ratio(value: float, other: float | None) -> Entry:
    if other is None or other == 0 or not math.isfinite(value / other):
        return Entry(ABSENT, tone="missing")
    return Entry(f"{value / other:.2f}", value / other, tone="bad" if value > 1.25 * other else "")


def _history(commits: Sequence[Commit]) -> Section:
    columns = [
        Column("Commit"),
        Column("Hash", numeric=False),
        Column("Date", numeric=False),
        Column("Subject", numeric=False),
        Column("Benchmarks"),
    ]
    rows = [
        [plain(i + 1), plain(c.name, "code"), plain(c.date), plain(c.subject), plain(len(c.values))]
        for i, c in enumerate(commits)
    ]
    return Section("commits", "Commits", (Table.of("Commits, oldest first", columns, rows),))
