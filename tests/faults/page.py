"""The page docs/known-faults.md."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.faults.cases import Case

__all__ = ["PAGE", "count", "named", "page"]

PAGE = Path(__file__).parents[2] / "docs" / "known-faults.md"
_OPENING = """# Known faults

This page lists samplers with a known fault, and the gate or the check that names each fault. The samplers are in
`tests/fakes/`, the cases in `tests/faults/cases.py`. `python -m tests.faults --seeds 20 --write` writes this page.

Each sampler runs with 20 seeds, at beta = 0.44 unless the row says otherwise. A run judges its own draws;
`nisbench check` judges a plugin at L = 4 with more draws, as many as the check states. The last column counts the seeds
for which the words of the gate are among the reasons of the row. Work that is hidden from the clock is no reason to
distrust the draws: it is charged, or a remark at the times of the row names it.

The second table counts how often an honest sampler is accused of anything, hidden work included. A row with a check
counts how often this check fails. A model that is trained too little is `untrusted` for its small ESS or the tail of
its weights, however honest it is: `hier` at L = 8 after 200 steps with 128 configurations is so for 12 of 20 seeds. The
models of the table are trained until their ESS is large. The gate on `pareto_k`
does not judge nearly equal weights, because it once accused `hier` at an ESS of 0.996."""


def named(case: Case, found: Sequence[str]) -> int:
    """Number of seeds for which the gate of the case fired; for an honest sampler, any gate."""
    return sum(bool(text) if case.honest else (case.gate or case.check) in text for text in found)


def count(case: Case, found: Sequence[str]) -> str:
    """Number of seeds as text."""
    return f"{named(case, found)}/{len(found)}" if found else "not run"


def page(rows: Sequence[tuple[Case, Sequence[str]]]) -> str:
    """The catalogue in Markdown."""
    lines = [_OPENING, "", "## Faulty samplers", ""]
    lines += ["| fault | where | L | draws | what names it | seeds |", "|---|---|---|---|---|---|"]
    for case, found in rows:
        if not case.honest:
            gate = f"`{case.check}`" if case.check else f"“{case.gate.strip().replace('`', '')} ...”"
            lines.append(f"| {case.text}{_at(case)} | {_where(case)} | {gate} | {count(case, found)} |")
    lines += ["", "## Honest samplers", ""]
    lines += ["| sampler | where | L | draws | accused | reasons |", "|---|---|---|---|---|---|"]
    for case, found in rows:
        if case.honest:
            reasons = Counter(text for text in found if text)
            words = "; ".join(f"{text} ({times})" for text, times in reasons.items()) or "-"
            lines.append(f"| {case.text} | {_where(case)} | {count(case, found)} | {words} |")
    return "\n".join(lines) + "\n"


def _where(case: Case) -> str:
    """The three columns that say how the sampler ran."""
    if case.check:
        return f"`nisbench check`{f', `{case.check}`' if case.honest else ''} | 4 | as stated by the check"
    return f"run | {case.L} | {case.draws:,}"


def _at(case: Case) -> str:
    """The inverse temperature, if it is not that of the page."""
    return "" if case.beta == Case.beta else f", beta = {case.beta:g}"
