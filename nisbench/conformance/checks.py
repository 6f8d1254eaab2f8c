"""Runs the contract of a plugin or target: `run_checks` yields one named result for every clause."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from nisbench.conformance.chains import CHAIN_CHECKS
from nisbench.conformance.densities import DENSITY_CHECKS
from nisbench.conformance.isolation import isolated
from nisbench.conformance.models import MODEL_CHECKS
from nisbench.conformance.subject import Check, Subject, Violation
from nisbench.conformance.targets import TARGET_CHECKS, TargetSubject, builds
from nisbench.conformance.weighted import WEIGHTED_CHECKS
from nisbench.contract.catalog import Catalog
from nisbench.contract.interfaces import ChainSampler, Density, Model
from nisbench.errors import InvalidValue, PluginError

__all__ = ["CheckResult", "checks_for", "loads", "run_checks"]


@dataclass(frozen=True)
class CheckResult:
    """The outcome of one check."""

    name: str
    passed: bool
    message: str
    """The clause and the finding."""


def checks_for(factory: type[Any]) -> tuple[Check, ...]:
    """The checks of a class that fits its registration, in order."""
    if issubclass(factory, Model):
        return MODEL_CHECKS
    if issubclass(factory, Density):
        return DENSITY_CHECKS
    return CHAIN_CHECKS if issubclass(factory, ChainSampler) else WEIGHTED_CHECKS


def run_checks(
    name: str, catalog: Catalog, device: str = "cpu", given: Mapping[str, Mapping[str, Any]] | None = None
) -> Iterator[CheckResult]:
    """Run the checks of the plugin or target called `name` and yield each result as soon as it is known.

    If it does not load, there is one result only. `given` are options of targets, by target. Raises UnknownName for a
    name that is not installed, PluginError for a broken registration, and InvalidValue for a device on which it cannot
    be checked, and for options of anything else than this target.
    """
    catalog.entry(name)  # raises for an unknown name
    given = given or {}
    if others := given.keys() - ({name} & catalog.targets.keys()):
        raise InvalidValue(f"--option {min(others)}.*: only options of the checked target can be given")
    if name in catalog.targets:
        target = catalog.targets[name]
        return _run(TargetSubject(target, target.fill(given.get(name, {}))))
    entry = catalog.plugin(name)
    if device == "cuda" and (entry.kind != "model" or device not in entry.devices):
        devices = ", ".join(entry.devices)
        raise InvalidValue(f"'{name}' is a {entry.kind} that runs on {devices}; only a model can be checked on cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise InvalidValue(f"torch {torch.__version__} finds no CUDA device; give --device cpu")
    return _run(Subject(entry, catalog, device))


def loads(subject: Subject) -> str:
    """The class loads, inherits the base class of its hook and supports a target at L = 4 with its default options."""
    return f"{subject.factory.__name__} on {subject.target().name}"


def _run(subject: Subject | TargetSubject) -> Iterator[CheckResult]:
    first, others = (loads, checks_for) if isinstance(subject, Subject) else (builds, lambda _: TARGET_CHECKS)
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
    except (Violation, PluginError) as violation:
        return CheckResult(name, False, f"{clause} Found: {violation}")
    # The plugin may raise anything; each exception is a violation of the clause that is checked.
    except (Exception, SystemExit) as error:
        return CheckResult(name, False, f"{clause} Found: {type(error).__name__}: {' '.join(str(error).split())}")
    return CheckResult(name, True, f"{clause} {found}" if found else clause)
