"""Targets with options in plans, on the command line, in cells and in seeds."""

import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from nisbench.contract.catalog import load_catalog
from nisbench.contract.records import Cell
from nisbench.errors import InvalidValue, UnknownName, UserError
from nisbench.harness.build import UnavailableError, build_target
from nisbench.harness.plan import Overrides
from nisbench.harness.planner import load_plan
from nisbench.harness.seeds import seed_for
from nisbench.harness.selection import select_plan

CATALOG = load_catalog(names=("wolff", "ising"))
PLAN = """
name = "glasses"
reference = "none"
target = "edwards-anderson"
target_options = { disorder = "gaussian", instance = [1, 2] }
[[group]]
name = "a"
plugins = ["wolff"]
sizes = [4]
beta = 0.5
draws = 10
[[group]]
name = "b"
target_options = { instance = 3, boundary = ["free", "torus"] }
plugins = ["wolff"]
sizes = [4]
beta = 0.5
draws = 10
[[group]]
name = "c"
target = "ising"
plugins = ["wolff"]
sizes = [4]
beta = 0.5
draws = 10
"""
CELL = Cell("wolff", "sampler", "1", {}, "ising", 4, 0.44, 1, 10)
DEFAULTS = {"boundary": "torus", "field": 0.0}


@pytest.fixture
def load(tmp_path):
    def load(text=PLAN, **overrides):
        (tmp_path / "p.toml").write_text(text)
        return load_plan(str(tmp_path / "p.toml"), Overrides(**overrides), CATALOG)

    return load


def _targets(plan):
    return [(cell.target, *cell.target_options.values()) for cell in plan.cells]


def test_a_list_of_values_gives_several_targets_and_groups_override_the_plan(load):
    assert _targets(load()) == [
        ("edwards-anderson", "gaussian", "free", 1),
        ("edwards-anderson", "gaussian", "free", 2),
        ("edwards-anderson", "gaussian", "free", 3),
        ("edwards-anderson", "gaussian", "torus", 3),
        ("ising", "torus", 0.0),
    ]
    assert {cell.target_version for cell in load().cells} == {CATALOG.target("ising").version}


def test_the_command_line_replaces_target_and_options(load):
    assert _targets(load(target="villain")) == [("villain", "free")]
    given = {"edwards-anderson": {"instance": "7,8", "disorder": "pm1"}}
    chosen = load(target="edwards-anderson", options=given)
    assert {(name, disorder, instance) for name, disorder, _, instance in _targets(chosen)} == {
        ("edwards-anderson", "pm1", 7),
        ("edwards-anderson", "pm1", 8),
    }
    assert "changed on the command line: target, options" in chosen.title
    text = {"edwards-anderson": {"instance": "1, 1"}}
    assert len(load(target="edwards-anderson", options=text).cells) == 2  # the torus of group b


def test_select_plan_takes_lists_of_values():
    plan = select_plan(None, plugins="wolff", sizes=4, target="ising", options={"ising.field": [0, 0.1]})
    assert [cell.target_options["field"] for cell in plan.cells] == [0.0, 0.1]
    assert plan.title == "wolff on ising at L = 4"
    assert select_plan(None, plugins="hier", sizes=4, reference="none").cells[0].plugin == "hier"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('target = "ising"', 'target = "isin"'), "no target 'isin'; did you mean 'ising'?"),
        (("instance = 3", "instace = 3"), "no option of edwards-anderson 'instace'; did you mean 'instance'?"),
        (("instance = 3", "instance = 0"), "options of edwards-anderson: instance = 0"),
        (("instance = 3", "instance = []"), "edwards-anderson.instance is empty"),
        (("instance = 3", "instance = [[1]]"), "edwards-anderson.instance = '[1]' is not a value of an option"),
        (("instance = 3", "instance = 9223372036854775808"), "edwards-anderson.instance = 9223372036854775808 is too"),
        (("target_options = { instance = 3", 'target_options = "x" # {'), "target_options = 'x'; give a table"),
    ],
)
def test_mistakes(load, change, message):
    assert change[0] in PLAN
    with pytest.raises(UserError) as caught:
        load(PLAN.replace(*change))
    assert message in str(caught.value)


def test_options_of_a_target_that_the_plan_does_not_have(load):
    with pytest.raises(InvalidValue, match=r"--option villain\.\*: the plan has no cell on villain; give --target"):
        load(options={"villain": {"boundary": "torus"}})
    with pytest.raises(UnknownName, match="no plugin 'vilain'"):
        load(options={"vilain": {"boundary": "torus"}})


def test_a_changed_file_of_couplings_is_another_cell(load, tmp_path):
    path = tmp_path / "j.txt"
    plan = PLAN.replace('"edwards-anderson"', '"couplings"').replace(
        'disorder = "gaussian", instance = [1, 2]', f'file = "{path}"'
    )
    plan = plan.replace("instance = 3, boundary", "boundary")
    with pytest.raises(InvalidValue, match=r"couplings file .*j\.txt: No such file"):
        load(plan)
    ids = []
    for text in ("0 1 1.0\n", "0 1 -1.0\n", "0 1 1.0\n"):
        path.write_text(text)
        cell = load(plan).cells[0]
        assert cell.target_options["digest"] == hashlib.sha256(text.encode()).hexdigest()
        ids.append(cell.cell_id)
    assert ids[0] == ids[2] != ids[1]
    assert build_target(cell, CATALOG).lattice.right[0, 0] == 1
    path.write_text("0 1 -1.0\n")  # between the plan and the run
    with pytest.raises(InvalidValue, match=r"its SHA-256 is .*; asked for was"):
        build_target(cell, CATALOG)


