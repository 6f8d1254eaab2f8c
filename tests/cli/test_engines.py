"""Several drivers, parts of a plan, Dask and SLURM: every cell is run once, with the numbers of a local run."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from nisbench.contract.records import Status
from nisbench.harness.lease import holder
from nisbench.harness.store import LEASE, Store

TIMED = ("_s", "_bytes", "_per_1000", "per_effective_sample", "flops_per_s")


def numbers(folder):
    """Everything of a run but seconds and bytes; every cell has a result."""
    store, found = Store.open(folder), {}
    for cell in store.cells():
        result = store.result(cell.cell_id)
        assert result is not None, (cell.cell_id, store.state(cell.cell_id))
        assert result.status in (Status.OK, Status.UNTRUSTED), result.reason
        kept = {name: estimate for name, estimate in result.quantities.items() if not name.endswith(TIMED)}
        series = {name: values.tobytes() for name, values in store.series(cell.cell_id).items()}
        found[cell.cell_id] = result.status, kept, series
    return found


def starts(folder):
    """How many processes have worked on each cell of exact-draws, from its log."""
    logs = folder.glob("cells/exact-draws-*/log.txt")
    return {log.parent.name: len({line for line in log.read_text().splitlines() if "prepared" in line}) for log in logs}


def training(folder):
    """True once a training has written a few lines."""
    return any(len(path.read_text().splitlines()) > 2 for path in folder.glob("cells/tilted-*/history.jsonl"))


def left_behind(folder):
    return [
        p.name for p in folder.rglob("*") if p.name.startswith(("lock.", "lease.", "driver-")) or p.suffix == ".tmp"
    ]


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("rounds", [1, pytest.param(10, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "parts",
    [
        "--seeds 1,2|--seeds 2,3",
        pytest.param("--seeds 1,2,3 --shard 1/2|--seeds 1,2,3 --shard 2/2", marks=pytest.mark.slow),
    ],
)
def test_two_drivers_share_a_run(start, write_plan, tmp_path, rounds, parts):
    plan = write_plan("exact-draws")
    for trial in range(rounds):
        out = tmp_path / f"r{trial}"
        words = [part.split() for part in parts.split("|")]
        both = [start(tmp_path, "run", "--plan", plan, "--out", out, "--no-report", *each) for each in words]
        ended = [(process, *process.communicate()) for process in both]
        assert [process.returncode for process, _, _ in ended] == [0, 0], ended
        store = Store.open(out)
        assert sorted(cell.seed for cell in store.cells()) == [1, 2, 3]
        assert {store.state(cell.cell_id).status for cell in store.cells()} == {Status.OK}
        assert sorted(starts(out).values()) == [1, 1, 1]
        assert left_behind(out) == []


@pytest.fixture(scope="module")
def local(nisbench, write_plan, tmp_path_factory):
    """A plan, and the numbers of a local run of it."""
    folder, plan = tmp_path_factory.mktemp("local"), write_plan("tilted", "exact-draws", step_sleep=0.02)
    code, _, err = nisbench(folder, "run", "--plan", plan, "--out", "r", "--no-report")
    assert code == 0, err
    return plan, numbers(folder / "r")


@pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason="submitit is not installed")
@pytest.mark.parametrize("n", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_slurm_jobs_are_submitted_and_give_the_numbers_of_a_local_run(
    request, nisbench, write_plan, wait_for, tmp_path, n
):
    """One cell, or three of which one waits for its reference."""
    if n == 1:
        plan = write_plan("exact-draws")
        assert nisbench(tmp_path, "run", "--plan", plan, "--out", "local", "--no-report")[0] == 0
        expected = numbers(tmp_path / "local")
    else:
        plan, expected = request.getfixturevalue("local")
    out = tmp_path / "r"
    command = [
        "run",
        "--plan",
        plan,
        "--out",
        out,
        "--executor",
        "slurm",
        "--slurm",
        "cluster=local",
        "--slurm",
        "time=9",
    ]
    code, printed, err = nisbench(tmp_path, *command)
    assert (code, f": {n} queued" in printed) == (0, True), err
    store = Store.open(out)
    wait_for(lambda: all(store.state(cell.cell_id).status for cell in store.cells()))
    wait_for(lambda: left_behind(out) == [])
    assert numbers(out) == expected
    assert all(store.state(cell.cell_id).queue is None for cell in store.cells())
    code, printed, err = nisbench(tmp_path, *command)
    assert (code, f"0 cells to run, {n} finished before" in err) == (0, True), err


@pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="distributed is not installed")
@pytest.mark.slow
def test_dask_goes_on_when_a_worker_is_killed(local, start, wait_for, environment, tmp_path):
    """A scheduler and two workers; the worker that trains is killed with everything that it has started."""
    plan, expected = local
    cluster, address = [], tmp_path / "scheduler.json"
    options = {"cwd": tmp_path, "env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

    def add(*words):
        command = [sys.executable, "-m", "distributed.cli." + words[0], *words[1:], "--no-dashboard"]
        cluster.append(subprocess.Popen([*command, "--scheduler-file", str(address)], **options))

    try:
        add("dask_scheduler", "--host", "127.0.0.1", "--port", "0")
        wait_for(address.exists)
        for _ in range(2):
            add("dask_worker", "--no-nanny", "--nthreads", "1")
        uri = json.loads(address.read_text())["address"]
        out = tmp_path / "r"
        run = ["run", "--plan", plan, "--out", out, "--no-report", "--executor", "dask", "--scheduler", uri]
        process = start(tmp_path, *run)
        wait_for(lambda: training(out))
        (cell,) = [path.name for path in out.glob("cells/tilted-*")]
        victim = holder(out / "cells" / cell, LEASE).pid
        assert victim in {each.pid for each in cluster[1:]}
        os.kill(victim, signal.SIGKILL)
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        assert numbers(out) == expected
        assert left_behind(out) == []
    finally:
        for each in cluster:
            each.kill()
            each.wait()


@pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="distributed is not installed")
@pytest.mark.slow
def test_dask_on_this_machine_stops_with_its_driver(local, start, nisbench, wait_for, tmp_path):
    plan, expected = local
    out = tmp_path / "r"
    command = ["run", "--plan", plan, "--out", out, "--no-report", "--executor", "dask", "--workers", "2"]
    process = start(tmp_path, *command)
    wait_for(lambda: training(out))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in err) == (130, False), err
    store = Store.open(out)
    (cell,) = [cell for cell in store.cells() if cell.plugin == "tilted"]
    assert store.state(cell.cell_id).status is Status.INTERRUPTED
    time.sleep(1)
    assert left_behind(out) == []
    code, _, err = nisbench(tmp_path, *command)
    assert code == 0, err
    assert numbers(out) == expected


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("--shard 3/2", ["--shard", "'3/2'", "2/8"]),
        ("--scheduler tcp://x:1", ["--scheduler", "--executor dask"]),
        ("--slurm time=5", ["--slurm", "--executor slurm"]),
        ("--executor slurm --slurm time=soon", ["submitit|--slurm time=soon"]),
        ("--executor slurm --slurm time", ["submitit|KEY=VALUE"]),
        pytest.param(
            "--executor slurm",
            ["submitit|srun"],
            marks=pytest.mark.skipif(shutil.which("srun") is not None, reason="this machine has SLURM"),
        ),
    ],
)
def test_wrong_options_of_an_engine_give_one_line(here, tmp_path, words, parts):
    code, out, err = here("run", *words.split())
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert all(any(each in err for each in part.split("|")) for part in parts), err
    assert list(tmp_path.iterdir()) == []
