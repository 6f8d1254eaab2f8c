"""`nisbench run` and `nisbench check` as processes of a stage, and their results."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.gpu.archive import STORE
from benchmarks.gpu.process import Task

__all__ = ["CellRow", "finish", "results", "start", "start_plan"]


@dataclass(frozen=True)
class CellRow:
    """One cell of a store with its estimates."""

    plugin: str
    L: int
    device: str
    status: str
    reason: str
    estimates: Mapping[str, Mapping[str, Any]]
    """value, error and z by quantity"""

    def value(self, quantity: str, part: str = "value") -> float | None:
        """A number of an estimate; None if there is none."""
        found = self.estimates.get(quantity, {}).get(part)
        return None if found is None else float(found)


def start(task: Task, *words: str) -> subprocess.Popen[str]:
    """Starts `nisbench` with these words in the folder of the stage."""
    command = [sys.executable, "-m", "nisbench", *words]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
    return subprocess.Popen(command, cwd=task.folder, text=True, **pipes)


def start_plan(task: Task, plan: str, *, workers: int = 1) -> subprocess.Popen[str]:
    """Starts a run of the plan, a TOML text; relative paths, so that its command can be committed."""
    (task.folder / "plan.toml").write_text(plan, encoding="utf-8")
    words = ["--plan", "plan.toml", "--device", task.settings.device, "--out", STORE, "--workers", str(workers)]
    return start(task, "run", *words, "--no-report")


def finish(task: Task, process: subprocess.Popen[str]) -> tuple[int | None, str]:
    """Exit code, None if the time of the stage was up, and output, which also goes into the log."""
    try:
        output, _ = process.communicate(timeout=max(0.1, task.left()))
        code: int | None = process.returncode
    except subprocess.TimeoutExpired:
        process.terminate()  # its cells become `interrupted`
        output, _ = process.communicate()
        code = None
    sys.stdout.write(output)
    sys.stdout.flush()
    return code, output


def results(task: Task) -> list[CellRow]:
    """All cells of the store, in the order of the plan."""
    words = [sys.executable, "-m", "nisbench", "export", STORE, "--format", "json"]
    done = subprocess.run(words, cwd=task.folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the store cannot be read: {done.stderr.strip()}")
    cells: dict[str, list[dict[str, Any]]] = {}
    for row in json.loads(done.stdout):
        if row["cell"] is not None:  # scaling exponents belong to no cell
            cells.setdefault(row["cell"], []).append(row)
    return [_cell(rows) for rows in cells.values()]


def _cell(rows: list[dict[str, Any]]) -> CellRow:
    estimates = {row["quantity"]: {k: row.get(k) for k in ("value", "error", "z")} for row in rows if row["quantity"]}
    # Where a quantity has no value, `reason` is that of the quantity.
    first = next((row for row in rows if row["value"] is not None), rows[0])
    reason = "" if first["status"] == "ok" else str(first["reason"] or "")
    return CellRow(first["plugin"], first["L"], first["device"], str(first["status"]), reason, estimates)
