"""Missing packages by name, and facts about the machine. This module imports the standard library alone."""

import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "commit", "device_facts", "missing", "source_digest"]

ROOT = Path(__file__).parents[2]
"""The checkout."""
REPORT_ONLY = ("seaborn", "matplotlib", "jinja2")
"""Packages that build a report; a report is built where the figures are adopted."""
PROBE = """
import json, torch
found = {"torch": torch.__version__, "cuda": torch.version.cuda}
if torch.cuda.is_available():
    device = torch.cuda.get_device_properties(0)
    found |= {"device": device.name, "device_memory_bytes": device.total_memory,
        "multiprocessors": device.multi_processor_count, "compute_capability": f"{device.major}.{device.minor}"}
print(json.dumps(found))
"""


def missing(root: Path) -> list[str]:
    """Packages that the command needs and this Python lacks or has in too old a version."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = []
    for requirement in [*project["dependencies"], "triton"]:
        name, _, least = requirement.partition(">=")
        if name in REPORT_ONLY:
            continue
        try:
            there = version(name)
        except PackageNotFoundError:
            if not _importable(name):
                found.append(requirement)
            continue
        if _numbers(there) < _numbers(least):
            found.append(f"{requirement} (found {there})")
    return found


def device_facts(environment: Mapping[str, str]) -> dict[str, Any]:
    """Device, memory and driver as torch and nvidia-smi report them; the key `device` is absent without a device.

    A process of its own asks torch, so that no memory of the device stays taken.
    """
    done = subprocess.run(
        [sys.executable, "-c", PROBE], env=dict(environment), capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return {"torch": f"torch does not work: {lines[-1]}"}
    facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return facts | ({"driver": _driver()} if "device" in facts else {}) | {"triton": _version("triton")}


def commit(root: Path) -> str | None:
    """The commit of the checkout, with `-dirty` after it if files differ; None without git."""
    if shutil.which("git") is None or not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def source_digest(root: Path) -> str:
    """SHA-256 over the Python files that run: it identifies the code where there is no git."""
    digest = hashlib.sha256()
    for package in ("nisbench", "plugins", "benchmarks"):
        for path in sorted((root / package).rglob("*.py")):
            digest.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _driver() -> str | None:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    command = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return next(iter(done.stdout.split()), None) if done.returncode == 0 else None


def _importable(name: str) -> bool:
    """Some builds of torch bring triton under another distribution name."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _numbers(text: str) -> tuple[int, ...]:
    """The leading numbers of a version: 2.11.0+cu130 -> (2, 11, 0)"""
    return tuple(map(int, re.findall(r"\d+", text.partition("+")[0])[:3]))
