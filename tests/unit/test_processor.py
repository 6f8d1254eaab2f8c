"""CPU time with threads and children, stops of the process, and the conditions on which a time counts as busy."""

import math
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
from fakes.hidden import work

from nisbench.contract.records import CellResult, Status
from nisbench.contract.timing import PhaseTiming, Timing, Unclocked
from nisbench.harness import processor
from nisbench.harness.processor import Machine, Pulse, Stopwatch, background_cores, cpu_seconds

QUIET = Timing(0.5, 4, phases={"train": PhaseTiming(10.0, 9.9), "draw": PhaseTiming(1.0, 1.0)})


def test_cpu_time_contains_threads_and_living_children():
    before = cpu_seconds()
    thread = threading.Thread(target=work, args=(0.1,))
    thread.start()
    thread.join()
    assert cpu_seconds() - before >= 0.1
    code = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
    before = cpu_seconds()
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
    assert cpu_seconds() - before >= 0.28  # counted in steps of 0.01 s while it lives
    child.communicate(b"\n")
    assert cpu_seconds() - before >= 0.3  # and after its end


def test_a_stopwatch_adds_up_and_sleep_is_no_cpu_time():
    watch = Stopwatch()
    for _ in range(2):
        watch.start()
        time.sleep(0.05)
        watch.stop()
    assert watch.spent.wall_s >= 0.1
    assert watch.spent.cpu_s < 0.1
    assert watch.spent.stopped_s == 0
    watch.start()
    watch.stop(wall_s=3.0)
    assert watch.spent.wall_s >= 3.1


def test_a_late_beat_without_cpu_time_is_a_stop(monkeypatch):
    """The clocks are made up: (monotonic, CPU, waited) seconds."""
    pulse = Pulse()
    for now, expected in [
        ((0.4, 0.0, 0.0), 0.0),  # not late enough
        ((12.25, 0.0, 0.0), 12.0),  # stopped
        ((12.25, 12.0, 0.0), 0.0),  # a kernel that holds the interpreter works
        ((12.25, 0.0, 9.0), 3.0),  # waited for a core
    ]:
        pulse._last = (0.0, 0.0, 0.0)
        monkeypatch.setattr(Pulse, "_now", staticmethod(lambda now=now: now))
        assert pulse.stopped_s == pytest.approx(expected)


def test_a_thread_that_works_on_is_seen():
    over = threading.Event()
    thread = threading.Thread(target=lambda: [work(0.01) for _ in iter(over.is_set, True)])
    thread.start()
    try:
        # once: a look may fall into a stop of the whole machine
        assert any(background_cores() > 0.3 for _ in range(20))
    finally:
        over.set()
        thread.join()


def test_conditions_of_this_machine_are_read():
    timing = Machine.read().timing()
    assert timing.cores >= 1
    assert 0 <= timing.others <= timing.cores + 1
    assert 0 <= timing.stolen <= 1


def test_a_kernel_that_shows_nothing_gives_zeros(monkeypatch):
    monkeypatch.setattr(processor, "_text", lambda path: "")
    timing = Machine.read().timing()
    assert (timing.others, timing.stolen, timing.throttled_s) == (0, 0, 0)
    assert processor._scheduled_s(1) == (0, 0)


def test_throttling_is_read_from_both_kinds_of_control_groups(monkeypatch):
    new = {"/proc/self/cgroup": "0::/a\n", "/sys/fs/cgroup/a/cpu.stat": "usage_usec 5\nthrottled_usec 2500000\n"}
    monkeypatch.setattr(processor, "_text", lambda path: new.get(path, ""))
    assert processor._throttled_s() == 2.5
    old = {"/proc/self/cgroup": "1:cpu:/b\n", "/sys/fs/cgroup/cpu/b/cpu.stat": "throttled_time 1500000000\n"}
    monkeypatch.setattr(processor, "_text", lambda path: old.get(path, ""))
    assert processor._throttled_s() == 1.5


@pytest.mark.parametrize(
    ("change", "train", "draw"),
    [
        ({}, False, False),
        ({"others": 0.3}, False, False),
        ({"others": 0.5}, True, True),
        ({"stolen": 0.06}, True, True),
        ({"throttled_s": 2.0}, True, True),
        ({"stopped_s": 12.0, "wall_s": 14.0}, True, False),
        ({"waited_s": 0.9}, False, False),
        ({"waited_s": 0.04, "wall_s": 0.1}, False, False),
        ({"waited_s": 1.2}, True, False),
        ({"suspended_s": 60.0}, True, False),
    ],
)
def test_conditions_that_make_a_time_busy(change, train, draw):
    fields = {name: value for name, value in change.items() if name in PhaseTiming.__dataclass_fields__}
    phases = {**QUIET.phases, "train": replace(QUIET.phases["train"], **fields)}
    rest = {name: value for name, value in change.items() if name not in fields}
    timing = replace(QUIET, phases=phases, **rest)
    assert (timing.disturbed("train"), timing.disturbed("draw")) == (train, draw)
    assert bool(timing.disturbances) is (train or draw)
    assert timing.disturbed("prepare") is draw  # a phase without a record shares the machine


def test_share_that_was_lost():
    assert PhaseTiming(14.0, 2.0, stopped_s=12.0).lost == pytest.approx(12 / 14)
    assert PhaseTiming().lost == 0
    assert PhaseTiming(1.0, waited_s=3.0).lost == 1
    assert math.isclose((PhaseTiming(1.0, 2.0) + PhaseTiming(3.0, 4.0, 5.0)).stopped_s, 5.0)


def test_timing_is_stored_and_old_files_have_none():
    result = CellResult("c", Status.OK, timing=replace(QUIET, unclocked=(Unclocked("import", 2.0),)))
    assert CellResult.from_json(result.to_json()) == result
    old = result.to_json()
    del old["timing"]
    assert CellResult.from_json(old).timing is None
