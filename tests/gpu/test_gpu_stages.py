"""A stage that raises, hangs or is killed costs that stage alone, whichever it is."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.gpu import stages as runner
from benchmarks.gpu.command import chosen, execute, main
from benchmarks.gpu.requirements import ROOT
from benchmarks.gpu.stages import STAGES, Stage, run_stages, stage_command, stage_environment

GOOD = 'open(\'rows.jsonl\', \'w\').write(\'["ceilings", {"quantity": "of NAME", "value": 1, "unit": "s"}]\\n\')'
PLANTED = {
    "raise": (f"{GOOD}; raise ValueError('planted')", "exit code 1; ValueError: planted"),
    "hang": (f"{GOOD}; import time; open('hangs', 'w'); time.sleep(600)", "stopped at its limit of"),
    "kill": (f"{GOOD}; import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
}
HEAD = {"dry": True, "provenance": {"cpu": "a processor"}}


REST = Stage("rest", "Takes the time that is left, so that a planted hang gets little", 34)


@pytest.fixture
def limit_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends the time of a stage when its folder has the file `hangs`, however busy the machine is."""

    class Popen(subprocess.Popen):
        def __init__(self, *words: object, cwd: Path, **given: object) -> None:
            self.hangs = cwd / "hangs"
            super().__init__(*words, cwd=cwd, **given)

        def wait(self, timeout: float | None = None) -> int:
            while timeout is not None and self.poll() is None:
                if self.hangs.exists():
                    raise subprocess.TimeoutExpired(self.args, timeout)
                time.sleep(0.005)
            return super().wait()

    monkeypatch.setattr(runner.subprocess, "Popen", Popen)


def run(out: Path, bad: str, code: str) -> int:
    """All stages, `bad` with this code and a small part of the time, the others with one good row."""
    stages = [*(Stage(s.name, s.title, 1 if s.name == bad else 5) for s in STAGES), REST]

    def command(stage: Stage, folder: Path, limit: float) -> list[str]:
        assert folder.is_dir()
        assert 0 < limit < (300 if stage.name == bad else 6100)
        return [sys.executable, "-I", "-S", "-c", (code if stage.name == bad else GOOD).replace("NAME", stage.name)]

    return execute(stages, out, HEAD, seconds=6000, command=command, environment=dict(os.environ))


