"""Interpreters of other environments: `--python NAME=PATH` runs the cells of one plugin with another Python.

A plugin that needs JAX can so be compared with one that needs another torch. Each interpreter must import the nisbench
of the run. It runs `python -m nisbench.harness.interpreter`, which lists its plugins and versions as one line of JSON.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

from nisbench.contract.catalog import Catalog, Entry, load_catalog
from nisbench.contract.listing import entry_of, record
from nisbench.contract.plugin_files import use_plugin_file
from nisbench.contract.records import PROTOCOL_VERSION, SCHEMA_VERSION, PluginSource
from nisbench.errors import InvalidValue
from nisbench.harness.environment import package_versions
from nisbench.harness.plan import Interpreter
from nisbench.harness.source import has_changed
from nisbench.harness.store import Store

__all__ = ["environment_note", "has_changed_there", "parse_pythons", "with_interpreters", "worker_python"]

_NEEDED = {"protocol": PROTOCOL_VERSION, "schema": SCHEMA_VERSION}
_TIMEOUT_S = 120.0
_DISTRIBUTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def parse_pythons(where: str, given: Any) -> dict[str, str]:
    """Return the absolute path of each interpreter by plugin, from NAME=PATH texts or a mapping.

    A path without a folder is looked up in PATH. Links are kept: the path decides which environment Python uses.

    Raises
    ------
    InvalidValue
        For a text that is not NAME=PATH, for a plugin that is repeated, and for a path that cannot be executed.
    """
    pairs: list[tuple[Any, Any]]
    if isinstance(given, Mapping):
        pairs = list(given.items())
    else:
        pairs = [(name, path) for name, _, path in (str(text).partition("=") for text in given)]
    found: dict[str, str] = {}
    for name, path in pairs:
        if not name or not isinstance(path, str | Path) or not str(path):
            raise InvalidValue(f"{where} {name}: give NAME=PATH, a plugin and the Python of its environment")
        if name in found:
            raise InvalidValue(f"{where} {name} is given twice; give one Python")
        program = os.path.abspath(shutil.which(os.path.expanduser(path)) or os.path.expanduser(path))
        if not os.access(program, os.X_OK) or os.path.isdir(program):
            raise InvalidValue(f"{where} {name}={path}: there is no program at {program}; give a Python interpreter")
        found[name] = program
    return found


def with_interpreters(
    catalog: Catalog, pythons: Mapping[str, str], files: Sequence[str]
) -> tuple[Catalog, dict[str, Interpreter]]:
    """Return the catalog with the plugins of other interpreters in place of its own, and the interpreters by plugin.

    Parameters
    ----------
    pythons
        Absolute path of the interpreter by plugin.
    files
        Plugin files of the run.

    Raises
    ------
    InvalidValue
        If an interpreter cannot import nisbench, has another version of the measurement, or lacks the plugin.
    """
    plugins, interpreters, answers = dict(catalog.plugins), dict[str, Interpreter](), dict[str, Mapping[str, Any]]()
    for name, path in pythons.items():
        where = f"--python {name}={path}"
        if path not in answers:
            answers[path] = _ask(where, path, ["list", *files])
            _check_versions(where, answers[path])
        plugins[name] = entry = _entry(where, name, answers[path]["entries"])
        more = answers[path]["distributions"].get(entry.distribution, {})
        interpreters[name] = Interpreter(path, {**answers[path]["versions"], **more})
    broken = tuple(entry for entry in catalog.broken if entry.name not in pythons)
    return replace(catalog, plugins=plugins, broken=broken), interpreters


def worker_python(store: Store, plugin: str) -> str:
    """Return the interpreter that runs the cells of a plugin: that of the plan, or that of this process."""
    return str(store.plan().get("python", {}).get(plugin, {}).get("path", sys.executable))


def has_changed_there(store: Store, plugin: str, source: PluginSource) -> bool:
    """Return True if a file of `source` differs now in the environment of the plugin.

    An environment that does not answer counts as unchanged, because its cells could not run again.
    """
    python, files = worker_python(store, plugin), store.plan().get("plugin_files", ())
    if python == sys.executable:
        return has_changed(source)
    facts = json.dumps({"modules": source.modules, "sha256": source.sha256})
    try:
        return bool(_ask(python, python, ["changed", facts, *files])["changed"])
    except InvalidValue:
        return False


def environment_note(store: Store, plugin: str, distribution: str) -> dict[str, str]:
    """Return the versions in this process as a note of a cell, if its plugin has an interpreter of its own."""
    if plugin not in store.plan().get("python", {}):
        return {}
    found = {**package_versions(), **_versions_of(distribution)}
    return {"environment": ", ".join(f"{name} {version}" for name, version in found.items() if version is not None)}


def _versions_of(distribution: str) -> dict[str, str]:
    """Return the versions in this process of a distribution and of all that it requires, without its extras."""
    try:
        required = requires(distribution) or []
    except PackageNotFoundError:
        return {}
    names = [match[0] for text in required if "extra ==" not in text and (match := _DISTRIBUTION.match(text))]
    found = package_versions((distribution, *names))
    return {name: version for name, version in found.items() if version is not None}


@dataclass(frozen=True)
class _Failure(Exception):
    """The interpreter gave no answer."""

    reason: str


def _ask(where: str, path: str, arguments: Sequence[str]) -> Mapping[str, Any]:
    """Run this module with another interpreter and return its answer."""
    command = [path, "-P", "-m", __name__, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
        if done.returncode:
            raise _Failure(_last_line(done.stderr) or f"exit code {done.returncode}")
        answer: Mapping[str, Any] = json.loads(_last_line(done.stdout))
    except (OSError, ValueError, subprocess.TimeoutExpired, _Failure) as error:
        why = error.reason if isinstance(error, _Failure) else str(error)
        advice = ""
        if "No module named 'nisbench" in why:
            advice = "; install nisbench in that environment, or add its folder to PYTHONPATH"
        elif "No module named" in why:
            advice = "; install this requirement of nisbench in that environment"
        raise InvalidValue(f"{where} does not answer: {why}{advice}") from error
    return answer


def _last_line(text: str) -> str:
    """Return the last line that is not empty: a module of a plugin may print something before it."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def _check_versions(where: str, answer: Mapping[str, Any]) -> None:
    for what, needed in _NEEDED.items():
        if answer.get(what) != needed:
            there = f"nisbench {answer.get('versions', {}).get('nisbench')} with {what} version {answer.get(what)}"
            raise InvalidValue(f"{where} has {there}, this one has {needed}; install the same nisbench there")


