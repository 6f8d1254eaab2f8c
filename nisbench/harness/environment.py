"""Where a run takes place: versions, hardware, command line. Read from the kernel and package metadata, not torch."""

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from nisbench import __version__

__all__ = ["available_cores", "default_device", "describe"]

_PACKAGES = ("torch", "numpy", "scipy", "numba")


def describe(command: str) -> dict[str, Any]:
    """The environment of a run that was started by `command`, as plain JSON values."""
    return {
        "command": command,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "nisbench": __version__,
        **{name: _version(name) for name in _PACKAGES},
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": _first(Path("/proc/cpuinfo"), "model name") or platform.processor() or "unknown",
        "cores": available_cores(),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "gpu": _gpu(),
    }


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0))


def default_device() -> str:
    """`cuda` where the driver shows a device and the installed torch is built for it, `cpu` otherwise."""
    torch = _version("torch")
    return "cuda" if Path("/dev/nvidia0").exists() and torch and not torch.endswith("+cpu") else "cpu"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _gpu() -> str | None:
    """Name of the first NVIDIA device."""
    for file in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        return _first(file, "Model")
    if (tool := shutil.which("nvidia-smi")) is None:
        return None
    answer = subprocess.run(
        [tool, "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, check=False, timeout=30
    )
    return next(iter(answer.stdout.strip().splitlines()), None) if answer.returncode == 0 else None


def _first(path: Path, key: str) -> str | None:
    """The first `key: value` of a file of the kernel."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), None)
