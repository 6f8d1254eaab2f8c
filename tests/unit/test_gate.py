"""The gate's rules on numbers whose verdict is known, and what the suite promises to it."""

import ast
import importlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import alarm_rate, commits, gate, measurements, suite
from benchmarks.measurements import Measurement
from tests.architecture.measure import graph_of, reachable, read
from tests.performance import slowdown

ROOT = Path(__file__).parents[2]


def time(*rounds: float) -> Measurement:
    return Measurement("time", "seconds", float(np.median(rounds or (0.2,))), rounds)


def found(base: Measurement | None, head: Measurement | None) -> list[str]:
    sides = [{} if side is None else {"b": side} for side in (base, head)]
    return [finding.what for finding in gate.compare(*sides)]


OLD = time(0.100, 0.102, 0.101, 0.104)


def test_a_slowdown_beyond_every_threshold_is_found_and_named():
    assert found(OLD, time(0.150, 0.155, 0.151, 0.160)) == ["slower"]
    told = str(gate.compare({"bench.A.time_b(8)": OLD}, {"bench.A.time_b(8)": time(0.15, 0.15, 0.15, 0.15)})[0])
    assert "bench.A.time_b(8)" in told
    assert "1.48 x" in told


@pytest.mark.parametrize(
    "head",
    [
        time(0.124, 0.125, 0.126, 0.124),  # significant, but not 1.25 x
        time(0.099, 0.101, 0.151, 0.155),  # 1.25 x by the median, but not significant
        time(0.050, 0.051, 0.052, 0.050),  # faster
        time(),  # no samples kept
    ],
)
def test_one_threshold_not_reached_is_no_finding(head):
    assert found(OLD, head) == []


def test_a_millisecond_is_the_least_that_counts():
    small, large = [time(*(scale * t for t in (1.0, 1.1, 1.05, 1.02))) for scale in (1e-3, 1.9e-3)]
    assert found(small, large) == []
    assert found(*[time(*(2 * t for t in side.rounds)) for side in (small, large)]) == ["slower"]


def test_counters_gate_exactly_and_one_way():
    def counter(value):
        return Measurement("track", "launches", value)

    assert found(counter(120.0), counter(121.0)) == ["counter rose"]
    assert found(counter(0.1), counter(0.1 + 2e-17)) == ["counter rose"]
    assert found(counter(120.0), counter(119.0)) == []
    assert found(counter(120.0), counter(120.0)) == []


def test_memory_gates_above_a_tenth_and_16_mb():
    def peak(value):
        return Measurement("peakmemory", "bytes", value)

    assert found(peak(500e6), peak(560e6)) == ["more memory"]
    assert found(peak(500e6), peak(540e6)) == []
    assert found(peak(100e6), peak(115e6)) == []


def test_what_fails_or_vanishes_is_found_and_what_never_applied_is_not():
    failed, not_applicable = Measurement("time", "seconds", None), Measurement("time", "seconds", float("nan"))
    assert found(OLD, failed) == ["failed"]
    assert found(failed, failed) == ["failed"]
    assert found(OLD, None) == ["gone"]
    assert found(OLD, not_applicable) == ["no longer applies"]
    assert found(not_applicable, not_applicable) == []
    assert found(not_applicable, OLD) == []
    assert found(None, OLD) == []


def test_only_what_the_second_run_finds_again_fails_the_gate():
    once, twice, exact = (gate.Finding(n, w, "first") for n, w in (("a", "slower"), ("b", "slower"), ("c", "failed")))
    second = gate.Finding("b", "slower", "second")
    assert gate.judge([once, twice, exact], [second, gate.Finding("a", "more memory")]) == [exact, second]


def test_noise_of_1_44_gives_few_findings_and_almost_no_alarms():
    """Identical code whose processes differ by up to 1.44, 2000 times: at most 3 % found, at most 0.3 % found twice."""
    generator = np.random.default_rng(1)

    def comparison(rounds):
        return found(*(time(*(0.1 * generator.uniform(1, 1.44, rounds))) for _ in range(2)))

    first = sum(comparison(4) != [] for _ in range(2000)) / 2000
    second = sum(comparison(6) != [] for _ in range(2000)) / 2000
    assert first < 0.03, first
    assert first * second < 0.003, (first, second)


def test_a_slowdown_of_1_5_is_found_in_that_noise():
    """Negative control of the test above: the same noise of 1.1, and with it nearly every slowdown is found."""
    generator = np.random.default_rng(2)

    def processes(scale):
        return time(*(scale * generator.uniform(1, 1.1, 4)))

    missed = sum(found(processes(0.1), processes(0.15)) == [] for _ in range(500))
    assert missed <= 5, missed


def test_commit_messages_accept_what_is_meant():
    findings = [gate.Finding("bench_a.A.track_b(8)", "counter rose"), gate.Finding("bench_c.C.time_d", "slower")]
    stands, meant = gate.accepted(findings, ["bench_a.*"])
    assert (stands, meant) == ([findings[1]], [findings[0]])


def test_the_upper_bound_of_the_rate_of_false_alarms():
    assert alarm_rate.upper_bound(0, 10) == pytest.approx(1 - 0.05**0.1)
    assert alarm_rate.upper_bound(3, 3) == 1.0
    assert 0.3 < alarm_rate.upper_bound(1, 10) < 0.4


