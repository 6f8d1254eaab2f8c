"""The verdict in words: the cheapest trusted sampler at each size, whether training pays, and what did not finish."""

import math
from collections.abc import Iterable, Sequence

from nisbench.results.break_even import break_even_of
from nisbench.results.cells import Problem, Results, status_counts
from nisbench.results.costs import baseline_or_stand_in, cheapest, cost_of
from nisbench.results.groups import SeedGroup, grouped
from nisbench.results.numbers import join, significant

__all__ = ["lead_sentences", "verdict_sentences"]

_SHOWN_PROBLEMS = 3
"""Largest number of targets and betas that get sentences; the table contains all."""


def lead_sentences(results: Results) -> tuple[str, ...]:
    """Sentences on what was run: the descriptions of the plans, and the number of cells with the hardware."""
    descriptions = dict.fromkeys(str(run.plan["description"]) for run in results.runs if run.plan.get("description"))
    ended = sum(row.status is not None for row in results.rows)
    references = sum(row.cell.reference_draws > 0 for row in results.rows)
    problems = join(results.problems) if len(results.problems) < 5 else f"{len(results.problems)} targets and betas"
    cells = f"{len(results.rows)} cells, {references} of them references, {ended} ended"
    return (*descriptions, f"{cells}; {problems or 'nothing to sample'}; {results.hardware}.")


def verdict_sentences(results: Results) -> tuple[str, ...]:
    """Sentences on what was found; the first one is the verdict."""
    if not results.rows:
        return ("This run has no cells; there is nothing to recommend.",)
    if not any(row.measured for row in results.rows):
        counts = status_counts(results.rows)
        return (f"No cell of this run has numbers ({counts}); there is nothing to recommend.",)
    sentences = [
        sentence
        for problem in results.problems[:_SHOWN_PROBLEMS]
        for device in sorted({row.cell.device for row in results.at(problem)})
        for sentence in _about(results, problem, device)
    ]
    if (others := len(results.problems) - _SHOWN_PROBLEMS) > 0:
        sentences.append(f"The other {others} targets and temperatures are in the table.")
    if missing := [row for row in results.rows if not row.measured]:
        counts = status_counts(missing)
        sentences.append(f"{len(missing)} of {len(results.rows)} cells have no numbers ({counts}).")
    return tuple(sentences)


def _about(results: Results, problem: Problem, device: str) -> list[str]:
    """The sentences about one problem on one device."""
    groups = [group for group in grouped(results.at(problem)) if group.device == device]
    where = f"{problem} on {device.upper()}"
    trusted = [group for group in groups if group.trusted]
    doubtful = [group for group in groups if group.measured and not group.trusted]
    sentences = []
    if trusted:
        sentences += [f"{where}: {_cheapest(trusted)}.", *_stand_ins(results, trusted), *_training(results, trusted)]
        sentences.append(f"Passed every validity gate: {_by_label(trusted)}.")
    elif groups:
        sentences.append(f"{where}: no sampler passed every validity gate, so none is recommended.")
    if doubtful:
        sentences.append(f"Not to be trusted: {_by_label(doubtful)}; the table gives the reasons.")
    return sentences


def _cheapest(trusted: Sequence[SeedGroup]) -> str:
    """The samplers with the cheapest effective sample, training not counted, each with its sizes."""
    winners: dict[str, list[SeedGroup]] = {}
    for size in sorted({group.L for group in trusted}):
        if best := cheapest(trusted, size):
            winners.setdefault(" or ".join(group.label for group in best), []).append(best[0])
    if not winners:
        return "the cost of an effective sample is not known"
    ranked = sorted(winners.items(), key=lambda item: item[1][-1].L)
    parts = [f"{label} at {_sizes(group.L for group in won)}" for label, won in ranked]
    verb = "gives" if len(parts) == 1 else "give"
    largest = ranked[-1][1][-1]
    return f"{join(parts)} {verb} the cheapest effectively independent configurations{_lead(trusted, largest)}"


def _lead(trusted: Sequence[SeedGroup], best: SeedGroup) -> str:
    """The cost of the best sampler at its largest size, and its ratio to the next one."""
    tied = cheapest(trusted, best.L)
    others = [group for group in trusted if group.L == best.L and group not in tied and math.isfinite(cost_of(group))]
    price = f": {significant(cost_of(best), 2)} s each at L = {best.L}"
    if not others:
        return price
    second = min(others, key=cost_of)
    aside = " without its training" if second.kind == "model" else ""
    return f"{price}, {significant(cost_of(second) / cost_of(best), 2)} times cheaper than {second.label}{aside}"


def _stand_ins(results: Results, trusted: Sequence[SeedGroup]) -> list[str]:
    """A sentence for each baseline that ran on another device, with its sizes and costs."""
    found: dict[str, dict[int, float]] = {}
    for group in trusted:
        base, name = baseline_or_stand_in(results.contest, group.problem, group.L, group.device)
        if base is not None and base.device != group.device:
            found.setdefault(name, {})[group.L] = cost_of(base)
    sentences = []
    for name, costs in found.items():
        prices = [f"{significant(cost, 2)} s each at L = {L}" for L, cost in costs.items()]
        sentences.append(
            f"No cluster sampler passed on {trusted[0].device.upper()} at {_sizes(costs)}; the baseline there is "
            f"{name}, a comparison across devices: {join(prices)}."
        )
    return sentences


def _training(results: Results, trusted: Sequence[SeedGroup]) -> list[str]:
    """One sentence on the number of samples after which each model has paid for its training."""
    parts = []
    for label in dict.fromkeys(group.label for group in trusted if group.kind == "model"):
        found = [(group.L, break_even_of(results, group)) for group in trusted if group.label == label]
        known = [(L, estimate.value) for L, estimate in found if estimate is not None and estimate.value is not None]
        after = [f"after {_rounded(n)} effective samples at L = {L}" for L, n in known if math.isfinite(n)]
        never = [L for L, n in known if math.isinf(n)]
        if outcomes := [*after, *([f"never at {_sizes(never)}"] if never else [])]:
            parts.append(f"{label} {join(outcomes)}")
    return [f"Training pays for itself against the cheapest cluster sampler: {'; '.join(parts)}."] if parts else []


def _rounded(value: float) -> str:
    """Two significant digits, also for integers."""
    return significant(float(f"{value:.1e}"), 2)


def _by_label(groups: Sequence[SeedGroup]) -> str:
    labels = dict.fromkeys(group.label for group in groups)
    return join([f"{label} at {_sizes(g.L for g in groups if g.label == label)}" for label in labels])


def _sizes(sizes: Iterable[int]) -> str:
    return f"L = {join(sorted(set(sizes)))}"