def _entry(where: str, name: str, records: Iterable[Mapping[str, Any]]) -> Entry:
    """Return the plugin of that name."""
    plugins = {found["name"]: found for found in records if found["kind"] != "target"}
    if name not in plugins:
        installed = ", ".join(found["name"] for found in plugins.values()) or "none"
        raise InvalidValue(f"{where}: there is no plugin '{name}' in that environment; installed there: {installed}")
    if plugins[name]["broken"]:
        raise InvalidValue(f"{where}: the plugin is broken in that environment: {plugins[name]['broken']}")
    return entry_of(plugins[name])


def _answer(arguments: Sequence[str]) -> dict[str, Any]:
    """Return the answer of this interpreter to `list FILE...` or `changed SOURCE FILE...`."""
    source, files = (arguments[1], arguments[2:]) if arguments[0] == "changed" else (None, arguments[1:])
    for file in files:
        use_plugin_file(Path(file))
    if source is not None:
        facts = json.loads(source)
        return {"changed": has_changed(PluginSource(tuple(facts["modules"]), facts["sha256"]))}
    entries = load_catalog().entries
    names = {entry.distribution for entry in entries}
    return {
        **_NEEDED,
        "versions": package_versions(),
        "distributions": {name: _versions_of(name) for name in names},
        "entries": [record(entry) for entry in entries],
    }


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(_answer(sys.argv[1:])) + "\n")