def test_a_size_that_a_target_does_not_have_is_unavailable():
    cell = replace(CELL, target="villain", L=5, target_options={"boundary": "torus"})
    with pytest.raises(UnavailableError, match=r"target villain: .* even L"):
        build_target(cell, CATALOG)


def test_cells_from_before_keep_their_id_and_file():
    assert replace(CELL, protocol_version=2).cell_id == "wolff-L4-7977f55ce87d"
    assert not {"target_options", "target_version"} & CELL.to_json().keys()
    assert Cell.from_json(CELL.to_json()) == CELL
    new = replace(CELL, target_options=DEFAULTS, target_version="1")
    assert Cell.from_json(new.to_json()) == new
    others = [replace(new, target_version="2"), replace(new, target_options={**DEFAULTS, "field": 0.1}), CELL]
    assert len({cell.cell_id for cell in (new, *others)}) == 4
    assert build_target(CELL, CATALOG).lattice.is_uniform_torus


def test_streams_of_the_torus_are_those_from_before():
    new = replace(CELL, target_options=DEFAULTS, target_version="1")
    assert seed_for(new, "draw") == seed_for(CELL, "draw")
    assert seed_for(replace(new, target_version="2"), "draw") == seed_for(CELL, "draw")
    other = [replace(new, target_options={**DEFAULTS, "field": h}) for h in (0.1, 0.2)]
    other += [replace(CELL, target="villain", target_options=o) for o in ({"boundary": "free"}, {"boundary": "torus"})]
    assert len({seed_for(cell, "draw") for cell in (CELL, *other)}) == 5


ALL = load_catalog(names=("van", "ising"))
OTHER_TARGETS = [
    ("ising", {"boundary": "free"}, "free edges"),
    ("ising", {"field": 0.1}, "a field"),
    ("edwards-anderson", {"boundary": "torus"}, "other couplings"),
    ("edwards-anderson", {}, "free edges"),
    ("villain", {"boundary": "torus"}, "other couplings"),
]


@pytest.mark.parametrize("plugin", ["hier", "hier-exact"])
def test_plugins_written_for_the_torus_refuse_every_other_target(plugin):
    entry = ALL.plugin(plugin)
    factory, options = entry.load(), entry.options()
    assert factory.unsupported(ALL.target("ising").build(8, {}), options) is None
    for name, given, found in OTHER_TARGETS:
        reason = factory.unsupported(ALL.target(name).build(8, given), options)
        assert reason == (
            f"{plugin} needs couplings J = 1 on the torus without a field; the target '{name}' has {found}"
        )


@pytest.mark.parametrize(("name", "given"), [(name, given) for name, given, _ in OTHER_TARGETS])
def test_van_runs_on_every_target_and_drops_the_average_in_a_field(name, given):
    entry = ALL.plugin("van")
    target = ALL.target(name).build(4, given)
    torch.manual_seed(1)
    model = entry.load()(target, entry.options()).double()
    assert entry.load().unsupported(target, entry.options()) is None
    draws = model.sample(20, beta=0.5, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        flipped = model.log_prob(-draws.spins, beta=0.5)
    assert bool(torch.isclose(flipped, draws.log_prob).all()) == target.z2
    assert torch.allclose(model.log_prob(draws.spins, beta=0.5), draws.log_prob)


def test_exact_values_of_every_target():
    from nisbench.harness.exact import exact_rows

    (torus,) = exact_rows("ising", (), "4", "0.44")
    assert (torus["target"], torus["L"]) == ("ising", 4)
    free, zero = exact_rows("ising", ["ising.boundary=free"], "4", "0.44,0")
    assert free["log_z"] == pytest.approx(13.6675523842, abs=1e-9)
    assert free["log_z"] / 16 == pytest.approx(free["log_z_per_site"])
    assert zero["log_z"] == pytest.approx(16 * math.log(2))
    rows = exact_rows("edwards-anderson", ["edwards-anderson.instance=1,2"], "4", "1,4")
    assert [(row["target"], row["beta"]) for row in rows] == [
        ("edwards-anderson", 1.0),
        ("edwards-anderson", 4.0),
        ("edwards-anderson (instance=2)", 1.0),
        ("edwards-anderson (instance=2)", 4.0),
    ]
    assert "give beta <= 3" in rows[1]["reason"]
    assert rows[1]["log_z"] is None
    (odd,) = exact_rows("villain", ["villain.boundary=torus"], "5", "1")
    assert "even L" in odd["reason"]
    (field,) = exact_rows("ising", ["ising.field=0.1"], "4", "1")
    assert field["reason"] == "the Kac-Ward determinant needs free edges; this lattice is a torus"
    with pytest.raises(UserError, match="the target is ising; give --target villain"):
        exact_rows("ising", ["villain.boundary=torus"], "4", "1")


def test_ising_in_a_field_is_drawn_by_van_with_its_magnetisation():
    """Sum of q over all states is 1 without the average over s and -s."""
    from nisbench.physics.enumeration import all_spins

    target = ALL.target("ising").build(3, {"field": 0.2})
    entry = ALL.plugin("van")
    torch.manual_seed(2)
    model = entry.load()(target, entry.options()).double()
    with torch.no_grad():
        log_q = model.log_prob(torch.from_numpy(all_spins(3)), beta=0.5)
    assert np.exp(log_q.numpy()).sum() == pytest.approx(1, abs=1e-10)
