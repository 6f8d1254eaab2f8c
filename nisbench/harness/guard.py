"""Runs a command and ends every process that it leaves behind. A script that imports the standard library only.

`python guard.py --parent PID [--grace S] [--memory-limit BYTES] [--lease PATH --lease-file NUMBER] COMMAND...`

    driver -> guard -> worker -> processes of the plugin, whatever session or parent they have

The guard is a subreaper (prctl(2)): a process below it whose parent ends becomes its child, so nothing escapes. It ends
all of them when the worker ends, when it is asked to stop, and when the driver ends, even by SIGKILL. Otherwise it
sleeps, and gives the signs of life of the lease that its driver took (lease.py).
"""

import argparse
import ctypes
import math
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

__all__ = ["descendants", "main", "run"]

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_WATCH_S = 0.5
"""Time between two looks at the memory, if there is a limit."""
_BEAT_S = 10.0
"""Time between two signs of life of the lease, as in lease.py."""
_ORPHAN_GRACE_S = 1.0
"""Largest time between a request to stop and the end by force, once the driver is gone."""
_STOPPED = 143
"""Exit code of a command that was asked to stop, as in worker.py."""
_ASKED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that ask for the end; schedulers send SIGUSR1 or SIGUSR2 some time before they kill."""


def descendants(root: int) -> list[int]:
    """Return the ids of all processes below `root`, also of those that have ended and are not collected yet.

    A process that starts another one after the list of /proc was read, and then ends, still shows that there is more.
    """
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    found, waiting = [], [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


class _Lease:
    """The lease of the driver, which this process holds too because it has inherited the file."""

    def __init__(self, path: str, file: int) -> None:
        self.path, self.file = path, file
        os.set_inheritable(file, False)

    def beat(self) -> bool:
        """Give a sign of life. Return False if another process has taken the lease."""
        try:
            os.utime(self.path)
            return os.stat(self.path).st_ino == os.fstat(self.file).st_ino
        except FileNotFoundError:
            return False
        except OSError:  # a network file system that is away for a while
            return True


def run(
    command: list[str], *, parent: int, grace_s: float, memory_limit: int | None, lease: _Lease | None = None
) -> int:
    """Run the command and return its exit code, or minus the number of the signal that ended it.

    A command that ended by a signal that asks for the end gives 143, and so does one that did not end with 0 after the
    guard was asked to stop.

    Parameters
    ----------
    parent
        Process that started the guard.
    grace_s
        Seconds between a request to stop and the end by force; fewer if the parent is gone.
    memory_limit
        Bytes that all processes together may take.
    lease
        The command ends at once when this lease is lost.
    """
    watched = {signal.SIGCHLD, *_ASKED}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    worker = os.fork()
    if worker == 0:
        _become(command, watched)
    deadline, beaten = None, time.monotonic()
    while (code := _reap(worker)) is None:
        event = signal.sigtimedwait(watched, _patience(deadline, memory_limit, lease))
        if event is not None and event.si_signo in _ASKED:
            os.kill(worker, signal.SIGTERM)
            grace_s = grace_s if os.getppid() == parent else min(grace_s, _ORPHAN_GRACE_S)
            # the driver may end after it has asked: the second request shortens the time
            deadline = min(deadline or math.inf, time.monotonic() + grace_s)
        if deadline is not None and time.monotonic() > deadline:
            os.kill(worker, signal.SIGKILL)
        if memory_limit is not None and event is None and (taken := _memory(os.getpid())) > memory_limit:
            said = f"MemoryError: the processes of the cell take {taken} bytes together, the limit is {memory_limit}"
            os.write(sys.stdout.fileno(), f"{said}\n".encode())
            os.kill(worker, signal.SIGKILL)
        if lease is not None and time.monotonic() - beaten >= _BEAT_S:
            beaten = time.monotonic()
            if not lease.beat():
                os.kill(worker, signal.SIGKILL)
    _end_rest()
    # A scheduler signals all processes at once, so the worker may end before the guard has seen its own signal.
    asked = deadline is not None or signal.sigpending() & watched - {signal.SIGCHLD} or -code in _ASKED
    return _STOPPED if asked and code != 0 else code


def _become(command: list[str], blocked: set[signal.Signals]) -> None:
    """Turn this child into the command. The kernel kills it if the guard is killed."""
    try:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
        os.execv(command[0], command)
    finally:
        os._exit(127)


def _patience(deadline: float | None, memory_limit: int | None, lease: _Lease | None) -> float:
    """Return the seconds to sleep at most."""
    rest = 86400.0 if deadline is None else max(0.0, deadline - time.monotonic()) + 0.01
    rest = rest if lease is None else min(rest, _BEAT_S)
    return rest if memory_limit is None else min(rest, _WATCH_S)


def _reap(worker: int) -> int | None:
    """Collect ended children; return the exit code of the worker if it is among them."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == worker:
            code = os.waitstatus_to_exitcode(status)


def _end_rest() -> None:
    """Kill what the worker left behind. Killed processes hand their children to the guard, so this is repeated."""
    for _ in range(1000):
        rest = descendants(os.getpid())
        if not rest:
            return
        for pid in rest:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _reap(0)
        time.sleep(0.002)


def _memory(root: int) -> int:
    """Return the private and shared memory of all processes below `root` in bytes; mapped files are left out."""
    total = 0
    for pid in descendants(root):
        try:
            with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
                lines = [line.split() for line in file if line.startswith(("RssAnon", "RssShmem"))]
        except OSError:
            continue
        total += sum(int(line[1]) for line in lines) * 1024
    return total


def _parents() -> Iterator[tuple[int, int]]:
    """Yield the ids of each process and of its parent."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                    fields = file.read().rpartition(")")[2].split()
            except OSError:
                continue
            if fields:
                yield int(name), int(fields[1])


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def main() -> None:
    """Entry point. Ends as the command ended: with its exit code or by its signal."""
    parser = argparse.ArgumentParser(prog="guard", description=__doc__)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--grace", type=float, default=1.0)
    parser.add_argument("--memory-limit", type=int, default=None)
    parser.add_argument("--lease", default=None)
    parser.add_argument("--lease-file", type=int, default=-1)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    if os.getppid() != given.parent:
        raise SystemExit(f"the parent process {given.parent} is gone")
    lease = _Lease(given.lease, given.lease_file) if given.lease else None
    code = run(given.command, parent=given.parent, grace_s=given.grace, memory_limit=given.memory_limit, lease=lease)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {-code})
        os.kill(os.getpid(), -code)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
