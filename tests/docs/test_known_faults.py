"""The catalogue of known faults is complete: every case with 20 seeds, each fault named, no honest sampler accused."""

import re

from fakes import faults

from tests.faults.cases import FAULTY, HONEST, Case
from tests.faults.page import PAGE, page
from tests.faults.record import Record

TEXT = PAGE.read_text(encoding="utf-8")
ROW = re.compile(r"^\| .* \|$", re.MULTILINE)


def rows(text):
    """The rows of both tables with the counts and the reasons left out."""
    counted = re.compile(r"\| (\d+/\d+|not run) (\|.*)$", re.MULTILINE)
    return [counted.sub("", row) for row in ROW.findall(text)]


def test_the_page_has_a_row_for_each_case():
    assert rows(TEXT) == rows(page([(case, []) for case in (*FAULTY, *HONEST)]))


def test_every_fault_is_named_and_no_honest_sampler_is_accused():
    faulty, honest = TEXT.split("## Honest samplers")
    named, accused = (re.findall(r"\| (\d+)/(\d+) (?=\|)", part) for part in (faulty, honest))
    assert len(named) == len(FAULTY)
    assert [hits for hits, _ in named] == [seeds for _, seeds in named]
    assert {seeds for _, seeds in (*named, *accused)} == {"20"}
    assert {hits for hits, _ in accused} == {"0"}


def test_outcomes_are_kept_and_belong_to_their_code(tmp_path):
    case = Case(faults.Pairs, "x")
    record = Record(tmp_path / "outcomes.jsonl")
    record.add(case, 2, "x and y")
    again = Record(tmp_path / "outcomes.jsonl")
    assert again.found(case, 3) == ["x and y"]
    assert not again.has(Case(faults.Pairs, "x", draws=1), 2)
