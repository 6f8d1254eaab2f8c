"""Plan: TOML and overrides -> cells, pure and sorted; every mistake is one line that names it."""

import math
from dataclasses import dataclass, replace
from importlib import resources

import pytest
from click.testing import CliRunner

from nisbench import cli
from nisbench.contract.catalog import Catalog, Entry, TargetEntry, load_catalog
from nisbench.contract.records import Budget, TrainingOptions
from nisbench.errors import InvalidValue, UnknownName, UserError
from nisbench.harness import values
from nisbench.harness.plan import Overrides
from nisbench.harness.plan_files import plan_names
from nisbench.harness.planner import load_plan
from nisbench.physics.kaufman import BETA_CRITICAL


@dataclass(frozen=True)
class ModelOptions(TrainingOptions):
    width: int = 1


@dataclass(frozen=True)
class SamplerOptions:
    n_chains: int = 2


CATALOG = Catalog(
    plugins={
        "hier": Entry("hier", "model", "d", "1", options=ModelOptions),
        "van": Entry("van", "model", "d", "1", options=ModelOptions),
        "wolff": Entry("wolff", "sampler", "d", "1", options=SamplerOptions, devices=("cpu",), reference_rank=1),
    },
    targets={"ising": TargetEntry("ising", "x:y")},
    broken=(Entry("rotten", None, "d", "2", broken="ImportError: no"),),
)

