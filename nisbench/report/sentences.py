"""The verdict in words: up to how many samples which sampler, training included, and what did not finish."""

import itertools
import math
from collections.abc import Iterator, Sequence

from nisbench.report.claims import claim_sentence
from nisbench.report.document import Block, Fold, Paragraph
from nisbench.report.ranking import ranking
from nisbench.report.words import by_label, labels_of, sizes_text
from nisbench.results.advice import Advice, advice
from nisbench.results.cells import Results
from nisbench.results.costs import cost_of, count_text, factor_text
from nisbench.results.doubts import weak
from nisbench.results.groups import SeedGroup
from nisbench.results.numbers import join, seconds_text
from nisbench.results.rows import status_counts
from nisbench.results.targets import beta_text
from nisbench.results.totals import Contender, Span

__all__ = ["lead_sentences", "verdict_blocks", "verdict_sentences"]

_SHOWN_PLACES = 3
"""Largest number of targets, temperatures and machines that get sentences; the table contains all."""
_OPEN_LETTERS = 1400
"""Largest number of letters of these sentences that are not folded: about twelve lines of the page."""
_NAMED_TIES = 4
"""Of more samplers that tie, a sentence names the winner and counts the others; the table has all."""
_NAMED_PLACES = 3
"""Largest number of other places that are named."""


_TIMES = "The times are those of this machine"


def lead_sentences(results: Results) -> tuple[str, ...]:
    """Sentences on what was run: the descriptions of the plans, and the number of runs with the hardware."""
    descriptions = dict.fromkeys(str(run.plan["description"]) for run in results.runs if run.plan.get("description"))
    references = sum(row.cell.reference_draws > 0 for row in results.rows)
    problems = join(_problems(results)) if len(results.problems) < 9 else f"{len(results.problems)} targets and betas"
    counted = f"{len(results.rows)} runs (one per sampler, size and seed), {references} of them references"
    waiting = sum(row.status is None for row in results.rows)
    empty = sum(not row.measured for row in results.rows) - waiting
    parts = [f"{waiting} not finished"] if waiting else []
    parts += [f"{empty} ended without numbers"] if empty else []
    state = ", ".join(parts) or "all finished"
    sizes = f"; {sizes_text(row.cell.L for row in results.rows)}" if results.rows else ""
    return (*descriptions, f"{counted}; {state}. {problems or 'Nothing to sample'}{sizes}; {results.hardware}.")


def _problems(results: Results) -> list[str]:
    """Each target with all its temperatures."""
    found: dict[str, list[str]] = {}
    for problem in results.problems:
        found.setdefault(problem.target, []).append(beta_text(problem.beta))
    several = {target: f"{target}, β = {join(betas)}" for target, betas in found.items() if len(betas) > 1}
    return [several.get(problem.target, str(problem)) for problem in {p.target: p for p in results.problems}.values()]


def verdict_sentences(results: Results) -> tuple[str, ...]:
    """Sentences on what was found; the first one is the verdict."""
    answers, rest = _answers(results)
    return (*(text for _, texts in answers for text in texts), *rest)


def verdict_blocks(results: Results) -> tuple[Block, ...]:
    """The same sentences in paragraphs; those beyond the first _OPEN_LETTERS letters are folded.

    Only the first target is divided; each other one is open or folded with all of its sentences.
    """
    answers, rest = _answers(results)
    shown: list[str] = []
    folded: dict[str, list[str]] = {}
    for where, texts in answers:
        ends = itertools.accumulate(map(len, texts), initial=sum(map(len, shown)))
        cut = sum(end <= _OPEN_LETTERS for end in ends) - 1
        if not shown:
            cut = max(cut, 1)
        elif folded or cut < len(texts):
            cut = 0
        shown += texts[:cut]
        if texts[cut:]:
            folded[where] = texts[cut:]
    more = tuple(Paragraph(text) for texts in folded.values() for text in texts)
    fold = (Fold(f"More on the answer: {'; '.join(folded)}", more),) if folded else ()
    return (*map(Paragraph, shown), *fold, *map(Paragraph, rest))


