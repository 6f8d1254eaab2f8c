"""The checkpoint of a training: its tensors, the steps and seconds used, and the hash of the plugin's source.

Two files are kept. If the newer one is damaged, the training continues from the older one. The metadata hold a SHA-256
of the tensors and of all other facts, so that a changed checkpoint is never continued.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from nisbench.contract.interfaces import Model
from nisbench.contract.timing import PhaseTiming
from nisbench.errors import StoreError
from nisbench.harness.adam import Adam
from nisbench.harness.cell_files import CellFiles
from nisbench.harness.weights import read_tensors, write_tensors

__all__ = ["Checkpoint", "Progress", "load_checkpoint", "newest_checkpoint", "save_checkpoint", "write_checkpoint"]

_DIGEST = "sha256"


@dataclass
class Progress:
    """Steps and times that a training has used."""

    step: int = 0
    seconds: float = 0.0
    timing: PhaseTiming = field(default_factory=PhaseTiming)


@dataclass(frozen=True)
class Checkpoint:
    """Outcome of the search for a checkpoint."""

    tensors: Mapping[str, Tensor] | None
    """None if the training starts anew."""
    facts: Mapping[str, str] = field(default_factory=dict)
    note: str | None = None
    """Names the files that were damaged and what the training does instead."""


def write_checkpoint(files: CellFiles, tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
    """Write tensors and facts with their checksum. The checkpoint before stays as a second file."""
    if files.checkpoint.exists():
        files.checkpoint.replace(files.earlier_checkpoint)
    write_tensors(files.checkpoint, tensors, {**facts, _DIGEST: _digest(tensors, facts)})


def newest_checkpoint(files: CellFiles, device: torch.device, source: str | None) -> Checkpoint:
    """Return the newest intact checkpoint. That of another source is not used; with source = None every source fits.

    If there is none, the note that the training continues a shorter one is removed from the folder.
    """
    damaged = []
    for path in (files.checkpoint, files.earlier_checkpoint):
        if not path.exists():
            continue
        try:
            tensors, facts = _intact(path, device)
        except StoreError:
            damaged.append(path.name)
            continue
        if source in (None, facts.get("source")):
            return Checkpoint(tensors, facts, _note(damaged, f"continued from step {facts['step']}"))
    files.continued.unlink(missing_ok=True)
    return Checkpoint(None, {}, _note(damaged, "started anew"))


def save_checkpoint(files: CellFiles, model: Model, optimizer: Adam, progress: Progress, source: str) -> None:
    """Write the checkpoint of a training by the core."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for index, moments in optimizer.state.items():
        tensors |= {f"adam.{index}.{key}": value for key, value in moments.items()}
    # The metadata of the format are text; repr keeps every bit of a float.
    facts = {"step": str(progress.step), "seconds": repr(progress.seconds), "source": source}
    write_checkpoint(files, tensors, {**facts, "timing": json.dumps(asdict(progress.timing))})


def load_checkpoint(
    files: CellFiles, model: Model, optimizer: Adam, source: str | None
) -> tuple[Progress | None, str | None]:
    """Read the newest intact checkpoint into model and optimiser; return its progress and a note on damaged files.

    Raises StoreError if the checkpoint does not fit the model.
    """
    found = newest_checkpoint(files, next(model.parameters()).device, source)
    if found.tensors is None:
        return None, found.note
    _restore(files.checkpoint, found.tensors, model, optimizer)
    timing = PhaseTiming(**json.loads(found.facts["timing"]))
    return Progress(int(found.facts["step"]), float(found.facts["seconds"]), timing), found.note


def _note(damaged: list[str], outcome: str) -> str | None:
    return f"damaged: {', '.join(damaged)}; the training {outcome}" if damaged else None


def _intact(path: Path, device: torch.device) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return tensors and facts of a file. Raises StoreError if it was cut off or changed."""
    tensors, facts = read_tensors(path, device, advice="delete it to train anew")
    if facts.pop(_DIGEST, None) != _digest(tensors, facts):
        raise StoreError(f"{path} was changed after it was written; delete it to train anew")
    return tensors, facts


def _restore(path: Path, tensors: Mapping[str, Tensor], model: Model, optimizer: Adam) -> None:
    """Copy parameters and moments. Only the moments come from the file; the groups are those of the options."""
    try:
        model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    except RuntimeError as error:
        why = str(error).splitlines()[0]
        raise StoreError(f"{path} does not fit this model ({why}); delete it to train anew") from error
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("adam."):
            _, index, key = name.split(".", 2)
            moments.setdefault(int(index), {})[key] = value
    optimizer.state = moments


def _digest(tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> str:
    """Return the SHA-256 of names, types, shapes and bytes of the tensors, and of the facts."""
    found = hashlib.sha256(repr(sorted(facts.items())).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())  # (...) -> (bytes,)
    return found.hexdigest()
