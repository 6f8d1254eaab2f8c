"""Run samplers with known faults, and honest ones, and write docs/known-faults.md.

    python -m tests.faults [--seeds 20] [--only NAME,...] [--results FILE] [--write]

Each faulty sampler runs once for each seed, in this process. A row counts the seeds for which the named gate fires. An
honest sampler runs in the same way; a row counts the seeds for which any gate fires.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

from fakes import faults, models, weighted
from fakes.samplers import HeatBath

from nisbench.conformance import subject
from nisbench.conformance.checks import checks_for
from nisbench.contract.catalog import Catalog, Entry, load_catalog
from nisbench.contract.checks import kind_of
from nisbench.contract.interfaces import ChainSampler
from nisbench.contract.records import Budget, Cell, Status
from nisbench.errors import PluginError
from nisbench.harness.plan import Plan
from nisbench.harness.store import Store
from nisbench.harness.worker import run_cell
from nisbench_plugins.registration import HierOptions

PAGE = Path(__file__).parents[1] / "docs" / "known-faults.md"
BETA = 0.44


@dataclass(frozen=True)
class Case:
    """A sampler, how it runs, and the words of the gate or the name of the check that must name its fault."""

    plugin: type | str
    """A class of `fakes`, or the name of an installed plugin."""
    gate: str = ""
    """Part of the reason; empty for an honest sampler."""
    check: str = ""
    """Name of the check of `nisbench check`; empty for a fault that a run names."""
    L: int = 4
    draws: int = 20_000
    steps: int = 0
    target: str = "ising"
    options: tuple[tuple[str, str], ...] = ()
    """Options of the target."""
    what: type | None = None
    """The class at fault, if it is not the sampler."""

    @property
    def name(self) -> str:
        return self.plugin if isinstance(self.plugin, str) else self.plugin.__name__

    @property
    def text(self) -> str:
        """What is wrong, or what is honest."""
        if isinstance(self.plugin, str):
            return f"`{self.plugin}`" + (f", {self.steps} steps" if self.steps else "")
        return ((self.what or self.plugin).__doc__ or self.plugin.__name__).splitlines()[0].rstrip(".")


REPEATED, MOVED, CONTRACT = "draws are not independent", "standard errors from exact", "contract: "
FAULTY = (
    Case(faults.Pairs, REPEATED),
    Case(faults.ShuffledPairs, "draws are repeated"),
    Case(faults.SameSeed, "different states of the generator"),
    Case(faults.OwnGenerator, "same state of the generator"),
    Case(faults.WeightedPairs, REPEATED),
    Case(faults.WeightedShuffledPairs, "draws are repeated"),
    Case(faults.WeightedSameSeed, "different states of the generator"),
    Case(faults.SlightlyColder, MOVED, draws=100_000),
    Case(faults.Hotter, "the draws are not those of ln q", draws=50_000),
    Case(faults.HotHeatBath, check="pooled_fit"),
    Case(faults.SlightlyColder, check="pooled_fit"),
    Case(faults.ShiftedLogProb, "log_prob of drawn spins"),
    Case(faults.DoubledBondSeries, "energy of `draw_series`"),
    Case(HeatBath, "sum over its bonds", target="doubled", what=faults.DoubledBondTarget),
    Case(faults.DoubledBond, MOVED, draws=50_000),
    Case(faults.ZeroOne, "spins other than"),
    Case(faults.WithoutStates, "log_z_per_site"),
    Case(faults.Clamped, "log_z_per_site"),
    Case(faults.WeightedColder, MOVED, draws=100_000),
    Case(faults.WeightedColder, check="exact_means"),
    Case(faults.Unnormalised, "log_z_per_site"),
    Case(faults.OneMode, "ess_fraction_p"),
    Case(faults.OneModeOfTwo, "magnetisation is"),
    Case(faults.HeavyTail, "pareto_k"),
    Case(faults.NaNLogProb, "not finite"),
    Case(faults.NaNWeights, "not finite"),
    Case(faults.Stuck, "never moves"),
    Case(faults.AcceptsEverything, MOVED),
    Case(faults.OrderedStart, MOVED, L=8),
    Case(faults.SeedSpinStays, MOVED),
    Case(faults.MoreDrawsThanMade, "`draw_series`"),
)
HONEST = (
    Case(faults.Boltzmann),
    Case(models.Exact),
    Case(weighted.Weighted),
    Case(HeatBath),
    Case(faults.WholeClusters),
    Case("wolff", L=4),
    Case("wolff", L=16),
    Case("van", L=4, steps=300),
    Case("hier", L=8, steps=300),
    Case("hier-exact", L=8, steps=300),
    Case("boundary-mps", L=8, options=(("boundary", "free"),)),
)


def catalog_of(case: Case) -> Catalog:
    """The installed plugins with the sampler of the case, and a target whose energy is wrong."""
    installed = load_catalog()
    targets = {**installed.targets, "doubled": replace(installed.targets["ising"], name="doubled")}
    targets["doubled"] = replace(targets["doubled"], factory="fakes.faults:DoubledBondTarget")
    plugins = dict(installed.plugins)
    if not isinstance(case.plugin, str):
        kind = kind_of(case.plugin)
        assert kind is not None
        options = {"model": models.LogisticOptions}.get(kind)
        options = HierOptions if issubclass(case.plugin, faults.Hier) else options
        options = faults.ChainOptions if issubclass(case.plugin, ChainSampler) else options
        given = {} if options is None else {"options": options}
        factory = f"{case.plugin.__module__}:{case.plugin.__name__}"
        plugins[case.name] = Entry(case.name, kind, "tests", "0", factory=factory, devices=("cpu",), **given)
    return Catalog(plugins=plugins, targets=targets)


def outcomes(case: Case, seeds: Sequence[int]) -> Iterator[str]:
    """Yield for each seed the reasons, or the names of the failed checks; an empty text if nothing fired."""
    catalog = catalog_of(case)
    if case.check:
        yield from _checked(case, catalog, seeds)
        return
    target = dict(catalog.targets[case.target].fill(dict(case.options)))
    chains = catalog.plugins["wolff" if not case.options else "boundary-mps"]
    common = {"target_options": target, "device": "cpu"}
    reference = Cell(
        *("wolff", "sampler", chains.version, chains.fill({}), case.target, case.L, BETA, 0, 20_000),
        reference_draws=2000,
        **common,
    )
    entry = catalog.plugins[case.name]
    judged = entry.kind != "sampler" and not case.options and case.target == "ising"
    budget = Budget(steps=case.steps) if entry.takes_budget else None
    with tempfile.TemporaryDirectory() as folder:
        cells = [
            Cell(
                *(case.name, entry.kind, entry.version, entry.fill({}), case.target, case.L, BETA, seed, case.draws),
                budget=budget,
                reference=reference.cell_id if judged else None,
                **common,
            )
            for seed in seeds
        ]
        store = Store.create(Path(folder) / "run", Plan("p", "t", "d", groups=(), cells=(reference, *cells)), {})
        if judged:
            store.files(reference.cell_id).write_result(run_cell(store, reference, catalog))
        for cell in cells:
            try:
                result = run_cell(store, cell, catalog)
            except PluginError as error:
                yield f"failed: {error}"
                continue
            assert (result.status is Status.OK) == (result.reason is None)
            yield result.reason or ""


def _checked(case: Case, catalog: Catalog, seeds: Sequence[int]) -> Iterator[str]:
    """Yield the finding of one check for each seed."""
    checked = subject.Subject(catalog.plugins[case.name], catalog)
    (check,) = (each for each in checks_for(checked.factory) if each.__name__ == case.check)
    for seed in seeds:
        subject.STREAM = seed
        try:
            check(checked)
            yield ""
        except subject.Violation as violation:
            yield f"{case.check}: {violation}"
        finally:
            subject.STREAM = 0


def named(case: Case, found: Sequence[str]) -> int:
    """Number of seeds for which the gate of the case fired; for an honest sampler, any gate."""
    return sum((case.gate or case.check) in text if case.gate or case.check else bool(text) for text in found)


def _count(case: Case, found: Sequence[str]) -> str:
    """Number of seeds as text."""
    return f"{named(case, found)}/{len(found)}" if found else "not run"


def page(rows: Sequence[tuple[Case, Sequence[str]]]) -> str:
    """The catalogue in Markdown."""
    bad = [row for row in rows if row[0].gate or row[0].check]
    good = [row for row in rows if not (row[0].gate or row[0].check)]
    lines = [_OPENING.format(beta=BETA), "", "## Faulty samplers", ""]
    lines += ["| fault | where | L | draws | what names it | seeds |", "|---|---|---|---|---|---|"]
    for case, found in bad:
        where, draws = ("`nisbench check`", "as stated by the check") if case.check else ("run", f"{case.draws:,}")
        gate = f"`{case.check}`" if case.check else f"“{case.gate.strip().replace('`', '')} ...”"
        lines.append(f"| {case.text} | {where} | {case.L} | {draws} | {gate} | {_count(case, found)} |")
    lines += ["", "## Honest samplers", "", "| sampler | L | draws | accused | reasons |", "|---|---|---|---|---|"]
    for case, found in good:
        reasons = Counter(text for text in found if text)
        words = "; ".join(f"{text} ({count})" for text, count in reasons.items()) or "-"
        lines.append(f"| {case.text} | {case.L} | {case.draws:,} | {_count(case, found)} | {words} |")
    return "\n".join(lines) + "\n"


_OPENING = """# Known faults

