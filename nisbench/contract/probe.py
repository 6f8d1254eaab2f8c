"""Asks registration modules in a child process which names they register, and keeps the answers in a cache.

The import of a module runs any code: it may end the process, hang or crash. A command therefore imports a registration
module of another distribution only after a child process has done the same. The answers also name the module that a
worker needs, so that it imports no other.
"""

import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import EntryPoint
from itertools import islice
from pathlib import Path
from typing import Any

from nisbench.contract.distribution import own_version

__all__ = ["Answer", "probe"]

LIMIT_S = 60.0
"""Seconds that the import of a registration module and its hooks may take."""
BROKEN_FOR_S = 60.0
"""Seconds for which a failure is kept. Its cause may lie outside the files of the distribution."""
_KEPT_FOR_S = 90 * 86400.0
"""Age at which the file of an answer is deleted; each command that asks anew looks for such files."""
_LARGEST_ANSWER = 2**20
_MOST_FILES = 20_000
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1])['path']\n"
    "from nisbench.contract.probe_child import main; main()"
)


@dataclass(frozen=True)
class Answer:
    """The names that a registration module registers, or the reason why it cannot be used."""

    names: tuple[str, ...] = ()
    broken: str | None = None


_ANSWERS: dict[tuple[str, str], Answer] = {}
"""Answers of this process, by the key and the stamp of the module; they serve where no cache can be written."""


def probe(points: Sequence[EntryPoint], needed: set[str] | None = None) -> list[Answer]:
    """Return an answer for each entry point, from the cache or from a child process.

    Parameters
    ----------
    needed
        Names that are looked for; None: all. Modules without an answer in the cache are asked in their order, until all
        names are found. The rest has an empty answer.
    """
    kept = [_recall(point) for point in points]
    known = {name for answer in kept if answer for name in answer.names}
    for at, point in enumerate(points):
        if kept[at] is None and (needed is None or not needed <= known):
            kept[at] = answer = _ask(point)
            known |= set(answer.names)
            _keep(point, answer)
    return [answer or Answer() for answer in kept]


def _ask(point: EntryPoint) -> Answer:
    """Return the answer of a child process, which has LIMIT_S seconds."""
    source = (point.dist.name, point.dist.version) if point.dist else ("unknown", "unknown")
    question = {"path": sys.path, "point": [point.name, point.value, point.group], "source": source}
    command = [sys.executable, "-P", "-c", _START, json.dumps(question)]
    # The answer goes to a file, because a process that the module leaves behind would keep a pipe open.
    with tempfile.TemporaryFile() as file:
        quiet = {"stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        try:
            process = subprocess.Popen(command, stdout=file, start_new_session=True, **quiet)  # type: ignore[call-overload]
        except OSError as error:
            return Answer(broken=f"its registration module cannot be asked: {error.strerror}")
        try:
            code = process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            return Answer(broken=f"its registration module took longer than {LIMIT_S:g} s")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # also the processes that the module started
            process.wait()
        file.seek(0)
        with suppress(ValueError, TypeError, KeyError):
            return _read(json.loads(file.read(_LARGEST_ANSWER)))
    return Answer(broken=_ending(code))


def _ending(code: int) -> str:
    """Return how a process without an answer ended."""
    if code >= 0:
        return f"its registration module ended the process with exit code {code}"
    try:
        return f"its registration module was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"its registration module was killed by signal {-code}"


def _read(record: Any) -> Answer:
    """Return the answer in a JSON record. Raises ValueError, TypeError or KeyError if it is none."""
    names, broken = record["names"], record["broken"]
    if not (isinstance(names, list) and all(isinstance(n, str) for n in names) and isinstance(broken, str | None)):
        raise ValueError("not an answer")
    return Answer(tuple(names), broken)


def _recall(point: EntryPoint) -> Answer | None:
    """Return the answer of this process or of the cache; None if there is none or the files have changed."""
    key, stamp = _key(point), _stamp(point)
    if (key, stamp) in _ANSWERS:
        return _ANSWERS[key, stamp]
    with suppress(OSError, ValueError, TypeError, KeyError, RuntimeError):
        record = json.loads((_folder() / key).read_bytes()[:_LARGEST_ANSWER])
        answer = _read(record)
        recent = record["around"] == _around() and 0 <= time.time() - record["asked"] < BROKEN_FOR_S
        if record["stamp"] == stamp and (answer.broken is None or recent):
            return answer
    return None


def _keep(point: EntryPoint, answer: Answer) -> None:
    """Write the answer to the cache. A cache that cannot be written is not an error."""
    key, stamp = _key(point), _stamp(point)
    _ANSWERS[key, stamp] = answer
    record = {**asdict(answer), "stamp": stamp, "around": _around(), "asked": time.time()}
    with suppress(OSError, RuntimeError):
        folder = _folder()
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder)
        with open(handle, "w", encoding="utf-8") as file:
            json.dump(record, file)
        os.replace(temporary, folder / key)
        for old in folder.iterdir():
            if time.time() - old.stat().st_mtime > _KEPT_FOR_S:
                old.unlink()


def _folder() -> Path:
    """Return the folder of the cache. Raises RuntimeError if the user has no home."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if os.path.isabs(cache) else Path.home() / ".cache") / "nisbench" / "registrations"


def _key(point: EntryPoint) -> str:
    """Return the name of the file of an answer, the same for all versions of a distribution in one place."""
    place = str(point.dist.locate_file("")) if point.dist else ""
    return _digest(sys.executable, place, point.name, point.value, point.dist.name if point.dist else "")


def _stamp(point: EntryPoint) -> str:
    """Return a digest of the versions and of the path, size and time of change of each file."""
    listed: dict[str, tuple[int, int]] = {}
    for path in islice(_files(point), _MOST_FILES):
        with suppress(OSError):
            found = path.stat()
            listed[str(path)] = found.st_size, found.st_mtime_ns
    return _digest(own_version(), sys.version, point.dist.version if point.dist else "", *sorted(listed.items()))


def _files(point: EntryPoint) -> Iterator[Path]:
    """Yield the installed files, and those of the top-level module, which an editable installation does not list."""
    for file in (point.dist.files if point.dist else None) or ():
        if "__pycache__" not in file.parts:
            yield Path(str(file.locate()))
    spec = None
    with suppress(Exception):  # a finder of any distribution answers; it may raise anything
        spec = importlib.util.find_spec(point.value.partition(":")[0].strip().partition(".")[0])
    if spec and spec.origin:
        yield Path(spec.origin)
    for folder in (spec and spec.submodule_search_locations) or ():
        yield from (path for path in Path(folder).rglob("*") if path.suffix in (".py", ".so"))


def _around() -> str:
    """Return a digest of what a failure may depend on: variables of the environment and the folders of the path."""
    folders = []
    for name in sys.path:
        with suppress(OSError):
            folders.append((name, os.stat(name or ".").st_mtime_ns))
    return _digest(sorted(os.environ.items()), folders)


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()
