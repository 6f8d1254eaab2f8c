"""The catalog: names, options and defaults of all installed plugins and targets, from their entry points.

Building the catalog imports registration modules only, no sampler and no torch. Each entry point is loaded on its
own, because pluggy's loader stops at the first plugin that fails to import. A broken plugin becomes an entry with the
reason.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from typing import Any

import pluggy

from nisbench.contract import builtin, hookspecs
from nisbench.contract.distribution import own_version, plugin_points
from nisbench.contract.entries import Entry, TargetEntry
from nisbench.contract.options import NoOptions, check_options
from nisbench.contract.plugin_files import plugin_file_points
from nisbench.contract.probe import probe
from nisbench.contract.records import Kind, TrainingOptions
from nisbench.contract.surroundings import preserved
from nisbench.errors import PluginError, UnknownName, describe

__all__ = ["Catalog", "Entry", "TargetEntry", "check_name", "collect", "load_catalog"]

GROUP = "nisbench"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LONGEST_NAME = 100
"""Characters. The name is a part of the name of a folder, which may have 255."""


@dataclass(frozen=True)
class Catalog:
    """All installed plugins and targets, by name."""

    plugins: Mapping[str, Entry]
    targets: Mapping[str, TargetEntry]
    broken: tuple[Entry, ...] = field(default=())

    @property
    def entries(self) -> tuple[Entry | TargetEntry, ...]:
        """All plugins, broken registrations and targets."""
        return *self.plugins.values(), *self.broken, *self.targets.values()

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

    def entry(self, name: str) -> Entry | TargetEntry:
        """The plugin, broken registration or target called `name`. Raises UnknownName."""
        for entry in self.entries:
            if entry.name == name:
                return entry
        raise UnknownName("plugin or target", name, [*self.plugins, *self.targets])


class _Registry:
    """Entries registered by the hooks of one registration module."""

    def __init__(self, distribution: str, version: str) -> None:
        self.distribution, self.version = distribution, version
        self.plugins: list[Entry] = []
        self.targets: list[TargetEntry] = []

    def model(
        self,
        name: str,
        *,
        factory: str,
        summary: str,
        options: type[Any] = NoOptions,
        trains: bool = False,
        citation: str = "",
        bibtex: str = "",
        trained_s: float = 0.0,
        trained_on: str = "",
    ) -> None:
        if not trains and not (isinstance(options, type) and issubclass(options, TrainingOptions)):
            raise PluginError(f"the options of model '{name}' do not inherit nisbench.TrainingOptions")
        given: dict[str, Any] = {"trains": trains, "citation": citation, "bibtex": bibtex}
        given |= {"trained_s": trained_s, "trained_on": trained_on}
        self._add(name, "model", options=options, factory=factory, summary=summary, **given)

    def density(self, name: str, *, factory: str, summary: str, **given: Any) -> None:
        self._add(name, "density", factory=factory, summary=summary, **given)

    def sampler(self, name: str, *, factory: str, summary: str, **given: Any) -> None:
        self._add(name, "sampler", factory=factory, summary=summary, **given)

    def target(
        self,
        name: str,
        *,
        factory: str,
        summary: str,
        options: type[Any] = NoOptions,
        citation: str = "",
        traits: Callable[[Any], Iterable[str]] | None = None,
    ) -> None:
        check_name(name)
        check_options(name, options)
        source = self.distribution, self.version
        self.targets.append(TargetEntry(name, factory, summary, options, *source, citation, traits))

    def _add(
        self,
        name: str,
        kind: Kind,
        *,
        factory: str,
        summary: str,
        options: type[Any] = NoOptions,
        devices: tuple[str, ...] = ("cpu", "cuda"),
        trains: bool = False,
        citation: str = "",
        bibtex: str = "",
        reference_rank: int = 0,
        reference_needs: Iterable[str] = (),
        trained_s: float = 0.0,
        trained_on: str = "",
    ) -> None:
        check_name(name)
        check_options(name, options)
        if reference_rank and (kind == "model" or trains):
            raise PluginError(f"'{name}' is trained, so it cannot be a reference; leave out reference_rank")
        if not devices or not set(devices) <= {"cpu", "cuda"}:
            raise PluginError(f"the devices of '{name}' are {devices!r}; give a tuple of 'cpu' and 'cuda'")
        _check_trained(name, trained_s)
        self.plugins.append(
            Entry(
                name,
                kind,
                self.distribution,
                self.version,
                summary,
                options,
                factory,
                tuple(devices),
                trains,
                citation,
                bibtex,
                reference_rank,
                frozenset(reference_needs),
                trained_s=float(trained_s),
                trained_on=str(trained_on),
            )
        )


def load_catalog(points: Iterable[EntryPoint] | None = None, *, names: Iterable[str] | None = None) -> Catalog:
    """The catalog of `points`, by default all entry points of the group `nisbench`, and the plugin files in use.

    A plugin that fails to load is listed in `broken` with the reason; it raises nothing. Modules of other distributions
    are tried in a child process first, see `nisbench.contract.probe`; those of `points` are not.

    Parameters
    ----------
    names
        Plugins and targets that are needed. nisbench's own modules are loaded until all these names are registered.
        Of other distributions, only the modules that register one of the missing names are imported.
    """
    own = collect(builtin, "nisbench", own_version())
    loading = _Loading(targets={entry.name: entry for entry in own.targets})
    needed = None if names is None else set(names)
    found = sorted((*plugin_points(), *plugin_file_points()) if points is None else points, key=_order)
    direct = [point for point in found if points is not None or _is_own(point)]
    asked = [] if points is not None else found[len(direct) :]
    for point in direct:
        if needed is None or needed - loading.names:
            loading.load(point)
    missing = None if needed is None else needed - loading.names
    if asked and missing != set():
        for point, answer in zip(asked, probe(asked, missing), strict=True):
            if answer.broken is not None:
                loading.refuse(point, answer.broken)
            elif missing is None or missing & set(answer.names):
                loading.load(point)
            elif not loading.names & set(answer.names):  # a module that repeats a name registers nothing
                loading.names |= set(answer.names)
    return Catalog(plugins=loading.plugins, targets=loading.targets, broken=tuple(loading.broken))


class _Loading:
    """A catalog in the making."""

    def __init__(self, targets: dict[str, TargetEntry]) -> None:
        self.plugins: dict[str, Entry] = {}
        self.targets = targets
        self.broken: list[Entry] = []
        self.names = set(targets)
        """All names that are taken, also those of modules that are not imported."""

    def load(self, point: EntryPoint) -> None:
        """Import the module of an entry point and add its entries, or the reason why it is broken."""
        distribution, version = _source(point)
        try:
            with preserved():
                registry = collect(point.load(), distribution, version)
            added = [*(entry.name for entry in registry.plugins), *(entry.name for entry in registry.targets)]
            if repeated := _repeated([*self.names, *added]):
                raise PluginError(f"'{repeated[0]}' is registered already")
        except KeyboardInterrupt:
            raise
        # The import of a plugin may raise anything: SystemExit, the skip of a test framework, a panic of compiled code.
        except BaseException as error:
            self.refuse(point, describe(error))
            return
        self.names |= set(added)
        self.plugins |= {entry.name: entry for entry in registry.plugins}
        self.targets |= {entry.name: entry for entry in registry.targets}

    def refuse(self, point: EntryPoint, reason: str) -> None:
        """Add a broken registration."""
        self.broken.append(Entry(point.name, None, *_source(point), broken=reason))


def _source(point: EntryPoint) -> tuple[str, str]:
    """Name and version of the distribution of an entry point."""
    return (point.dist.name, point.dist.version) if point.dist else ("unknown", "unknown")


def _order(point: EntryPoint) -> tuple[bool, str]:
    """Sort key that puts nisbench's own plugins first: a plugin that repeats one of their names is the broken one."""
    return not _is_own(point), point.name


def _is_own(point: EntryPoint) -> bool:
    """True for an entry point of nisbench itself."""
    return point.dist is not None and point.dist.name == "nisbench"


def _repeated(names: Iterable[str]) -> list[str]:
    """Names that occur more than once."""
    return [name for name, count in Counter(names).items() if count > 1]


def collect(module: Any, distribution: str, version: str) -> _Registry:
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


def check_name(name: object) -> None:
    """Raises PluginError for a name that cannot be written in a command, a plan and a table."""
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise PluginError(f"the name {name!r} is not allowed; use letters, digits, '.', '_' and '-', first no mark")
    if len(name) > _LONGEST_NAME:
        raise PluginError(f"the name {name[:20]}... has {len(name)} characters; use at most {_LONGEST_NAME}")


def _check_trained(name: str, seconds: object) -> None:
    """Raises PluginError for seconds of a training that are not a number of at least 0."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
        raise PluginError(f"trained_s of '{name}' is {seconds!r}; give the seconds of the training")
