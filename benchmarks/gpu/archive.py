"""The store of a stage as one archive, and back."""

import tarfile
from pathlib import Path

__all__ = ["STORE", "ArchiveError", "pack", "unpack"]

STORE = "run"
"""Folder of the store, inside the folder of its stage and inside its archive."""
LEFT_OUT = ("lock", "reference")
LEFT_OUT_ENDS = (".safetensors", ".tmp")
"""Files and folders of a store that a report does not need: weights and checkpoints among them."""
LARGEST_STORE = 200 * 2**20
"""Bytes of an unpacked store."""


class ArchiveError(Exception):
    """An archive that cannot be unpacked; the message is one line."""


def pack(store: Path, archive: Path) -> None:
    """Writes the store without weights, checkpoints and the configurations of the reference."""

    def kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        name = Path(member.name).name
        return None if name in LEFT_OUT or name.endswith(LEFT_OUT_ENDS) else member

    with tarfile.open(archive, "w:gz") as tar:
        tar.add(store, STORE, filter=kept)


def unpack(archive: Path, folder: Path) -> Path:
    """Unpacks an archive of plain files and folders that stay inside `folder`; returns the store.

    Raises ArchiveError for links, devices, paths that leave the folder, too many bytes and damaged archives.
    """
    try:
        with tarfile.open(archive, "r:gz") as tar:
            members = tar.getmembers()
            if strange := [member.name for member in members if not (member.isfile() or member.isdir())]:
                raise ArchiveError(f"{archive} contains {strange[0]}, which is neither a file nor a folder")
            if sum(member.size for member in members) > LARGEST_STORE:
                raise ArchiveError(f"{archive} unpacks to more than {LARGEST_STORE // 2**20} MiB")
            tar.extractall(folder, members, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ArchiveError(f"{archive} cannot be unpacked: {error}") from error
    if not (folder / STORE / "plan.json").exists():
        raise ArchiveError(f"{archive} contains no run")
    return folder / STORE