PLAN = """
name = "mine"
title = "Mine"
reference_draws = 100
memory_limit = "2G"
timeout = "10m"

[[group]]
name = "a"
claim = "small is easy"
plugins = ["hier", "wolff"]
sizes = [8, 4]
beta = [0.44, "critical"]
seeds = [1, 2]
train_steps = { default = 10, hier = 20 }
draws = 50
options.hier = { width = 3 }

[[group]]
name = "b"
claim = "large is hard"
plugins = ["van"]
sizes = [16]
beta = 0.44
train_seconds = "2m"
draws = 60
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(PLAN)
    return str(path)


def _load(source, device="cpu", **overrides):
    return load_plan(source, Overrides(**overrides), CATALOG, device=device)


def test_cells_of_a_plan(file):
    plan = _load(file)
    references = [c for c in plan.cells if c.reference_draws]
    assert [(c.plugin, c.L, c.beta, c.seed) for c in references] == [
        ("wolff", L, b, 0) for L, b in ((4, 0.44), (4, BETA_CRITICAL), (8, 0.44), (8, BETA_CRITICAL), (16, 0.44))
    ]
    assert plan.cells[: len(references)] == tuple(references)
    contestants = plan.cells[len(references) :]
    assert [c.L for c in contestants] == sorted(c.L for c in contestants)
    assert len(contestants) == 2 * 2 * 2 * 2 + 1
    by_id = {c.cell_id: c for c in plan.cells}
    for cell in contestants:
        if cell.kind == "model":
            reference = by_id[cell.reference]
            assert (reference.L, reference.beta, reference.target) == (cell.L, cell.beta, cell.target)
            assert reference.reference_draws == 100
        else:
            assert cell.reference is None
            assert cell.budget is None
    hier = next(c for c in contestants if c.plugin == "hier")
    assert hier.budget == Budget(steps=20)
    assert hier.options == CATALOG.plugins["hier"].fill({"width": 3})
    assert next(c for c in contestants if c.plugin == "van").budget == Budget(seconds=120.0)
    assert (plan.memory_limit, plan.timeout) == (2 * 2**30, 600.0)
    assert plan.to_json()["claims"] == ["small is easy", "large is hard"]
    assert [len(g.cells) for g in plan.groups] == [16, 1]
    assert {i for g in plan.groups for i in g.cells} == {c.cell_id for c in contestants}


def test_a_plan_is_a_pure_function(file):
    assert _load(file) == _load(file)
    assert _load(file).folder_name == _load(file).folder_name
    assert _load(file).folder_name != _load(file, draws=51).folder_name
    # limits change no number
    assert _load(file).folder_name == _load(file, timeout=5.0, memory_limit=10).folder_name
    assert _load(file, timeout=5.0, memory_limit=10).timeout == 5.0


def test_overrides_replace_the_fields_of_every_group(file):
    plan = _load(
        file,
        plugins=("van",),
        sizes=(4,),
        beta=(0.3,),
        seeds=(7,),
        train_steps=0,
        draws=5,
        options={"van": {"width": "2"}},
    )
    (cell,) = [c for c in plan.cells if not c.reference_draws]  # both groups ask for the same cell: it is run once
    assert (cell.plugin, cell.L, cell.beta, cell.seed, cell.draws) == ("van", 4, 0.3, 7, 5)
    assert cell.budget == Budget(steps=0)
    assert cell.options["width"] == 2
    assert all(g.cells == (cell.cell_id,) for g in plan.groups)
    assert "changed on the command line" in plan.title


def test_without_a_plan_quick_is_the_base():
    assert _load(None).name == "quick"
    custom = _load(None, plugins=("hier",), sizes=(8, 16), train_seconds=120.0)
    assert custom.name == "custom"
    assert [(c.plugin, c.L) for c in custom.cells] == [("wolff", 8), ("wolff", 16), ("hier", 8), ("hier", 16)]
    assert {c.budget for c in custom.cells if c.kind == "model"} == {Budget(seconds=120.0)}
    assert not custom.groups[0].claim


def test_devices_follow_the_registration(file):
    plan = _load(file, device="cuda")
    assert {c.plugin: c.device for c in plan.cells} == {"hier": "cuda", "van": "cuda", "wolff": "cpu"}


def test_a_reference_can_be_left_out(file, tmp_path):
    path = tmp_path / "none.toml"
    path.write_text('reference = "none"\n' + PLAN)
    plan = _load(str(path))
    assert not any(c.reference_draws for c in plan.cells)
    assert not any(c.reference for c in plan.cells)


def test_a_broken_registration_is_a_row(file):
    plan = _load(file, plugins=("rotten", "wolff"), sizes=(4,))
    assert [c.plugin for c in plan.cells if c.plugin == "rotten"]


def test_a_budget_and_draws_by_size(tmp_path):
    path = tmp_path / "by-size.toml"
    text = PLAN.replace("train_steps = { default = 10, hier = 20 }", 'train_seconds = { 4 = 30, 8 = "2m" }', 1)
    path.write_text(text.replace("draws = 50", "draws = { 8 = 60, default = 70 }", 1))
    cells = load_plan(str(path), Overrides(), CATALOG).cells
    hier = {(cell.L, cell.budget, cell.draws) for cell in cells if cell.options.get("width") == 3}
    assert hier == {(4, Budget(seconds=30), 70), (8, Budget(seconds=120), 60)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("sizes = [8, 4]", "sizs = [8]"), "no key of a group 'sizs'; did you mean 'sizes'?"),
        (('title = "Mine"', 'titel = "Mine"'), "no key of a plan 'titel'; did you mean 'title'?"),
        (('"hier", "wolff"', '"heir"'), "no plugin 'heir'; did you mean 'hier'?"),
        (("width = 3", "wdith = 3"), "no option of hier 'wdith'; did you mean 'width'?"),
        (("width = 3", 'width = "x"'), "hier.width = 'x' is not a whole number"),
        (("width = 3", "width = true"), "hier.width = True is not a whole number"),
        (("width = 3", "learning_rate = inf"), "hier.learning_rate = inf is not a finite number"),
        (("{ width = 3 }", "3"), "options of hier are 3; give a table, [group.options.hier]"),
        (("{ default = 10, hier = 20 }", "{ default = 10, heir = 20 }"), "no plugin 'heir'; did you mean 'hier'?"),
        (('memory_limit = "2G"', "memory_limit = 0"), "'0' is not an amount of memory"),
        (('timeout = "10m"', 'timeout = "1e306h"'), "'1e306h' is not a time"),
        (('title = "Mine"', 'reference = "hier"'), "reference 'hier' is a model"),
        (("beta = 0.44", "beta = 1e18"), "'1e+18' is not an inverse temperature"),
        (("sizes = [8, 4]", "sizes = [8, 1]"), "'1' is not a lattice size"),
        (("sizes = [8, 4]", "sizes = [8.5]"), "'8.5' is not a lattice size"),
        (("sizes = [8, 4]", "sizes = []"), "sizes is empty"),
        (('beta = [0.44, "critical"]', 'beta = ["hot"]'), "'hot' is not an inverse temperature"),
        (("draws = 50", "draws = 0"), "'0' is not a number of draws"),
        (("draws = 50", "draws = { wolff = 50 }"), "has no entry for hier"),
        (("draws = 50", "draws = { 4 = 50, 16 = 20 }"), "draws has no entry for 8; add '8' or 'default'"),
        (("draws = 50", "draws = { 4 = 50, hier = 20, default = 1 }"), "no plugin '4'"),
        (("train_steps = {", "train_seconds = 3\ntrain_steps = {"), "one of the two"),
        (('name = "mine"', 'name = "../x"'), "a name becomes a folder"),
        (('name = "mine"', 'name = "mine'), "not valid TOML"),
        (('name = "mine"', ""), 'has no name; give one, name = "mine"'),
        (("draws = 50", ""), "group 'a' has no draws; give it"),
        (("options.hier =", "options.van ="), "has options of van but no cell of it; add it to plugins"),
        (('title = "Mine"', 'reference = "wolf"'), "did you mean 'wolff'?"),
        (('title = "Mine"', 'target = "isin"'), "no target 'isin'; did you mean 'ising'?"),
    ],
)
def test_mistakes_in_a_plan(tmp_path, change, message):
    path = tmp_path / "bad.toml"
    assert change[0] in PLAN
    path.write_text(PLAN.replace(*change, 1))
    with pytest.raises(UserError) as caught:
        _load(str(path))
    assert message in str(caught.value)


def test_mistakes_in_names(file, tmp_path):
    with pytest.raises(UnknownName, match="no plan 'papr'; did you mean 'paper'"):
        _load("papr")
    with pytest.raises(InvalidValue, match="cannot be read"):
        _load(str(tmp_path / "missing.toml"))
    with pytest.raises(UnknownName, match="no plugin 'heir'"):
        _load(file, options={"heir": {"width": "1"}})
    with pytest.raises(InvalidValue, match="no cell of van"):
        _load(file, plugins=("hier",), options={"van": {"width": "1"}})
    (tmp_path / "empty.toml").write_text('name = "x"')
    with pytest.raises(InvalidValue, match="has no group"):
        _load(str(tmp_path / "empty.toml"))


def test_every_built_in_plan_is_valid():
    catalog = load_catalog()
    own = {"hier-exact", *(f"hier-exact-{name}" for name in ("ablation", "range", "L128", "L256", "gpu"))}
    assert set(plan_names()) == own | {
        *("quick", "paper", "paper-cpu", "timing", "critical", "learning-rate"),
        *("free-edges", "spin-glass", "collapse", "time-to-kl"),
    }
    shown = " ".join(CliRunner().invoke(cli.run, ["--help"]).output.split())
    assert f"A TOML file, or one of: {', '.join(plan_names())} [quick]." in shown.replace(
        "- ", "-"
    )  # lines may break after a hyphen
    for name in plan_names():
        plan = load_plan(name, Overrides(), catalog, device="cuda")
        assert plan.name == name
        assert plan.cells
        assert all(group.claim for group in plan.groups), name
        # references first, each cell once
        flags = [c.reference_draws > 0 for c in plan.cells]
        assert flags == sorted(flags, reverse=True)
        assert len({c.cell_id for c in plan.cells}) == len(plan.cells)


def test_quick_repeats_exactly():
    assert {c.budget.seconds for c in _load("quick").cells if c.budget} == {None}


@pytest.mark.parametrize(("text", "number"), [("8G", 8 * 2**30), ("512M", 2**29), ("1.5GiB", 3 * 2**29), (100, 100)])
def test_bytes(text, number):
    assert values.parse_bytes("x", text) == number


@pytest.mark.parametrize(("text", "number"), [("90", 90.0), ("30m", 1800.0), ("2h", 7200.0), (1.5, 1.5), ("5s", 5.0)])
def test_seconds(text, number):
    assert values.parse_seconds("x", text) == number


@pytest.mark.parametrize("text", ["", "G", "-1G", "8X", "nan", "inf"])
def test_no_bytes_and_no_seconds(text):
    with pytest.raises(InvalidValue, match="--memory-limit"):
        values.parse_bytes("--memory-limit", text)
    with pytest.raises(InvalidValue, match="--timeout"):
        values.parse_seconds("--timeout", text)


def test_items_drop_repetitions_and_keep_the_order():
    assert values.items("--sizes", "16, 8,16", values.parse_size) == (16, 8)
    with pytest.raises(InvalidValue, match="--sizes: 'x' is not a lattice size; give a whole number >= 2"):
        values.items("--sizes", "8,x", values.parse_size)


def test_options_are_parsed_or_refused():
    assert values.options("--option", ["hier.width=2", "hier.z2=no"]) == {"hier": {"width": "2", "z2": "no"}}
    for text in ("width=2", "hier.width", ".width=2", "hier.=2"):
        with pytest.raises(InvalidValue, match=r"PLUGIN\.OPTION=VALUE"):
            values.options("--option", [text])


def test_changed_names_a_budget_of_zero():
    assert Overrides(train_steps=0).changed == ["train_steps"]
    assert replace(Overrides(), timeout=3.0).changed == []


def test_plugins_on_the_command_line_select_within_the_groups_and_join_all_if_new() -> None:
    timing = load_plan("timing", Overrides(plugins=("hier",), sizes=(8,)), CATALOG)
    assert [(cell.plugin, cell.L) for cell in timing.cells] == [("hier", 8)]
    both = load_plan("timing", Overrides(plugins=("hier", "wolff"), sizes=(8,)), CATALOG)
    assert sorted(cell.plugin for cell in both.cells) == ["hier", "wolff"]
    more = {name: Entry(name, "model", "d", "1", options=ModelOptions) for name in ("hier-exact", "mine")}
    new = replace(CATALOG, plugins={**CATALOG.plugins, **more})
    joined = load_plan("timing", Overrides(plugins=("mine",), sizes=(8,), train_steps=1, draws=10), new)
    assert {cell.plugin for cell in joined.cells} == {"mine"}


def test_the_paper_trains_as_published() -> None:
    cells = load_plan("paper", Overrides(), load_catalog()).cells
    trained = [cell for cell in cells if cell.budget and cell.budget.steps == 40_000]
    assert trained
    for cell in trained:
        assert cell.options["fan_in"] == 0
        assert (cell.options["annealing"], cell.options["annealing_rate"]) == ("stepwise", 0.996)


@pytest.mark.parametrize(
    ("given", "number"), [("-0.0", 0.0), ("0", 0.0), ("1e-12", 1e-12), ("critical", BETA_CRITICAL)]
)
def test_inverse_temperatures(given, number):
    read = values.parse_beta("--beta", given)
    assert (read, math.copysign(1, read)) == (number, 1)


@pytest.mark.parametrize("given", ["1e-310", "1e-13", "0_44", "-0.1", "2e6", "nan"])
def test_no_inverse_temperatures(given):
    with pytest.raises(InvalidValue, match=f"--beta: '{given}' is not an inverse temperature"):
        values.parse_beta("--beta", given)


def test_a_memory_limit_beyond_any_machine_is_refused():
    with pytest.raises(InvalidValue, match="not an amount of memory"):
        values.parse_bytes("--memory-limit", "1e30")


def test_a_plan_may_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "plan.toml"
    text = (resources.files("nisbench.harness") / "plans" / "quick.toml").read_text()
    path.write_text("\ufeff" + text, encoding="utf-8")
    assert (
        load_plan(str(path), Overrides(), load_catalog()).cells == load_plan("quick", Overrides(), load_catalog()).cells
    )
