import re

import pytest

from benchmarks.trend import Commit, Tracked, build_trend


def commit(number: int, **values: Tracked) -> Commit:
    names = {
        "a": "bench_core.Energy.time_energy(8)",
        "b": "bench_core.Energy.time_energy(16)",
        "c": "bench_x.C.track_c",
    }
    found = {names[key]: value for key, value in values.items()}
    return Commit(f"abc{number}", f"2026-01-0{number}", f"Subject <{number}> & more", found)


COMMITS = [
    commit(1, a=Tracked(0.010, "seconds", 0.001), c=Tracked(120.0, "launches")),
    commit(2, a=Tracked(0.011, "seconds", 0.001), b=Tracked(0.020, "seconds"), c=Tracked(120.0, "launches")),
    commit(3, a=Tracked(0.022, "seconds", 0.002), b=Tracked(0.010, "seconds"), c=Tracked(120.0, "launches")),
]


def test_the_page_stands_alone_and_says_what_changed(tmp_path):
    path = build_trend(COMMITS, tmp_path / "reports" / "trend.html", machine="a machine")
    text = path.read_text()
    assert "3 commits from 2026-01-01 to 2026-01-03, measured on a machine." in text
    assert "1 of 3 benchmarks rose by more than a quarter and 1 fell by more than a fifth" in text
    assert text.count("<svg ") == 2
    assert "Subject &lt;3&gt; &amp; more" in text
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]+"', text), "nothing is loaded from elsewhere"
    assert "2.00" in text, "0.022 s are twice the 0.011 s of the commit before"


def test_the_same_history_gives_the_same_bytes(tmp_path):
    first, second = (build_trend(COMMITS, tmp_path / name, machine="m").read_bytes() for name in ("a.html", "b.html"))
    assert first == second


def test_one_commit_is_no_trend_and_none_is_an_error(tmp_path):
    text = build_trend(COMMITS[:1], tmp_path / "trend.html", machine="m").read_text()
    assert "there is no trend yet" in text
    with pytest.raises(ValueError, match="no commit has a value"):
        build_trend([commit(1)], tmp_path / "trend.html", machine="m")
