"""The catalog: names, options and defaults of all installed plugins and targets, from their entry points.

Building the catalog imports registration modules only, no sampler and no torch. Each entry point is loaded on its
own, because pluggy's loader stops at the first plugin that fails to import. A broken plugin becomes an entry with the
reason.
"""

import contextlib
import dataclasses
import importlib
import math
import sys
import typing
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from typing import Any, Literal

import pluggy

from nisbench.contract import hookspecs
from nisbench.contract.distribution import own_version, plugin_points
from nisbench.contract.records import Kind, TrainingOptions
from nisbench.errors import InvalidValue, PluginError, UnknownName

__all__ = ["Catalog", "Entry", "TargetEntry", "load_catalog"]

GROUP = "nisbench"


@dataclass(frozen=True)
class _NoOptions:
    """Options of a plugin that has no options."""


@dataclass(frozen=True)
class Entry:
    """One registered model, density or sampler, or a broken registration with the reason."""

    name: str
    kind: Kind | None
    distribution: str
    version: str
    summary: str = ""
    options: type[Any] = _NoOptions
    factory: str = ""
    devices: tuple[str, ...] = ("cpu", "cuda")
    trains: bool = False
    """True for a density or sampler with a training loop of its own."""
    broken: str | None = None

    @property
    def takes_budget(self) -> bool:
        """True if cells of this plugin have a training budget."""
        return self.kind == "model" or self.trains

    @property
    def takes_reference(self) -> bool:
        """True if the plugin has a tractable q, which is also evaluated on configurations of p."""
        return self.kind in ("model", "density")

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
        hints = typing.get_type_hints(self.options)
        known = {f.name for f in dataclasses.fields(self.options)}
        values = {}
        for key, value in given.items():
            if key not in known:
                raise UnknownName(f"option of {self.name}", key, known)
            values[key] = _convert(f"{self.name}.{key}", value, hints[key])
        try:
            return dataclasses.asdict(self.options(**values))
        except Exception as error:  # the plugin's own check may raise anything
            raise InvalidValue(f"options of {self.name}: {error or type(error).__name__}") from error


@dataclass(frozen=True)
class TargetEntry:
    """One registered target."""

    name: str
    factory: str
    summary: str = ""

    def load(self) -> type[Any]:
        """Imports and returns the class behind `factory`. Raises PluginError with the cause."""
        return _resolve(self.factory, self.name)


@dataclass(frozen=True)
class Catalog:
    """All installed plugins and targets, by name."""

    plugins: Mapping[str, Entry]
    targets: Mapping[str, TargetEntry]
    broken: tuple[Entry, ...] = field(default=())

    def plugin(self, name: str) -> Entry:
        """The plugin called `name`. Raises UnknownName, or PluginError if its registration is broken."""
        if name in self.plugins:
            return self.plugins[name]
        for entry in self.broken:
            if entry.name == name:
                raise PluginError(f"plugin '{name}' is broken: {entry.broken}")
        raise UnknownName("plugin", name, self.plugins)

    def target(self, name: str) -> TargetEntry:
        """The target called `name`. Raises UnknownName."""
        if name not in self.targets:
            raise UnknownName("target", name, self.targets)
        return self.targets[name]


class _Registry:
    """Entries registered by the hooks of one registration module."""

    def __init__(self, distribution: str, version: str) -> None:
        self.distribution, self.version = distribution, version
        self.plugins: list[Entry] = []
        self.targets: list[TargetEntry] = []

    def model(self, name: str, *, options: type[Any], factory: str, summary: str) -> None:
        if not (isinstance(options, type) and issubclass(options, TrainingOptions)):
            raise PluginError(f"the options of model '{name}' do not inherit nisbench.TrainingOptions")
        self._add(name, "model", options=options, factory=factory, summary=summary)

    def density(self, name: str, *, factory: str, summary: str, **given: Any) -> None:
        self._add(name, "density", factory=factory, summary=summary, **given)

    def sampler(self, name: str, *, factory: str, summary: str, **given: Any) -> None:
        self._add(name, "sampler", factory=factory, summary=summary, **given)

    def target(self, name: str, *, factory: str, summary: str) -> None:
        self.targets.append(TargetEntry(name=name, factory=factory, summary=summary))

    def _add(
        self,
        name: str,
        kind: Kind,
        *,
        factory: str,
        summary: str,
        options: type[Any] = _NoOptions,
        devices: tuple[str, ...] = ("cpu", "cuda"),
        trains: bool = False,
    ) -> None:
        _check_options(name, options)
        if not devices or not set(devices) <= {"cpu", "cuda"}:
            raise PluginError(f"the devices of '{name}' are {devices!r}; give a tuple of 'cpu' and 'cuda'")
        source = self.distribution, self.version
        self.plugins.append(Entry(name, kind, *source, summary, options, factory, tuple(devices), trains))


