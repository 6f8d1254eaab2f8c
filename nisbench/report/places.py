"""Titles, file names and the selection of places and sizes for figures with one panel, or one row, for each of them.

A place is a target at one beta on one machine; costs are compared within a place only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from nisbench.report.document import Paragraph
from nisbench.report.selection import panel_name, problem_title
from nisbench.results.advice import Advice, advice
from nisbench.results.cells import Results
from nisbench.results.numbers import join

__all__ = [
    "Place",
    "Shown",
    "left_out",
    "measured_places",
    "place_file",
    "place_name",
    "place_title",
    "shown_advice",
]

_SHOWN_PLACES = 3
"""Largest number of places that are drawn."""
_OPEN_PANELS = 4
"""Largest number of panels that a reader sees at once, all of one place."""
_OPEN_ROWS = 5
"""Largest number of sizes in the grid that a reader sees at once."""
_FOLDED_PANELS = 6
"""Largest number of other panels, over all places."""

Place = tuple[Advice, ...]


@dataclass(frozen=True)
class Shown:
    """The sizes and places that a reader sees at once, and those in a fold."""

    panels: tuple[Advice, ...]
    """Sizes of one place with a panel of their own."""
    rows: Place
    """Sizes of the same place with a row in the grid."""
    other_panels: tuple[Advice, ...]
    """Other sizes, also of other places, with a panel in the fold."""
    smaller: Place
    """Sizes of the open place with a row in the fold."""
    places: tuple[Place, ...]
    """The other places, with a grid each in the fold."""


def measured_places(results: Results) -> tuple[Place, ...]:
    """The places that are drawn: those with the most measured groups, in order; sizes without numbers are left out."""
    every = [tuple(at for at in place if any(g.measured for g in at.groups)) for place in advice(results)]
    places = [place for place in every if place]
    most = sorted(places, key=lambda place: -sum(g.measured for at in place for g in at.groups))[:_SHOWN_PLACES]
    return tuple(place for place in places if place in most)


def shown_advice(places: Sequence[Place]) -> Shown:
    """The panels and grids of the places, sizes in increasing order.

    The place with the most trusted samplers to compare is open, with its largest sizes. A size has a panel if two
    samplers or more are trusted.
    """
    if not places:
        return Shown((), (), (), (), ())
    main = max(places, key=lambda place: sum(len(at.contenders) for at in _with_choice([place])))
    panels = tuple(_with_choice([main])[-_OPEN_PANELS:])
    others = [at for at in _with_choice(places) if at not in panels]
    largest = sorted(others, key=lambda at: -at.L)[:_FOLDED_PANELS]
    return Shown(
        panels,
        main[-_OPEN_ROWS:],
        tuple(at for at in others if at in largest),
        main[:-_OPEN_ROWS],
        tuple(place for place in places if place is not main),
    )


def left_out(results: Results, places: Sequence[Place]) -> list[Paragraph]:
    """Sentences on the places and sizes without a panel; empty if all have one."""
    sentences = []
    every = len([place for place in advice(results) if any(g.measured for at in place for g in at.groups)])
    if every > len(places):
        sentences.append(f"Figures of {len(places)} of {every} targets, temperatures and machines; the table has all.")
    shown = shown_advice(places)
    if smaller := [at.L for at in _with_choice(places) if at not in (*shown.panels, *shown.other_panels)]:
        sentences.append(f"No panel for smaller sizes: L = {join(sorted(set(smaller)))}.")
    if single := [at.L for place in places for at in place if len(at.contenders) < 2]:
        sentences.append(f"No panel where fewer than two samplers are trusted: L = {join(sorted(set(single)))}.")
    return [Paragraph(" ".join(sentences))] if sentences else []


def _with_choice(places: Sequence[Place]) -> list[Advice]:
    return [at for place in places for at in place if len(at.contenders) > 1]


def place_name(results: Results, at: Advice) -> str:
    """The target and beta, followed by the machine if the report has several."""
    problem = str(at.groups[0].problem)
    return f"{problem}, {_machine(at)}" if len(_machines(results)) > 1 else problem


def place_title(results: Results, at: Advice, text: str) -> str:
    """The text, followed by the target, beta and machine where the report has several."""
    group = at.groups[0]
    titled = problem_title(results, group.problem, text)
    return f"{titled}, {_machine(at)}" if len(_machines(results)) > 1 else titled


def place_file(results: Results, at: Advice, name: str, *, sized: bool = True) -> str:
    """File name of a panel, unique within the report."""
    machines = _machines(results)
    number = f"-m{machines.index(_machine(at)) + 1}" if len(machines) > 1 else ""
    return panel_name(results, at.groups[0].problem, f"{name}{number}{f'-L{at.L}' if sized else ''}")


def _machines(results: Results) -> list[str]:
    """The machines of all places, each once."""
    return list(dict.fromkeys(_machine(one) for place in advice(results) for one in place))


def _machine(at: Advice) -> str:
    """Name of the machine of a place; that of a measured group, because a group without numbers has none of its own."""
    group = next((group for group in at.groups if group.measured), at.groups[0])
    return group.machine
