"""Agreement of every sampler without training with exact values: `python -m benchmarks.agreement` writes a table.

Every registered sampler that is not trained runs on every target that it supports, at L = 8 and 16, three temperatures
and five seeds. Energy and specific heat, means over the seeds, have to be within four combined errors of exact.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import click
import torch

from nisbench.contract.catalog import Entry, load_catalog
from nisbench.contract.doubts import Gate
from nisbench.contract.interfaces import ChainSampler, Density, Target
from nisbench.contract.quantities import ENERGY, SPECIFIC_HEAT
from nisbench.contract.records import Estimate
from nisbench.contract.targets import lattice_of
from nisbench.harness.measure import count_chains
from nisbench.harness.order import meaningful
from nisbench.physics.transfer_matrix import free_log_z, torus_log_z
from nisbench.results.groups import combine
from nisbench.statistics.gates import validity
from nisbench.statistics.quantities import chain_quantities, model_quantities, weighted_quantities

__all__ = ["Agreement", "Place", "agreements", "places", "table"]

PAGE = Path("docs/agreement.md")
LARGEST_Z = 4.0
JUDGED = (ENERGY, SPECIFIC_HEAT)
SEEDS = (1, 2, 3, 4, 5)
DRAWS = {"chain": 10_000, "weighted": 1_000, "density": 4_000}
"""Draws of one seed, all chains together."""
FERROMAGNET, FRUSTRATED = (0.3, 0.4406867935097715, 0.6), (0.5, 1.0, 2.0)
TARGETS: tuple[tuple[str, Mapping[str, Any], Sequence[float]], ...] = (
    ("ising", {}, FERROMAGNET),
    ("ising", {"boundary": "free"}, FERROMAGNET),
    ("ising", {"field": 0.1}, FERROMAGNET),
    ("ising", {"boundary": "free", "field": 0.1}, FERROMAGNET),
    ("edwards-anderson", {"disorder": "pm1"}, FRUSTRATED),
    ("edwards-anderson", {"disorder": "gaussian"}, FRUSTRATED),
    ("edwards-anderson", {"disorder": "pm1", "boundary": "torus"}, FRUSTRATED),
    ("edwards-anderson", {"disorder": "gaussian", "boundary": "torus"}, FRUSTRATED),
    ("villain", {}, FRUSTRATED),
    ("villain", {"boundary": "torus"}, FRUSTRATED),
)
INTRODUCTION = """# Agreement with exact values

Every sampler without training runs with its default options on every target that it supports. The two
numbers are z of the energy and z of the specific heat, (mean over the seeds - exact) / error. A sampler agrees
if both are within four errors. `-`: the target is not supported. `gate`: a validity gate failed, and the list
below gives the reason; such a cell is `untrusted` in a run.