class _BuiltinTargets:
    """The targets of the core, registered through the same hook as those of plugins."""

    @staticmethod
    @pluggy.HookimplMarker(GROUP)
    def register_targets(register: Any) -> None:
        register("ising", factory="nisbench.physics.ising:Ising", summary="2-D Ising ferromagnet on a periodic torus")


def load_catalog(points: typing.Iterable[EntryPoint] | None = None) -> Catalog:
    """The catalog of `points`, by default all entry points of the group `nisbench`.

    A plugin that fails to load is listed in `broken` with the reason; it raises nothing.
    """
    plugins: dict[str, Entry] = {}
    targets: dict[str, TargetEntry] = {}
    broken: list[Entry] = []
    builtin = _collect(_BuiltinTargets(), "nisbench", own_version())
    targets.update({entry.name: entry for entry in builtin.targets})
    for point in sorted(points if points is not None else plugin_points(), key=_order):
        distribution = point.dist.name if point.dist else "unknown"
        version = point.dist.version if point.dist else "unknown"
        try:
            with contextlib.redirect_stdout(sys.stderr):  # a plugin's prints must not mix with a command's output
                registry = _collect(point.load(), distribution, version)
            repeated = _repeated([*plugins, *(e.name for e in registry.plugins)])
            repeated += _repeated([*targets, *(t.name for t in registry.targets)])
            if repeated:
                raise PluginError(f"'{repeated[0]}' is registered already")
        # The import of a plugin may raise anything; SystemExit would otherwise end the run.
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            broken.append(Entry(point.name, None, distribution, version, broken=reason))
            continue
        plugins.update({entry.name: entry for entry in registry.plugins})
        targets.update({entry.name: entry for entry in registry.targets})
    return Catalog(plugins=plugins, targets=targets, broken=tuple(broken))


def _order(point: EntryPoint) -> tuple[bool, str]:
    """Sort key that puts nisbench's own plugins first: a plugin that repeats one of their names is the broken one."""
    return point.dist is None or point.dist.name != "nisbench", point.name


def _repeated(names: typing.Iterable[str]) -> list[str]:
    """Names that occur more than once."""
    return [name for name, count in Counter(names).items() if count > 1]


def _collect(module: Any, distribution: str, version: str) -> _Registry:
    """Calls the hooks of one registration module and returns what they register."""
    manager = pluggy.PluginManager(GROUP)  # one manager per module, so that modules cannot affect each other
    manager.add_hookspecs(hookspecs)
    manager.register(module)
    manager.check_pending()  # raises for a misspelled hook
    registry = _Registry(distribution, version)
    manager.hook.register_models(register=registry.model)
    manager.hook.register_densities(register=registry.density)
    manager.hook.register_samplers(register=registry.sampler)
    manager.hook.register_targets(register=registry.target)
    return registry


def _check_options(name: str, options: type[Any]) -> None:
    """Raises PluginError unless options are a dataclass whose fields have a plain type and a default."""
    if not dataclasses.is_dataclass(options):
        raise PluginError(f"the options of '{name}' are not a dataclass")
    hints = typing.get_type_hints(options)
    for option in dataclasses.fields(options):
        hint = hints[option.name]
        if hint not in (bool, int, float, str) and typing.get_origin(hint) is not Literal:
            raise PluginError(f"option {name}.{option.name} is a {hint}; use bool, int, float, str or Literal")
        if option.default is dataclasses.MISSING:
            raise PluginError(f"option {name}.{option.name} has no default value")


def _resolve(factory: str, name: str) -> type[Any]:
    """Imports "module:Class"."""
    module, _, attribute = factory.partition(":")
    try:
        loaded: type[Any] = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise PluginError(f"'{name}' cannot be loaded from {factory}: {type(error).__name__}: {error}") from error
    return loaded


def _convert(where: str, value: Any, hint: Any) -> Any:
    """Converts a value from the command line (text) or a plan (typed) to the annotated type of the option."""
    origin = typing.get_origin(hint)
    if origin is Literal:
        choices = typing.get_args(hint)
        for choice in choices:
            if value == choice or str(value) == str(choice):
                return choice
        raise InvalidValue(f"{where} = {value!r}: choose one of {', '.join(map(str, choices))}")
    if hint is bool:
        text = str(value).lower()
        if text in ("true", "1", "yes", "on"):
            return True
        if text in ("false", "0", "no", "off"):
            return False
        raise InvalidValue(f"{where} = {value!r} is not a truth value; give true or false")
    if hint in (int, float):
        try:
            number = hint(value) if not (hint is int and isinstance(value, float)) else int(str(value))
        except (TypeError, ValueError):
            number = None
        if number is None or isinstance(value, bool) or not math.isfinite(number):
            raise InvalidValue(f"{where} = {value!r} is not a {'whole' if hint is int else 'finite'} number")
        return number
    return str(value) if hint is str else value
