"""Run folders with thousands of cells. Their files repeat those of a few cells, with small changes of the numbers."""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from fakes.stores import ENVIRONMENT, StoreMaker

from nisbench.contract.records import Budget, Cell, Estimate
from nisbench.harness.plan import Group, Plan
from nisbench.harness.store import Store

__all__ = ["CROWDS", "crowd", "unsynced", "waiting"]

DRAWS = 200
STEPS = 300


@contextmanager
def unsynced() -> Iterator[None]:
    """Files are not synced to disk, which would take longer than all the rest."""
    sync, os.fsync = os.fsync, lambda _: None
    try:
        yield
    finally:
        os.fsync = sync


def _models(plugin: str, L: int, beta: float, seeds: Sequence[int], **options: object) -> list[Cell]:
    reference = _sampler(L, beta, 0, reference_draws=400)
    fields = {"learning_rate": 0.003, "batch_size": 512, "z2": True, **options}
    return [reference] + [
        _cell(plugin, "model", L, beta, seed, options=fields, budget=Budget(steps=STEPS), reference=reference.cell_id)
        for seed in seeds
    ]


def _sampler(L: int, beta: float, seed: int, **fields: object) -> Cell:
    return _cell("wolff", "sampler", L, beta, seed, options={"n_chains": 8}, **fields)


def _cell(plugin: str, kind: str, L: int, beta: float, seed: int, **fields: object) -> Cell:
    return Cell(
        plugin=plugin,
        kind=kind,
        L=L,
        beta=beta,
        seed=seed,
        draws=DRAWS,
        plugin_version="0.1.0",
        target="ising",
        **fields,
    )


def seeds(n: int) -> list[Cell]:
    """Three samplers at five sizes with many seeds each."""
    numbers, found = range(1, max(2, n // 15 + 1)), []
    for L in (4, 8, 16, 32, 64):
        found += [cell for plugin in ("hier", "van") for cell in _models(plugin, L, 0.44, numbers)]
        found += [_sampler(L, 0.44, seed) for seed in numbers]
    return found


def variants(n: int) -> list[Cell]:
    """166 variants of a model at three sizes, or fewer if there are fewer cells."""
    widths = range(1, min(167, n // 6 + 2))
    numbers = range(1, max(2, n // (3 * len(widths)) + 1))
    sizes = (4, 8, 16)
    models = [cell for L in sizes for width in widths for cell in _models("hier", L, 0.44, numbers, width=width)]
    return models + [_sampler(L, 0.44, seed) for L in sizes for seed in numbers]


def temperatures(n: int) -> list[Cell]:
    """Three samplers at two sizes and 250 temperatures, or fewer if there are fewer cells."""
    betas = [0.2 + 0.001 * i for i in range(min(250, n // 8 + 1))]
    numbers, found = range(1, max(2, n // (6 * len(betas)) + 1)), []
    for beta in betas:
        for L in (4, 8):
            found += [cell for plugin in ("hier", "van") for cell in _models(plugin, L, beta, numbers)]
            found += [_sampler(L, beta, seed) for seed in numbers]
    return found


CROWDS: dict[str, Callable[[int], list[Cell]]] = {"seeds": seeds, "variants": variants, "temperatures": temperatures}
"""Functions that return about n cells."""


def crowd(path: Path, cells: Sequence[Cell]) -> Store:
    """Write a run with these cells, all of them finished."""
    with unsynced():
        store = waiting(path, cells)
        unique = store.cells()
        known = _templates(path.with_name(f"{path.name}-templates"), unique)
        (path / "reference").mkdir()
        for cell in unique:
            _finish(store, cell, known[_kind(cell)])
    return store


def waiting(path: Path, cells: Sequence[Cell]) -> Store:
    """Write a run with these cells, none of which has started."""
    unique = {cell.cell_id: cell for cell in cells}.values()
    ordered = sorted(unique, key=lambda cell: (cell.reference_draws == 0, cell.L, cell.beta))
    members = [cell for cell in ordered if not cell.reference_draws]
    group = Group(
        name="crowd",
        claim="",
        plugins=tuple(sorted({cell.plugin for cell in members})),
        sizes=tuple(sorted({cell.L for cell in members})),
        beta=tuple(sorted({cell.beta for cell in members})),
        seeds=tuple(sorted({cell.seed for cell in members})),
        cells=tuple(cell.cell_id for cell in members),
    )
    plan = Plan(name="crowd", title="Many cells", description="", groups=(group,), cells=tuple(ordered))
    with unsynced():
        return Store.create(path, plan, ENVIRONMENT)


def _kind(cell: Cell) -> tuple[str, int, bool]:
    return cell.plugin, cell.L, cell.reference_draws > 0


def _templates(path: Path, cells: Sequence[Cell]) -> dict[tuple[str, int, bool], tuple[Store, Cell]]:
    """One finished cell for each sampler and size, at beta = 0.44."""
    maker = StoreMaker(draws=DRAWS, steps=STEPS)
    for plugin, L, is_reference in sorted({_kind(cell) for cell in cells}):
        if plugin == "wolff" and not is_reference:
            maker.sampler(L)
        elif plugin != "wolff":
            maker.model(plugin, L)
    store = maker.write(path)
    return {_kind(cell): (store, cell) for cell in store.cells()}


def _finish(store: Store, cell: Cell, template: tuple[Store, Cell]) -> None:
    """Copy the files of the template; each value is changed by about 2 % of itself, or by half an error."""
    other, known = template
    source, files = other.files(known.cell_id), store.files(cell.cell_id)
    for name in ("series.npz", "samples.npz", "history.jsonl"):
        if (source.folder / name).exists():
            (files.folder / name).write_bytes((source.folder / name).read_bytes())
    if cell.reference_draws:
        files.reference.write_bytes(source.reference.read_bytes())
    result = other.result(known.cell_id)
    assert result is not None
    rng = np.random.default_rng(int(cell.cell_id[-12:], 16))
    quantities = {name: _changed(estimate, rng) for name, estimate in result.quantities.items()}
    files.write_result(replace(result, cell_id=cell.cell_id, quantities=quantities))


def _changed(estimate: Estimate, rng: np.random.Generator) -> Estimate:
    if estimate.value is None or not math.isfinite(estimate.value):
        return estimate
    step = 0.5 * estimate.error if estimate.error and math.isfinite(estimate.error) else 0.02 * abs(estimate.value)
    return replace(estimate, value=estimate.value + step * float(rng.standard_normal()))