def test_stored_results_are_read_parameter_by_parameter(tmp_path):
    results = tmp_path / "results"
    (results / "machine").mkdir(parents=True)
    suite_ = {
        "m.A.time_a": {"type": "time", "unit": "seconds", "version": "1", "repeat": 2},
        "m.A.track_b": {"type": "track", "unit": "calls", "version": "1"},
        "m.A.time_c": {"type": "time", "unit": "seconds", "version": "2", "repeat": 2},
        "m.A.time_d": {"type": "time", "unit": "seconds", "version": "1", "repeat": 2},
    }
    (results / "benchmarks.json").write_text(json.dumps(suite_ | {"version": 2}))
    columns = ["result", "params", "version", "started_at", "samples"]
    rows = {
        "m.A.time_a": [[0.1, None], [["8", "16"]], "1", 5000, [[0.3, 0.1, 0.2, 0.4], None]],
        "m.A.track_b": [[float("nan")], [], "1", 5000],
        "m.A.time_c": [[0.1], [], "1", 5000],
        "m.A.time_d": [None, [["'x'"]], "1", 4999],
    }
    stored = {"result_columns": columns, "results": rows}
    (results / "machine" / "01234567-env.json").write_text(json.dumps(stored))
    all_of_it = measurements.measurements(results, "0123456789")
    assert all_of_it["m.A.time_a(8)"] == Measurement("time", "seconds", 0.1, (0.1, 0.2))
    assert all_of_it["m.A.time_a(16)"].value is None
    assert all_of_it["m.A.track_b"].missing
    assert all_of_it["m.A.time_d('x')"].value is None
    assert "m.A.time_c" not in all_of_it, "another version of the benchmark"
    assert "m.A.time_d('x')" not in measurements.measurements(results, "0123456789", since=5.0), "of an older run"


def test_every_feature_that_a_benchmark_asks_for_is_there():
    """n/a is for older commits; here it would hide a benchmark."""
    paths = [
        *(ROOT / "benchmarks").glob("bench_*.py"),
        ROOT / "benchmarks" / "suite.py",
        ROOT / "benchmarks" / "work.py",
    ]
    asked = re.findall(r'feature\(\s*"([^"]+)"', "".join(path.read_text() for path in paths))
    assert len(asked) > 5
    assert all(suite.feature(name) is not None for name in asked)
    with pytest.raises(NotImplementedError, match=r"no nisbench\.nothing"):
        suite.feature("nisbench.nothing:at_all")
    with pytest.raises(NotImplementedError, match="no nothing in"):
        suite.feature("nisbench.cli:nothing")


def test_code_under_test_is_imported_by_functions_alone():
    """asv imports the files of the benchmarks, and what they import, with old commits on the path."""
    files = {file.module: file for file in read(ROOT, ("benchmarks",))}
    below = reachable(graph_of(files.values()))
    suite_files = {m for name in files if name.startswith("benchmarks.bench_") for m in (name, *below[name])}
    assert {"benchmarks.bench_core", "benchmarks.suite", "benchmarks.work"} <= suite_files
    for name in sorted(suite_files):
        top = [node for node in files[name].tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        names = [getattr(node, "module", None) or node.names[0].name for node in top]
        assert not [n for n in names if n.split(".")[0] in ("nisbench", "nisbench_plugins", "torch")], name


def test_every_benchmark_has_an_explicit_version():
    """asv's default is a hash of the source: a comment would begin a new series."""
    for name in sorted(commits.suite_here()):
        module, klass, _ = name.split(".")
        assert isinstance(getattr(importlib.import_module(f"benchmarks.{module}"), klass).version, str), name


def test_the_planted_slowdown_applies_and_multiplies_the_time():
    source = (ROOT / slowdown.FILE).read_text()
    assert slowdown.planted(source).startswith(source)
    with pytest.raises(ValueError, match="name the sampling kernel in tests"):
        slowdown.planted("nothing = 1\n")
    assert slowdown.SLOWED in commits.suite_here()


def test_trial_commits_leave_branch_index_and_files_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in commits.TRIAL.items():
        monkeypatch.setenv(name, value)
    Path("file").write_text("old")
    commits.git("init", "-q", "-b", "main")
    commits.git("add", "file")
    commits.git("commit", "-qm", "first")
    head = commits.resolve("HEAD")
    trial = commits.trial_commit(head, {"file": "new"}, "trial\n\nAccept-benchmark: bench_a.A.time_a('x', 8)")
    assert commits.git("show", f"{trial}:file") == "new"
    assert commits.resolve("HEAD") == head
    assert commits.git("status", "--porcelain") == ""
    assert Path("file").read_text() == "old"
    assert commits.accepted_patterns(head, trial) == ["bench_a.A.time_a('x', 8)"]
    assert commits.base_of(trial) == head
    with pytest.raises(commits.UnknownCommit, match="no parent"):
        commits.base_of(head)
    with pytest.raises(commits.UnknownCommit):
        commits.resolve("nothing")


def test_a_benchmark_that_leaves_the_suite_is_gone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in commits.TRIAL.items():
        monkeypatch.setenv(name, value)
    Path("benchmarks").mkdir()
    bench = Path("benchmarks") / "bench_a.py"
    bench.write_text("class A:\n    def time_a(self): ...\n\n    def track_b(self): ...\n\n    def setup(self): ...\n")
    commits.git("init", "-q", "-b", "main")
    commits.git("add", ".")
    commits.git("commit", "-qm", "first")
    bench.write_text("class A:\n    def time_a(self): ...\n")
    assert [finding.name for finding in gate.gone("HEAD")] == ["bench_a.A.track_b"]
