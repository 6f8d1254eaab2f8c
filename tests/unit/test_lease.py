"""One process holds a lease at a time, whatever the file system offers; that of a dead holder can be taken."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import msgspec
import pytest

from nisbench.errors import StoreError
from nisbench.harness import lease as leases
from nisbench.harness.lease import EXPIRY_S, Lease, Sightings, holder, is_gone

HOLD = """
import sys, time
from pathlib import Path
from nisbench.harness.lease import Lease, Sightings
lease = Lease.take(Path(sys.argv[1]), "x", Sightings())
print(lease is not None, flush=True)
time.sleep(600)
"""
CROWD = """
import os, sys, time
from pathlib import Path
from nisbench.harness.lease import Lease, Sightings
folder, rounds, broken = Path(sys.argv[1]), int(sys.argv[2]), len(sys.argv) > 3
sightings, inside, together = Sightings(), folder / "inside", 0
print(flush=True)
sys.stdin.readline()
while rounds:
    lease = Lease.take(folder, "x", sightings)
    if lease is None and not broken:
        continue
    rounds -= 1
    try:
        os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
        time.sleep(0.0005)
        inside.unlink(missing_ok=True)
    except FileExistsError:
        together += 1
    if lease is not None and rounds % 3:
        lease.release()
    elif lease is not None:  # as a killed holder: the file stays, the kernel drops the lock
        os.close(lease.file)
