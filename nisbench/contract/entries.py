"""The entries of the catalog: `Entry`, a registered plugin, and `TargetEntry`, a registered target."""

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nisbench.contract.options import NoOptions, fill_options
from nisbench.contract.records import Kind
from nisbench.errors import PluginError

__all__ = ["Entry", "TargetEntry"]


@dataclass(frozen=True)
class Entry:
    """One registered model, density or sampler, or a broken registration with the reason."""

    name: str
    kind: Kind | None
    distribution: str
    version: str
    summary: str = ""
    options: type[Any] = NoOptions
    factory: str = ""
    devices: tuple[str, ...] = ("cpu", "cuda")
    trains: bool = False
    """True for a plugin with a training loop of its own."""
    citation: str = ""
    """The publication of the method."""
    bibtex: str = ""
    """The same as a BibTeX entry; its `doi` becomes the link of a report to the publication."""
    reference_rank: int = 0
    """Place in the automatic choice of the reference, 1 first; 0: only when a plan names the plugin."""
    reference_needs: frozenset[str] = frozenset()
    """Traits that a target must have for this choice."""
    trained_s: float = 0.0
    """Seconds of a training that happened elsewhere; an option `trained_s` of the plugin replaces it."""
    trained_on: str = ""
    """Device of this training."""
    broken: str | None = None

    @property
    def takes_budget(self) -> bool:
        """True if cells of this plugin have a training budget."""
        return self.kind == "model" or self.trains

    @property
    def takes_reference(self) -> bool:
        """True if the plugin has a tractable q, evaluated on configurations of p, or if it may be trained on them."""
        return self.kind in ("model", "density") or self.trains

    def load(self) -> type[Any]:
        """Imports the implementation and returns the class behind `factory`.

        Raises PluginError if the import fails or the class does not fit the hook that registered it.
        """
        from nisbench.contract.checks import check_class  # imports torch, which the catalog itself does without

        factory = _resolve(self.factory, self.name)
        if self.kind is not None:
            check_class(factory, name=self.name, where=self.factory, kind=self.kind, trains=self.trains)
        return factory

    def fill(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All options by name: the values in `given`, checked and converted from text, and defaults for the rest.

        Raises UnknownName for an option that does not exist and InvalidValue for a value that does not fit.
        """
        return fill_options(self.name, self.options, given)


@dataclass(frozen=True)
class TargetEntry:
    """One registered target."""

    name: str
    factory: str
    summary: str = ""
    options: type[Any] = NoOptions
    distribution: str = "unknown"
    version: str = "unknown"
    citation: str = ""
    traits: Callable[[Any], Iterable[str]] | None = None
    """Words that describe the target, from an instance of `options`; `nisbench.contract.hookspecs` lists them."""

    def load(self) -> type[Any]:
        """Imports and returns the class behind `factory`. Raises PluginError with the cause."""
        return _resolve(self.factory, self.name)

    def fill(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All options by name, as `Entry.fill` returns them."""
        return fill_options(self.name, self.options, given)

    def traits_of(self, options: Mapping[str, Any]) -> frozenset[str]:
        """The traits of the target with these options; empty if its registration gives none."""
        return frozenset(self.traits(self.options(**options))) if self.traits else frozenset()

    def build(self, L: int, options: Mapping[str, Any]) -> Any:
        """The target on an L x L lattice; `options` as `fill` returns them, missing ones are the defaults."""
        return self.load()(L, self.options(**options))


def _resolve(factory: str, name: str) -> type[Any]:
    """Imports "module:Class"."""
    module, _, attribute = factory.partition(":")
    try:
        loaded: type[Any] = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise PluginError(f"'{name}' cannot be loaded from {factory}: {type(error).__name__}: {error}") from error
    return loaded
