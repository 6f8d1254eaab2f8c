"""Checks of claims: the language, the outcomes, and the checks of the plans that come with nisbench."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.verdicts import Made, made_store

from nisbench.contract.catalog import load_catalog
from nisbench.contract.quantities import QUANTITIES
from nisbench.contract.records import Estimate, Status
from nisbench.errors import InvalidValue
from nisbench.harness.atomic import read_json, write_json
from nisbench.harness.plan import Overrides
from nisbench.harness.plan_files import plan_names
from nisbench.harness.planner import load_plan
from nisbench.harness.store import Store
from nisbench.report.claims import claim_blocks, claim_sentence
from nisbench.report.document import ABSENT, Fold, Table
from nisbench.report.sentences import verdict_sentences
from nisbench.results.cells import load
from nisbench.results.claim_outcomes import Outcome, claims
from nisbench.results.claims import Growth, Relation, State, Trend, parse_check

PLANS = Path(__file__).parents[2] / "nisbench" / "harness" / "plans"


def outcome(tmp_path: Path, check: str, *cells: Made) -> tuple[Outcome, str]:
    found = claims(load([made_store(tmp_path / "run", *cells, checks=[check])]))
    (verdict,) = found[0].verdicts
    return verdict.outcome, "; ".join(map(str, verdict.findings))


def hier(ess: float, error: float = 0.01, L: int = 8, **fields: object) -> Made:
    return Made("hier", L, ess=ess, ess_error=error, **fields)


def step(plugin: str, L: int, seconds: float, error: float | None = None, **fields: object) -> Made:
    return Made(plugin, L, ess=0.5, more={"train_step_s": Estimate(seconds, error)}, **fields)


@pytest.mark.parametrize("name", plan_names())
def test_every_claim_of_a_shipped_plan_has_checks_that_can_be_read(name: str):
    table = tomllib.loads((PLANS / f"{name}.toml").read_text(encoding="utf-8"))
    groups = {group["name"] for group in table["group"]}
    plugins = {plugin for group in table["group"] for plugin in group["plugins"]}
    for group in table["group"]:
        texts = group["check"] if isinstance(group["check"], list) else [group["check"]]
        for check in map(parse_check, texts):
            assert check.sampler in group["plugins"]
            assert getattr(check.body, "quantity", "energy") in QUANTITIES
            assert getattr(check.body, "group", "") in groups | {""}
            assert getattr(check.body, "sampler", "") in plugins | {""}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("hier: ess_fraction >= 0.998 at L = 16", Relation),
        ("hier: |z| of log_z_per_site <= 3", Relation),
        ("van: train_step_s < hier up to L = 16", Relation),
        ("hier: tau_int_energy at L = 128 = van at L = 32 within 50 %", Relation),
        ("hier-exact: kl_nats > 'blocks of side 1, L = 16'", Relation),
        ("hier: n_parameters grows as L^2 within 0.1 up to L = 64", Growth),
        ("hier: ess_fraction falls with L", Trend),
        ("van: does not run at L = 128, 256 and 512", State),
    ],
)
def test_forms_of_a_check(text: str, kind: type):
    assert type(parse_check(text).body) is kind


@pytest.mark.parametrize(
    "text",
    ["hier", "hier: good", "hier: ess_fraction 0.9", ": ess_fraction > 1", "hier: ess_fraction > 0.9 at L = x", ""],
)
def test_text_that_is_not_a_check_is_refused(text: str):
    with pytest.raises(InvalidValue, match="cannot be read; write for example"):
        parse_check(text)


@pytest.mark.parametrize(
    ("ess", "error", "expected"),
    [
        (0.95, 0.01, Outcome.HOLDS),
        (0.85, 0.01, Outcome.FAILS),
        (0.91, 0.01, Outcome.UNDECIDED),
        (0.89, 0.01, Outcome.UNDECIDED),
    ],
)
def test_threshold_is_judged_with_its_error(tmp_path: Path, ess: float, error: float, expected: Outcome):
    found, numbers = outcome(tmp_path, "hier: ess_fraction >= 0.9 at L = 8", hier(ess, error))
    assert found is expected
    assert numbers == f"{ess:.3f}(10) at L = 8"


def test_sizes_are_chosen(tmp_path: Path):
    cells = hier(0.99, L=8), hier(0.5, L=16)
    assert outcome(tmp_path / "a", "hier: ess_fraction >= 0.9 at L = 8", *cells)[0] is Outcome.HOLDS
    assert outcome(tmp_path / "b", "hier: ess_fraction >= 0.9", *cells)[0] is Outcome.FAILS
    assert outcome(tmp_path / "c", "hier: ess_fraction >= 0.9 above L = 8", *cells)[0] is Outcome.FAILS
    assert outcome(tmp_path / "d", "hier: ess_fraction >= 0.9 up to L = 8", *cells)[0] is Outcome.HOLDS
    found, why = outcome(tmp_path / "e", "hier: ess_fraction >= 0.9 at L = 32", *cells)
    assert (found, why) == (Outcome.UNTESTED, "no number of hier for it")
    assert outcome(tmp_path / "f", "van: ess_fraction >= 0.9", *cells)[0] is Outcome.UNTESTED


def test_crossing_of_two_samplers(tmp_path: Path):
    """van is faster at L = 16, equal at 32 and slower at 64."""
    cells = [step("van", 16, 1.0), step("van", 32, 3.0), step("van", 64, 9.0)]
    cells += [step("hier", 16, 2.0), step("hier", 32, 3.1), step("hier", 64, 4.0)]
    for check in (
        "van: train_step_s < hier up to L = 16",
        "van: train_step_s = hier at L = 32 within 10 %",
        "van: train_step_s > hier above L = 32",
    ):
        assert outcome(tmp_path / check[:40].replace(" ", ""), check, *cells)[0] is Outcome.HOLDS
    found, numbers = outcome(tmp_path / "fails", "van: train_step_s < hier at L = 64", *cells)
    assert (found, numbers) == (Outcome.FAILS, "9.0(9) against 4.0(4) at L = 64")


def test_timings_within_a_fifth_decide_nothing_and_machines_are_not_compared(tmp_path: Path):
    cells = step("van", 8, 1.0, 0.01), step("hier", 8, 1.15, 0.01)
    assert outcome(tmp_path / "a", "van: train_step_s < hier", *cells)[0] is Outcome.UNDECIDED
    other = replace(cells[1], machine="Other CPU")
    found, numbers = outcome(tmp_path / "b", "van: train_step_s < hier", cells[0], other)
    assert found is Outcome.UNTESTED
    assert numbers.endswith("(different machines) at L = 8")


def test_two_sizes_of_two_samplers(tmp_path: Path):
    cells = hier(0.5, L=32), Made("van", 8, ess=0.52, ess_error=0.01)
    check = "hier: ess_fraction at L = 32 = van at L = 8 within 10 %"
    found, numbers = outcome(tmp_path, check, *cells)
    assert (found, numbers) == (Outcome.HOLDS, "0.500(10) at L = 32 against 0.520(10) at L = 8")


def test_same_sampler_in_another_group_of_the_plan(tmp_path: Path):
    wide = hier(0.8, group="without skip", options={"skip": False})
    default = hier(0.9, group="all ideas")
    assert outcome(tmp_path / "a", "hier: ess_fraction < 'all ideas'", wide, default)[0] is Outcome.HOLDS
    assert outcome(tmp_path / "b", "hier: ess_fraction > 'all ideas'", wide, default)[0] is Outcome.FAILS
    assert outcome(tmp_path / "c", "hier: ess_fraction < 'nothing'", wide, default)[0] is Outcome.UNTESTED


def test_good_values_of_untrusted_cells_prove_nothing(tmp_path: Path):
    bad = hier(0.95, status=Status.UNTRUSTED)
    assert outcome(tmp_path / "a", "hier: ess_fraction >= 0.9", bad)[0] is Outcome.UNDECIDED
    assert outcome(tmp_path / "b", "hier: ess_fraction <= 0.96", bad)[0] is Outcome.UNDECIDED
    assert outcome(tmp_path / "c", "hier: ess_fraction <= 0.99", bad)[0] is Outcome.HOLDS
    assert outcome(tmp_path / "d", "hier: ess_fraction >= 0.99", bad)[0] is Outcome.FAILS


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        ("hier: n_parameters grows as L^2", Outcome.HOLDS),
        ("hier: n_parameters grows as L^3", Outcome.FAILS),
        ("hier: n_parameters grows slower than L^3", Outcome.HOLDS),
        ("hier: n_parameters grows faster than L^3", Outcome.FAILS),
        ("hier: ess_fraction falls with L", Outcome.HOLDS),
        ("hier: ess_fraction rises with L", Outcome.FAILS),
        ("hier: energy falls with L", Outcome.UNTESTED),
    ],
)
def test_growth_and_trend(tmp_path: Path, check: str, expected: Outcome):
    cells = [hier(0.9 - 0.01 * L, 0.001, L=L, more={"n_parameters": 5.0 * L**2}) for L in (8, 16, 32)]
    found, numbers = outcome(tmp_path, check, *cells)
    assert found is expected
    if "grows" in check:
        assert numbers == "exponent 2 between L = 16 and 32"


def test_states(tmp_path: Path):
    cells = hier(0.9), hier(0.9, L=16, status=Status.UNTRUSTED), hier(0.9, L=32, status=Status.UNAVAILABLE)
    for check in (
        "hier: runs up to L = 16",
        "hier: does not run at L = 32",
        "hier: is trusted at L = 8",
        "hier: is not trusted at L = 16",
    ):
        name = check.replace(" ", "").replace(":", "")
        assert outcome(tmp_path / name, check, *cells)[0] is Outcome.HOLDS
    assert outcome(tmp_path / "fails", "hier: runs", *cells)[0] is Outcome.FAILS
    stopped = hier(0.9, status=Status.INTERRUPTED)
    assert outcome(tmp_path / "stopped", "hier: does not run", stopped)[0] is Outcome.UNTESTED


def test_claims_in_the_report(tmp_path: Path):
    checks = ["hier: ess_fraction >= 0.9", "hier: ess_fraction >= 0.99", "hier: what is this"]
    results = load([made_store(tmp_path / "run", hier(0.95), checks=checks)])
    table = next(block for block in claim_blocks(results) if isinstance(block, Table))
    ((claim, found, numbers, states),) = table.rows
    assert (claim.text, found.text, found.tone, states.text) == ("it works", "fails", "bad", "1 ok")
    assert numbers.text.startswith(
        "hier: ess_fraction >= 0.9: holds, 0.950(10) at L = 8; "
        "hier: ess_fraction >= 0.99: fails, 0.950(10) at L = 8; "
        "hier: what is this: not tested here, check 'hier: what is this' cannot be read"
    )
    assert claim_sentence(results) == ["Claims of the plan: 1 fails."]
    assert "Claims of the plan: 1 fails." in verdict_sentences(results)


def test_a_check_with_many_places_has_a_table_of_its_own(tmp_path: Path):
    cells = [replace(hier(0.5 + 0.02 * L, L=L), options=options) for L in (8, 16) for options in ({}, {"width": 2})]
    checks = ["hier: ess_fraction >= 0.7", "hier: is trusted at L = 16", "hier: ess_fraction rises with L"]
    blocks = claim_blocks(load([made_store(tmp_path / "run", *cells, checks=checks)]))
    table, fold, _ = blocks
    assert isinstance(table, Table)
    assert isinstance(fold, Fold)
    assert table.rows[0][2].text.startswith(
        "hier: ess_fraction >= 0.7: holds at 2, fails at 2 of 4 places, first 0.660(10) at L = 8; "
        "hier: is trusted at L = 16: holds, "
        "1 ok at L = 16; 1 ok at L = 16, hier (width=2); "
    )
    (numbers,) = fold.blocks
    assert isinstance(numbers, Table)
    found = {row[0].text: [entry.text for entry in row[1:]] for row in numbers.rows}
    assert found["L = 16, hier (width=2)"][:2] == ["holds: 0.820(10)", "holds: 1 ok"]
    assert found["L = 8"] == ["fails: 0.660(10)", ABSENT, ABSENT]
    assert found["hier (width=2)"][2] == "holds: 0.660(10) at L = 8, 0.820(10) at L = 16"


def test_plan_file_takes_one_check_or_several(tmp_path: Path):
    group = 'plugins = ["wolff"]\nsizes = [4]\nbeta = 0.44\ndraws = 100\n'
    text = f"""name = "mine"
