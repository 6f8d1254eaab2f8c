"""Clock: a phase measures its own block and no more."""

import mmap
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from nisbench.harness import clock as clock_module
from nisbench.harness.clock import Clock
from nisbench.harness.execute import worker_environment

CPU = torch.device("cpu")
MIB = 2**20


def _take(mib):
    """Touches fresh pages of the kernel, whatever the allocator of this process has in store, and gives them back."""
    with mmap.mmap(-1, mib * MIB) as pages:
        for _ in range(mib):
            pages.write(b"\1" * MIB)


@pytest.mark.usefixtures("made_up_time")
def test_seconds_of_a_phase_add_up_and_leave_out_what_lies_between():
    clock = Clock(CPU)
    for _ in range(2):
        with clock.phase("draw") as phase:
            time.sleep(0.05)
        time.sleep(0.1)
    assert phase is clock.phases["draw"]
    assert phase.seconds == pytest.approx(0.1, abs=1e-3)
    assert phase.timing.wall_s == phase.seconds
    assert phase.peak_device_bytes is None


def test_seconds_are_those_of_the_machine():
    clock = Clock(CPU)
    with clock.phase("draw") as phase:
        time.sleep(0.05)
    assert phase.seconds >= 0.05


def test_peak_is_that_of_the_phase():
    clock = Clock(CPU)
    _take(200)  # an earlier peak, which the phase must not see
    with clock.phase("small") as small:
        _take(20)
    with clock.phase("large") as large:
        _take(100)
    _take(200)
    if small.peak_host_bytes is None:
        pytest.skip(f"the kernel refuses: {small.host_reason}")
    assert 19 * MIB < small.peak_host_bytes < 40 * MIB
    assert 99 * MIB < large.peak_host_bytes < 120 * MIB
    with clock.phase("large"):
        _take(10)
    assert 99 * MIB < large.peak_host_bytes < 120 * MIB  # the highest of all entries


def test_memory_that_the_c_library_keeps_hides_no_peak():
    """In the environment of a worker, where freed blocks of this size stay with the process."""
    code = f"""
import torch
from nisbench.harness.clock import Clock
torch.ones(50, {MIB}, dtype=torch.int8)
clock = Clock(torch.device("cpu"))
for _ in range(2):
    with clock.phase("draw") as phase:
        torch.ones(50, {MIB}, dtype=torch.int8)
print(phase.host_reason or phase.peak_host_bytes)
"""
    environment = worker_environment(1)
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    if not told.stdout.strip().isdigit():
        pytest.skip(told.stdout)
    assert 49 * MIB < int(told.stdout) < 70 * MIB


def test_a_kernel_that_refuses_gives_a_reason(monkeypatch):
    monkeypatch.setattr(clock_module, "_PROC", Path("/nonexistent"))
    with Clock(CPU).phase("draw") as phase:
        pass
    assert phase.peak_host_bytes is None
    assert "does not reset" in phase.host_reason


@pytest.mark.usefixtures("made_up_time")
def test_phases_do_not_nest_and_end_with_an_exception():
    clock = Clock(CPU)
    with clock.phase("a"), pytest.raises(RuntimeError, match="'b' inside phase 'a'"), clock.phase("b"):
        pass
    with pytest.raises(ZeroDivisionError), clock.phase("a"):
        time.sleep(1 / 0)
    with clock.phase("a"):
        time.sleep(1)
    time.sleep(1)
    with clock.phase("b") as phase:
        pass
    assert phase.seconds < 1e-3
    assert clock.phases["a"].seconds == pytest.approx(1, abs=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_device_work_is_inside_the_phase():
    clock = Clock(torch.device("cuda"))
    a = torch.ones(8192, 8192, device="cuda")
    with clock.phase("draw") as phase:
        for _ in range(20):
            a @ a
    with clock.phase("idle") as idle:
        pass
    assert phase.peak_device_bytes >= 2 * 8192**2 * 4
    # 20 products of 1.1e12 operations take longer than this on any device; unsynchronised they would not
    assert phase.seconds > 0.005 > idle.seconds
