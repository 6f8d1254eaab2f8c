"""Runs the contract of a plugin or target: `run_checks` yields one named result for every clause."""

import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from nisbench.conformance.chains import CHAIN_CHECKS
from nisbench.conformance.densities import DENSITY_CHECKS
from nisbench.conformance.isolation import isolated
from nisbench.conformance.models import MODEL_CHECKS
from nisbench.conformance.subject import BETA, Check, NotApplicable, Subject, Violation
from nisbench.conformance.targets import TARGET_CHECKS, TargetSubject, builds
from nisbench.conformance.weighted import WEIGHTED_CHECKS
from nisbench.contract.catalog import Catalog
from nisbench.contract.interfaces import ChainSampler, Density, Model
from nisbench.errors import InvalidValue, PluginError
from nisbench.harness.build import UnavailableError, select_device

__all__ = ["CheckResult", "Clause", "checks_for", "clauses", "loads", "run_checks"]


@dataclass(frozen=True)
class CheckResult:
    """The outcome of one check."""

    name: str
    passed: bool
    message: str
    """The clause and the finding."""
    applicable: bool = True
    """False for a check that this plugin cannot have; it counts as passed, and the message is the reason."""
    traceback: str = ""
    """Traceback of an exception of the plugin; empty for other findings."""

    @property
    def outcome(self) -> str:
        """`ok`, `n/a` or `FAIL`."""
        return "FAIL" if not self.passed else "ok" if self.applicable else "n/a"


def checks_for(factory: type[Any]) -> tuple[Check, ...]:
    """The checks of a class that fits its registration, in order."""
    if issubclass(factory, Model):
        return MODEL_CHECKS
    if issubclass(factory, Density):
        return DENSITY_CHECKS
    return CHAIN_CHECKS if issubclass(factory, ChainSampler) else WEIGHTED_CHECKS


def run_checks(
    name: str,
    catalog: Catalog,
    device: str = "cpu",
    given: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    sizes: tuple[int, ...] = (),
    beta: float | None = None,
) -> Iterator[CheckResult]:
    """Run the checks of the plugin or target called `name` and yield each result as soon as it is known.

    If it does not load, there is one result only.

    Parameters
    ----------
    given
        Options of the plugin or target, by its name.
    sizes
        Extents at which a plugin is checked besides L = 4; a plugin that refuses L = 4 is checked at these alone.
    beta
        Inverse temperature at which a plugin is checked.

    Raises
    ------
    UnknownName, PluginError
        For a name that is not installed, and for a broken registration.
    InvalidValue
        For options of anything else, and for a device, sizes or beta at which it cannot be checked.
    """
    return _run(_subject(name, catalog, device, given or {}, sizes, beta))


@dataclass(frozen=True)
class Clause:
    """One check of one plugin or target."""

    subject: Subject | TargetSubject
    check: Callable[[Any], str | None]

    @property
    def name(self) -> str:
        """Name of the check."""
        return getattr(self.check, "__name__", "check")

    def run(self) -> CheckResult:
        """Run the check."""
        return _result(self.subject, self.check)


def clauses(
    name: str,
    catalog: Catalog,
    device: str = "cpu",
    given: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    sizes: tuple[int, ...] = (),
    beta: float | None = None,
) -> tuple[Clause, ...]:
    """Return the checks of `run_checks`, which takes the same arguments, to run them one by one.

    A plugin that does not load has one check only.
    """
    subject = _subject(name, catalog, device, given or {}, sizes, beta)
    first, others = _parts(subject)
    loaded = _result(subject, first).passed
    return tuple(Clause(subject, check) for check in (first, *(others(subject.factory) if loaded else ())))


def loads(subject: Subject) -> str:
    """The class loads, inherits the base class of its hook and supports a target at L = 4 or at the given sizes."""
    where = f"{subject.factory.__name__} on {subject.target().name} at L = {subject.extent}"
    return f"{where}, judged by the limits of float32." if subject.dtype == torch.float32 else f"{where}."


def _subject(
    name: str,
    catalog: Catalog,
    device: str,
    given: Mapping[str, Mapping[str, Any]],
    sizes: tuple[int, ...],
    beta: float | None,
) -> Subject | TargetSubject:
    """Return the plugin or target with its options; raises as `run_checks` does."""
    catalog.entry(name)  # raises for an unknown name
    if others := given.keys() - {name}:
        raise InvalidValue(f"--option {min(others)}.*: only options of {name}, which is checked, can be given")
    if name in catalog.targets:
        if sizes or beta is not None:
            raise InvalidValue(f"'{name}' is a target, which is checked at fixed sizes; leave out --sizes and --beta")
        target = catalog.targets[name]
        return TargetSubject(target, target.fill(given.get(name, {})))
    entry = catalog.plugin(name)
    entry.fill(given.get(name, {}))  # raises for an option that does not exist
    if device == "cuda" and (entry.kind != "model" or device not in entry.devices):
        devices = ", ".join(entry.devices)
        raise InvalidValue(f"'{name}' is a {entry.kind} that runs on {devices}; only a model can be checked on cuda")
    try:
        select_device(device)
    except UnavailableError as error:
        raise InvalidValue(str(error)) from error
    return Subject(entry, catalog, device, given.get(name, {}), sizes, BETA if beta is None else beta)


def _parts(
    subject: Subject | TargetSubject,
) -> tuple[Callable[[Any], str | None], Callable[[type[Any]], tuple[Callable[[Any], str | None], ...]]]:
    """Return the first check, and the function that gives the others."""
    return (loads, checks_for) if isinstance(subject, Subject) else (builds, lambda _: TARGET_CHECKS)


def _run(subject: Subject | TargetSubject) -> Iterator[CheckResult]:
    first, others = _parts(subject)
    result = _result(subject, first)
    yield result
    if result.passed:
        for check in others(subject.factory):
            yield _result(subject, check)


def _result(subject: Any, check: Callable[[Any], str | None]) -> CheckResult:
    name, clause = getattr(check, "__name__", "check"), (check.__doc__ or "").strip()
    try:
        with isolated():  # a change of global state by one check must not affect the next
            found = check(subject)
    except NotApplicable as reason:
        return CheckResult(name, True, f"not applicable: {reason}", applicable=False)
    except (Violation, PluginError) as violation:
        return CheckResult(name, False, f"{clause} Found: {violation}")
    # The plugin may raise anything; each exception is a violation of the clause that is checked.
    except (Exception, SystemExit) as error:
        found = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return CheckResult(name, False, f"{clause} Found: {found}", traceback=traceback.format_exc())
    return CheckResult(name, True, f"{clause} {found}" if found else clause)