print(together)
"""


def take(folder: Path, sightings: Sightings | None = None) -> Lease | None:
    return Lease.take(folder, "x", sightings or Sightings())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def start(code: str, *arguments: object) -> subprocess.Popen:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], **pipes)


def abroad(path: Path) -> None:
    """Make the lease one of another machine."""
    found = msgspec.json.decode(path.read_bytes(), type=leases.Holder)
    path.write_bytes(msgspec.json.encode(asdict(found) | {"kernel": "another", "host": "elsewhere"}))


def test_a_lease_is_held_once_and_leaves_nothing(tmp_path):
    lease = take(tmp_path)
    assert lease is not None
    assert take(tmp_path) is None
    assert holder(tmp_path, "x").pid == os.getpid()
    assert holder(tmp_path, "y") is None
    lease.release()
    lease.release()
    assert (names(tmp_path), holder(tmp_path, "x")) == ([], None)
    assert take(tmp_path) is not None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_lease_of_a_killed_process_is_free_at_once(tmp_path, number):
    process = start(HOLD, tmp_path)
    assert process.stdout.readline() == "True\n"
    assert take(tmp_path) is None
    os.kill(process.pid, number)
    process.communicate()
    assert is_gone(tmp_path / "x.1", Sightings())
    assert take(tmp_path) is not None
    assert names(tmp_path) == ["x.2"]


def test_a_child_that_inherits_the_file_holds_the_lease(tmp_path):
    lease = take(tmp_path)
    child = subprocess.Popen(["sleep", "600"], pass_fds=(lease.file,))
    os.close(lease.file)
    assert take(tmp_path) is None
    child.kill()
    child.wait()
    assert take(tmp_path) is not None


def test_a_holder_on_another_machine_is_dead_after_a_long_silence(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(leases.time, "monotonic", lambda: now[0])
    first = take(tmp_path)
    os.close(first.file)
    path, sightings = tmp_path / "x.1", Sightings()
    abroad(path)
    for now[0] in (0.0, EXPIRY_S - 1, EXPIRY_S):
        assert take(tmp_path, sightings) is None
    os.utime(path, ns=(1, 1))  # a sign of life, by a clock that is far behind
    for now[0] in (EXPIRY_S + 1, 2 * EXPIRY_S):
        assert take(tmp_path, sightings) is None
    now[0] = 2 * EXPIRY_S + 2
    assert take(tmp_path) is None  # an observer that has just come knows nothing
    assert take(tmp_path, sightings) is not None


def test_a_holder_that_was_silent_too_long_notices_the_loss(tmp_path, monkeypatch):
    silent, sightings = take(tmp_path), Sightings()
    abroad(tmp_path / "x.1")
    assert take(tmp_path, sightings) is None
    later = time.monotonic() + EXPIRY_S + 1
    monkeypatch.setattr(leases.time, "monotonic", lambda: later)
    assert not silent.lost
    new = take(tmp_path, sightings)
    assert new is not None
    assert silent.lost
    silent.release()
    assert not new.lost
    assert names(tmp_path) == ["x.2"]


@pytest.mark.parametrize("lacking", ["os.link", "fcntl.flock"])
def test_a_file_system_may_lack_links_and_locks(tmp_path, monkeypatch, lacking):
    def refuse(*_: object) -> None:
        raise OSError(95, "not supported")

    monkeypatch.setattr(f"nisbench.harness.lease.{lacking}", refuse)
    lease = take(tmp_path)
    assert lease is not None
    assert take(tmp_path) is None
    assert holder(tmp_path, "x") is not None
    lease.release()
    assert names(tmp_path) == []


def test_links_are_refused_and_an_unreadable_lease_is_alive(tmp_path):
    (tmp_path / "x.1").write_text("")
    assert take(tmp_path) is None
    (tmp_path / "x.1").unlink()
    (tmp_path / "x.1").symlink_to(tmp_path / "precious")
    with pytest.raises(StoreError, match="is a link"):
        take(tmp_path)
    assert names(tmp_path) == ["x.1"]


def late(folder: Path, monkeypatch, before: object) -> Lease | None:
    """Try to take the lease. `before` happens between the moment when the file appears and the second look."""
    looks = leases._looks

    def second_look(*arguments: object) -> object:
        monkeypatch.setattr(leases, "_looks", looks)
        before()
        return looks(*arguments)

    def first_look(*arguments: object) -> object:
        monkeypatch.setattr(leases, "_looks", second_look)
        return looks(*arguments)

    monkeypatch.setattr(leases, "_looks", first_look)
    return take(folder)


def test_whoever_lost_its_file_before_the_second_look_withdraws(tmp_path, monkeypatch):
    """Another process has seen a dead x.1, took x.2, removed x.1, which was a new file by then, and ended."""
    assert late(tmp_path, monkeypatch, (tmp_path / "x.1").unlink) is None
    assert take(tmp_path) is not None


def test_whoever_withdraws_removes_no_file(tmp_path, monkeypatch):
    """The name may belong to a new holder by then."""
    new: list[Lease | None] = []

    def replaced() -> None:
        (tmp_path / "x.1").unlink()
        new.append(take(tmp_path))

    assert late(tmp_path, monkeypatch, replaced) is None
    assert new[0] is not None
    assert not new[0].lost
    assert take(tmp_path) is None


def test_of_two_that_meet_both_withdraw_and_the_next_one_tidies_up(tmp_path, monkeypatch):
    second = tmp_path / "x.2"

    def meet() -> None:
        second.write_bytes((tmp_path / "x.1").read_bytes())
        abroad(second)

    assert late(tmp_path, monkeypatch, meet) is None
    assert holder(tmp_path, "x") is not None
    second.unlink()
    assert names(tmp_path) == ["x.1"]
    assert is_gone(tmp_path / "x.1", Sightings())
    third = take(tmp_path)
    assert third is not None
    assert names(tmp_path) == ["x.2"]


def crowd(folder: Path, rounds: int, *options: str) -> int:
    """Return how often two of four processes were inside at once."""
    folder.mkdir()
    processes = [start(CROWD, folder, rounds, *options) for _ in range(4)]
    for process in processes:
        process.stdout.readline()
    for process in processes:  # all have started by now
        process.stdin.write("\n")
        process.stdin.flush()
    return sum(int(process.communicate()[0]) for process in processes)


@pytest.mark.parametrize("rounds", [100, pytest.param(5000, marks=pytest.mark.slow)])
def test_of_many_processes_one_is_inside(tmp_path, rounds):
    assert crowd(tmp_path / "good", rounds) == 0
    # The same loop sees an overlap; a thousand rounds take longer than any process waits for a core.
    assert crowd(tmp_path / "broken", max(rounds, 1000), "without lease") > 0
