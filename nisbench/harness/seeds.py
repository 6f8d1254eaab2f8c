"""Seeds of the random streams of a cell."""

import hashlib
from dataclasses import asdict

from nisbench.contract.records import Cell, canonical_json

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
    digest = hashlib.sha256(f"{canonical_json(identity)}/{role}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
