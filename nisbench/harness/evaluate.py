"""Evaluate draws that another program made: the estimates and gates of a plugin's cell, without running a sampler.

Seconds are those that the user declares. Every quantity that rests on them has the reason DECLARED, and the notes of
the cell repeat them.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nisbench.contract.catalog import Catalog, load_catalog
from nisbench.contract.doubts import Doubt, Gate
from nisbench.contract.interfaces import Target
from nisbench.contract.quantities import DRAW_S, DRAW_S_PER_1000, S_PER_EFFECTIVE_SAMPLE, TRAIN_S
from nisbench.contract.records import Cell, CostBasis, Estimate, Hardware
from nisbench.errors import InvalidValue
from nisbench.harness.build import build_target
from nisbench.harness.cost import draw_costs
from nisbench.harness.draws_file import Draws, checked_draws, read_draws_file
from nisbench.harness.environment import describe
from nisbench.harness.first_chunk import configuration_hash, independent_doubts
from nisbench.harness.grow import add
from nisbench.harness.measure import N_SAMPLES, largest_chunk
from nisbench.harness.plan import Group, Plan
from nisbench.harness.plan_targets import PlannedTarget, planned_targets
from nisbench.harness.seeds import seed_for
from nisbench.harness.store import Store
from nisbench.harness.values import options as read_options
from nisbench.physics.sums import site_sums
from nisbench.statistics.gates import judged
from nisbench.statistics.independence import repeated, repeated_beyond
from nisbench.statistics.quantities import ReferenceSeries, chain_quantities, model_quantities, weighted_quantities

__all__ = ["DECLARED", "Declared", "evaluate"]

DECLARED = "declared by the user, not measured here"
"""Reason of every quantity that rests on declared seconds."""

_NO_P_SIDE = "a file of draws cannot give ln q of other configurations; see reference_log_prob"
_PLAN = "draws"


@dataclass(frozen=True)
class Declared:
    """Costs that the user states."""

    train_s: float | None = None
    draw_s: float | None = None
    """Seconds of all draws in the file together."""
    device_name: str | None = None
    device: str = "cpu"
    """Kind of device, `cpu` or `cuda`."""


def evaluate(
    draws: str | Path | Mapping[str, Any],
    *,
    target: str,
    beta: float,
    options: tuple[str, ...],
    name: str | None,
    declared: Declared,
    out: Path,
    command: str,
) -> tuple[Store, Cell]:
    """Write the cell of a file of draws into the run folder `out`, which may have other cells, and return both.

    Parameters
    ----------
    draws
        Path of an .npz file, or its arrays by name; `draws_file` lists them.
    options
        Options of the target, as texts `ising.field=0.1`.
    name
        Name of the sampler in tables; by default the name of the file.

    Raises
    ------
    UserError
        For a file, a value or a folder that does not fit. Nothing is written then.
    """
    where = "the draws" if isinstance(draws, Mapping) else str(draws)
    arrays = draws if isinstance(draws, Mapping) else read_draws_file(Path(draws))
    found = checked_draws(where, arrays)
    catalog = load_catalog()
    planned = _target(where, found, target, options, catalog)
    if found.beta is not None and found.beta != beta:
        raise InvalidValue(f"{where} states beta = {found.beta!r}; --beta is {beta!r}")
    cell = _cell(_name(name, draws, catalog), found, planned, beta, declared)
    built = build_target(cell, catalog)
    series = _series(built, found)
    quantities, basis = _estimates(cell, built, found, series, declared)
    result = replace(
        judged(cell, quantities, _repetitions(found, series)),
        hardware=Hardware(f"{declared.device_name or 'unknown device'} (declared)", 1, "none"),
        cost_basis=basis,
        notes=_notes(where, found, declared),
    )
    store = Store(out)
    with store.lock():
        add(store, _plan(cell), describe(command))
        files = store.files(cell.cell_id)
        files.clear()
        files.write_series(series)
        files.write_samples(found.spins.reshape(-1, found.L, found.L)[:N_SAMPLES])
        files.write_result(result)
    return store, cell


def _target(where: str, found: Draws, target: str, options: tuple[str, ...], catalog: Catalog) -> PlannedTarget:
    """Return the target with its options."""
    given = read_options("--option", options)
    if others := given.keys() - {target}:
        raise InvalidValue(f"--option {min(others)}.*: only options of the target {target} can be given")
    if found.target is not None and found.target != target:
        raise InvalidValue(f"{where} states the target '{found.target}'; --target is {target}")
    targets = planned_targets("nisbench evaluate", ({}, {}), target, given, catalog)
    if len(targets) > 1:
        raise InvalidValue(f"--option of {target} gives {len(targets)} targets; the draws belong to one of them")
    return targets[0]


def _name(name: str | None, draws: str | Path | Mapping[str, Any], catalog: Catalog) -> str:
    chosen = name or ("draws" if isinstance(draws, Mapping) else Path(draws).stem)
    if chosen in catalog.plugins:
        raise InvalidValue(f"'{chosen}' is an installed plugin; give the draws another --name")
    return chosen


def _cell(name: str, found: Draws, target: PlannedTarget, beta: float, declared: Declared) -> Cell:
    """Return the cell. The hash of the arrays is its version, so that other draws are another cell."""
    stated = {key: value for key, value in asdict(declared).items() if value is not None and key != "device"}
    return Cell(
        plugin=name,
        kind="density" if found.kind == "density" else "sampler",
        plugin_version=f"draws {found.digest[:12]}",
        options=stated,
        target=target.name,
        target_options=target.options,
        target_version=target.version,
        L=found.L,
        beta=beta,
        seed=0,
        draws=found.spins.size // found.L**2,
        device=declared.device,
    )


def _series(target: Target, found: Draws) -> dict[str, NDArray[Any]]:
    """Return energy and magnetisation of each draw, and ln q or ln w, in the form in which a run stores them."""
    series = _scalars(target, found.spins)
    if found.values is not None:
        series["log_prob" if found.kind == "density" else "log_weight"] = found.values
    if found.reference is not None:
        side = _scalars(target, found.reference.spins)
        series |= {f"reference_{name}": values for name, values in side.items()}
        series |= {"reference_log_prob": found.reference.log_prob, "reference_chain": found.reference.chain}
    return series


def _scalars(target: Target, spins: NDArray[np.int8]) -> dict[str, NDArray[Any]]:
    """Return total energies and signed total magnetisations, with the leading axes of spins (..., L, L)."""
    flat = torch.from_numpy(spins.reshape(-1, *spins.shape[-2:]))
    parts = torch.split(flat, largest_chunk(target.n_sites, "cpu"))
    energy = torch.cat([target.energy(part) for part in parts]).numpy()
    magnetisation = site_sums(flat).numpy()
    shape = spins.shape[:-2]
    return {"energy": energy.reshape(shape), "magnetisation": magnetisation.reshape(shape)}


def _estimates(
    cell: Cell, target: Target, found: Draws, series: Mapping[str, NDArray[Any]], declared: Declared
) -> tuple[dict[str, Estimate], CostBasis | None]:
    """Return the quantities of the kind of the draws, with the declared costs, and the basis of the costs."""
    point: dict[str, Any] = {
        "energy": series["energy"],
        "magnetisation": series["magnetisation"],
        "beta": cell.beta,
        "n_sites": target.n_sites,
        "exact": target.exact(cell.beta),
    }
    if found.kind == "chain":
        quantities = chain_quantities(**point, cluster_size=None)
    elif found.kind == "weighted":
        quantities = weighted_quantities(**point, log_weight=series["log_weight"], normalised=found.normalised)
    else:
        quantities = model_quantities(
            **point,
            log_prob=series["log_prob"],
            seed=seed_for(cell, "nmcmc"),
            reference=_reference(series),
            no_reference_reason=_NO_P_SIDE,
        )
    costs, basis = _costs(cell, quantities, declared)
    return {**quantities, **costs}, basis


def _reference(series: Mapping[str, NDArray[Any]]) -> ReferenceSeries | None:
    """Return the series of the p side; None if the file has none."""
    if "reference_log_prob" not in series:
        return None
    names = ("log_prob", "energy", "magnetisation", "chain")
    return ReferenceSeries(**{name: series[f"reference_{name}"] for name in names})


def _costs(
    cell: Cell, quantities: Mapping[str, Estimate], declared: Declared
) -> tuple[dict[str, Estimate], CostBasis | None]:
    """Return training and drawing times as declared; missing if no seconds were given."""
    found = {} if declared.train_s is None else {TRAIN_S: Estimate(declared.train_s, reason=DECLARED)}
    if declared.draw_s is None:
        names = (DRAW_S, DRAW_S_PER_1000, S_PER_EFFECTIVE_SAMPLE)
        return found | {name: Estimate.missing("no seconds of drawing were declared") for name in names}, None
    costs, basis = draw_costs(declared.draw_s, cell.draws, (), quantities)
    marked = {name: replace(cost, reason=cost.reason or DECLARED) for name, cost in costs.items()}
    return found | marked, basis


def _repetitions(found: Draws, series: Mapping[str, NDArray[Any]]) -> list[Doubt]:
    """Return the doubts that say why independent draws are correlated or repeated; the gates of a run."""
    if found.values is None:
        return []
    hashes = configuration_hash(torch.from_numpy(found.spins))
    if found.kind == "density":
        repetition = repeated_beyond(hashes, found.values) or repeated(hashes)
    else:
        repetition = repeated(hashes ^ found.values.view(np.int64))
    return [*independent_doubts(dict(series)), *([Doubt(Gate.DEPENDENT, repetition)] if repetition else [])]


def _notes(where: str, found: Draws, declared: Declared) -> dict[str, str]:
    """Return the origin of the draws and the declared costs in words."""
    stated = [
        *([f"training {declared.train_s:g} s"] if declared.train_s is not None else []),
        *([f"drawing {declared.draw_s:g} s"] if declared.draw_s is not None else []),
        *([f"on {declared.device_name}"] if declared.device_name else []),
    ]
    origin = "arrays in memory" if where == "the draws" else Path(where).name
    return {
        "draws": f"made by another program; read from {origin}, SHA-256 of the arrays {found.digest}",
        "declared": f"{', '.join(stated) or 'no times'}; nisbench measured no time and no memory of this cell",
    }


def _plan(cell: Cell) -> Plan:
    """Return the plan of the cell alone."""
    group = Group(_PLAN, "", (cell.plugin,), (cell.L,), (cell.beta,), (cell.seed,), (cell.cell_id,))
    return Plan(_PLAN, "Draws of other programs", "", (group,), (cell,))
