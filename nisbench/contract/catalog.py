"""Entry points -> names: what is installed, each plugin isolated, a broken one a row with a reason.

The catalog knows every name, option and default without importing a sampler. It goes over the entry points
itself, because pluggy's own loader stops at the first plugin that fails to import.
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
from nisbench.contract.distribution import plugin_points
from nisbench.contract.records import Kind, TrainingOptions
from nisbench.errors import InvalidValue, PluginError, UnknownName

__all__ = ["Catalog", "Entry", "TargetEntry", "load_catalog"]

GROUP = "nisbench"


@dataclass(frozen=True)
class _NoOptions:
    """For plugins without options."""


@dataclass(frozen=True)
class Entry:
    """One registered model or sampler, or a broken registration with the reason."""

    name: str
    kind: Kind | None
    distribution: str
    version: str
    summary: str = ""
    options: type[Any] = _NoOptions
    factory: str = ""
    devices: tuple[str, ...] = ("cpu", "cuda")
    broken: str | None = None

    def load(self) -> type[Any]:
        """The class behind `factory`; imports the implementation. Raises PluginError with the cause."""
        return _resolve(self.factory, self.name)

    def fill(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All options by name: `given` (values or text) checked and converted, defaults for the rest.

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
        except Exception as error:  # a plugin may refuse in any way
            raise InvalidValue(f"options of {self.name}: {error or type(error).__name__}") from error


@dataclass(frozen=True)
class TargetEntry:
    """One registered target."""

    name: str
    factory: str
    summary: str = ""

    def load(self) -> type[Any]:
        """The class behind `factory`. Raises PluginError with the cause."""
        return _resolve(self.factory, self.name)


@dataclass(frozen=True)
class Catalog:
    """Everything installed, by name."""

    plugins: Mapping[str, Entry]
    targets: Mapping[str, TargetEntry]
    broken: tuple[Entry, ...] = field(default=())

    def plugin(self, name: str) -> Entry:
        """The plugin of that name. Raises UnknownName, or PluginError where its registration is broken."""
        if name in self.plugins:
            return self.plugins[name]
        for entry in self.broken:
            if entry.name == name:
                raise PluginError(f"plugin '{name}' is broken: {entry.broken}")
        raise UnknownName("plugin", name, self.plugins)

    def target(self, name: str) -> TargetEntry:
        """The target of that name. Raises UnknownName."""
        if name not in self.targets:
            raise UnknownName("target", name, self.targets)
        return self.targets[name]


class _Registry:
    """Collects what the hooks of one registration module register."""

    def __init__(self, distribution: str, version: str) -> None:
        self.distribution, self.version = distribution, version
        self.plugins: list[Entry] = []
        self.targets: list[TargetEntry] = []

    def model(self, name: str, *, options: type[Any], factory: str, summary: str) -> None:
        if not (isinstance(options, type) and issubclass(options, TrainingOptions)):
            raise PluginError(f"the options of model '{name}' do not inherit nisbench.TrainingOptions")
        self._add(name, "model", options, factory, summary, ("cpu", "cuda"))

    def sampler(
        self,
        name: str,
        *,
        factory: str,
        summary: str,
        options: type[Any] = _NoOptions,
        devices: tuple[str, ...] = ("cpu", "cuda"),
    ) -> None:
        self._add(name, "sampler", options, factory, summary, devices)

    def target(self, name: str, *, factory: str, summary: str) -> None:
        self.targets.append(TargetEntry(name=name, factory=factory, summary=summary))

    def _add(
        self, name: str, kind: Kind, options: type[Any], factory: str, summary: str, devices: tuple[str, ...]
    ) -> None:
        _check_options(name, options)
        if not devices or not set(devices) <= {"cpu", "cuda"}:
            raise PluginError(f"the devices of '{name}' are {devices!r}; give a tuple of 'cpu' and 'cuda'")
        self.plugins.append(
            Entry(name, kind, self.distribution, self.version, summary, options, factory, tuple(devices))
        )


class _BuiltinTargets:
    """The targets of the core, registered as a plugin's would be."""

    @staticmethod
    @pluggy.HookimplMarker(GROUP)
    def register_targets(register: Any) -> None:
        register("ising", factory="nisbench.physics.ising:Ising", summary="2-D Ising ferromagnet on a periodic torus")