This page lists samplers with a known fault, and the gate or the check that names each fault. The samplers are in
`tests/fakes/`. `python -m tests.faults --write` writes this page.

Each sampler runs with several seeds at beta = {beta}. A run judges its own draws; `nisbench check` judges a plugin at
L = 4 with more draws. The last column counts the seeds for which the words of the gate are among the reasons. The
second table counts how often an honest sampler is accused of anything. Rows marked `not run` were not run for this copy
of the page."""


def _known(path: Path | None) -> dict[str, list[str]]:
    """Outcomes of earlier calls by case."""
    lines = path.read_text().splitlines() if path and path.exists() else []
    return dict(json.loads(line) for line in lines)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", default="", help="names of classes, with commas")
    parser.add_argument("--results", type=Path, help="keep the outcomes here; cases that it has are not run again")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    parser.add_argument("--no-run", action="store_true", help="run nothing; use the outcomes of --results alone")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    only = set(filter(None, given.only.split(",")))
    rows = []
    for case in (*FAULTY, *HONEST):
        known = _known(given.results)
        if only and case.name not in only:
            continue
        seeds = () if given.no_run else range(1, given.seeds + 1)
        found = known.get(repr(case), []) if repr(case) in known or not seeds else list(outcomes(case, seeds))
        rows.append((case, found))
        if given.results and repr(case) not in known and found:
            with given.results.open("a") as lines:
                lines.write(json.dumps([repr(case), found]) + "\n")
        sys.stdout.write(f"{_count(case, found)} {case.name} {case.check}: {''.join(found[:1])[:150]!r}\n")
        sys.stdout.flush()
    if given.write:
        PAGE.write_text(page(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
