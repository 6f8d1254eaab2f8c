"""Stage `quality`: hier-exact after some minutes of training, judged from both sides."""

from benchmarks.gpu.process import Task
from benchmarks.gpu.runs import CellRow, finish, results, start_plan
from benchmarks.gpu.settings import BETA

__all__ = ["run"]

FIRST_SHARE = 0.6
"""The most of the training time that the first size gets."""
HEAD = """
name = "gpu-quality"
title = "hier-exact after minutes on a GPU"
reference_draws = {reference_draws}
reference_chain_draws = {chain_draws}
"""
GROUP = """
[[group]]
name = "L = {L}"
claim = "ln Z is the exact one at L = {L}."
plugins = ["hier-exact"]
sizes = [{L}]
beta = {beta}
seeds = [1]
train_seconds = {seconds:.0f}
draws = {draws}
[group.options.hier-exact]
batch_size = {batch}
learning_rate = 0.03
"""


def run(task: Task) -> None:
    """Trains at the first size, then at the second one for the time that is left."""
    code, _ = finish(task, start_plan(task, plan(task)))
    if code != 0:
        task.fail("the time was up before the run ended" if code is None else f"nisbench run ended with {code}")
    for cell in results(task):
        if cell.plugin == "hier-exact":
            _record(task, cell)


def plan(task: Task) -> str:
    """The plan, whose training times fill the time of the stage."""
    settings = task.settings
    budget = max(2.0, task.left() - settings.overhead_s)
    first = min(settings.first_s, FIRST_SHARE * budget)
    times = first, (budget - first if settings.device == "cuda" else first)  # a dry run is short
    head = HEAD.format(reference_draws=settings.reference_draws, chain_draws=settings.chain_draws)
    groups = (
        GROUP.format(L=L, beta=BETA, seconds=seconds, draws=settings.quality_draws, batch=settings.quality_batch)
        for L, seconds in zip(settings.quality, times, strict=True)
    )
    return head + "".join(groups)


def _record(task: Task, cell: CellRow) -> None:
    """One row; a cell without an effective sample size is a failure."""
    numbers = {
        "train_s": "train_s",
        "steps": "train_steps",
        "ess": "ess_fraction",
        "ess_p": "ess_fraction_p",
        "kl_nats": "kl_nats",
        "s_per_effective": "s_per_effective_sample",
        "ms_per_1000": "draw_s_per_1000",
        "peak_bytes": "peak_device_train_bytes",
    }
    found = {name: cell.value(quantity) for name, quantity in numbers.items()}
    if found["ms_per_1000"] is not None:
        found["ms_per_1000"] *= 1000
    errors = {name: cell.value(numbers[name], "error") for name in ("ess", "ess_p")}
    task.row(
        "quality",
        plugin=cell.plugin,
        L=cell.L,
        status=cell.status,
        **found,
        ess_error=errors["ess"],
        ess_p_error=errors["ess_p"],
        z=cell.value("log_z_per_site", "z"),
        note=cell.reason,
    )
    if found["ess"] is None:
        task.fail(f"{cell.plugin} at L = {cell.L} is {cell.status}: {cell.reason}")
