"""Leases: files that say which process works on a cell. They hold on every file system that several machines share.

A lease is a file `<name>.<number>`. To take it, a process

1. looks at all files of this name, and goes away unless the holder of each is dead;
2. creates the file with the next number, which succeeds for one process alone, also on a network file system;
3. looks again, and withdraws if its own file is gone, or if there is another one that it has not seen dead.

Of two processes that reach step 3, the one whose file came later sees the file of the other. Numbers are used again
once all files are gone, so a name may have come to belong to somebody else. Therefore only a holder removes files: its
own, and those that it has seen dead. A process that withdraws leaves its file, with a note that it has ended. If a new
file has got the name of a dead one, the holder may remove it: its maker sees that in step 3.

On the machine of the holder, the kernel says whether the holder lives: it holds a lock on the file (flock), which ends
with the process. Elsewhere, a holder is dead once its file has not changed for EXPIRY_S seconds of the own clock, since
a holder changes it every BEAT_S seconds. Clocks of two machines are never compared to take a lease.
"""

import fcntl
import json
import os
import random
import re
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
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
_LARGEST_BYTES = 4096
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
    ended: bool = False
    """True if the process has withdrawn."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@dataclass(frozen=True)
class _Sight:
    """A lease as it was found."""

    holder: Holder | None
    """None while the file is empty, or if it contains something else."""
    changed_ns: int
    dead: bool | None
    """True or False from the kernel or a withdrawal; None if the holder is on another machine."""


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
            time.sleep(_PAUSE_S * (0.5 + random.random()))  # varied, so that two do not withdraw again and again
        return lease

    @classmethod
    def take(cls, folder: Path, name: str, sightings: Sightings) -> "Lease | None":
        """Return the lease; None if another process holds it. Raises StoreError if the folder cannot be written."""
        old = _looks(folder, name)
        alive = [path for path, sight in old.items() if not sightings.is_dead(path, sight)]
        if alive:
            return None
        path = folder / f"{name}.{max(map(_number, old), default=0) + 1}"
        if (file := guard(path, lambda: _create(path))) is None:
            return None
        lease, now = cls(path, file), _looks(folder, name)
        own = now.pop(path, None)
        others = any(each not in old or sight.holder != old[each].holder for each, sight in now.items())
        if others or own is None or not lease._is_own():
            lease._withdraw()
            return None
        for each in old:
            each.unlink(missing_ok=True)
        return lease

    def release(self) -> None:
        """End the lease. Calling it again does nothing."""
        if self.file >= 0:
            if self._is_own():
                self.path.unlink(missing_ok=True)
            os.close(self.file)
            self.file = -1

    def _withdraw(self) -> None:
        """Note in the file that this process has ended. The file is not removed: its name may belong to another now."""
        found = msgspec.json.decode(os.pread(self.file, _LARGEST_BYTES, 0), type=Holder)
        os.pwrite(self.file, _encode(replace(found, ended=True)), 0)
        os.close(self.file)
        self.file = -1

    @property
    def lost(self) -> bool:
        """True once another process has taken the lease, because this one gave no sign of life for too long."""
        return self.file < 0 or not self._is_own()

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
    for sight in _looks(folder, name).values():
        silent = time.time() - sight.changed_ns / 1e9 > EXPIRY_S
        if sight.dead is False or (sight.dead is None and not silent):
            return sight.holder
    return None


def is_gone(path: Path, sightings: Sightings) -> bool:
    """Return True if the lease was released or its holder is dead."""
    sight = _look(path)
    return sight is None or sightings.is_dead(path, sight)


def _looks(folder: Path, name: str) -> dict[Path, _Sight]:
    """Return all leases of this name. Raises StoreError for a link."""
    found = {}
    with suppress(FileNotFoundError, NotADirectoryError):
        for entry in os.listdir(folder):
            match, path = _NAME.fullmatch(entry), folder / entry
            if match and match["name"] == name and (sight := _look(path)) is not None:
                found[path] = sight
    return found


def _number(path: Path) -> int:
    return int(path.name.rpartition(".")[2])


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
    return _encode(own)


def _encode(own: Holder) -> bytes:
    """Return the content of a lease. It has the same length before and after the end of its holder."""
    return json.dumps(asdict(own)).encode() + b" " * own.ended


def _look(path: Path) -> _Sight | None:
    """Return the lease as it is now; None if it is gone. Opening it makes a network file system ask the server."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError:
        if path.is_symlink():
            raise StoreError(f"{path} is a link, which is not followed; delete it") from None
        return _Sight(None, 0, None)  # a file that cannot be read: a holder of whom nothing is known
    try:
        stat = os.fstat(file)
        try:
            found = msgspec.json.decode(os.read(file, _LARGEST_BYTES), type=Holder)
        except (msgspec.MsgspecError, ValueError, OSError):
            return _Sight(None, stat.st_mtime_ns, None)
        if found.ended:
            return _Sight(found, stat.st_mtime_ns, True)
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
