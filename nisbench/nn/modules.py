"""A typed list of modules, shared by the networks."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

from torch import nn

__all__ = ["Stack"]

M = TypeVar("M", bound=nn.Module)


class Stack(nn.ModuleList, Generic[M]):
    """`torch.nn.ModuleList` of modules of one type, for the type checker."""

    if TYPE_CHECKING:

        def __init__(self, modules: "Iterator[M] | list[M] | None" = None) -> None: ...

        def __iter__(self) -> Iterator[M]: ...

        def __getitem__(self, index: int) -> M: ...  # type: ignore[override]
