"""The machine and the versions of a run, read from the kernel and from package metadata; torch is not imported."""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from nisbench.contract.distribution import own_version

__all__ = [
    "available_cores",
    "cpu_name",
    "default_device",
    "describe",
    "package_versions",
    "physical_memory",
    "visible_gpus",
]

_PACKAGES = ("torch", "numpy", "scipy", "numba")


def describe(command: str) -> dict[str, Any]:
    """Return the environment of a run that `command` started, as plain JSON values."""
    return {
        "command": command,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        **package_versions(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_name(),
        "cores": available_cores(),
        "memory_bytes": physical_memory(),
        "gpu": _gpu(),
    }


def package_versions(names: Iterable[str] = _PACKAGES) -> dict[str, str | None]:
    """Return the versions of Python, nisbench and the distributions `names`; None if one is not installed."""
    own = {"python": platform.python_version(), "nisbench": own_version()}
    return {**own, **{name: _version(name) for name in names if name not in own}}


def cpu_name() -> str:
    """Return the model name of the processor."""
    return _first(Path("/proc/cpuinfo"), "model name") or platform.processor() or "unknown"


def physical_memory() -> int:
    """Return the memory of the machine in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def default_device() -> str:
    """Return `cuda` if the driver shows a device and torch is built for it, else `cpu`."""
    torch = _version("torch")
    return "cuda" if Path("/dev/nvidia0").exists() and torch and not torch.endswith("+cpu") else "cpu"


def visible_gpus() -> tuple[str, ...]:
    """Return the NVIDIA devices that this process may use, as entries of CUDA_VISIBLE_DEVICES."""
    if (chosen := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return tuple(filter(None, (word.strip() for word in chosen.split(","))))
    return tuple(str(number) for number in range(len([*Path("/dev").glob("nvidia[0-9]*")])))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _gpu() -> str | None:
    """Return the name of the first NVIDIA device; None if there is none."""
    for file in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        return _first(file, "Model")
    if (tool := shutil.which("nvidia-smi")) is None:
        return None
    answer = subprocess.run(
        [tool, "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, check=False, timeout=30
    )
    return next(iter(answer.stdout.strip().splitlines()), None) if answer.returncode == 0 else None


def _first(path: Path, key: str) -> str | None:
    """Return the value of the first `key: value` line in a file of the kernel; None if there is none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), None)
