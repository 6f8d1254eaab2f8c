"""Show the table of cells and the progress of a run in a terminal or a notebook."""

import html
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

from nisbench.contract.records import Status
from nisbench.results.status import StatusLine, counts, labels, row, span

if TYPE_CHECKING:
    from rich.table import Table

    from nisbench.harness.execute import Progress, Watch
    from nisbench.harness.launch import Beginning
    from nisbench.harness.store import Store

__all__ = ["number_of_cells", "show_in_notebook", "show_progress", "summarise"]

_REFRESH_S = 5.0
"""Seconds between two drawings in a terminal or notebook: the display runs beside the cells and must not slow them."""
_HEARTBEAT_S = 60.0
"""Seconds between two lines where there is no terminal."""


_MOST_LINES = 300
"""Largest number of lines of a table of cells."""
_WITHOUT_RESULT = (Status.FAILED, Status.TIMEOUT, Status.INTERRUPTED)


def number_of_cells(number: int) -> str:
    """Return `1 cell` or `12 cells`."""
    return f"{number} cell{'' if number == 1 else 's'}"


def summarise(store: "Store", cell_ids: Sequence[str]) -> dict[str, int]:
    """Print the table of the cells and how many cells have which status; return these numbers.

    Of a large run, only the cells that run or that ended without a result are listed, and only their files are read.
    """
    from rich.console import Console

    states = store.states(cell_ids)
    listed = list(cell_ids)
    if len(listed) > _MOST_LINES:
        listed = [each for each in listed if states[each].running or states[each].status in _WITHOUT_RESULT]
    cells = [store.cell(cell_id) for cell_id in listed[:_MOST_LINES]]
    named = labels(cells)
    rows = [row(store, cell, named[cell.cell_id]) for cell in cells]
    if sys.stdout.isatty():
        Console().print(_table(rows))
    else:
        for each in rows:
            click.echo(each.line)
    if len(rows) < len(cell_ids):
        click.echo(f"listed: {len(rows)} of {number_of_cells(len(cell_ids))}, those that run or have no result")
    found = counts(states.values())
    texts = ", ".join(f"{number} {status}" for status, number in found.items())
    click.echo(f"{number_of_cells(len(cell_ids))}: {texts}")
    return found


@contextmanager
def show_progress(beginning: "Beginning") -> Iterator["Watch"]:
    """Show a run on stderr: a live table in a terminal, otherwise a line for each start and end, and every minute."""
    from nisbench.harness.execute import Watch

    for line in _opening(beginning):
        _say(line)
    display = _Display(beginning)
    if not sys.stderr.isatty():
        yield Watch(display.show, _HEARTBEAT_S)
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as display.live:
        yield Watch(display.show, _REFRESH_S)


@contextmanager
def show_in_notebook(beginning: "Beginning") -> Iterator["Watch"]:
    """Show a run in a notebook: a progress bar with the cells that are running."""
    from IPython.display import HTML, display

    from nisbench.harness.execute import Watch

    display(HTML("<br>".join(map(html.escape, _opening(beginning)))))
    named, total = labels(beginning.cells), len(beginning.cells)
    kept = total - len(beginning.due)
    shown = display(HTML(""), display_id=True)

    def show(progress: "Progress") -> None:
        done, over = kept + len(progress.ended), not progress.running and not progress.waiting
        running = html.escape(
            ", ".join(named[cell_id] for cell_id in progress.running) or ("finished" if over else "starting")
        )
        bar = f'<progress value="{done}" max="{total}"></progress>'
        shown.update(HTML(f"{bar} {done} of {number_of_cells(total)}: {running}"))

    yield Watch(show, _REFRESH_S)


