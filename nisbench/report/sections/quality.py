"""Section on quality against training time: the Pareto front, and the time to reach a quality."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from nisbench.contract.quantities import ESS_FRACTION, KL_NATS, describe
from nisbench.report.charts import figure
from nisbench.report.document import Block, Column, Entry, Figure, Paragraph, Section, Table, plain
from nisbench.report.palette import Mark, marks
from nisbench.report.panels import Panel, Point, Series
from nisbench.report.places import Place, measured_places, place_file, place_title
from nisbench.report.selection import shown_labels
from nisbench.results.advice import Advice
from nisbench.results.cells import Results
from nisbench.results.fronts import Trained, front, measure_of, trained
from nisbench.results.groups import SeedGroup
from nisbench.results.histories import GOALS, Goal, Reach, mean_history, reach
from nisbench.results.numbers import concise, join

__all__ = ["quality_section"]

_SHOWN_HISTORY = 0.01
"""A history is drawn from this fraction of its time on; before, little changes."""
_SHOWN_SIZES = 4
"""Largest number of sizes with a panel of the front."""
_CROWD = 6
"""Of more samplers at one size, only those on the front have a colour and a name."""


def quality_section(results: Results) -> Section:
    """Distance from p against training time at each size, and the time to reach each goal."""
    places = measured_places(results)
    blocks: list[Block] = [*_fronts(results, places)]
    drawn = False  # one place gets figures of the goals, the others tables
    for place in places:
        found = _goals(results, place, drawn=not drawn)
        drawn = drawn or any(isinstance(block, Figure) for block in found)
        blocks += found
    if not blocks:
        blocks.append(Paragraph("Nothing was trained in this run, or no training history has a KL or an ESS."))
    return Section("quality", "How good after how much training?", tuple(blocks))


_FRONT_CAPTION = (
    "Distance from p against training time. Marks: the end of the whole training, measured with all draws. Thin lines: "
    "the training history, mean over seeds, from 1 % of the training on. Dotted: the Pareto front, the trusted "
    "samplers that no other one beats, if there are two or more; trainings whose times differ by less than 20 % count "
    "as equally long. Hollow: untrusted. Error bars: one standard error."
)
_GOAL_CAPTION = (
    "Training time until the history reaches a quality: the first of two successive evaluations that both meet it, "
    "mean over seeds. At the end of the training the value of the tables counts, because it comes from more draws; it "
    "needs no second evaluation. "
    "Arrows: at least one seed ended its training without reaching it, so the time is a lower limit. "
    "The history is evaluated at a few times, so a time is too long by up to one interval; it uses draws of q alone. "
    "Hollow: untrusted at the end."
)


def _fronts(results: Results, places: Sequence[Place]) -> Iterator[Block]:
    """The figure with one panel for each size with two trained samplers or more, at least one of them trusted."""
    every = [(at, known) for place in places for at in place if _worth_drawing(known := _known(at))]
    shown = sorted(every, key=lambda pair: -pair[0].L)[:_SHOWN_SIZES]
    drawn = figure([_front_panel(results, at, known) for at, known in every if (at, known) in shown], _FRONT_CAPTION)
    if drawn:
        yield drawn
    if missing := sorted({at.L for at, known in every if (at, known) not in shown}):
        yield Paragraph(f"No panel for smaller sizes: L = {join(missing)}.")


def _worth_drawing(known: Sequence[Trained]) -> bool:
    """True if two samplers or more were trained and one is trusted; of many, if no single one beats all others."""
    return len(known) > 1 and len(front(known)) > (len(known) > _CROWD)


def _known(at: Advice) -> tuple[Trained, ...]:
    return trained(at.groups, measure_of(at.groups))


def _front_panel(results: Results, at: Advice, known: Sequence[Trained]) -> Panel:
    quantity, looks, best = measure_of(at.groups), marks(results.labels), front(known)
    crowded = len(known) > _CROWD
    series = [] if crowded else [_history_line(one.group, quantity, looks) for one in known]
    for one in known:
        point = Point(one.train_s, one.loss.value or 0.0, one.loss.error, one.group.trusted)
        grey = crowded and one not in best
        label = one.group.label
        series.append(Series(label, (point,), looks[label], "other" if grey else "sampler", named=not grey))
    row = describe(quantity)
    below_one = f"1 − {row.axis}" if quantity == ESS_FRACTION else row.axis
    return Panel(
        name=place_file(results, at, "pareto"),
        title=place_title(results, at, f"{below_one} after training, L = {at.L}"),
        x_label="training time (s)",
        y_label=below_one,
        series=(*(one for one in series if one.points), *_stairs(best)),
        x_scale="log",
        y_scale="log",
        joined=False,
    )


def _history_line(group: SeedGroup, quantity: str, looks: Mapping[str, Mark]) -> Series:
    """The history as a thin line without an entry in the legend; values at or below zero are left out."""
    pairs = [(t, 1 - v if quantity == ESS_FRACTION else v) for t, v in mean_history(group, quantity)]
    points = tuple(Point(t, v) for t, v in pairs if v > 0 and t >= _SHOWN_HISTORY * pairs[-1][0])
    return Series(group.label, points, looks[group.label], shape="curve", named=False, thin=True)


def _stairs(best: Sequence[Trained]) -> tuple[Series, ...]:
    """The front as a staircase: down at each of its samplers."""
    points: list[Point] = []
    for one in best:
        height = one.loss.value or 0.0
        points += [Point(one.train_s, points[-1].y)] if points else []
        points.append(Point(one.train_s, height))
    return (Series("Pareto front", tuple(points), role="reference", shape="line"),) if len(best) > 1 else ()


def _goals(results: Results, place: Place, *, drawn: bool) -> list[Block]:
    """The figure, if wanted, and the table of the times to reach each goal, and a sentence on goals without a time."""
    shown = shown_labels(results)
    found = [ended for at in place for group in at.groups for goal in GOALS if (ended := reach(group, goal))]
    met = [goal for goal in GOALS if any(not one.open for one in found if one.goal == goal)]
    unmet = [_goal_text(goal) for goal in GOALS if goal not in met and any(one.goal == goal for one in found)]
    drawn_of = {goal: [one for one in found if one.goal == goal and one.group.label in shown] for goal in met}
    panels = [_goal_panel(results, place[0], here, goal) for goal, here in drawn_of.items() if here]
    blocks: list[Block] = [pictures] if drawn and (pictures := figure(panels, _GOAL_CAPTION)) else []
    if any(one.reached for one in found):
        blocks.append(_table(results, place, found))
    if unmet:
        text = place_title(results, place[0], f"No sampler reached {' or '.join(unmet)} with all of its seeds")
        blocks.append(Paragraph(f"{text}."))
    return blocks


def _goal_panel(results: Results, at: Advice, found: Sequence[Reach], goal: Goal) -> Panel:
    """The time to a goal against L; a dot plot if the run has one size."""
    looks = marks(results.labels)
    series = []
    for label in dict.fromkeys(one.group.label for one in found):
        own = [one for one in found if one.group.label == label]
        series.append(Series(label, tuple(_point(one) for one in own), looks[label]))
    rows = len({one.group.L for one in found}) == 1
    if rows:
        series.sort(key=lambda one: (one.points[0].limit, one.points[0].y))
    size = f", L = {found[0].group.L}" if rows else ""
    return Panel(
        name=place_file(results, at, f"time-to-{goal.quantity}-{goal.value:g}", sized=False),
        title=place_title(results, at, f"Training time to {_goal_text(goal)}{size}"),
        x_label="L",
        y_label="training time (s)",
        series=tuple(series),
        y_scale="log",
        rows=rows,
    )


def _point(one: Reach) -> Point:
    limit: Literal["", "lower"] = "lower" if one.open else ""
    return Point(float(one.group.L), one.time_s.value or 0.0, one.time_s.error, one.group.trusted, limit)


def _goal_text(goal: Goal) -> str:
    return f"{'KL' if goal.quantity == KL_NATS else 'ESS'} {goal.sign} {goal.value:g}"


def _table(results: Results, place: Place, found: Sequence[Reach]) -> Table:
    """The times of the figure, one row for each sampler and size."""
    heads = (Column("L", key="place"), Column("sampler", numeric=False, key="sampler"))
    columns = tuple(Column(_goal_text(goal), "s") for goal in GOALS)
    groups = [group for at in place for group in at.groups if any(one.group is group for one in found)]
    by_goal = {(id(one.group), one.goal): one for one in found}
    rows = (
        (plain(group.L), plain(group.label), *(_entry(by_goal.get((id(group), goal))) for goal in GOALS))
        for group in groups
    )
    return Table.of(f"{place_title(results, place[0], 'Training time to reach a quality')}.", (*heads, *columns), rows)


def _entry(one: Reach | None) -> Entry:
    if one is None or one.time_s.value is None:
        return Entry("n/a", tone="missing")
    if not one.open:
        return Entry(concise(one.time_s.value, one.time_s.error, 3), one.time_s.value, error=one.time_s.error)
    note = f"{one.reached} of {one.seeds} seeds reached it" if one.seeds > 1 else "not reached"
    return Entry(f"> {concise(one.time_s.value, digits=2)}", one.time_s.value, note, "missing")
