"""Outcomes that are kept on disk, each with a digest of the code that it depends on."""

import hashlib
import inspect
import json
from functools import cache
from pathlib import Path

from tests.faults.cases import Case

__all__ = ["ROOT", "Record"]

ROOT = Path(__file__).parents[2]
_OTHER_ROOMS = ("report", "results", "commands", "templates")
"""Rooms of nisbench that judge no draw."""


class Record:
    """A file with one line for each outcome: the digest of the case and of its code, the seed, and the words."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self._words = {(key, seed): words for key, seed, words in map(json.loads, lines)}

    def has(self, case: Case, seed: int) -> bool:
        """True if this outcome is known."""
        return (_key(case), seed) in self._words

    def add(self, case: Case, seed: int, words: str) -> None:
        """Keep an outcome."""
        self._words[_key(case), seed] = words
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as lines:
            lines.write(json.dumps([_key(case), seed, words]) + "\n")

    def found(self, case: Case, seeds: int) -> list[str]:
        """The known outcomes of the first seeds."""
        return [self._words[_key(case), seed] for seed in range(1, seeds + 1) if self.has(case, seed)]


@cache
def _key(case: Case) -> str:
    """Digest of a case, of its class with the classes that it inherits from `fakes`, and of nisbench."""
    classes = [each for each in (case.plugin, case.what) if isinstance(each, type)]
    own = [each for one in classes for each in one.__mro__ if each.__module__.startswith("fakes")]
    text = "".join([repr(case), *map(inspect.getsource, own), _code()])
    return f"{case.name} {case.check} {hashlib.sha256(text.encode()).hexdigest()[:16]}"


@cache
def _code() -> str:
    """Digest of nisbench and its plugins, without the rooms that only show results."""
    found = hashlib.sha256()
    for folder in (ROOT / "nisbench", ROOT / "plugins" / "nisbench_plugins"):
        for path in sorted(folder.rglob("*.py")):
            if not set(path.relative_to(folder).parts) & set(_OTHER_ROOMS):
                found.update(path.read_bytes())
    return found.hexdigest()
