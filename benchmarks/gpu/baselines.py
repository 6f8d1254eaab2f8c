"""Stage `baselines`: cluster and local samplers on the device; those for the CPU alone on the processor beside it."""

from benchmarks.gpu.process import Task
from benchmarks.gpu.runs import finish, results, start_plan
from benchmarks.gpu.settings import BETA
from nisbench.contract.catalog import load_catalog

__all__ = ["run"]

PLAN = """
name = "gpu-baselines"
title = "Cluster and local samplers beside a GPU"
reference = "none"

[[group]]
name = "baselines"
plugins = {plugins}
sizes = {sizes}
beta = {beta}
seeds = [1]
draws = {draws}
"""


def run(task: Task) -> None:
    """One row for each sampler and size, with the device that it ran on."""
    settings = task.settings
    every = sorted(entry.name for entry in load_catalog().plugins.values() if entry.kind == "sampler")
    sizes, draws = list(settings.baseline_sizes), settings.chain_draws
    plan = PLAN.format(plugins=list(settings.baselines or every), sizes=sizes, beta=BETA, draws=draws)
    code, _ = finish(task, start_plan(task, plan))
    if code != 0:
        task.fail("the time was up before the run ended" if code is None else f"nisbench run ended with {code}")
    for cell in results(task):
        seconds = cell.value("draw_s_per_1000")
        task.row(
            "baselines",
            plugin=cell.plugin,
            L=cell.L,
            on=cell.device,
            status=cell.status,
            ms_per_1000=None if seconds is None else 1000 * seconds,
            tau_energy=cell.value("tau_int_energy"),
            tau_magnetisation=cell.value("tau_int_abs_magnetisation"),
            s_per_effective=cell.value("s_per_effective_sample"),
            note=cell.reason,
        )
        if cell.status not in ("ok", "untrusted", "unavailable"):
            task.fail(f"{cell.plugin} at L = {cell.L} is {cell.status}: {cell.reason}")
