"""Runs the contract of a plugin: `run_checks` yields one named result for every clause."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from nisbench.conformance.isolation import isolated
from nisbench.conformance.models import MODEL_CHECKS
from nisbench.conformance.samplers import SAMPLER_CHECKS
from nisbench.conformance.subject import Check, Subject, Violation
from nisbench.contract.catalog import Catalog
from nisbench.errors import InvalidValue, PluginError

__all__ = ["CheckResult", "checks_for", "run_checks"]


@dataclass(frozen=True)
class CheckResult:
    """The outcome of one check."""

    name: str
    passed: bool
    message: str
    """The clause, then what was found."""


def checks_for(kind: str | None) -> tuple[Check, ...]:
    """The checks of a kind of plugin, in order."""
    return (loads, *(MODEL_CHECKS if kind == "model" else SAMPLER_CHECKS))


def run_checks(name: str, catalog: Catalog, device: str = "cpu") -> Iterator[CheckResult]:
    """Every check of the plugin of that name, as it is done; a plugin that does not load has the first result only.

    Raises UnknownName for a plugin that is not installed, PluginError for a broken registration and InvalidValue for
    a device on which the plugin is not checked.
    """
    entry = catalog.plugin(name)
    if device == "cuda" and (entry.kind != "model" or device not in entry.devices):
        devices = ", ".join(entry.devices)
        raise InvalidValue(f"'{name}' is a {entry.kind} that runs on {devices}; only a model can be checked on cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise InvalidValue(f"torch {torch.__version__} finds no CUDA device; give --device cpu")
    return _run(Subject(entry, catalog, device), checks_for(entry.kind))


def loads(subject: Subject) -> str:
    """The class loads, is of the registered kind and takes a target at L = 4 with its default options."""
    return f"{subject.factory.__name__} on {subject.target().name}"


def _run(subject: Subject, checks: tuple[Check, ...]) -> Iterator[CheckResult]:
    for check in checks:
        result = _result(subject, check)
        yield result
        if check is loads and not result.passed:
            return


def _result(subject: Subject, check: Check) -> CheckResult:
    name, clause = getattr(check, "__name__", "check"), (check.__doc__ or "").strip()
    try:
        with isolated():  # what one check leaves behind must not hide from the next
            found = check(subject)
    except (Violation, PluginError) as violation:
        return CheckResult(name, False, f"{clause} Found: {violation}")
    # A plugin may fail in any way; each is a violation of the clause at hand.
    except (Exception, SystemExit) as error:
        return CheckResult(name, False, f"{clause} Found: {type(error).__name__}: {' '.join(str(error).split())}")
    return CheckResult(name, True, f"{clause} {found}" if found else clause)