def load_catalog(points: typing.Iterable[EntryPoint] | None = None) -> Catalog:
    """The catalog of all entry points of the group `nisbench` (or of `points`); never raises for a broken plugin."""
    from nisbench import __version__

    plugins: dict[str, Entry] = {}
    targets: dict[str, TargetEntry] = {}
    broken: list[Entry] = []
    builtin = _collect(_BuiltinTargets(), "nisbench", __version__)
    targets.update({entry.name: entry for entry in builtin.targets})
    for point in sorted(points if points is not None else plugin_points(), key=_turn):
        distribution = point.dist.name if point.dist else "unknown"
        version = point.dist.version if point.dist else "unknown"
        try:
            with contextlib.redirect_stdout(sys.stderr):  # what a module prints is no part of a command's answer
                registry = _collect(point.load(), distribution, version)
            twice = _twice([*plugins, *(e.name for e in registry.plugins)])
            twice += _twice([*targets, *(t.name for t in registry.targets)])
            if twice:
                raise PluginError(f"'{twice[0]}' is registered already")
        # A plugin may fail in any way at import; SystemExit would otherwise end the run.
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            broken.append(Entry(point.name, None, distribution, version, broken=reason))
            continue
        plugins.update({entry.name: entry for entry in registry.plugins})
        targets.update({entry.name: entry for entry in registry.targets})
    return Catalog(plugins=plugins, targets=targets, broken=tuple(broken))


def _turn(point: EntryPoint) -> tuple[bool, str]:
    """nisbench's own first, so that a name taken twice is the newcomer's fault."""
    return point.dist is None or point.dist.name != "nisbench", point.name


def _twice(names: typing.Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _collect(module: Any, distribution: str, version: str) -> _Registry:
    """What one registration module registers; a manager of its own keeps it apart from all others."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    manager.register(module)
    manager.check_pending()  # a misspelled hook is an error, not silence
    registry = _Registry(distribution, version)
    manager.hook.register_models(register=registry.model)
    manager.hook.register_samplers(register=registry.sampler)
    manager.hook.register_targets(register=registry.target)
    return registry


def _check_options(name: str, options: type[Any]) -> None:
    """Raises PluginError unless options are a dataclass of plain values with defaults, each of a known type."""
    if not dataclasses.is_dataclass(options):
        raise PluginError(f"the options of '{name}' are no dataclass")
    hints = typing.get_type_hints(options)
    for option in dataclasses.fields(options):
        hint = hints[option.name]
        if hint not in (bool, int, float, str) and typing.get_origin(hint) is not Literal:
            raise PluginError(f"option {name}.{option.name} is a {hint}; use bool, int, float, str or Literal")
        if option.default is dataclasses.MISSING:
            raise PluginError(f"option {name}.{option.name} has no default value")


def _resolve(factory: str, name: str) -> type[Any]:
    module, _, attribute = factory.partition(":")
    try:
        loaded: type[Any] = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise PluginError(f"'{name}' cannot be loaded from {factory}: {type(error).__name__}: {error}") from error
    return loaded


def _convert(where: str, value: Any, hint: Any) -> Any:
    """A value from the command line (text) or a plan (typed) as the annotated type of the option."""
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
        raise InvalidValue(f"{where} = {value!r} is no truth value; give true or false")
    if hint in (int, float):
        try:
            number = hint(value) if not (hint is int and isinstance(value, float)) else int(str(value))
        except (TypeError, ValueError):
            number = None
        if number is None or isinstance(value, bool) or not math.isfinite(number):
            raise InvalidValue(f"{where} = {value!r} is no {'whole' if hint is int else 'finite'} number")
        return number
    return str(value) if hint is str else value
