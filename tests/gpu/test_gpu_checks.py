"""The checks on a device see wrong results; missing packages are named; a failed part leaves a row."""

import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from dry_run import ROOT

from benchmarks.gpu import kernels, requirements, right
from benchmarks.gpu.ceilings import copy_rate, launch_seconds
from benchmarks.gpu.models import too_large
from benchmarks.gpu.page import table
from benchmarks.gpu.process import Task
from benchmarks.gpu.quality import plan
from benchmarks.gpu.record import append_row, read_rows
from benchmarks.gpu.runs import CellRow
from benchmarks.gpu.settings import DEVICE, DRY
from nisbench.conformance import training
from nisbench.conformance.subject import Violation
from nisbench.contract.catalog import load_catalog
from nisbench.harness.clock import Clock
from nisbench.harness.gradient import StepGradient
from nisbench.harness.plan import Overrides
from nisbench.harness.planner import load_plan

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when triton is imported
pytest.importorskip("triton")

WHERE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def task(folder: Path, seconds: float = 3600, settings: Any = DRY) -> Task:
    return Task(folder, time.monotonic() + seconds, settings)


def test_a_wrong_logit_or_spin_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kernels.dense(WHERE, 7, 4, 1, 5, torch.float64)["passed"]
    assert kernels.odd(WHERE, 16, 2, 1, 5, torch.float64)["passed"]
    draw = kernels.draw_fused

    def off(*args: Any) -> torch.Tensor:
        return draw(*args) + 1e-6

    def flipped(net: Any, limits: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        logits = draw(net, limits, inputs)
        inputs[-1, 0] *= -1  # a later logit does not depend on the last spin
        return logits

    for wrong, reason in ((off, "a logit is off by 1e-06"), (flipped, "1 spins are on the wrong side")):
        monkeypatch.setattr(kernels, "draw_fused", wrong)
        with pytest.raises(kernels.WrongError, match=reason):
            kernels.dense(WHERE, 7, 4, 1, 5, torch.float64)
    monkeypatch.setattr(kernels, "draw_fused", off)
    with pytest.raises(kernels.WrongError, match="a logit is off"):
        kernels.odd(WHERE, 16, 2, 1, 5, torch.float64)


def test_a_wrong_block_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kernels.blocks(WHERE, 3, 3, torch.float64, 20)["passed"]
    solve = kernels.solve_blocks_torch

    def off(*args: Any) -> tuple[torch.Tensor, torch.Tensor]:
        spins, log_z = solve(*args)
        return spins, log_z + 1e-7

    def flipped(*args: Any) -> tuple[torch.Tensor, torch.Tensor]:
        spins, log_z = solve(*args)
        return -spins, log_z

    for wrong, reason in ((off, "ln Z is off by 1e-07"), (flipped, "180 of 180 spins differ")):
        monkeypatch.setattr(kernels, "solve_blocks_torch", wrong)
        with pytest.raises(kernels.WrongError, match=reason):
            kernels.blocks(WHERE, 3, 3, torch.float64, 20)


@pytest.mark.parametrize("check", [right.evaluation, right.rounding, right.repetition])
def test_a_model_off_by_a_percent_or_without_its_seed_is_seen(
    check: Callable[[str, int, torch.device], Mapping[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check("van", 4, WHERE)["passed"]
    van = load_catalog().plugin("van").load()
    density, sample = van.log_prob, van.sample
    monkeypatch.setattr(van, "log_prob", lambda self, spins, *, beta: 1.01 * density(self, spins, beta=beta))
    state = torch.Generator(WHERE).manual_seed(0)
    monkeypatch.setattr(van, "sample", lambda self, n, *, beta, generator: sample(self, n, beta=beta, generator=state))
    with pytest.raises(kernels.WrongError, match=r"a difference of|different configurations"):
        check("van", 4, WHERE)


def test_a_repeated_step_with_another_gradient_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert right.recording("hier", 4, WHERE)["passed"]

    class Unseeded(StepGradient):
        seeds: Iterator[int] = iter(())

        def __call__(self, beta: float) -> None:
            self.generator.manual_seed(next(self.seeds))
            super().__call__(beta)

    monkeypatch.setattr(training, "StepGradient", Unseeded)
    wrong = {"gradients differ between two steps": itertools.count(), "two seeds give the same": itertools.repeat(1)}
    for message, Unseeded.seeds in wrong.items():
        with pytest.raises(Violation, match=message):
            right.recording("hier", 4, WHERE)


def test_ln_z_five_errors_off_or_without_error_is_seen() -> None:
    def cell(z: float | None, status: str = "ok") -> CellRow:
        reason = "" if status == "ok" else "few effective samples"
        return CellRow("van", 8, "cuda", status, reason, {"log_z_per_site": {"z": z}, "ess_fraction": {"value": 0.5}})

    assert right._log_z(cell(-4.9))["passed"]
    with pytest.raises(kernels.WrongError, match=r"\+5\.1 standard errors"):
        right._log_z(cell(5.1))
    with pytest.raises(kernels.WrongError, match="no error"):
        right._log_z(cell(None))
    assert right._log_z(cell(-4.9, "untrusted"))["passed"]
    far = right._log_z(cell(-14.3, "untrusted"))
    assert far["passed"] == "not judged"
    assert far["note"].endswith("few effective samples")


def test_a_failed_part_leaves_a_row_and_the_next_one_runs(tmp_path: Path) -> None:
    work = task(tmp_path)

    def broken() -> dict[str, Any]:
        raise ValueError("planted")

    def large() -> dict[str, Any]:
        raise torch.OutOfMemoryError("20 GiB")

    assert not work.attempt("draws", broken, plugin="van", L=8)
    assert not work.attempt("draws", large, plugin="van", L=16)
    assert work.attempt("draws", lambda: {"batch": 3, "ms_per_1000": float("inf")}, plugin="van", L=32)
    assert not task(tmp_path, seconds=0).attempt("draws", broken, plugin="van", L=64)
    rows = read_rows(tmp_path)["draws"]
    notes = ["ValueError: planted", "out of device memory", None, "not started: the time was up"]
    assert [row.get("note") for row in rows] == notes
    assert rows[2] == {"plugin": "van", "L": 32, "batch": 3, "ms_per_1000": None}
    assert work.failures == ["draws van, 8: ValueError: planted"]


def test_a_torn_row_is_dropped(tmp_path: Path) -> None:
    append_row(tmp_path, "draws", {"L": 8})
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write('["draws", {"L": 1')
    assert read_rows(tmp_path) == {"draws": [{"L": 8}]}


def test_a_failed_check_stands_out_in_the_table() -> None:
    rows = [{"check": "a|b", "of": "x", "note": "wrong"}, {"check": "c", "of": "y", "passed": True, "found": "fine"}]
    lines = table("checks", {"checks": rows}).splitlines()
    assert lines[2:] == [
        "| check | of | passed | found | note |",
        "| --- | --- | --- | --- | --- |",
        "| a\\|b | x | **no** |  | wrong |",
        "| c | y | yes | fine |  |",
    ]
    assert table("checks", {}) == ""


def test_missing_and_old_packages_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert requirements.missing(ROOT) == []
    needed = ["torch>=99", "no-such-package>=1", "seaborn>=99", "numpy>=1.2"]
    (tmp_path / "pyproject.toml").write_text(f"[project]\ndependencies = {json.dumps(needed)}\n")
    found = requirements.missing(tmp_path)
    assert found == [f"torch>=99 (found {torch.__version__})", "no-such-package>=1"]


def test_a_model_that_cannot_fit_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    class Properties:
        total_memory = 2**30

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Properties)
    device = torch.device("cuda")
    assert too_large("van", 16, device, "step") is None
    reason = too_large("van", 128, device, "draw")
    assert reason is not None
    assert reason.startswith("does not fit: parameters and their copies take 6.00 GiB")
    assert too_large("van", 128, torch.device("cpu"), "draw") is None


@pytest.mark.parametrize("seconds", [20, 200, 600])
def test_the_training_times_fill_the_stage(seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    path = tmp_path / "plan.toml"
    path.write_text(plan(task(tmp_path, seconds, DEVICE)))
    made = load_plan(str(path), Overrides(), load_catalog(), device="cuda")
    times = [cell.budget.seconds for cell in made.cells if cell.budget is not None and cell.budget.seconds is not None]
    assert [cell.L for cell in made.cells if cell.plugin == "hier-exact"] == [128, 256]
    assert sum(times) == pytest.approx(max(2, seconds - DEVICE.overhead_s), abs=2)
    assert times[0] == pytest.approx(min(DEVICE.first_s, 0.6 * sum(times)), abs=2)


def test_ceilings_are_positive_numbers() -> None:
    clock = Clock(WHERE)
    assert copy_rate(clock, 2**16) > 0
    assert launch_seconds(clock, wait=True) > 0
