"""Stage `right`: kernels against the plain pass, draws against their evaluation, the contract, ln Z against exact."""

import functools
import subprocess
from collections.abc import Mapping
from typing import Any

import torch

from benchmarks.gpu.kernels import WrongError, check_kernels
from benchmarks.gpu.models import build, model_names
from benchmarks.gpu.process import Task
from benchmarks.gpu.runs import CellRow, finish, results, start, start_plan
from benchmarks.gpu.settings import BETA
from nisbench.conformance.training import check_recording
from nisbench.harness.environment import available_cores

__all__ = ["run"]

BATCH = 65
LARGEST_Z = 5.0
PLAN = """
name = "gpu-right"
title = "ln Z of briefly trained models against the exact one"
reference = "none"

[[group]]
name = "ln Z"
claim = "ln Z by importance weights is the exact one within five standard errors."
plugins = {plugins}
sizes = {sizes}
beta = {beta}
seeds = [1]
{budget}
draws = {draws}
"""


def run(task: Task) -> None:
    """Everything here may run side by side, for nothing is timed."""
    names = model_names(task.settings.device)
    nis = start_plan(task, _plan(task, names), workers=max(2, available_cores() // 3))
    words = ("--device", task.settings.device)
    contracts = {name: start(task, "check", name, *words) for name in task.settings.checked or names}
    check_kernels(task)
    for L in task.settings.right_sizes:
        for name in names:
            for check in (evaluation, rounding, repetition, recording):
                work = functools.partial(check, name, L, task.device)
                task.attempt("checks", work, check=str(check.__doc__), of=f"{name}, L = {L}")
    for name, process in contracts.items():
        task.attempt("checks", functools.partial(_contract, task, process), check="contract", of=name)
    finish(task, nis)
    cells = results(task)
    for cell in cells:
        work = functools.partial(_log_z, cell)
        task.attempt("checks", work, check="ln Z against the exact one", of=f"{cell.plugin}, L = {cell.L}")
    for name in names:
        if all(_tells_nothing(cell) for cell in cells if cell.plugin == name):
            task.fail(f"ln Z of {name} could be judged at no size")


def evaluation(name: str, L: int, device: torch.device) -> Mapping[str, Any]:
    """ln q of a draw = evaluated, also on the CPU, float64"""
    model = _shaken(name, L, device, torch.float64)
    draws = model.sample(BATCH, beta=BETA, generator=torch.Generator(device).manual_seed(1))
    on_cpu = build(name, L, "cpu", torch.float64)
    on_cpu.load_state_dict({key: value.cpu() for key, value in model.state_dict().items()})
    with torch.no_grad():
        found = draws.log_prob - model.log_prob(draws.spins, beta=BETA)
        elsewhere = draws.log_prob.cpu() - on_cpu.log_prob(draws.spins.cpu(), beta=BETA)
    return _small(max(float(found.abs().max()), float(elsewhere.abs().max())), 1e-8)


def rounding(name: str, L: int, device: torch.device) -> Mapping[str, Any]:
    """ln q of a draw = evaluated, float32"""
    model = _shaken(name, L, device, torch.float32)
    draws = model.sample(BATCH, beta=BETA, generator=torch.Generator(device).manual_seed(1))
    with torch.no_grad():
        found = draws.log_prob - model.log_prob(draws.spins, beta=BETA)
    return _small(float(found.abs().max()), 1e-5 * L**2)


def repetition(name: str, L: int, device: torch.device) -> Mapping[str, Any]:
    """same seed, same draws and gradient, bit by bit"""
    model = _shaken(name, L, device, torch.float32)
    draws, gradients = [], []
    for _ in range(2):
        draws.append(model.sample(BATCH, beta=BETA, generator=torch.Generator(device).manual_seed(2)).spins)
        batch = model.training_batch(BATCH, beta=BETA, generator=torch.Generator(device).manual_seed(3))
        gradients.append(torch.autograd.grad(batch.loss(), list(model.parameters()), allow_unused=True))
    if not torch.equal(*draws):
        raise WrongError("two calls with one seed drew different configurations")
    pairs = [(a, b) for a, b in zip(*gradients, strict=True) if a is not None and b is not None]
    unlike = sum(not torch.equal(a, b) for a, b in pairs)
    if unlike or not all(a.isfinite().all() for a, _ in pairs):
        raise WrongError(f"{unlike} of {len(pairs)} gradients differ, or one is not finite")
    return {"passed": True, "found": f"{len(pairs)} gradients"}


def recording(name: str, L: int, device: torch.device) -> Mapping[str, Any]:
    """recorded training step = computed, bit by bit"""
    return {"passed": True, "found": check_recording(_shaken(name, L, device, torch.float32), BATCH, BETA)}


def _shaken(name: str, L: int, device: torch.device, dtype: torch.dtype) -> Any:
    """A model whose density is far from uniform."""
    model = build(name, L, device, dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def _small(difference: float, tolerance: float) -> Mapping[str, Any]:
    if not difference <= tolerance:
        raise WrongError(f"a difference of {difference:.2g}, more than {tolerance:.1g}")
    return {"passed": True, "found": f"to {difference:.1g}, tolerance {tolerance:.1g}"}


def _contract(task: Task, process: subprocess.Popen[str]) -> Mapping[str, Any]:
    code, output = finish(task, process)
    if code is None:
        raise WrongError("not finished: the time was up")
    failed = [line for line in output.splitlines() if not line.startswith("ok ")]
    if code:
        raise WrongError(failed[0] if failed else f"exit code {code}")
    return {"passed": True, "found": f"{len(output.splitlines())} clauses"}


def _log_z(cell: CellRow) -> Mapping[str, Any]:
    if _tells_nothing(cell):
        return {"passed": "not judged", "note": f"the run itself does not trust its weights: {cell.reason}"}
    z = cell.value("log_z_per_site", "z")
    if z is None:
        raise WrongError(f"{cell.status}: {cell.reason or 'ln Z has no error'}")
    if abs(z) > LARGEST_Z:
        raise WrongError(f"{z:+.1f} standard errors from the exact one")
    ess = cell.value("ess_fraction") or 0.0
    return {"passed": True, "found": f"{z:+.1f} standard errors, ESS fraction {ess:.3f}, {cell.status}"}


def _tells_nothing(cell: CellRow) -> bool:
    """Whether ln Z is off in a run that does not trust its weights. After seconds of training this shows no fault."""
    return cell.status == "untrusted" and abs(cell.value("log_z_per_site", "z") or 0.0) > LARGEST_Z


def _plan(task: Task, names: list[str]) -> str:
    settings = task.settings
    return PLAN.format(
        plugins=names,
        sizes=list(settings.right_sizes),
        beta=BETA,
        budget=settings.right_budget,
        draws=settings.right_draws,
    )