def _answers(results: Results) -> tuple[list[tuple[str, list[str]]], list[str]]:
    """Each place with its sentences, and the sentences on the whole run."""
    if not results.rows:
        return [], ["This run has no cells; there is nothing to recommend."]
    if not any(row.measured for row in results.rows):
        counts = status_counts(results.rows)
        return [], [f"No cell of this run has numbers ({counts}); there is nothing to recommend."]
    places = [place for place in advice(results) if any(group.measured for at in place for group in at.groups)]
    answers: list[tuple[str, list[str]]] = []
    machines: set[str] = set()
    for place in places[:_SHOWN_PLACES]:
        where = _where(results, place)
        first, *others = _about(results, place)
        # The machine is named once.
        texts = [text for text in others if text not in machines]
        machines |= {text for text in others if text.startswith(_TIMES)}
        answers.append((where, [f"{where}: {first}" if len(places) > 1 else first, *texts]))
    return answers, _on_the_run(results, [_where(results, place) for place in places[_SHOWN_PLACES:]])


def _on_the_run(results: Results, others: Sequence[str]) -> list[str]:
    """The sentences on places without an answer, on the claims and on runs without numbers."""
    sentences = []
    if others:
        more = join(others) if len(others) <= _NAMED_PLACES else f"{len(others)} more targets and temperatures"
        sentences.append(f"The table also contains {more}.")
    sentences += claim_sentence(results)
    if missing := [row for row in results.rows if not row.measured]:
        counts = status_counts(missing)
        sentences.append(f"{len(missing)} of {len(results.rows)} runs have no numbers ({counts}).")
    return sentences


def _where(results: Results, place: Sequence[Advice]) -> str:
    """The target, beta and device; also the machine if the run has several of this device."""
    group = place[0].groups[0]
    machines = {row.device_name for row in results.contest if row.cell.device == group.device and row.measured}
    machine = f" ({group.machine})" if len(machines) > 1 else ""
    return f"{group.problem} on {group.device.upper()}{machine}"


def _about(results: Results, place: Sequence[Advice]) -> list[str]:
    """The sentences about one target on one machine."""
    groups = [group for at in place for group in at.groups]
    trusted = [group for group in groups if group.trusted]
    doubtful = [group for group in groups if group.measured and not group.trusted]
    weakly = [group for group in trusted if weak(group)]
    sentences = []
    if trusted:
        priced = [*_changes(place), *_settled(place), *_alone(place)]
        sentences += priced or ["The cost of an effective sample is not known, so no sampler is recommended."]
        sentences += ranking(groups)
        sentences += [*_machine(place), *_stand_ins(results, trusted)]
        sentences.append(f"Passed every validity gate: {by_label(trusted)}.")
    else:
        sentences.append("No sampler passed every validity gate, so none is recommended.")
    if weakly:
        sentences.append(
            f"Passed, but weak: {by_label(weakly)}; the two sides differ, see the reasons below the main table."
        )
    if doubtful:
        sentences.append(f"Not to be trusted: {by_label(doubtful)}; the reasons are below the main table.")
    return sentences


def _changes(place: Sequence[Advice]) -> Iterator[str]:
    """One text for each size at which the best sampler depends on the number of samples."""
    for at in (at for at in place if len(at.spans) > 1):
        first, last = at.spans[0], at.spans[-1]
        why = ": it needs no training" if not first.winner.group.trained else ""
        texts = [f"At L = {at.L} use {_names(first)} for up to {count_text(first.last)} independent samples{why}."]
        for before, span in itertools.pairwise(at.spans):
            until = f", up to {count_text(span.last)}" if span is not last else ""
            texts.append(f"Beyond that use {_names(span)} ({_price(before, span)}){until}.")
        yield " ".join(texts)


def _price(before: Span, span: Span) -> str:
    """Cost of a sample after the whole training, and the ratio to the sampler that was best before."""
    other, end = before.best[0], span.best[0].stops[-1].cost
    less = factor_text(other.stops[-1].cost, end)
    return f"{seconds_text(end.value or math.nan)} a sample, {less} times less than {other.group.label}"