@pytest.mark.usefixtures("limit_is_up")
@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize("bad", [stage.name for stage in STAGES])
def test_the_others_deliver(bad: str, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, reason = PLANTED[kind]
    assert run(tmp_path, bad, code) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == f"not done: {bad}"
    found = json.loads((tmp_path / "gpu.json").read_text())
    by_name = {stage["name"]: stage for stage in found["stages"]}
    assert {name for name, stage in by_name.items() if stage["status"] == "done"} == set(by_name) - {bad}
    assert reason in by_name[bad]["reason"]
    rows = [row["quantity"] for row in found["tables"]["ceilings"]]
    assert rows == [f"of {stage.name}" for stage in (*STAGES, REST)], "the planted stage keeps the row it had recorded"
    assert f"| {bad} |" in (tmp_path / "gpu.md").read_text()
    assert f"{bad}: failed" in (tmp_path / "gpu.log").read_text()


def test_stages_are_skipped_by_name_when_the_time_is_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stages = [Stage("long", "sleeps", 1000), Stage("next", "is left out", 1)]

    def command(*_: object) -> list[str]:
        return [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"]

    assert execute(stages, tmp_path, HEAD, seconds=1, command=command, environment=dict(os.environ)) == 1
    said = capsys.readouterr().out.splitlines()
    assert re.match(r"long: failed after \d+ s: stopped at its limit of 1 s", said[0])
    assert said[1] == "next: skipped: the time was up"
    assert said[-1] == "not done: long, next"


def test_time_that_a_stage_does_not_use_goes_to_the_later_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner.time, "monotonic", lambda: 0.0)
    limits = {}

    def command(stage: Stage, folder: Path, limit: float) -> list[str]:
        limits[stage.name] = limit
        return [sys.executable, "-I", "-S", "-c", ""]

    stages = [Stage("a", "", 1), Stage("b", "", 1), Stage("c", "", 2)]
    outcomes = run_stages(stages, seconds=100, folder=tmp_path, command=command, environment={})
    assert [outcome.status for outcome in outcomes] == ["done"] * 3
    assert limits == pytest.approx({"a": 25, "b": 100 / 3, "c": 100})


@pytest.mark.usefixtures("limit_is_up")
def test_children_of_a_stage_end_with_it(tmp_path: Path) -> None:
    child = "import time; time.sleep(600)"
    start = f"subprocess.Popen([sys.executable, '-I', '-S', '-c', {child!r}])"
    code = f"import subprocess, sys, time; p = {start}; open('pid', 'w').write(str(p.pid))"
    code += "; open('hangs', 'w'); time.sleep(600)"

    def command(*_: object) -> list[str]:
        return [sys.executable, "-I", "-S", "-c", code]

    [outcome] = run_stages([Stage("a", "", 1)], seconds=600, folder=tmp_path, command=command, environment={})
    assert outcome.status == "failed"
    status = Path("/proc") / (tmp_path / "a" / "pid").read_text() / "stat"
    while runs(status):
        time.sleep(0.02)


def runs(status: Path) -> bool:
    """Whether the process of a file /proc/PID/stat is alive."""
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_store_that_is_too_large_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.gpu.output.LIMIT_BYTES", 10)
    code = "import os; os.mkdir('run'); open('run/plan.json', 'w').write('{}')"

    def command(*_: object) -> list[str]:
        return [sys.executable, "-I", "-S", "-c", code]

    stages = [Stage("quality", "", 1)]
    assert execute(stages, tmp_path, HEAD, seconds=600, command=command, environment=dict(os.environ)) == 1
    assert not (tmp_path / "quality.tar.gz").exists()
    assert "its store is left out" in capsys.readouterr().out


def test_real_stages_exist_and_a_dry_run_sees_no_device() -> None:
    for stage in STAGES:
        assert (ROOT / "benchmarks" / "gpu" / f"{stage.name}.py").exists()
    words = stage_command(dry=True)(STAGES[0], Path("/x"), 10)
    assert words[3:7] == ["-m", "benchmarks.gpu.process", STAGES[0].name, "/x"]
    assert words[-1] == "--dry"
    dry, real = stage_environment(dry=True), stage_environment(dry=False)
    assert dry["CUDA_VISIBLE_DEVICES"] == ""
    assert dry["TRITON_INTERPRET"] == "1"
    assert "TRITON_INTERPRET" not in real
    assert real["PYTHONPATH"].split(os.pathsep)[:2] == [str(ROOT), str(ROOT / "plugins")]


def test_packages_on_a_relative_path_are_found_in_the_folder_of_a_stage(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([".", "build/packages"]))
    path = stage_environment(dry=False)["PYTHONPATH"].split(os.pathsep)
    assert path[2:] == [str(tmp_path), str(tmp_path / "build" / "packages")]


def test_stages_are_chosen_by_name_and_keep_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert [stage.name for stage in chosen("steps,right")] == ["right", "steps"]
    with pytest.raises(SystemExit) as stopped:
        main(["--stages", "right,speed"])
    assert stopped.value.code == 2
    assert "'speed' is no stage; there are right, ceilings" in capsys.readouterr().err


def test_the_page_of_the_command_describes_every_stage() -> None:
    lines = (ROOT / "docs" / "gpu.md").read_text().splitlines()
    for stage in STAGES:
        [row] = [line for line in lines if line.startswith(f"| `{stage.name}` |")]
        assert row.endswith(f"| {stage.share:g} % |")
    assert sum(stage.share for stage in STAGES) == 100