Exact values: Kaufman's formula on the torus and the Kac-Ward determinant for free edges. With a field, and on
the torus with other couplings (L = 8 only), they are differences of ln Z by transfer matrices.
[Exact values](exact-values.md) has the details.
"""
_STENCIL = ((1, 3 / 4, 3 / 2), (2, -3 / 20, -3 / 20), (3, 1 / 60, 1 / 90))
"""Central differences of order 6: k, weight of f(x + kh) - f(x - kh), weight of f(x + kh) + f(x - kh)."""
_STEP = 0.02


@dataclass(frozen=True)
class Place:
    """A target at one size and temperature, with its exact energy and specific heat per site."""

    name: str
    options: tuple[tuple[str, Any], ...]
    L: int
    beta: float

    def __str__(self) -> str:
        changed = ", ".join(f"{key} = {value}" for key, value in self.options)
        return f"{self.name} ({changed})" if changed else self.name


@dataclass(frozen=True)
class Agreement:
    """The outcome of one sampler at one place: z by quantity, or the reason why it was not judged."""

    place: Place
    sampler: str
    z: Mapping[str, float]
    doubt: str = ""

    @property
    def agrees(self) -> bool:
        """True if every z is small enough; False also for a sampler that was not judged."""
        return not self.doubt and all(abs(z) <= LARGEST_Z for z in self.z.values())


def places(sizes: Sequence[int] = (8, 16)) -> Iterator[Place]:
    """Yield every target, size and temperature for which exact values are known."""
    for (name, given, betas), L in itertools.product(TARGETS, sizes):
        target = _target(name, tuple(given.items()), L)
        if exact(target, betas[0]):
            yield from (Place(name, tuple(given.items()), L, beta) for beta in betas)


def agreements(
    where: Sequence[Place], seeds: Sequence[int] = SEEDS, share: float = 1.0, only: Sequence[str] = ()
) -> Iterator[Agreement]:
    """Run every sampler without training at every place that it supports; `share` of the usual number of draws."""
    entries = [entry for entry in load_catalog().plugins.values() if entry.kind != "model" and not entry.trains]
    for place in where:
        target = _target(place.name, place.options, place.L)
        for entry in entries:
            if (not only or entry.name in only) and not entry.load().unsupported(target, entry.options()):
                yield _judged(place, target, entry, seeds, share)


def exact(target: Target, beta: float) -> dict[str, float]:
    """Return exact energy and specific heat: those of the target, else differences of ln Z by transfer matrices."""
    known = target.exact(beta)
    if set(JUDGED) <= set(known):
        return {name: known[name] for name in JUDGED}
    lattice = lattice_of(target)
    log_z = free_log_z if lattice is not None and lattice.boundary == "free" else torus_log_z
    try:
        value = {k: log_z(lattice, beta + k * _STEP) for k in range(-3, 4)}
    except ValueError:
        return {}
    slope = sum(a * (value[k] - value[-k]) for k, a, _ in _STENCIL) / _STEP
    curvature = sum(b * (value[k] - 2 * value[0] + value[-k]) for k, _, b in _STENCIL) / _STEP**2
    return {ENERGY: -slope / target.n_sites, SPECIFIC_HEAT: beta**2 * curvature / target.n_sites}


_cached_exact = lru_cache(maxsize=None)(exact)


@cache
def _target(name: str, options: tuple[tuple[str, Any], ...], L: int) -> Target:
    entry = load_catalog().target(name)
    built: Target = entry.build(L, entry.fill(dict(options)))
    return built


def _judged(place: Place, target: Target, entry: Entry, seeds: Sequence[int], share: float) -> Agreement:
    known = _cached_exact(target, place.beta)
    by_seed = [_measured(place, target, entry, seed, share, known) for seed in seeds]
    doubts = [doubt for quantities in by_seed for doubt in validity(entry.kind or "sampler", quantities)]
    # the gate on exact values is left to the table, which states z
    reasons = [doubt.text for doubt in doubts if doubt.gate is not Gate.FAR_FROM_EXACT]
    means = {name: combine([quantities[name] for quantities in by_seed]) for name in JUDGED}
    z = {name: mean.z for name, mean in means.items() if mean is not None and mean.z is not None}
    missing = "" if len(z) == len(JUDGED) else "no error"
    return Agreement(place, entry.name, z, reasons[0] if reasons else missing)


def _measured(
    place: Place, target: Target, entry: Entry, seed: int, share: float, known: Mapping[str, float]
) -> Mapping[str, Estimate]:
    """Return the quantities of one seed."""
    generator = torch.Generator().manual_seed(seed)
    sampler = entry.load()(target, entry.options())
    sampler.prepare(beta=place.beta, generator=generator)
    at = {"beta": place.beta, "n_sites": target.n_sites, "exact": known}
    if isinstance(sampler, ChainSampler):
        n_chains = count_chains(sampler, generator)
        series = sampler.draw_series(math.ceil(share * DRAWS["chain"] / n_chains), generator=generator)
        flips = series.cluster_size
        found = chain_quantities(energy=series.energy, magnetisation=series.magnetisation, cluster_size=flips, **at)
        return meaningful(target, found)
    if isinstance(sampler, Density):
        draws = sampler.sample(round(share * DRAWS["density"]), beta=place.beta, generator=generator)
        log_prob = {"log_prob": draws.log_prob.numpy(), "seed": seed, "reference": None}
        return meaningful(target, model_quantities(**log_prob, **_scalars(target, draws.spins), **at))
    draws = sampler.draw(round(share * DRAWS["weighted"]), generator=generator)
    weights = {"log_weight": draws.log_weight.numpy(), "normalised": draws.normalised}
    return meaningful(target, weighted_quantities(**weights, **_scalars(target, draws.spins), **at))


def _scalars(target: Target, spins: torch.Tensor) -> dict[str, Any]:
    magnetisation = spins.sum(dim=(-2, -1), dtype=torch.float64).numpy()
    return {"energy": target.energy(spins).numpy(), "magnetisation": magnetisation}


def table(found: Sequence[Agreement], command: str) -> str:
    """Return the page: the command, a summary, and a row for each place with a column for each sampler."""
    samplers = sorted({one.sampler for one in found})
    judged = [one for one in found if not one.doubt]
    failed = [one for one in judged if not one.agrees]
    doubted = [one for one in found if one.doubt]
    largest = max((abs(z) for one in judged for z in one.z.values()), default=0.0)
    lines = [
        INTRODUCTION,
        f"    {command}",
        "",
        f"{sum(len(one.z) for one in judged)} z-scores of {len(judged)} samplers and places; the largest |z| is "
        f"{largest:.1f}. {len(failed)} of {len(judged)} disagree; {len(doubted)} more did not pass a gate.",
        "",
        f"| target | L | beta | {' | '.join(samplers)} |",
        f"|---|---|---|{'---|' * len(samplers)}",
    ]
    by_place: dict[Place, dict[str, Agreement]] = {}
    for one in found:
        by_place.setdefault(one.place, {})[one.sampler] = one
    for place, row in by_place.items():
        entries = " | ".join(_entry(row.get(sampler)) for sampler in samplers)
        lines.append(f"| `{place}` | {place.L} | {place.beta:.4g} | {entries} |")
    if doubted:
        lines += ["", "Gates that failed:", ""]
        lines += [
            f"- {one.sampler}, {one.place}, L = {one.place.L}, beta = {one.place.beta:.4g}: {one.doubt}"
            for one in doubted
        ]
    return "\n".join([*lines, ""])


def _entry(one: Agreement | None) -> str:
    if one is None:
        return "-"
    if one.doubt:
        return "gate"
    numbers = ", ".join(f"{z:+.1f}" for z in one.z.values())
    return numbers if one.agrees else f"**{numbers}**"


@click.command()
@click.option("--sizes", default="8,16", help="Sizes.")
@click.option("--seeds", default=len(SEEDS), help="Number of seeds.")
@click.option("--share", default=1.0, help="Share of the usual number of draws.")
@click.option("--only", default="", help="Samplers, separated by commas; all by default.")
@click.option("--out", default=PAGE, type=click.Path(path_type=Path, dir_okay=False), help="The page.")
def main(sizes: str, seeds: int, share: float, only: str, out: Path) -> None:
    """Write the table of all samplers without training; exit code 1 if a sampler disagrees."""
    given = {"sizes": (sizes, "8,16"), "seeds": (seeds, len(SEEDS)), "share": (share, 1.0), "only": (only, "")}
    command = "python -m benchmarks.agreement" + "".join(
        f" --{key} {value}" for key, (value, usual) in given.items() if value != usual
    )
    where = list(places([int(L) for L in sizes.split(",")]))
    found = []
    for one in agreements(where, range(1, seeds + 1), share, [name for name in only.split(",") if name]):
        found.append(one)
        click.echo(
            f"{one.place}, L = {one.place.L}, beta = {one.place.beta:.4g}, {one.sampler}: {_entry(one)} {one.doubt}"
        )
    out.write_text(table(found, command), encoding="utf-8")
    if not all(one.agrees for one in found if not one.doubt):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