def _settled(place: Sequence[Advice]) -> Iterator[str]:
    """The sentences about sizes at which one of several trusted samplers is the best for every number of samples."""
    found: dict[tuple[str, str], list[Advice]] = {}
    for at in place:
        if len(at.spans) == 1 and len(at.contenders) > 1:
            found.setdefault((_names(at.spans[0]), _others(at)), []).append(at)
    for (name, others), here in found.items():
        costs = [f"{seconds_text(cost_of(at.spans[0].best[0].group))} a sample" for at in here]
        each = f"{costs[0]}" if len(here) == 1 else f"{costs[-1]} at L = {here[-1].L}"
        yield f"Use {name} at {sizes_text(at.L for at in here)} for any number of samples ({each}){others}."


def _others(at: Advice) -> str:
    """The other trusted samplers that cost more, and those that cost as much but must be trained."""
    span, equal = at.spans[0], at.equal_once_trained
    dearer = [c for c in at.contenders if c not in span.best and c not in equal]
    parts = []
    if dearer:
        parts.append(f"{labels_of(c.group for c in dearer)} {_is(dearer)} not cheaper there")
    if equal:
        parts.append(f"{labels_of(c.group for c in equal)} {_is(equal)} as cheap within errors, but must be trained")
    return f"; {'; '.join(parts)}" if parts else ""


def _alone(place: Sequence[Advice]) -> Iterator[str]:
    """The sentences about sizes without a choice, and about those where no sampler is trusted."""
    only = [at for at in place if at.spans and at.alone]
    left = [at for at in place if at.spans and at.alone_trusted]
    for chosen, what in ((only, "the only one run"), (left, "the only one trusted")):
        for label in dict.fromkeys(at.contenders[0].group.label for at in chosen):
            sizes = [at for at in chosen if at.contenders[0].group.label == label]
            cost = sizes[-1].contenders[0].stops[-1].cost.value or math.nan
            price = f"{seconds_text(cost)} a sample" + (f" at L = {sizes[-1].L}" if len(sizes) > 1 else "")
            yield f"At {sizes_text(at.L for at in sizes)} {label} is {what} ({price})."
    if nobody := [at.L for at in place if not any(group.trusted for group in at.groups)]:
        yield f"At {sizes_text(nobody)} no sampler passed every validity gate."


def _machine(place: Sequence[Advice]) -> Iterator[str]:
    """The sentence on the machine and the seeds behind the costs."""
    rivals = [rival.group for at in place for rival in at.contenders]
    if rivals:
        counts = sorted({len(group.members) for group in rivals})
        seeds = f"{counts[0]} to {counts[-1]} seeds" if len(counts) > 1 else _seeds(counts[0])
        yield f"{_TIMES} ({rivals[0].machine}), from {seeds} per sampler and size."


def _stand_ins(results: Results, trusted: Sequence[SeedGroup]) -> list[str]:
    """A sentence for each baseline that ran on another device or machine, with its sizes and costs."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for group in trusted:
        base, name = results.baselines.or_stand_in(group)
        if base is not None and (base.device, base.machine) != (group.device, group.machine):
            across = "devices" if base.device != group.device else "machines"
            found.setdefault((name, across), {})[group.L] = cost_of(base)
    sentences = []
    for (name, across), costs in found.items():
        prices = [f"{seconds_text(cost)} a sample at L = {L}" for L, cost in costs.items()]
        here = trusted[0].device.upper() if across == "devices" else trusted[0].machine
        sentences.append(
            f"No sampler without training passed on {here} at {sizes_text(costs)}; the baseline there is "
            f"{name}, a comparison across {across}: {join(prices)}."
        )
    return sentences


def _names(span: Span) -> str:
    """The winner and the samplers that cost as much within errors: `hier or van`; of many, the others are counted."""
    names = [rival.group.label for rival in span.best]
    if len(names) > _NAMED_TIES:
        return f"{names[0]} or one of {len(names) - 1} others that cost as much within errors"
    return " or ".join(names)


def _is(rivals: Sequence[Contender]) -> str:
    return "is" if len(rivals) == 1 else "are"


def _seeds(number: int) -> str:
    return "one seed" if number == 1 else f"{number} seeds"