[[group]]
claim = "one"
check = "wolff: is trusted at L = 4, 8"
{group}
[[group]]
check = ["wolff: runs", "wolff: |z| of energy <= 3"]
{group}
[[group]]
{group}"""
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    plan = load_plan(str(path), Overrides(), load_catalog())
    assert [one["check"] for one in plan.to_json()["groups"]] == [
        ("wolff: is trusted at L = 4, 8",),
        ("wolff: runs", "wolff: |z| of energy <= 3"),
        (),
    ]


def test_run_without_checks_leaves_its_claims_untested(tmp_path: Path):
    results = load([made_store(tmp_path / "run", hier(0.95))])
    table = next(block for block in claim_blocks(results) if isinstance(block, Table))
    assert [entry.text for entry in table.rows[0][:3]] == [
        "it works",
        "not tested here",
        "the plan of this run has no check for it",
    ]
    assert claim_sentence(results) == []


def test_a_claim_of_several_groups_is_told_apart_by_their_names(tmp_path: Path):
    groups = {"blocks of side 1": "more is better", "blocks of side 3": "more is better", "chains": "they are right"}
    cells = [hier(0.5, options={"block": k}, group=name) for k, name in enumerate(groups)]
    plan = made_store(tmp_path / "run", *cells).path / "plan.json"
    record = read_json(plan)
    write_json(plan, record | {"groups": [one | {"claim": groups[one["name"]]} for one in record["groups"]]})
    table = next(block for block in claim_blocks(load([Store.open(tmp_path / "run")])) if isinstance(block, Table))
    assert [row[0].text for row in table.rows] == [
        "blocks of side 1: more is better",
        "blocks of side 3: more is better",
        "they are right",
    ]
