"""Leases: files that say which process works on a cell. They hold on every file system that several machines share.

A lease is a file `<name>.<number>`, and the largest number is the holder. Creating a file that must not exist succeeds
for one process alone, also on a network file system, so nothing else is needed:

- To take a lease of a dead holder, create the file with the next number. Nobody deletes or renames the file of another
  process before that.
- Afterwards, look again: a larger number, or another holder behind the smaller one, and the new file is taken back.

On the machine of the holder, the kernel says whether the holder lives: it holds a lock on the file (flock), which ends
with the process. Elsewhere, a holder is dead once its file has not changed for EXPIRY_S seconds of the own clock, since
a holder changes it every BEAT_S seconds. Clocks of two machines are never compared to take a lease.
"""

import fcntl
import json
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import msgspec

from nisbench.errors import StoreError
from nisbench.harness.atomic import guard, temporary_path

__all__ = ["BEAT_S", "EXPIRY_S", "Holder", "Lease", "Sightings", "holder", "is_gone"]

BEAT_S = 10.0
"""Seconds between two signs of life of a holder."""
EXPIRY_S = 120.0
"""Seconds without a sign of life after which a holder on another machine counts as dead."""
_PAUSE_S = 0.05
_NAME = re.compile(r"(?P<name>.+)\.(?P<number>\d{1,9})")


@dataclass(frozen=True)
class Holder:
    """Content of a lease."""

    host: str
    pid: int
    token: str
    """Random, so that no two holders have the same content."""
    kernel: str | None
    """Start of the kernel that knows the lock; None where the file system has no such locks."""
    device: int
    """Number of the mounted file system on that machine."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@dataclass(frozen=True)
class _Sight:
    """A lease as it was found."""

    holder: Holder | None
    """None while the file is empty, or if it contains something else."""
    changed_ns: int
    dead: bool | None
    """True or False from the kernel; None if the holder is on another machine."""


class Sightings:
    """Remembers when each lease was last seen to change, by the own monotonic clock."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[_Sight, float]] = {}

    def is_dead(self, path: Path, sight: _Sight) -> bool:
        """Return True if the holder has ended, or has given no sign of life for EXPIRY_S seconds."""
        if sight.dead is not None:
            return sight.dead
        now = time.monotonic()
        last, since = self._seen.get(path, (None, now))
        if last != sight:
            since = now
        self._seen[path] = sight, since
        return now - since > EXPIRY_S


