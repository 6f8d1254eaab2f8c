"""Random kills of a run: nothing is lost, nothing stays running, and the final numbers are those of an undisturbed run.

`pytest -n 0 -m slow tests/cli/test_kills.py` makes ten rounds of three kills. Three environment variables set more:
NISBENCH_KILL_ROUNDS is the number of rounds, NISBENCH_KILL_FIRST the first round, with which a series can go on, and
NISBENCH_KILL_LOG a file that gets a line for each round. docs/dev/reliability.md has the figures.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nisbench.errors import StoreError
from nisbench.harness import guard as guard_module
from nisbench.harness.store import Store

TIMED = re.compile(r"_s$|_bytes$|_per_1000$|per_effective_sample|flops_per_s")
SIGNALS = ("KILL", "TERM", "HUP", "INT", "STOP")
"""STOP is followed by KILL."""
VICTIMS = ("driver", "worker", "both", "group")
MIB = 2**20
ROUNDS, FIRST = (int(os.environ.get(f"NISBENCH_KILL_{name}", usual)) for name, usual in (("ROUNDS", 10), ("FIRST", 1)))
MISLEADING = {"Traceback", "damaged", "error:"}
"""Words that no message of a killed run contains."""
PATIENCE_S = 1800.0
"""A run may be slow on a busy machine; one that does not end within this time hangs."""
REST_S = 2.0
"""Within this time, no process of the run is left."""


def processes(word: str) -> dict[int, list[str]]:
    """Live processes whose command line contains a word: ids and arguments."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                alive = (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
            except OSError:
                continue
            if alive and any(word in each for each in words):
                found[int(entry.name)] = words
    return found


def numbers(store: Store) -> dict[str, tuple]:
    """Everything of a run except seconds and bytes."""
    found = {}
    for cell in store.cells():
        result = store.result(cell.cell_id)
        assert result is not None, cell.cell_id
        kept = {name: estimate for name, estimate in result.quantities.items() if not TIMED.search(name)}
        series = {name: values.tobytes() for name, values in store.series(cell.cell_id).items()}
        found[cell.cell_id] = (result.status, result.reason, kept, series)
    return found


def send(name: str, pids: list[int]) -> None:
    for pid in pids:
        for each in ("STOP", "KILL") if name == "STOP" else (name,):
            try:
                os.kill(pid, getattr(signal, f"SIG{each}"))
            except ProcessLookupError:
                break


def victims(kind: str, driver: int, run: Path) -> list[int]:
    below = {pid: words for pid, words in processes(str(run)).items() if pid != driver}
    workers = [pid for pid, words in below.items() if "nisbench.harness.worker" in words and "--grace" not in words]
    return {"driver": [driver], "worker": workers, "both": [driver, *workers], "group": [driver, *below]}[kind]


