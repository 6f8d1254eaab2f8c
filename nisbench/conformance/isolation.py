"""Saves and compares the state that the whole process shares: random generators, default dtype, threads."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

__all__ = ["changed_by", "isolated"]


@contextmanager
def isolated() -> Iterator[dict[str, Any]]:
    """Yields the global settings at the start of a block and restores them at its end."""
    before = _state()
    try:
        yield before
    finally:
        torch.random.set_rng_state(before["torch's generator"])
        np.random.set_state(before["NumPy's generator"])  # noqa: NPY002
        random.setstate(before["Python's generator"])
        torch.set_default_dtype(before["default dtype"])
        torch.set_num_threads(before["number of threads"])
        torch.set_grad_enabled(before["grad mode"])


def changed_by(work: Callable[[], object]) -> list[str]:
    """Calls `work` and returns the names of the global settings that it changed; the settings are restored."""
    with isolated() as before:
        work()
        return [name for name, value in _state().items() if not _equal(value, before[name])]


def _state() -> dict[str, Any]:
    """The global settings by name."""
    return {
        "torch's generator": torch.random.get_rng_state(),
        "NumPy's generator": np.random.get_state(),  # noqa: NPY002
        "Python's generator": random.getstate(),
        "default dtype": torch.get_default_dtype(),
        "number of threads": torch.get_num_threads(),
        "grad mode": torch.is_grad_enabled(),
    }


def _equal(a: Any, b: Any) -> bool:
    """Equality of values that are tensors, arrays or tuples of these."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(_equal, a, b))
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else bool(a == b)
