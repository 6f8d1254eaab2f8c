"""The Python interface: `nisbench.run` and `nisbench.load` return a `Run`, from which tables and models are read."""

import html
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nisbench.contract.records import Cell, CellState, Status
from nisbench.errors import UserError
from nisbench.harness.cell_files import Reference
from nisbench.harness.engines.choice import choose_engine, slurm_options
from nisbench.harness.store import Store
from nisbench.harness.values import assignments

if TYPE_CHECKING:
    import pandas as pd

    from nisbench.contract.interfaces import Density
    from nisbench.harness.launch import Display

__all__ = ["Run", "load", "run"]

_REPLACING = (
    *("plugins", "sizes", "beta", "seeds", "train_steps", "train_seconds", "draws", "target", "reference"),
    *("memory_limit", "timeout"),
)
"""Arguments of `run` that replace fields of the plan, in the order of the command."""
_DEFAULTS: Mapping[str, Any] = {"device": "auto", "workers": 1, "executor": "local"}
"""Arguments that a command leaves out if they have these values."""
_CELL_COLUMNS = ["cell", "plugin", "kind", "target", "target_options", "L", "beta", "seed", "device", "status"]


class Run:
    """A run folder: its cells, their numbers and their trained models. Reading never changes the folder."""

    def __init__(self, folder: str | Path) -> None:
        self.store = Store.open(folder)

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.store.path

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All cells of the plan, reference cells first."""
        return self.store.cells()

    def state(self, cell: Cell) -> CellState:
        """Return the state of a cell: waiting, running or ended, with the reason."""
        return self.store.state(cell.cell_id)

    def frame(self) -> "pd.DataFrame":
        """Return one row per cell and quantity, with the columns of `nisbench export`."""
        from nisbench.results.export import long_table

        return long_table([self.store])

    def table(self) -> "pd.DataFrame":
        """Return one row per cell and one column per quantity. A quantity that a cell does not have is NaN."""
        frame = self.frame()
        frame = frame[frame["cell"].notna()]
        values = frame[frame["quantity"].notna()].pivot(index="cell", columns="quantity", values="value")
        cells = frame[_CELL_COLUMNS].drop_duplicates().set_index("cell")
        order = list(dict.fromkeys(frame["quantity"].dropna()))
        return cells.join(values[order]).reset_index()

    def model(
        self,
        plugin: str,
        *,
        L: int | None = None,
        beta: float | None = None,
        seed: int | None = None,
        target: str | None = None,
        cell: str | None = None,
    ) -> "Density":
        """Return the model or density of a finished cell, ready for `sample` and `log_prob`, on the cpu.

        `target` is the name as reports show it, for example "ising (field=0.1)". `cell` is the id of a cell, which
        distinguishes variants of a plugin. A density with a training loop of its own trains again, which takes its
        budget; if it trained for a time or on a GPU, it is not exactly the density that was measured.

        Raises
        ------
        UserError
            If no finished cell fits or several do. The message lists them.
        """
        from nisbench.harness.build import rebuild_density

        wanted = {"plugin": plugin, "L": L, "beta": beta, "seed": seed, "target": target, "cell_id": cell}
        found = self._one([c for c in self.cells if c.kind != "sampler"], "model", **wanted)
        return rebuild_density(self.store, found)

    def reference(self, *, L: int | None = None, beta: float | None = None, target: str | None = None) -> Reference:
        """Return the configurations of p that the reference cell left: spins (m, L, L) and the chain of each.

        Raises
        ------
        UserError
            If no reference cell fits or several do. The message lists them.
        """
        cell = self._one([c for c in self.cells if c.reference_draws], "reference", L=L, beta=beta, target=target)
        reference = self.store.reference(cell.cell_id)
        if reference is None:
            raise UserError(f"{cell.cell_id} in {self.folder} left no configurations ({self.state(cell).describe()})")
        return reference

    def report(self, out: str | Path | None = None) -> Path:
        """Write report.html, report.md and the figures into `out` (default: the run folder); return the page's path."""
        from nisbench.contract.catalog import load_catalog
        from nisbench.report.page import build_report

        folder = Path(out) if out is not None else self.folder
        return build_report([self.store], folder, catalog=load_catalog())

    def __repr__(self) -> str:
        counts: dict[str, int] = {}
        for cell in self.cells:
            state = str(self.state(cell))
            counts[state] = counts.get(state, 0) + 1
        states = ", ".join(f"{number} {state}" for state, number in counts.items())
        return f"<nisbench.Run {str(self.folder)!r}: {len(self.cells)} cells, {states}>"

    def _repr_html_(self) -> str:
        """Return the table of samplers and sizes for a notebook."""
        from nisbench.results.cells import load as load_results
        from nisbench.results.overview import overview

        head = html.escape(repr(self))
        table: str = overview(load_results([self.store])).to_html(index=False, border=0)
        return f"<p><code>{head}</code></p>{table}"

    def _one(self, cells: Iterable[Cell], what: str, **wanted: object) -> Cell:
        """Return the only finished cell with the wanted fields."""
        from nisbench.results.status import labels
        from nisbench.results.targets import target_label

        def value_of(cell: Cell, name: str) -> object:
            return target_label(cell) if name == "target" else getattr(cell, name)

        given = {name: value for name, value in wanted.items() if value is not None}
        fits = [
            cell
            for cell in cells
            if all(value_of(cell, name) == value for name, value in given.items())
            and self.state(cell).status in (Status.OK, Status.UNTRUSTED)
        ]
        if len(fits) == 1:
            return fits[0]
        asked = ", ".join(f"{name}={value!r}" for name, value in given.items()) or "no arguments"
        found = ", ".join(f"{label} (cell {cell_id})" for cell_id, label in labels(fits[:10]).items())
        more = f"{len(fits)} fit: {found}; give more arguments" if fits else "none fits; `table()` lists all cells"
        raise UserError(f"{what} with {asked} in {self.folder}: {more}")


