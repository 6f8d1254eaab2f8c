"""Build a model for real if it is small; the attempt ends before it takes much memory.

Tensors on the device `meta` take no memory at all, but the first operation on them imports the compiler of torch, which
takes more than a second of every process. Nearly every model is small.
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["SMALL", "built_if_small"]

SMALL = 2**28
"""Bytes that the results of all functions of torch in a constructor may have together."""
_WIDEST = 16
"""Bytes of the longest number."""
_DATA = {torch.tensor, torch.as_tensor, torch.split, Tensor.split, Tensor.__getitem__, Tensor.__setitem__}
"""Functions whose numbers are data or places. Those of other functions may be sizes."""
_COPIES = {Tensor.repeat, Tensor.tile, Tensor.repeat_interleave, torch.tile, torch.repeat_interleave}
"""Functions whose numbers are those of copies."""

Built = TypeVar("Built")


def built_if_small(build: Callable[[], Built]) -> Built | None:
    """Return what `build` returns; None if it raises an exception or takes more than SMALL bytes.

    The global generator of random numbers is left as it was.
    """
    watch = _Watch()
    try:
        with torch.random.fork_rng(devices=[]), watch:
            built = build()
    except Exception:  # the constructor of a plugin may raise anything
        return None
    return None if watch.large else built  # a constructor may have caught the exception of the watch


class _LargeError(Exception):
    """The constructor takes more than SMALL bytes."""


class _Watch(TorchFunctionMode):
    """Adds up the bytes of all results, and raises _LargeError before a function whose result may exceed SMALL."""

    def __init__(self) -> None:
        super().__init__()
        self.taken, self.large = 0, False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call `func` unless its result may be large."""
        given = kwargs or {}
        self.large |= _WIDEST * _most(func, (*args, *given.values())) > SMALL
        if self.large:
            raise _LargeError
        result = func(*args, **given)
        for each in result if isinstance(result, (tuple, list)) else (result,):
            self.taken += each.nbytes if isinstance(each, Tensor) else 0
        self.large |= self.taken > SMALL
        return result


def _most(func: Any, args: tuple[Any, ...]) -> int:
    """Return the most numbers that the result of a function with these arguments can have; 0 for one of _DATA."""
    if func in _DATA:
        return 0
    tensors = [arg for arg in args if isinstance(arg, Tensor)]
    sizes = [x for arg in args for x in (arg if isinstance(arg, (tuple, list)) else (arg,)) if type(x) is int]
    try:
        together = math.prod(np.broadcast_shapes(*(tuple(tensor.shape) for tensor in tensors)))
    except ValueError:  # such as two matrices, each number with each at most
        together = math.prod(tensor.numel() for tensor in tensors)
    stated = math.prod(max(1, abs(size)) for size in sizes)
    return together * stated if func in _COPIES else max(together, stated)
