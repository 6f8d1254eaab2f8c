"""Measure chains and weighted draws: prepare, draw, estimate."""

from dataclasses import replace
from functools import partial
from typing import Any

from nisbench.contract.interfaces import ChainSampler, WeightedSampler
from nisbench.contract.quantities import COMPILE_S, LOG_Z_PER_SITE, TAU_INTS
from nisbench.contract.records import Estimate, ReferenceState
from nisbench.contract.timing import Unclocked
from nisbench.harness.context import CellContext, Outcome
from nisbench.harness.cost import draw_costs, stated_costs
from nisbench.harness.first_chunk import Contract, check_chain, check_weighted, independent_doubts
from nisbench.harness.measure import DrawnSeries, count_chains, draw_chain, draw_weighted
from nisbench.harness.order import chain_overlaps, meaningful, weighted_overlaps
from nisbench.harness.prepare import first_draws_of_chains, first_weighted_draws, ready
from nisbench.harness.references import NO_TAU, leave_reference
from nisbench.harness.unclocked import background_work
from nisbench.statistics.bridges import log_z_from_bridges
from nisbench.statistics.quantities import chain_quantities, weighted_quantities

__all__ = ["measure_chains", "measure_weighted"]


def measure_chains(context: CellContext, plugin: type[ChainSampler], options: Any) -> Outcome:
    """Measure chains. A reference cell also leaves configurations for other cells."""
    build, first_draws = partial(plugin, context.target, options), partial(first_draws_of_chains, context)
    # One stream for burn-in, draws and reference configurations: the chains go on through all three.
    generator, cell = context.generator("draw"), context.cell
    prepared = ready(context, build, first_draws, generator)
    sampler = prepared.sampler
    background = background_work()
    context.stage("draw")
    n_chains = count_chains(sampler, generator)
    drawn = draw_chain(sampler, cell.draws, n_chains, generator=generator, clock=context.clock)
    quantities = chain_quantities(
        energy=drawn.series["energy"],
        magnetisation=drawn.series["magnetisation"],
        cluster_size=drawn.series.get("cluster_size"),
        beta=cell.beta,
        n_sites=context.target.n_sites,
        exact=context.exact,
    )
    if (bridges := sampler.bridges()) is not None:
        exact = context.exact.get(LOG_Z_PER_SITE)
        quantities[LOG_Z_PER_SITE] = log_z_from_bridges(bridges, context.target.n_sites, exact)
    # outside the phase `draw`, so that the copies of the configurations cost the sampler no time
    overlaps, of_overlap = chain_overlaps(sampler, len(drawn.series["energy"]), n_chains, generator=generator)
    drawn = replace(drawn, series=drawn.series | overlaps)
    quantities = meaningful(context.target, quantities | of_overlap)
    contract = check_chain(context, sampler, generator)
    state = None
    if cell.reference_draws:  # after the estimates, because the spacing of the configurations needs tau_int
        context.stage("reference")
        tau_ints = [quantities[name] for name in TAU_INTS if name in quantities]
        state = leave_reference(context, sampler, generator, tau_ints)
    quantities = {**stated_costs(sampler), **prepared.training, **quantities, COMPILE_S: Estimate(prepared.compile_s)}
    return _outcome(context, drawn, quantities, contract, state, NO_TAU, background)


def measure_weighted(context: CellContext, plugin: type[WeightedSampler], options: Any) -> Outcome:
    """Measure independent draws with weights."""
    build, first_draws = partial(plugin, context.target, options), partial(first_weighted_draws, context)
    generator, cell = context.generator("draw"), context.cell
    prepared = ready(context, build, first_draws, generator)
    sampler = prepared.sampler
    background = background_work()
    context.stage("draw")
    drawn, normalised = draw_weighted(sampler, cell.draws, generator=generator, clock=context.clock)
    quantities = weighted_quantities(
        log_weight=drawn.series["log_weight"],
        energy=drawn.series["energy"],
        magnetisation=drawn.series["magnetisation"],
        normalised=normalised,
        beta=cell.beta,
        n_sites=context.target.n_sites,
        exact=context.exact,
    )
    quantities = meaningful(context.target, quantities | weighted_overlaps(drawn.series, drawn.series["log_weight"]))
    state = ReferenceState.WITHHELD if cell.reference_draws else None
    why = "none left: weighted draws are not configurations of p"
    quantities = {**stated_costs(sampler), **prepared.training, **quantities, COMPILE_S: Estimate(prepared.compile_s)}
    contract = check_weighted(context, sampler, drawn.first, drawn.series["log_weight"])
    contract.doubts += independent_doubts(drawn.series)
    return _outcome(context, drawn, quantities, contract, state, why, background)


def _outcome(
    context: CellContext,
    drawn: DrawnSeries,
    quantities: dict[str, Estimate],
    contract: Contract,
    state: ReferenceState | None,
    why_withheld: str,
    background: Unclocked | None,
) -> Outcome:
    """Save the series and the configurations for pictures, and return the quantities with the costs."""
    context.files.write_series(drawn.series)
    context.files.write_samples(drawn.samples)
    costs, basis = draw_costs(context.clock.phases["draw"].seconds, drawn.n_draws, drawn.chunk_s, quantities)
    notes = contract.notes(context.cell.plugin, context.cell.plugin_version)
    if state is ReferenceState.WITHHELD:
        notes["reference"] = why_withheld
    return Outcome({**quantities, **costs}, basis, state, notes, background, contract.doubts)
