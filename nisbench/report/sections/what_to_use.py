"""Section on the choice of a sampler: total time against the number of samples, and the winner for each number."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from nisbench.report.charts import figure
from nisbench.report.document import Block, Fold, Paragraph, Section
from nisbench.report.palette import Mark, marks
from nisbench.report.panels import Grid, GridCell, Note, Panel, Point, Series
from nisbench.report.places import (
    Shown,
    left_out,
    measured_places,
    place_file,
    place_name,
    place_title,
    shown_advice,
)
from nisbench.results.advice import Advice
from nisbench.results.cells import Results
from nisbench.results.choices import COUNTS, Choice, choices, total_times
from nisbench.results.numbers import in_words, join, power_of_ten, seconds_text, significant
from nisbench.results.totals import Contender, Span

__all__ = ["what_to_use_section"]

_N = "effective samples wanted"
_CROWD = 6
"""Largest number of samplers in one panel."""
_NAMED_TIES = 2
"""Of more samplers that tie, the grid names the cheapest and counts the others; all names are in its words."""
_NO_CHOICE = {"alone": "alone", "alone trusted": "the only one trusted"}


def what_to_use_section(results: Results) -> Section:
    """Total time of n effective samples for each trusted sampler, and the sampler to use for each n and L.

    The figures of one place are open; those of the other places and sizes are folded.
    """
    places = measured_places(results)
    shown = shown_advice(places)
    blocks = _figures(results, shown.panels, [_grid(results, shown.rows)] if shown.rows else [])
    grids = [_grid(results, place) for place in shown.places]
    if shown.smaller:
        grids = [_grid(results, shown.smaller, "what-to-use-smaller"), *grids]
    notes = left_out(results, places)
    if folded := _figures(results, shown.other_panels, grids):
        blocks.append(Fold(_fold_title(results, shown), (*folded, *notes)))
    else:
        blocks += notes
    if not blocks:
        blocks.append(Paragraph("No trusted sampler of this run has a cost, so none is recommended."))
    return Section("what-to-use", "Which sampler for how many samples?", tuple(blocks))


def _figures(results: Results, panels: Sequence[Advice], grids: Sequence[Grid]) -> list[Block]:
    """The figure of total times, then the figure of grids."""
    caption = f"{_TOTAL_CAPTION}{_CROWD_CAPTION if any(len(at.contenders) > _CROWD for at in panels) else ''}"
    drawn = figure([_total_panel(results, at) for at in panels], caption), figure(grids, _GRID_CAPTION)
    return [one for one in drawn if one]


def _fold_title(results: Results, shown: Shown) -> str:
    """The sizes of the open place and the names of the other places whose figures are folded."""
    here = place_name(results, shown.rows[0])
    sizes = {at.L for at in (*shown.other_panels, *shown.smaller) if place_name(results, at) == here}
    parts = [f"L = {join(sorted(sizes))}"] if sizes else []
    return f"Total time and what to use: {'; '.join([*parts, *(place_name(results, at[0]) for at in shown.places)])}"


_TOTAL_CAPTION = (
    "Time for n effective samples: preparation + training + n × time per effective sample. A training ends at the step "
    "of its history that is best for n, if the history shows one; its line then bends. Rings: the number of samples "
    "from which another sampler is cheaper beyond errors. Shaded: one standard error of the cost. Only trusted "
    "samplers are drawn."
)
_CROWD_CAPTION = (
    f" Of more than {_CROWD} samplers, those are drawn that come closest to the smallest total, and always those with "
    "which variants are compared."
)
_GRID_NOTE = (
    "Each cell names the trusted sampler with the smallest total time, training included. Upper number: this time. "
    "Lower number: how many times longer the next sampler takes. Hatched: a tie, totals that do not differ beyond "
    "errors and 20 %; ≈ 4 more: four more samplers tie with the named one, which has the smallest total. Dashed: no "
    "choice, because no other sampler was run, or because at most one passed every validity gate."
)
_GRID_CAPTION = f"What to use, by size and number of effective samples wanted. {_GRID_NOTE}"


def _total_panel(results: Results, at: Advice) -> Panel:
    """One line for each trusted sampler, with marks where the winner changes."""
    looks, rivals = marks(results.labels), _rivals(at)
    series = [
        Series(
            rival.group.label,
            tuple(Point(n, total.value or 0.0, total.error) for n, total in total_times(rival)),
            looks[rival.group.label],
            shape="curve",
        )
        for rival in rivals
    ]
    return Panel(
        name=place_file(results, at, "total-time"),
        title=place_title(results, at, f"Total time, L = {at.L}: {_in_words(at.spans)}"),
        x_label=_N,
        y_label="total time (s)",
        series=tuple(series),
        x_scale="log",
        y_scale="log",
        notes=tuple(_notes(at.spans)),
        words=_totals_in_words(at),
    )


def _rivals(at: Advice) -> tuple[Contender, ...]:
    """The samplers that are drawn: of too many those whose total time comes closest to the smallest at some number.

    A sampler with variants is always drawn, because its variants are compared with it.
    """
    variants = Counter(_plugin(rival) for rival in at.contenders)
    least = {n: min(rival.total(n) for rival in at.contenders) for n in COUNTS}

    def rank(rival: Contender) -> tuple[bool, float]:
        compared = rival.group.label == _plugin(rival) and variants[_plugin(rival)] > 1
        return not compared, min(rival.total(n) / least[n] for n in COUNTS)

    closest = sorted(at.contenders, key=rank)[:_CROWD]
    return tuple(rival for rival in at.contenders if rival in closest)


def _plugin(rival: Contender) -> str:
    return rival.group.members[0].cell.plugin


def _notes(found: Sequence[Span]) -> list[Note]:
    """The places at which the winner changes."""
    later = [(span.first.value or 0.0, span.winner) for span in found[1:]]
    return [Note(n, winner.total(n), in_words(n)) for n, winner in later if n <= COUNTS[-1]]


def _in_words(found: Sequence[Span]) -> str:
    """The winners in order: `wolff up to 3 million, then hier`."""
    *before, last = found
    parts = [f"{span.best[0].group.label} up to {in_words(span.last.value or 0.0)}" for span in before]
    return f"{', '.join(parts)}, then {last.best[0].group.label}" if parts else last.best[0].group.label


def _totals_in_words(at: Advice) -> str:
    """Total times of every sampler for the smallest and the largest number of samples."""
    low, high = COUNTS[0], COUNTS[-1]
    texts = [
        f"{rival.group.label} {seconds_text(rival.total_time(low).value or 0.0)} to "
        f"{seconds_text(rival.total_time(high).value or 0.0)}"
        for rival in at.contenders
    ]
    return f"{join(texts)} for {power_of_ten(low)} to {power_of_ten(high)} samples."


def _grid(results: Results, rows: Sequence[Advice], name: str = "what-to-use") -> Grid:
    """One row for each size of one place."""
    looks = marks(results.labels)
    found = [(at, choices(at)) for at in rows]
    return Grid(
        name=place_file(results, rows[0], name, sized=False),
        title=place_title(results, rows[0], "What to use"),
        x_label=_N,
        columns=tuple(power_of_ten(n) for n in COUNTS),
        rows=tuple((f"L = {at.L}", tuple(_cell(one, looks) for one in chosen)) for at, chosen in found),
        words=" ".join(f"L = {at.L}: {_row_in_words(chosen)}." for at, chosen in found),
        note=_GRID_NOTE,
    )


def _cell(one: Choice, looks: Mapping[str, Mark]) -> GridCell:
    if one.kind == "nobody" or one.total_s is None:
        return GridCell("none trusted", (), empty=True)
    time, label = seconds_text(one.total_s.value or math.nan), one.labels[0]
    if one.kind == "tie":
        if len(one.labels) > _NAMED_TIES:
            return GridCell(label, (time, f"≈ {len(one.labels) - 1} more"))
        return GridCell(" ≈ ".join(sorted(one.labels)), (time,))
    if one.kind != "clear":
        return GridCell(f"{label}, {_NO_CHOICE[one.kind]}", (time,), empty=True)
    lead = "" if one.lead is None else f"{significant(float(f'{one.lead.value:.1e}'), 2)}×"
    return GridCell(label, (time, lead), looks[label])


def _row_in_words(found: Sequence[Choice]) -> str:
    """The winners of one size in order, each with the first number of samples for which it is the best."""
    parts: list[str] = []
    last = ""
    for one in found:
        name = " or ".join(sorted(one.labels)) or "none trusted"
        if name != last:
            parts.append(f"{name} from {power_of_ten(one.n)}")
        last = name
    return ", ".join(parts)