def rest_is_gone(run: Path, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while processes(str(run)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture(scope="module")
def undisturbed(start, write_plan, tmp_path_factory) -> tuple[Path, dict, float]:
    """Plan, numbers and seconds of a run that was left alone."""
    folder = tmp_path_factory.mktemp("undisturbed")
    plan = write_plan("tilted", "perfect", step_sleep=0.005)
    begin = time.monotonic()
    code, _, err = to_the_end(start(folder, "run", "--plan", plan, "--out", "r", "--no-report"))
    assert code == 0, err
    return plan, numbers(Store.open(folder / "r")), time.monotonic() - begin


def to_the_end(process: subprocess.Popen) -> tuple[int, str, str]:
    """Exit code, output and messages of a command that nobody kills."""
    out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err


def one_round(seed: int, undisturbed: tuple[Path, dict, float], start, folder: Path) -> list[str]:
    """Kill a run three times, let it end, and compare its numbers. Return the kills in words."""
    plan, expected, seconds = undisturbed
    rng, run, done = random.Random(seed), folder / f"run-{seed}", []
    command = ["run", "--plan", plan, "--out", run, "--no-report"]
    for _ in range(3):
        process = start(folder, *command)
        time.sleep(rng.uniform(0.0, seconds))
        kind, name = rng.choice(VICTIMS), rng.choice(SIGNALS)
        send(name, victims(kind, process.pid, run))
        done.append(f"{name} {kind}")
        planned = (run / "plan.json").exists()
        _, err = process.communicate(timeout=PATIENCE_S)  # the driver of a worker goes on
        assert process.returncode != 0 or (run / "plan.json").exists(), done
        assert not planned or not MISLEADING & set(err.split()), (done, err)
        assert rest_is_gone(run, REST_S), (done, processes(str(run)))
        if (run / "plan.json").exists():
            code, _, err = to_the_end(start(folder, "status", run))
            assert (code, err) == (0, ""), (done, err)
    code, _, err = to_the_end(start(folder, *command))
    assert code == 0, (done, err)
    assert rest_is_gone(run, REST_S), (done, processes(str(run)))
    found = numbers(Store.open(run))
    assert found.keys() == expected.keys(), done
    for cell_id, values in expected.items():
        assert found[cell_id] == values, (done, cell_id)
    assert [path.name for path in run.rglob(".*.tmp")] == [], done
    return done


@pytest.mark.slow
@pytest.mark.timeout(36_000)
def test_random_kills(undisturbed, start, tmp_path) -> None:
    """Each round is a run that is killed three times. A failed round keeps its folder, and the others go on."""
    failed, log = {}, os.environ.get("NISBENCH_KILL_LOG")
    for seed in range(FIRST, FIRST + ROUNDS):
        try:
            words = ", ".join(one_round(seed, undisturbed, start, tmp_path))
            shutil.rmtree(tmp_path / f"run-{seed}")
        except (AssertionError, StoreError, subprocess.TimeoutExpired) as error:
            failed[seed] = words = f"FAILED {type(error).__name__}: {error}"
        if log:
            with open(log, "a", encoding="utf-8") as file:
                file.write(f"round {seed}: {words}\n")
    assert failed == {}


def guard(tmp_path: Path, code: str, *options: str, word: str = "left-behind"):
    """Start a guard around `python -c code`, as the driver does."""
    command = [sys.executable, "-I", "-S", str(guard_module.__file__), "--parent", str(os.getpid()), *options]
    return subprocess.Popen(
        [*command, sys.executable, "-c", code, word],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


DAEMON = (
    "import os, sys, time\n"
    "if os.fork() == 0:\n"
    "    os.setsid()\n"
    "    if os.fork() == 0:\n"
    "        time.sleep(600)\n"
    "    os._exit(0)\n"
    "sys.stdin.read()\n"
    "sys.exit(7)\n"
)


@pytest.mark.parametrize("end", ["alone", "TERM"])
def test_a_daemon_of_a_plugin_ends_with_its_worker(tmp_path, wait_for, end) -> None:
    word = f"daemon-{end}-{os.getpid()}"
    with guard(tmp_path, DAEMON, word=word) as process:
        wait_for(lambda: len(processes(word)) >= 3)
        process.terminate() if end == "TERM" else process.stdin.close()  # the worker ends with its standard input
        process.wait()
    assert process.returncode == (7 if end == "alone" else 128 + signal.SIGTERM)
    assert processes(word) == {}


def test_memory_of_all_processes_counts_together(tmp_path) -> None:
    code = (
        "import os, time\n"
        "for _ in range(4):\n"
        "    if os.fork() == 0:\n"
        "        block = bytearray(50 * 2**20)\n"
        "        time.sleep(600)\n"
        "time.sleep(600)\n"
    )
    process = guard(tmp_path, code, "--memory-limit", str(120 * MIB), word=f"memory-{os.getpid()}")
    out, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert "MemoryError: the processes of the cell take" in out
    assert processes(f"memory-{os.getpid()}") == {}


@pytest.mark.parametrize("ignores", [False, True])
def test_a_worker_that_was_asked_to_stop_has_not_failed(tmp_path, wait_for, ignores) -> None:
    """A scheduler sends SIGTERM to every process; a worker may end by it, or by force after the grace."""
    code = f"import signal, time; {'signal.signal(signal.SIGTERM, signal.SIG_IGN); ' if ignores else ''}time.sleep(60)"
    word = f"asked-{ignores}-{os.getpid()}"
    process = guard(tmp_path, code, "--grace", "0.5", word=word)
    wait_for(lambda: len(processes(word)) == 2)
    time.sleep(0.3)
    send("TERM", list(processes(word)))
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert processes(word) == {}


def test_the_end_of_the_driver_shortens_the_time_of_a_worker_that_was_asked_to_stop(tmp_path, wait_for) -> None:
    word = f"orphan-{os.getpid()}"
    worker = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    command = [sys.executable, "-I", "-S", str(guard_module.__file__), "--grace", "600"]
    driver = (
        "import os, subprocess, sys\n"
        f"command = {command!r} + ['--parent', str(os.getpid()), sys.executable, '-c', {worker!r}, {word!r}]\n"
        "guard = subprocess.Popen(command)\n"
        "print(guard.pid, flush=True)\n"
        "guard.wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", driver], stdout=subprocess.PIPE, text=True) as process:
        guard_id = int(process.stdout.readline())
        wait_for(lambda: any("--grace" not in words for words in processes(word).values()))
        time.sleep(0.3)  # until the worker ignores the signal
        os.kill(guard_id, signal.SIGTERM)
        process.kill()
    wait_for(lambda: not processes(word))
