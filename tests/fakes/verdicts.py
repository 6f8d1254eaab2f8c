"""Stores of cells with chosen costs, for the checks of the verdict: no series, only the numbers that it stands on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fakes.stores import DEVICE_NAME, ENVIRONMENT

from nisbench.contract.doubts import Doubt, joined
from nisbench.contract.records import Budget, Cell, CellResult, Estimate, Hardware, Status
from nisbench.harness.plan import Group, Plan
from nisbench.harness.store import Store

SECONDS_PER_DRAW = 1e-6
"""Time of a draw of every trained sampler; its cost follows from its ESS."""


@dataclass(frozen=True)
class Made:
    """A cell: a chain with a cost, or a density with ESS and, if it was trained, a training time."""

    plugin: str
    L: int
    cost: float | None = None
    """Seconds per effective sample, as stored; by default SECONDS_PER_DRAW/ess."""
    error: float | None = None
    train_s: float | None = None
    ess: float | None = None
    ess_error: float = 1e-4
    ess_p: float | None = None
    ess_p_error: float = 1e-3
    basis: str | None = None
    kind: str = ""
    seed: int = 1
    status: Status = Status.OK
    reason: str = "made so"
    """Reason of a status other than ok."""
    doubts: tuple[Doubt, ...] = ()
    """If given, their text is the reason."""
    machine: str = DEVICE_NAME
    history: Sequence[tuple[float, float]] = ()
    """(seconds, ESS) of each line; each from 512 draws."""
    kl: bool = False
    """The history has KL = -ln ESS as well."""
    more: dict[str, float | Estimate] = field(default_factory=dict)
    """Other quantities; a bare number has no error."""
    group: str = "all"
    """Name of the group of the plan."""
    options: dict[str, object] = field(default_factory=dict)
    beta: float = 0.44

    @property
    def cell(self) -> Cell:
        kind = self.kind or ("sampler" if self.ess is None else "model")
        budget = Budget(seconds=self.train_s) if self.train_s is not None else None
        options = {**self.options, **({"batch_size": 512} if self.history else {})}
        return Cell(
            *(self.plugin, kind, "1", options, "ising", self.L, self.beta, self.seed, 1000), budget=budget, device="cpu"
        )

    def finish(self, store: Store, cell: Cell) -> None:
        if self.status not in (Status.OK, Status.UNTRUSTED):
            store.files(cell.cell_id).write_result(CellResult(cell.cell_id, self.status, self.reason))
            return
        for step, (seconds, ess) in enumerate(self.history, 1):
            line = {"step": step, "seconds": seconds, "ess_fraction": ess}
            store.files(cell.cell_id).append_history(line | ({"kl_nats": -math.log(ess)} if self.kl else {}))
        reason = None if self.status is Status.OK else joined(self.doubts) or self.reason
        hardware = Hardware(self.machine, 1, "2")
        basis = self.basis or ("tau_int" if self.ess is None else "ess_fraction")
        result = CellResult(
            cell.cell_id, self.status, reason, self._quantities(), hardware, cost_basis=basis, doubts=self.doubts
        )
        store.files(cell.cell_id).write_result(result)

    def _quantities(self) -> dict[str, Estimate]:
        given = self.more.items()
        found = {name: value if isinstance(value, Estimate) else Estimate(value) for name, value in given}
        if self.ess is None:
            found["mean_cluster_size"] = Estimate(10.0)
        else:
            found["ess_fraction"] = Estimate(self.ess, self.ess_error, n=1000)
            found["draw_s_per_1000"] = Estimate(1000 * SECONDS_PER_DRAW)
        if self.ess_p is not None:
            found["ess_fraction_p"] = Estimate(self.ess_p, self.ess_p_error, n=1000)
        if self.train_s is not None:
            found["train_s"] = Estimate(self.train_s)
        cost = SECONDS_PER_DRAW / self.ess if self.cost is None and self.ess else self.cost
        missing = Estimate.missing("neither ess_fraction nor tau_int is known and finite")
        return found | {"s_per_effective_sample": missing if cost is None else Estimate(cost, self.error)}


def made_store(path: Path, *cells: Made, checks: Sequence[str] = ()) -> Store:
    """A finished run with these cells; its plan has one group for each `group` of the cells.

    The first group has the claim `it works` with these checks.
    """
    names = list(dict.fromkeys(one.group for one in cells))
    groups = tuple(_group(name, [one.cell for one in cells if one.group == name]) for name in names)
    first = replace(groups[0], claim="it works", check=tuple(checks))
    ordered = tuple(one.cell for one in cells)
    plan = Plan(name="made", title="Made up", description="", groups=(first, *groups[1:]), cells=ordered)
    store = Store.create(path, plan, ENVIRONMENT)
    for one in cells:
        one.finish(store, one.cell)
    return store


def _group(name: str, cells: Sequence[Cell]) -> Group:
    plugins = tuple(dict.fromkeys(cell.plugin for cell in cells))
    sizes = tuple(sorted({cell.L for cell in cells}))
    betas = tuple(sorted({cell.beta for cell in cells}))
    return Group(name, "", plugins, sizes, betas, (1,), tuple(cell.cell_id for cell in cells))
