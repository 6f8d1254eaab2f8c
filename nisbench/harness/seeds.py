"""Seeds of the random streams of a cell."""

import hashlib
from dataclasses import asdict

from nisbench.contract.records import Cell, canonical_json
from nisbench.physics.options import IsingOptions

__all__ = ["seed_for"]

_FIELDS = ("plugin", "options", "target", "L", "beta", "seed", "device", "dtype")
"""Fields that choose the streams. Versions are not among them, so a new version alone changes no number; the budget
and the number of draws are not either, so a longer run repeats the beginning of a shorter one."""


def seed_for(cell: Cell, role: str) -> int:
    """Return the seed of one stream: 63 bits of SHA-256 over the cell's fields and `role`.

    Each use of random numbers in a cell (initial weights, draws, each training step, ...) has its own role and so its
    own stream. A reference cell has other streams than a cell that measures the same sampler. The seed is the same in
    every process and on every machine.
    """
    fields = asdict(cell)
    identity = {name: fields[name] for name in _FIELDS} | {"reference": cell.reference_draws > 0}
    # The streams of `ising` with its defaults are those from before targets had options.
    if cell.target_options and (cell.target, cell.target_options) != ("ising", asdict(IsingOptions())):
        identity["target_options"] = fields["target_options"]
    digest = hashlib.sha256(f"{canonical_json(identity)}/{role}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
