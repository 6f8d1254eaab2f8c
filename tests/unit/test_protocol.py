"""A number of an unchanged cell must not change unless PROTOCOL_VERSION does.

`python tests/unit/test_protocol.py` writes the numbers of three small cells into protocol.json, after the version was
raised.
"""

import json
import math
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nisbench.contract.catalog import load_catalog
from nisbench.contract.quantities import Part, describe
from nisbench.contract.records import PROTOCOL_VERSION, Budget, Cell
from nisbench.harness.plan import Plan
from nisbench.harness.store import Store
from nisbench.harness.worker import run_cell

RECORDED = Path(__file__).with_name("protocol.json")
TOLERANCE = 1e-5
"""Relative. Processors round float32 products differently, which moves an untrained network's ln q by about 1e-7."""


def measured(folder: Path) -> dict[str, dict[str, list[float | None]]]:
    """Values and errors of a chain, its reference and a model of 3 training steps, at L = 4."""
    catalog = load_catalog()
    chain = Cell("wolff", "sampler", "fixed", catalog.plugin("wolff").fill({}), "ising", 4, 0.4, 1, 2000)
    reference = replace(chain, seed=0, reference_draws=200)
    options = catalog.plugin("hier").fill({"batch_size": 64})
    model = Cell("hier", "model", "fixed", options, "ising", 4, 0.4, 1, 500, Budget(steps=3))
    model = replace(model, reference=reference.cell_id)
    store = Store.create(folder, Plan("p", "t", "d", groups=(), cells=(chain, reference, model)), {})
    found = {}
    for name, cell in {"reference": reference, "chain": chain, "model": model}.items():
        result = run_cell(store, cell, catalog)
        store.files(cell.cell_id).write_result(result)
        kept = {
            n: q for n, q in result.quantities.items() if not describe(n).timed and describe(n).part is not Part.TIME
        }
        found[name] = {n: [_plain(q.value), _plain(q.error)] for n, q in sorted(kept.items())}
    return found


def test_the_numbers_of_fixed_cells_are_those_of_the_protocol(tmp_path):
    recorded = json.loads(RECORDED.read_text())
    assert recorded["protocol_version"] == PROTOCOL_VERSION, "renew protocol.json: python tests/unit/test_protocol.py"
    different = _differing(recorded["cells"], measured(tmp_path / "run"))
    assert not different, f"numbers changed; raise PROTOCOL_VERSION and renew protocol.json: {different}"


@pytest.mark.parametrize("change", [1 + 1e-3, 1 - 1e-3])
def test_a_change_of_one_number_is_seen(change):
    recorded = json.loads(RECORDED.read_text())["cells"]
    other = json.loads(json.dumps(recorded))
    other["model"]["kl_nats"][1] *= change
    assert _differing(recorded, other) == ["model kl_nats"]


def _plain(value: float | None) -> float | str | None:
    return str(value) if value is not None and math.isinf(value) else value


def _differing(a, b) -> list[str]:
    """Cell and name of the quantities that differ."""
    return [
        f"{cell} {name}"
        for cell in a
        for name in sorted(a[cell].keys() | b[cell].keys())
        if not _same(a[cell].get(name), b[cell].get(name))
    ]


def _same(a, b) -> bool:
    if a is None or b is None:
        return False
    pairs = zip(a, b, strict=True)
    return all(x == y or (isinstance(x, float) and y == pytest.approx(x, rel=TOLERANCE, abs=1e-9)) for x, y in pairs)


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        record = {"protocol_version": PROTOCOL_VERSION, "cells": measured(Path(folder) / "run")}
    RECORDED.write_text(json.dumps(record, indent=1) + "\n")
