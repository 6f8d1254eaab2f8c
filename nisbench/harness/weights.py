"""Files of tensors: the weights of a finished model, and the checkpoint of a training. Nothing is ever unpickled."""

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from nisbench.errors import StoreError
from nisbench.harness.atomic import temporary_path

__all__ = ["load_weights", "read_tensors", "save_weights", "write_tensors"]


def save_weights(model: nn.Module, path: Path) -> None:
    """Write the parameters and buffers of `model`."""
    write_tensors(path, model.state_dict(), {})


def load_weights(model: nn.Module, path: Path) -> None:
    """Read the parameters and buffers of `model` in place. Raises StoreError if the file does not fit the model."""
    again = f"delete {path.parent} and run again"
    tensors, _ = read_tensors(path, "cpu", advice=again)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise StoreError(f"{path} does not fit this model ({str(error).splitlines()[0]}); {again}") from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
    """Write tensors with some facts as text. The file is written beside `path` and renamed."""
    separate: dict[str, Tensor] = {}
    storages: set[int] = set()
    for name, value in tensors.items():
        tensor = value.detach().contiguous()
        # Tied weights share their memory, which the format refuses; each name gets a copy.
        separate[name] = tensor.clone() if tensor.data_ptr() in storages else tensor
        storages.add(tensor.data_ptr())
    temporary = temporary_path(path)  # CellFiles.clear removes it after a kill
    save_file(separate, temporary, metadata=dict(facts))
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def read_tensors(path: Path, device: str | torch.device, *, advice: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors on `device` and the facts. Raises StoreError, ending with `advice`, for an unreadable file."""
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, RuntimeError, OSError) as error:
        raise StoreError(f"{path} cannot be read ({str(error).splitlines()[0]}); {advice}") from error
