"""Names of the files in the output folder."""

from pathlib import Path

from benchmarks.gpu.stages import STAGES

__all__ = ["FORMAT", "LOG", "NUMBERS", "OWN", "PAGE", "archive_name", "strangers"]

PAGE, NUMBERS, LOG = "gpu.md", "gpu.json", "gpu.log"
FORMAT = "nisbench gpu 1"
"""Format of the file with the numbers."""


def archive_name(stage: str) -> str:
    """The archive of the store of a stage."""
    return f"{stage}.tar.gz"


OWN = {PAGE, NUMBERS, LOG, *(archive_name(stage.name) for stage in STAGES)}


def strangers(folder: Path) -> list[str]:
    """Names in the folder that this command does not write."""
    return sorted(path.name for path in folder.iterdir() if path.name not in OWN) if folder.exists() else []
