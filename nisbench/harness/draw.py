"""Draw configurations from a finished cell: its trained model, or its sampler prepared anew."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nisbench.contract.interfaces import ChainSampler, Density, Sampler, WeightedSampler
from nisbench.contract.records import Cell, Status
from nisbench.errors import UserError
from nisbench.harness.build import rebuild
from nisbench.harness.measure import chunk_sizes, independent_chunks
from nisbench.harness.seeds import seed_for
from nisbench.harness.store import Store

__all__ = ["draw", "one_cell"]


def one_cell(store: Store, name: str) -> Cell:
    """Return the cell whose id is `name` or begins with it. Raises UserError unless there is exactly one."""
    ids = store.plan()["cells"]
    fitting = [name] if name in ids else [cell_id for cell_id in ids if cell_id.startswith(name)]
    if len(fitting) == 1:
        return store.cell(fitting[0])
    listed = ", ".join((fitting or ids)[:8]) + (", ..." if len(fitting or ids) > 8 else "")
    found = "several cells fit" if fitting else "no cell fits"
    raise UserError(f"cell '{name}' in {store.path}: {found}; give one of: {listed}")


def draw(store: Store, cell: Cell, n: int, *, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Return n draws of a finished cell on the cpu, with the keys of a file of draws.

    Draws of one `seed` are equal each time, and independent of those that the cell was measured with. A chain gives n
    draws of all chains together, rounded up to whole rows.

    Raises
    ------
    UserError
        If the cell is not finished, or its plugin is not installed.
    """
    state = store.state(cell.cell_id)
    if state.status not in (Status.OK, Status.UNTRUSTED):
        raise UserError(f"{cell.cell_id} has nothing to draw from: it is {state.describe()}")
    sampler = rebuild(store, cell)
    generator = torch.Generator().manual_seed(seed_for(cell, f"draw-file/{seed}"))
    with torch.no_grad():
        arrays = _drawn(sampler, cell, n, generator)
    return {**arrays, "beta": np.array(cell.beta), "target": np.array(cell.target)}


def _drawn(sampler: Sampler, cell: Cell, n: int, generator: torch.Generator) -> Mapping[str, NDArray[Any]]:
    sizes = independent_chunks(n, sampler.target.n_sites, torch.device("cpu"))
    if isinstance(sampler, Density):
        parts = [sampler.sample(size, beta=cell.beta, generator=generator) for size in sizes]
        return {"spins": _join(p.spins for p in parts), "log_prob": _join(p.log_prob for p in parts)}
    if isinstance(sampler, WeightedSampler):
        draws = [sampler.draw(size, generator=generator) for size in sizes]
        return {
            "spins": _join(d.spins for d in draws),
            "log_weight": _join(d.log_weight for d in draws),
            "normalised": np.array(all(d.normalised for d in draws)),
        }
    assert isinstance(sampler, ChainSampler)
    n_chains = sampler.draw(1, generator=generator).spins.shape[1]
    rows = chunk_sizes(-(-n // n_chains), max(1, sizes[0] // n_chains))
    return {"spins": _join(sampler.draw(size, generator=generator).spins for size in rows)}


def _join(parts: Any) -> NDArray[Any]:
    return np.concatenate([part.cpu().numpy() for part in parts])
