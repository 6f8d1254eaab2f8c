"""The table of quantities, and the rule that its names are typed nowhere else."""

import ast
from pathlib import Path

import pytest

from nisbench.contract import quantities
from nisbench.contract.quantities import (
    FAMILIES,
    MAGNETIC,
    QUANTITIES,
    Part,
    describe,
    exponent_name,
    level_name,
    select,
)
from nisbench.physics.observables import OBSERVABLES
from nisbench.statistics.quantities import CHAIN_QUANTITIES, MODEL_QUANTITIES, REFERENCE_QUANTITIES, WEIGHTED_QUANTITIES

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "nisbench").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")])
ALLOWED = {
    "nisbench/contract/quantities.py": "the table",
    "nisbench/physics/enumeration.py": "computes exact values; physics lies below the contract",
    "nisbench/physics/kaufman.py": "computes exact values",
    "nisbench/physics/observables.py": "computes observables",
    "nisbench/harness/measure.py": "names series of energies",
    "nisbench/harness/train.py": "estimates the quantities of the training history",
    "nisbench/harness/cost.py": "names the estimate behind a cost",
    "nisbench/harness/densities.py": "names series of energies",
    "nisbench/harness/samplers.py": "names series of energies",
    "nisbench/harness/selection.py": "train_steps is an argument",
    "nisbench/python.py": "train_steps is an argument",
    "nisbench/contract/records.py": "names the estimates behind a cost",
    "nisbench/physics/kac_ward.py": "computes exact values",
    "nisbench/harness/plan.py": "train_steps is a key of plans",
    "nisbench/harness/plan_files.py": "train_steps is a key of plans",
    "nisbench/harness/planner.py": "train_steps is a key of plans",
    "nisbench/cli.py": "train_steps is an option",
    "nisbench/conformance/chains.py": "names series of energies",
    "nisbench/conformance/independence.py": "names series of energies",
    "nisbench/harness/evaluate.py": "names series of energies",
    "nisbench/harness/first_chunk.py": "names series of energies",
    "nisbench/conformance/subject.py": "computes exact means by enumeration",
    "nisbench/results/totals.py": "names the estimate behind a cost",
    "plugins/nisbench_plugins/boundary_mps.py": "reports its costs",
    "plugins/nisbench_plugins/hier.py": "reports its costs",
    "plugins/nisbench_plugins/hier_exact.py": "reports its costs",
    "plugins/nisbench_plugins/van.py": "reports its costs",
}
"""Files that may type the name of a quantity, each with the reason."""


def documentation(tree: ast.Module) -> set[int]:
    """Ids of the strings that are docstrings or stand in `__all__`."""
    found = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and "__all__" in [getattr(target, "id", "") for target in node.targets]:
            found |= {id(inner) for inner in ast.walk(node)}
    return found


def typed_names(source: str) -> list[str]:
    """Names of quantities that the source types as string literals, members of families included."""
    tree = ast.parse(source)
    left_out = documentation(tree)
    prefixes = tuple(family.prefix for family in FAMILIES)
    texts = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in left_out]
    return [text for text in texts if isinstance(text, str) and (text in QUANTITIES or text.startswith(prefixes))]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_of_quantities_are_typed_in_the_table_and_in_estimators_only(path: Path):
    if str(path.relative_to(ROOT)) not in ALLOWED:
        assert typed_names(path.read_text()) == []


def test_the_search_sees_a_literal_and_skips_documentation():
    assert typed_names('"""kl_nats"""\n__all__ = ["entropy"]\nx = {"kl_nats": f"exponent_{y}"}') == [
        "kl_nats",
        "exponent_",
    ]
    assert set(ALLOWED) <= {str(path.relative_to(ROOT)) for path in SOURCES}


def test_each_constant_is_the_name_of_its_row():
    constants = {
        key: value for key, value in vars(quantities).items() if key.isupper() and key[0] != "_" and type(value) is str
    }
    assert constants == {name.upper(): name for name in QUANTITIES}
    assert all(row.name == name for name, row in QUANTITIES.items())


def test_every_name_has_a_description():
    assert describe("kl_nats").axis == "KL(q‖p) (nats)"
    level = describe(level_name(3))
    assert (level.name, level.part, level.unit) == ("kl_nats_level_3", Part.QUALITY, "nats")
    exponent = describe(exponent_name("train_s"))
    assert (exponent.name, exponent.heading, exponent.part) == (
        "exponent_train_s",
        "exponent of training",
        Part.TIME,
    )
    of_plugin = describe("swap_rate")
    assert (of_plugin.heading, of_plugin.part, of_plugin.better) == ("swap_rate", Part.COUNT, None)


def test_every_quantity_is_of_one_part_and_every_kind_has_its_statistics():
    assert select(*Part) == tuple(QUANTITIES)
    assert set(OBSERVABLES) == set(select(Part.OBSERVABLE)) - {"entropy"}
    assert set(CHAIN_QUANTITIES) & set(WEIGHTED_QUANTITIES) == set(OBSERVABLES)
    assert set(MAGNETIC) < set(CHAIN_QUANTITIES)
    assert set(REFERENCE_QUANTITIES) < set(MODEL_QUANTITIES)
    assert set(select(*Part, kind="density")) < set(select(*Part, kind="model")) | {
        "prepare_s",
        "peak_host_prepare_bytes",
        "peak_device_prepare_bytes",
    }


def test_quantities_whose_growth_is_fitted():
    assert [name for name, row in QUANTITIES.items() if row.grows] == [
        *("train_s", "train_step_s", "train_s_to_kl", "draw_s_per_1000", "s_per_effective_sample", "n_parameters"),
        *("flops_per_draw", "network_calls_per_draw", "peak_host_train_bytes", "peak_device_train_bytes"),
    ]
