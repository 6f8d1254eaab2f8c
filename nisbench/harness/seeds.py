"""One seed for each source of randomness of a cell, from a stable hash: nothing shares a stream by accident."""

import hashlib

from nisbench.contract.records import Cell

__all__ = ["seed_for"]


def seed_for(cell: Cell, role: str) -> int:
    """The first 63 bits of SHA-256 over `cell_id/role`: the same in every process, on every machine."""
    digest = hashlib.sha256(f"{cell.cell_id}/{role}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