def load(folder: str | Path) -> Run:
    """Return the run in `folder`. Raises StoreError if there is none."""
    return Run(folder)


def run(
    plan: str | Path | None = None,
    *,
    plugins: str | Iterable[str] | None = None,
    sizes: int | str | Iterable[int] | None = None,
    beta: float | str | Iterable[float | str] | None = None,
    seeds: int | str | Iterable[int] | None = None,
    train_steps: int | None = None,
    train_seconds: float | str | None = None,
    draws: int | None = None,
    target: str | None = None,
    reference: str | None = None,
    options: Mapping[str, Any] | Iterable[str] = (),
    plugin_files: Iterable[str | Path] = (),
    python: Mapping[str, str | Path] | None = None,
    device: str = "auto",
    memory_limit: int | str | None = None,
    timeout: float | str | None = None,
    workers: int = 1,
    executor: str = "local",
    scheduler: str | None = None,
    slurm: Mapping[str, object] | Iterable[str] = (),
    shard: str | None = None,
    out: str | Path | None = None,
    fresh: bool = False,
    keep: bool = False,
    progress: bool = True,
) -> Run:
    """Run a plan and return the run; the defaults are those of the command `nisbench run`.

    Every cell runs in a process of its own, so this function needs no `__main__` guard in a script. Calling it again
    with the same arguments continues the run. A cell that fails does not raise: `Run.table` shows its status.

    Parameters
    ----------
    plan
        Name of a plan or path of a TOML file; by default `quick`, or its first group if plugins or sizes are given.
    plugins, sizes, beta, seeds, train_steps, train_seconds, draws, target, reference
        Replace these fields of the plan. `beta` may be "critical", and `reference` "none".
    options
        Options of plugins and targets, for example {"hier.width": 2}. A list of values, {"hier.width": [1, 2]}, gives a
        cell for each value.
    plugin_files
        Files with plugins or targets that are not installed.
    python
        The Python of another environment by plugin, with which the cells of this plugin run.
    memory_limit, timeout
        Bytes ("8G") and seconds ("30m") that one cell may take.
    workers
        Number of cells that run at a time. They share the cores.
    executor
        "local", "dask" or "slurm". With "slurm", this function submits the cells and returns.
    scheduler
        Address of a Dask cluster; by default a cluster of this machine alone.
    slurm
        Options of SLURM, for example {"time": "2:00:00", "partition": "gpu"}.
    shard
        A part of the cells: "2/8" is the second of eight.
    out
        Run folder; by default `runs/<plan>-<hash of the cells>`.
    fresh
        Delete the run in the folder and start over.
    keep
        Keep finished cells although the source of their plugin has changed.
    progress
        Show the progress, in a notebook as a progress bar.

    Raises
    ------
    UserError
        For a name that does not exist, a value that does not fit, or a folder that holds something else.
    KeyboardInterrupt
        If the run was interrupted; its finished cells are kept.
    """
    asked: dict[str, Any] = {name: _read_once(value) for name, value in locals().items()}
    from nisbench.harness.execute import StoppedError
    from nisbench.harness.launch import Shard, run_plan
    from nisbench.harness.selection import select_plan

    engine = choose_engine(executor, workers=workers, scheduler=scheduler, slurm=asked["slurm"])
    part = None if shard is None else Shard.parse(str(shard))
    chosen = select_plan(
        None if plan is None else str(plan),
        device=device,
        options=asked["options"],
        plugin_files=asked["plugin_files"],
        python=python or {},
        **{name: asked[name] for name in _REPLACING},
    )
    folder = Path(out) if out is not None else Path("runs") / chosen.folder_name
    try:
        store = run_plan(
            chosen,
            folder,
            command=_command(asked),
            engine=engine,
            shard=part,
            fresh=fresh,
            keep=keep,
            display=_display() if progress else None,
        )
    except StoppedError as stopped:
        raise KeyboardInterrupt(f"stopped by {stopped.name}; the same call continues this run") from None
    return Run(store.path)


def _read_once(value: Any) -> Any:
    """Return an iterable as a tuple: the plan and the command both read it, and an iterator can be read only once."""
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str | Mapping) else value


def _display() -> "Display":
    """Return the display for a notebook or a terminal."""
    from nisbench.terminal import show_in_notebook, show_progress

    return show_in_notebook if "ipykernel" in sys.modules else show_progress


def _command(asked: Mapping[str, Any]) -> str:
    """Return the shell command that does the same as `run` with these arguments."""
    words = ["nisbench", "run", *_flags(asked, ("plan", *_REPLACING))]
    words += _repeated("--option", assignments(asked["options"]))
    words += _repeated("--plugin-file", asked["plugin_files"])
    words += _repeated("--python", [f"{name}={path}" for name, path in (asked["python"] or {}).items()])
    words += _flags(asked, ("device", "workers", "executor", "scheduler"))
    words += _repeated("--slurm", [f"{key}={value}" for key, value in slurm_options(asked["slurm"]).items()])
    return shlex.join([*words, *_flags(asked, ("shard", "out"))])


def _flags(asked: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Return the options of a command with their values, without those that have their defaults."""
    words = []
    for name in names:
        if (value := asked[name]) is not None and value != _DEFAULTS.get(name):
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words += [f"--{name.replace('_', '-')}", text]
    return words


def _repeated(name: str, texts: Iterable[object]) -> list[str]:
    """Return an option that a command may have several times."""
    return [word for text in texts for word in (name, str(text))]
