"""Every sentence of the verdict against the numbers that it stands on, on stores of chosen costs."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from fakes.stores import DEVICE_NAME, StoreMaker
from fakes.verdicts import Made, made_store

from nisbench.contract.doubts import Doubt, Gate
from nisbench.contract.records import Estimate, Status
from nisbench.harness.store import Store
from nisbench.report.data import page_data
from nisbench.report.document import Document, Fold, Paragraph, Table
from nisbench.report.sections.observables import observables_section
from nisbench.report.sections.published import published_section
from nisbench.report.sections.verdict import verdict_section, verdict_table
from nisbench.report.sentences import lead_sentences, verdict_blocks, verdict_sentences
from nisbench.results.cells import load
from nisbench.results.doubts import causes
from nisbench.results.groups import grouped

WOLFF = Made("wolff", 16, cost=6e-6, error=1e-7)
HIER = Made("hier", 16, ess=0.5, train_s=12.0)
"""2 us a sample after 12 s: cheaper than wolff from 12/(6e-6 - 2e-6) = 3 million samples on."""
ONE_SEED = f"The times are those of this machine ({DEVICE_NAME}), from one seed per sampler and size."


def verdict(tmp_path: Path, *cells: Made) -> tuple[str, ...]:
    return verdict_sentences(load([made_store(tmp_path / "run", *cells)]))


def table(tmp_path: Path, *cells: Made) -> dict[tuple[str, str], dict[str, str]]:
    """The texts of the verdict table: (L, sampler) -> heading -> text."""
    found = verdict_table(load([made_store(tmp_path / "run", *cells)]))
    heads = [column.heading for column in found.columns]
    rows = [dict(zip(heads, row, strict=True)) for row in found.rows]
    texts = [
        {k: e.text + ("*" if e.tone == "best" else "") + (f" [{e.note}]" if e.note else "") for k, e in r.items()}
        for r in rows
    ]
    # Without a column of L all cells have the same.
    return {(row.get("L", str(cells[0].L)), row["sampler"]): row for row in texts}


def reasons(tmp_path: Path) -> dict[str, tuple[str, int]]:
    """Cause -> first reason and number of runs, of a store that a test has written."""
    found = causes(grouped(load([Store.open(tmp_path / "run")]).contest))
    return {cause.text: (cause.example, cause.runs) for cause in found}


def test_first_which_sampler_for_how_many_samples(tmp_path: Path):
    assert verdict(tmp_path, WOLFF, HIER) == (
        "At L = 16 use wolff for up to 3 million (2.2 to 4.8 million) independent samples: it needs no training. "
        "Beyond that use hier (2 µs a sample, 3 (2.3 to 4) times less than wolff).",
        ONE_SEED,
        "Passed every validity gate: hier at L = 16 and wolff at L = 16.",
    )
    rows = table(tmp_path / "again", WOLFF, HIER)
    assert rows["16", "wolff"]["use it for"] == "up to 3 million"
    assert rows["16", "hier"]["use it for"] == "from 3 million"
    assert rows["16", "hier"]["per eff. sample"] == "2.00(20)×10⁻⁶*"
    assert rows["16", "wolff"]["per eff. sample"] == "6.0(6)×10⁻⁶"
    assert rows["16", "hier"]["break-even, whole budget"] == "3.0(6)×10⁶"


def test_each_size_has_its_own_crossing(tmp_path: Path):
    small = [replace(WOLFF, L=8, cost=3e-6), replace(HIER, L=8, train_s=2.0)]
    first, second, *_ = verdict(tmp_path, *small, WOLFF, HIER)
    assert first == (
        "At L = 8 use wolff for up to 2 million (1.1 to 8.9 million) independent samples: it needs no training. Beyond "
        "that use hier (2 µs a sample, 1.5 (1.1 to 2) times less than wolff)."
    )
    assert second.startswith("At L = 16 use wolff for up to 3 million (2.2 to 4.8 million) independent samples")


def test_training_that_never_pays_is_not_recommended(tmp_path: Path):
    said = verdict(tmp_path, WOLFF, replace(HIER, ess=0.05))
    assert said[0] == "Use wolff at L = 16 for any number of samples (6 µs a sample); hier is not cheaper there."
    assert not any("Beyond that" in sentence or "never" in sentence for sentence in said)
    rows = table(tmp_path / "again", WOLFF, replace(HIER, ess=0.05))
    assert rows["16", "hier"]["use it for"] == "not the cheapest here"
    assert rows["16", "hier"]["break-even, whole budget"] == (
        "not cheaper [not cheaper than wolff here: an effective sample costs no less]"
    )
    assert rows["16", "wolff"]["per eff. sample"].endswith("*")
    assert not rows["16", "hier"]["per eff. sample"].endswith("*")


def test_only_sampler_is_not_called_the_cheapest(tmp_path: Path):
    assert verdict(tmp_path, WOLFF) == (
        "At L = 16 wolff is the only one run (6 µs a sample).",
        ONE_SEED,
        "Passed every validity gate: wolff at L = 16.",
    )
    assert table(tmp_path / "again", WOLFF)["16", "wolff"]["use it for"] == "the only one run"
    assert table(tmp_path / "third", WOLFF)["16", "wolff"]["per eff. sample"] == "6.0(6)×10⁻⁶"
    said = verdict(tmp_path / "fourth", WOLFF, replace(HIER, status=Status.UNTRUSTED))
    assert said[0] == "At L = 16 wolff is the only one trusted (6 µs a sample)."
    assert said[-1] == "Not to be trusted: hier at L = 16; the reasons are below the main table."


def test_of_many_that_tie_the_others_are_counted(tmp_path: Path):
    many = [replace(HIER, options={"width": width}) for width in range(2, 7)]
    first, *_ = verdict(tmp_path, WOLFF, *many)
    assert re.search(r"Beyond that use hier \(width=\d\) or one of 4 others that cost as much within errors \(", first)
    first, *_ = verdict(tmp_path / "four", WOLFF, *many[:4])
    assert first.count("hier (width=") == 4


def test_ties_are_called_ties(tmp_path: Path):
    van = replace(HIER, plugin="van", ess=0.48)
    said = verdict(tmp_path, WOLFF, HIER, van)
    assert "Beyond that use hier or van (2 µs a sample, 3 (2.3 to 4) times less than wolff)." in said[0]
    rows = table(tmp_path / "again", WOLFF, HIER, van)
    for name in ("hier", "van"):
        assert rows["16", name]["use it for"] == "from 3 million, a tie"
    # as cheap a sample, but 36 s of training in place of 12 s
    slow = verdict(tmp_path / "slow", WOLFF, HIER, replace(van, train_s=36.0))
    assert "Beyond that use hier (" in slow[0]
    # 5.5 us after training against 6.0 us: less than 20 % apart
    equal = verdict(tmp_path / "third", WOLFF, replace(HIER, ess=1 / 5.5))
    assert equal[0] == (
        "Use wolff at L = 16 for any number of samples (6 µs a sample); hier is as cheap within errors, but must be "
        "trained."
    )
    assert "Beyond that" not in " ".join(equal)


def test_a_large_error_makes_nothing_bold(tmp_path: Path):
    # 12(4) us against 6.0(1) us: within two errors, but twice as much
    rows = table(tmp_path, WOLFF, replace(HIER, cost=12e-6, error=4e-6))
    assert rows["16", "hier"]["per eff. sample"] == "1.2(4)×10⁻⁵"
    assert rows["16", "wolff"]["per eff. sample"].endswith("*")


def test_seeds_are_judged_on_one_basis_and_differing_sides_are_weak(tmp_path: Path):
    seeds = [
        Made("hier", 16, ess=0.16, ess_error=0.03, ess_p=0.04, cost=1e-6 / 0.04, basis="ess_fraction_p", train_s=9.0),
        Made("hier", 16, ess=0.08, ess_error=0.07, ess_p=0.04, train_s=9.0, seed=2),
    ]
    rows = table(tmp_path, replace(WOLFF, cost=1e-4), *seeds)
    assert rows["16", "hier"]["per eff. sample"].startswith("2.5")  # 1e-6/0.04 of both, not the mean with 1e-6/0.08
    assert rows["16", "hier"]["cost based on"] == (
        "ESS of p side [the seeds were judged on ESS of p side and ESS of q side; the basis with the largest cost "
        "counts for all]"
    )
    assert rows["16", "hier"]["status"] == "2 ok, weak"
    assert reasons(tmp_path) == {
        "weak: every gate passed, but q side and p side differ": (
            "seed 1: ESS of q side and p side differ by a factor of 4.0; seed 2: ESS of q side and p side differ by a "
            "factor of 2.0",
            2,
        )
    }
    said = verdict(tmp_path / "again", replace(WOLFF, cost=1e-4), *seeds)
    assert "Passed, but weak: hier at L = 16; the two sides differ, see the reasons below the main table." in said
    assert "(25 µs a sample, 4 (3.3 to 4.9) times less than wolff)" in said[0]
    assert f"The times are those of this machine ({DEVICE_NAME}), from 1 to 2 seeds per sampler and size." in said


def test_agreement_within_errors_is_not_weak(tmp_path: Path):
    rows = table(tmp_path, WOLFF, replace(HIER, ess_p=0.498, ess_p_error=1e-3))
    assert rows["16", "hier"]["status"] == "ok"
    rows = table(tmp_path / "again", WOLFF, replace(HIER, ess_p=0.49, ess_p_error=1e-3))
    assert rows["16", "hier"]["status"] == "ok, weak"
    assert [example for example, _ in reasons(tmp_path / "again").values()] == [
        "ESS of q side and p side differ by 10.0 combined errors"
    ]


def test_sampler_without_a_cost_is_left_out_of_the_advice(tmp_path: Path):
    frozen = Made("frozen", 16, cost=None)
    late = replace(HIER, plugin="late", status=Status.TIMEOUT)
    said = verdict(tmp_path, WOLFF, frozen, late)
    assert said[0] == "At L = 16 wolff is the only one trusted (6 µs a sample)."
    assert said[-1] == "1 of 3 runs have no numbers (1 timeout)."
    assert verdict(tmp_path / "again", frozen)[0].startswith("The cost of an effective sample is not known")


def test_nobody_trusted(tmp_path: Path):
    said = verdict(tmp_path, *(replace(cell, status=Status.UNTRUSTED) for cell in (WOLFF, HIER)))
    assert said == (
        "No sampler passed every validity gate, so none is recommended.",
        "Not to be trusted: hier at L = 16 and wolff at L = 16; the reasons are below the main table.",
    )
    part = verdict(tmp_path / "again", replace(WOLFF, L=8), replace(HIER, status=Status.UNTRUSTED))
    assert "At L = 16 no sampler passed every validity gate." in part


def test_best_stop_of_the_history_and_the_budget_are_both_named(tmp_path: Path):
    # 2.5 us after 4 s: 4/3.5e-6 = 1.14 million; 2 us after 12 s: 3 million. An ESS of 0.1 from 512 draws is too noisy.
    trained = replace(HIER, history=((0.1, 0.1), (4.0, 0.4)))
    said = verdict(tmp_path, WOLFF, trained)
    assert said[0].startswith("At L = 16 use wolff for up to 1.1 million (750 000 to 2.4 million) independent samples")
    rows = table(tmp_path / "again", WOLFF, trained)
    assert rows["16", "hier"]["break-even, best stop (at)"].endswith(" (4 s)")
    blocks = verdict_section(load([made_store(tmp_path / "third", WOLFF, trained)])).blocks
    reading = next(block for block in blocks if isinstance(block, Fold) and block.anchor == "reading")
    told = " ".join(block.text for block in reading.blocks if isinstance(block, Paragraph))
    assert "512 draws per evaluation" in told
    assert "its relative error is 0.8% at ESS 0.9 and 12% at ESS 0.5" in told


def test_density_with_its_own_training_counts_as_trained(tmp_path: Path):
    said = verdict(tmp_path, WOLFF, replace(HIER, kind="density"))
    assert said[0].startswith("At L = 16 use wolff for up to 3 million")
    free = verdict(tmp_path / "again", WOLFF, replace(HIER, kind="density", train_s=None))
    assert free[0] == "Use hier at L = 16 for any number of samples (2 µs a sample); wolff is not cheaper there."


def test_costs_of_two_machines_are_not_compared(tmp_path: Path):
    fast = replace(HIER, machine="Other CPU")
    said = verdict(tmp_path, WOLFF, fast)
    assert said[0].startswith("ising, β = 0.44 on CPU (Other CPU): At L = 16 hier is the only one run")
    assert any(
        s.startswith(f"ising, β = 0.44 on CPU ({DEVICE_NAME}): At L = 16 wolff is the only one run") for s in said
    )
    assert "the baseline there is wolff on Imaginary CPU 3000, a comparison across machines" in " ".join(said)
    rows = table(tmp_path / "again", WOLFF, fast)
    assert "another machine" in rows["16", "hier"]["break-even, whole budget"]


def test_lead_counts_runs(tmp_path: Path):
    lead = lead_sentences(load([made_store(tmp_path / "run", WOLFF, HIER)]))
    assert lead[-1] == (
        "2 runs (one per sampler, size and seed), 0 of them references; all finished. ising, β = 0.44; L = 16; "
        f"CPU {DEVICE_NAME}."
    )


def test_lead_counts_runs_without_numbers(tmp_path: Path, troubled_maker: StoreMaker):
    lead = lead_sentences(load([troubled_maker.write(tmp_path / "run")]))[-1]
    assert lead.startswith("15 runs (one per sampler, size and seed), ")
    assert "; 1 not finished, 4 ended without numbers. " in lead


def test_variants_are_ranked_and_neighbours_within_errors_are_not_ordered(tmp_path: Path):
    kls = ({"rate": 1}, 0.02, 0.001), ({"rate": 2}, 0.03, 0.001), ({"rate": 3}, 0.031, 0.001)
    cells = [replace(HIER, options=options, more={"kl_nats": Estimate(kl, error)}) for options, kl, error in kls]
    cells[2] = replace(cells[2], status=Status.UNTRUSTED)
    said = verdict(tmp_path, WOLFF, *cells)
    assert (
        "Variants of hier at L = 16 by KL(q‖p) (nats): hier (rate=1) 0.0200(10) < hier (rate=2) 0.0300(10) ≈ hier "
        "(rate=3) 0.0310(10), untrusted."
    ) in said
    assert not any(sentence.startswith("Variants") for sentence in verdict(tmp_path / "two", WOLFF, *cells[:2]))


def test_census_of_z_counts_trusted_cells_without_the_entropy(tmp_path: Path):
    def row(z: float) -> dict[str, Estimate]:
        return {"energy": Estimate(1 + 0.1 * z, 0.1, exact=1.0), "entropy": Estimate(9.0, 0.1, exact=1.0)}

    cells = [replace(WOLFF, seed=seed, more=row(z)) for seed, z in enumerate((0.5, -1.9, 2.5, -0.1))]
    cells.append(replace(HIER, status=Status.UNTRUSTED, more=row(85115.0)))
    blocks = observables_section(load([made_store(tmp_path / "run", *cells)])).blocks
    told = next(block.text for block in blocks if isinstance(block, Paragraph))
    assert told.startswith(
        "3 of 4 z-scores of trusted runs against exact values are within ±2, as expected: right errors give 4 on "
        "average. The largest |z| is 2.5."
    )
    far = [replace(WOLFF, seed=seed, more=row(3.0)) for seed in range(4)]
    blocks = observables_section(load([made_store(tmp_path / "far", *far)])).blocks
    told = next(block.text for block in blocks if isinstance(block, Paragraph))
    assert told.startswith("0 of 4 z-scores of trusted runs against exact values are within ±2, not as expected")


def test_published_times_are_dimmed_and_name_their_machine(tmp_path: Path):
    results = load([made_store(tmp_path / "run", WOLFF)])
    found = next(block for block in published_section(results).blocks if isinstance(block, Table))
    timed = [i for i, column in enumerate(found.columns) if column.unit == "s"]
    entries = [row[i] for row in found.rows for i in timed if row[i].note]
    assert len(entries) > 5
    assert {entry.tone for entry in entries} == {"missing"}
    assert {entry.note for entry in entries} >= {"measured on A100, not comparable with the times of this run"}
    plain_numbers = [row[i] for row in found.rows for i in range(4, 6) if row[i].text != "–"]
    assert not any(entry.note for entry in plain_numbers)


def test_page_divides_no_seconds_by_those_of_another_machine(tmp_path: Path):
    def data(*cells: Made) -> dict[str, Any]:
        results = load([made_store(tmp_path / str(len(list(tmp_path.iterdir()))), *cells)])
        return json.loads(page_data(Document("", (), (), (), ()), results))

    one, two = data(WOLFF, HIER), data(WOLFF, replace(HIER, machine="Other CPU"))
    assert one["machines"] == {}
    assert two["machines"] == {"hier|": "cpu Other CPU", "wolff|": f"cpu {DEVICE_NAME}"}
    assert {"s_per_effective_sample", "train_s", "with_training"} <= set(one["timed"])
    published = [name for rows in one["published"].values() for numbers in rows.values() for name in numbers]
    assert "kl_nats" in published
    assert not set(published) & set(one["timed"])


def test_reasons_are_grouped_by_gate(tmp_path: Path):
    few = Doubt(Gate.FEW_SAMPLES, "ess_fraction 0.002 is below 10/n = 0.02")
    short = Doubt(Gate.SHORT_CHAIN, "tau_int_energy: a chain of 100 draws is shorter than 50 tau_int; tau_int = 7")
    bad = [replace(HIER, seed=seed, status=Status.UNTRUSTED, doubts=(few, short)) for seed in (1, 2)]
    late = replace(HIER, plugin="late", status=Status.TIMEOUT, reason="no result after 60 s; give a larger --timeout")
    made_store(tmp_path / "run", WOLFF, *bad, late)
    found = reasons(tmp_path)
    assert found["ESS too small to measure with n samples: read it as an upper limit"] == (few.text, 2)
    assert found["chain too short: fewer than 50 autocorrelation times"] == (short.text, 2)
    assert found["ended without numbers: timeout"] == ("no result after 60 s; give a larger --timeout", 1)
    assert len(found) == 3


def test_every_gate_has_words_of_its_own(tmp_path: Path):
    bad = [
        replace(HIER, status=Status.UNTRUSTED, doubts=(Doubt(gate, f"told by {gate}"),), seed=seed)
        for seed, gate in enumerate(Gate)
    ]
    made_store(tmp_path / "run", *bad)
    assert sorted(reasons(tmp_path).values()) == sorted((f"told by {gate}", 1) for gate in Gate)


def test_answers_beyond_the_first_lines_are_folded_place_by_place(tmp_path: Path):
    short = [replace(WOLFF, beta=beta) for beta in (0.3, 0.4)]
    results = load([made_store(tmp_path / "short", *short)])
    assert verdict_blocks(results) == tuple(map(Paragraph, verdict_sentences(results)))
    long = [replace(one, L=L, beta=0.5) for one in (WOLFF, HIER) for L in range(4, 14)]
    results = load([made_store(tmp_path / "long", *short, *long, checks=["hier: is trusted"])])
    *shown, fold, claims = verdict_blocks(results)
    assert isinstance(fold, Fold)
    assert fold.summary == "More on the answer: ising, β = 0.5 on CPU"
    every = [block.text for block in (*shown, *fold.blocks, claims) if isinstance(block, Paragraph)]
    assert tuple(every) == verdict_sentences(results)
    assert fold.blocks[0] == Paragraph(next(text for text in every if text.startswith("ising, β = 0.5 on CPU: ")))


def test_one_answer_of_many_sentences_is_divided(tmp_path: Path):
    cells = [replace(one, L=L) for one in (WOLFF, HIER) for L in range(4, 24)]
    results = load([made_store(tmp_path / "run", *cells)])
    *shown, fold = verdict_blocks(results)
    assert isinstance(fold, Fold)
    assert fold.summary == "More on the answer: ising, β = 0.44 on CPU"
    assert 0 < sum(len(block.text) for block in shown if isinstance(block, Paragraph)) <= 1400
    assert (*shown, *fold.blocks) == tuple(map(Paragraph, verdict_sentences(results)))