def _opening(beginning: "Beginning") -> list[str]:
    """Return the lines that open a run: the number of cells, and which plugins have changed."""
    due, kept = len(beginning.due), len(beginning.cells) - len(beginning.due)
    before = f", {kept} finished before" if kept else ""
    lines = [f"{beginning.store.path}: {number_of_cells(due)} to run{before}"]
    if beginning.changed:
        names = ", ".join(beginning.changed)
        action = "are kept (--keep)" if beginning.keep else "run again; --keep keeps them"
        lines.append(f"the source of {names} has changed since cells finished; these cells {action}")
    return lines


def _table(rows: Sequence[StatusLine]) -> "Table":
    """Return the rows as a table without its empty columns."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    columns = {"cell": "cell", "status": "status", "ESS": "ess", "KL": "kl", "time": "time", "reason": "reason"}
    shown = {head: name for head, name in columns.items() if any(getattr(each, name) for each in rows)}
    for head in shown:
        table.add_column(head, justify="right" if head in ("ESS", "KL", "time") else "left")
    for each in rows:
        table.add_row(*(Text(getattr(each, name)) for name in shown.values()))
    return table


class _Display:
    """Shows the progress of a run: a live table in a terminal, lines elsewhere."""

    def __init__(self, beginning: "Beginning") -> None:
        self.store = beginning.store
        self.kept, self.total = len(beginning.cells) - len(beginning.due), len(beginning.cells)
        self.cells = {cell.cell_id: cell for cell in beginning.cells}
        self.labels = labels(beginning.cells)
        self.live: Any = None
        """The live table of a terminal; None elsewhere."""
        self.begin = time.monotonic()
        self.spoken = self.begin
        self.reported: set[str] = set()
        self.started: dict[str, float] = {}  # cell_id -> time at which the display first saw the cell running

    def show(self, progress: "Progress") -> None:
        """Report cells that have started or ended, and redraw the live table; without one, speak every minute."""
        for cell_id in progress.running:
            if cell_id not in self.started:
                self.started[cell_id] = time.monotonic()
                if not self.live:
                    self._say(f"{self.labels[cell_id]}: started")
        for cell_id in progress.ended:
            if cell_id not in self.reported:
                self.reported.add(cell_id)
                self._report_end(cell_id)
        if self.live:
            self.live.update(self._running(progress), refresh=True)
        elif progress.running and time.monotonic() - self.spoken >= _HEARTBEAT_S:
            running = "; ".join(self._row(cell_id, started=True).line for cell_id in progress.running)
            self._say(f"{self._counted(progress)}; running: {running}")

    def _running(self, progress: "Progress") -> "Table":
        """Return the live table: the cells that are running, and how far the run is."""
        table = _table([self._row(cell_id, started=True) for cell_id in progress.running])
        table.caption = self._counted(progress)
        table.caption_justify = "left"
        return table

    def _counted(self, progress: "Progress") -> str:
        """Return how far the run is."""
        done, elapsed = self.kept + len(progress.ended), span(time.monotonic() - self.begin)
        return f"{done} of {self.total} cells done, {progress.waiting} waiting; {elapsed}"

    def _report_end(self, cell_id: str) -> None:
        """Report how a cell ended and how long it took."""
        # a cell may start and end between two calls of `show`; its time is then 0
        seconds = time.monotonic() - self.started.get(cell_id, time.monotonic())
        done = self.kept + len(self.reported)
        self._say(f"[{done}/{self.total}] {self._row(cell_id).line} ({seconds:.1f} s)")

    def _row(self, cell_id: str, *, started: bool = False) -> StatusLine:
        """Return the line of a cell in the table."""
        return row(self.store, self.cells[cell_id], self.labels[cell_id], started=started)

    def _say(self, text: str) -> None:
        """Print one line, above the live table if there is one."""
        self.spoken = time.monotonic()
        if self.live:
            self.live.console.print(text, markup=False, highlight=False)
        else:
            _say(text)


def _say(text: str) -> None:
    """Print one line on stderr. A run goes on if nobody reads it any more."""
    with suppress(BrokenPipeError):
        click.echo(text, err=True)