class Lease:
    """A lease that this process holds, until `release` or the end of the process."""

    def __init__(self, path: Path, file: int) -> None:
        self.path = path
        self.file = file
        """File descriptor. A child that inherits it holds the lease too."""
        self._inode = os.fstat(file).st_ino

    @classmethod
    def within(cls, folder: Path, name: str, seconds: float) -> "Lease | None":
        """Return the lease as soon as it is free; None if it is still held after this time."""
        sightings, deadline = Sightings(), time.monotonic() + seconds
        while (lease := cls.take(folder, name, sightings)) is None and time.monotonic() < deadline:
            time.sleep(_PAUSE_S)
        return lease

    @classmethod
    def take(cls, folder: Path, name: str, sightings: Sightings) -> "Lease | None":
        """Return the lease; None if another process holds it. Raises StoreError if the folder cannot be written."""
        newest = max(_numbers(folder, name), default=0)
        old, before = folder / f"{name}.{newest}", None
        if newest:
            if old.is_symlink():
                raise StoreError(f"{old} is a link, which is not followed; delete it")
            before = _look(old)
            if before is None or not sightings.is_dead(old, before):
                return None
        path = folder / f"{name}.{newest + 1}"
        if (file := guard(path, lambda: _create(path))) is None:
            return None
        lease, after = cls(path, file), _look(old) if newest else None
        replaced = before is not None and after is not None and after.holder != before.holder
        if replaced or max(_numbers(folder, name), default=0) != newest + 1:
            lease.release()
            return None
        for number in _numbers(folder, name):
            if number <= newest:
                (folder / f"{name}.{number}").unlink(missing_ok=True)
        return lease

    def release(self) -> None:
        """End the lease. Calling it again does nothing."""
        if self.file >= 0:
            if self._is_own():
                self.path.unlink(missing_ok=True)
            os.close(self.file)
            self.file = -1

    @property
    def lost(self) -> bool:
        """True once another process has taken the lease, because this one gave no sign of life for too long."""
        name, _, number = self.path.name.rpartition(".")
        next_one = self.path.with_name(f"{name}.{int(number) + 1}")
        return self.file < 0 or next_one.exists() or not self._is_own()

    def _is_own(self) -> bool:
        """Return False if the file is gone or belongs to another holder."""
        try:
            return self.path.lstat().st_ino == self._inode
        except FileNotFoundError:
            return False

    @contextmanager
    def beating(self) -> Iterator["Lease"]:
        """Give signs of life within the `with` statement, and release the lease at its end."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(BEAT_S):
                with suppress(OSError):  # a file system may be away for a while
                    os.utime(self.path)

        thread = threading.Thread(target=beat, name="lease", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            over.set()
            self.release()


def holder(folder: Path, name: str) -> Holder | None:
    """Return who holds a lease, for display; None if nobody does. Another machine counts by the time of the file."""
    newest = max(_numbers(folder, name), default=0)
    sight = _look(folder / f"{name}.{newest}") if newest else None
    if sight is None or sight.holder is None:
        return None
    old = time.time() - sight.changed_ns / 1e9 > EXPIRY_S
    return None if sight.dead or (sight.dead is None and old) else sight.holder


def is_gone(path: Path, sightings: Sightings) -> bool:
    """Return True if the lease was released or its holder is dead."""
    sight = _look(path)
    return sight is None or sightings.is_dead(path, sight)


def _numbers(folder: Path, name: str) -> list[int]:
    """Return the numbers of the leases of this name."""
    with suppress(FileNotFoundError, NotADirectoryError):
        found = [_NAME.fullmatch(entry) for entry in os.listdir(folder)]
        return [int(each["number"]) for each in found if each and each["name"] == name]
    return []


def _create(path: Path) -> int | None:
    """Create the file with its content and its lock, and return its descriptor; None if it exists."""
    temporary = temporary_path(path)
    file = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    try:
        content = _own(file)
        os.write(file, content)
        # A link appears with content and lock at once. Where there are no links, an empty file counts as alive.
        os.link(temporary, path)
        return file
    except FileExistsError:
        os.close(file)
        return None
    except FileNotFoundError:  # somebody tidied up
        os.close(file)
        return None
    except OSError:
        os.close(file)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    except FileExistsError:
        return None
    os.write(file, _own(file))
    return file


def _own(file: int) -> bytes:
    """Lock the file, and return the content that names this process."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        kernel: str | None = _kernel()
    except OSError:
        kernel = None
    own = Holder(socket.gethostname(), os.getpid(), secrets.token_hex(8), kernel, os.fstat(file).st_dev)
    return json.dumps(asdict(own)).encode()


def _look(path: Path) -> _Sight | None:
    """Return the lease as it is now; None if it is gone. Opening it makes a network file system ask the server."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError:  # a link, or a file that cannot be read: a holder of whom nothing is known
        return _Sight(None, 0, None)
    try:
        stat = os.fstat(file)
        try:
            found = msgspec.json.decode(os.read(file, 4096), type=Holder)
        except (msgspec.MsgspecError, ValueError, OSError):
            return _Sight(None, stat.st_mtime_ns, None)
        if found.kernel is None or (found.kernel, found.device) != (_kernel(), stat.st_dev):
            return _Sight(found, stat.st_mtime_ns, None)
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return _Sight(found, stat.st_mtime_ns, False)
        return _Sight(found, stat.st_mtime_ns, True)
    finally:
        os.close(file)


@cache
def _kernel() -> str:
    """Return the name that the kernel gave itself at its start; another machine, or a later start, has another."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"{socket.gethostname()} {os.getpid()}"
