"""Check the contract on the first draws of a run, at its own size: the cheap part of `nisbench check`.

The checks come after the drawing and outside the clock, with random numbers of their own, so that they change no
number of the cell. A violation makes the cell `untrusted`.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from nisbench.contract.checks import check_spins
from nisbench.contract.doubts import Doubt, Gate
from nisbench.contract.interfaces import ChainSampler, Density, Target, WeightedSampler
from nisbench.contract.targets import lattice_of
from nisbench.errors import PluginError
from nisbench.harness.context import CellContext
from nisbench.statistics.flips import Flips, mirror_doubt
from nisbench.statistics.independence import correlated, repeated, repeated_beyond

__all__ = [
    "Contract",
    "FirstDraws",
    "check_chain",
    "check_density",
    "check_weighted",
    "configuration_hash",
    "independent_doubts",
]

_SPINS = 2**20
"""Spins that are kept for the checks, at most: 1 MiB as int8."""
_COMPARED = 256
"""Draws whose ln q is evaluated again, at most."""
_BONDS = 16
"""Draws whose energy is summed over the bonds."""
_FLIPS = 2**14
"""Flipped configurations whose ln q is evaluated, at most."""
_PART_SPINS = 2**22
"""Spins whose ln q is evaluated at a time, at most: an evaluation takes more memory than a draw."""
_REPEATED = 16
"""Draws of each call of the checks of the generator."""
_DIFFERENT = 5
"""Different configurations in a call from which on two calls are not equal by chance."""
_LOG_PROB = 1e-5
"""Largest difference of ln q in the mean, in nats per square root of a site: 30 times the rounding of float32."""


class FirstDraws:
    """Keeps the first draws of a run, and a hash of every draw."""

    def __init__(self) -> None:
        self.spins: torch.Tensor | None = None
        """(k, L, L)"""
        self.values: torch.Tensor | None = None
        """(k,) ln q or ln w as the plugin returned it"""
        self._hashes: list[NDArray[np.int64]] = []

    def add(self, spins: torch.Tensor, values: torch.Tensor) -> None:
        """Keep the first draws of a chunk (n, L, L), and hash all. Raises PluginError for spins other than -1, +1."""
        check_spins(spins)
        if self.spins is None:
            k = max(_COMPARED // 16, _SPINS // spins[0].numel())
            self.spins, self.values = spins[:k].clone(), values[:k].clone()
        self._hashes.append(configuration_hash(spins))

    @property
    def configuration(self) -> NDArray[np.int64]:
        """(n,) hash of each draw of the run."""
        return np.concatenate(self._hashes)


@dataclass
class Contract:
    """The outcome of the checks of one cell."""

    passed: list[str] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)
    flips: Flips | None = None

    def check(self, name: str, work: Callable[[], str | None]) -> None:
        """Make one check; it returns the violation, or None. A plugin that raises violates the contract."""
        try:
            violation = work()
        except _NotChecked:
            return
        except Exception as error:  # the plugin may raise anything
            violation = f"{type(error).__name__}: {error}"
        if violation is None:
            self.passed.append(name)
        else:
            self.doubts.append(Doubt(Gate.CONTRACT, f"contract: {' '.join(violation.split())}"))

    def notes(self, plugin: str, version: str) -> dict[str, str]:
        """Return the note of the row."""
        passed = f"{plugin} {version} passed on its first draws here: {', '.join(self.passed) or 'nothing'}"
        return {"contract": f"{passed}; the other checks of `nisbench check {plugin}` are not part of a run"}


class _NotChecked(Exception):
    """Raised by a check that does not apply."""


def check_density(context: CellContext, density: Density, first: FirstDraws, log_prob: NDArray[np.float64]) -> Contract:
    """Check a density after its draws; `log_prob` (n,) is ln q of all draws."""
    context.stage("contract")
    found, beta = Contract(), context.cell.beta
    spins, given = _kept(first)
    found.check("log_prob", lambda: _same_log_prob(density, spins[:_COMPARED], given[:_COMPARED], beta))
    found.check("energy", lambda: _energy_of_bonds(context.target, spins[:_BONDS]))
    with torch.no_grad():
        sample = lambda seed: density.sample(_REPEATED, beta=beta, generator=_generator(context, seed)).spins  # noqa: E731
        found.check("generator", lambda: _uses_generator(sample, exactly=context.device.type == "cpu"))
    try:
        # as many evaluations as draws, so that the checks take no longer than the drawing
        total = min(_FLIPS, len(log_prob))
        found.flips = _flips(density, spins, total, beta, np.random.default_rng(context.seed("flips")))
    except Exception as error:  # the plugin may raise anything
        text = f"contract: log_prob of flipped configurations: {type(error).__name__}: {error}"
        found.doubts.append(Doubt(Gate.CONTRACT, text))
    if found.flips and (mirror := mirror_doubt(found.flips)):
        found.doubts.append(Doubt(Gate.OTHER_DRAWS, mirror))
    if repetition := repeated_beyond(first.configuration, log_prob) or repeated(first.configuration):
        found.doubts.append(Doubt(Gate.DEPENDENT, repetition))
    return found


def check_weighted(
    context: CellContext, sampler: WeightedSampler, first: FirstDraws, log_weight: NDArray[np.float64]
) -> Contract:
    """Check a weighted sampler after its draws; `log_weight` (n,) is ln w of all draws."""
    context.stage("contract")
    found = Contract()
    spins, _ = _kept(first)
    found.check("energy", lambda: _energy_of_bonds(context.target, spins[:_BONDS]))
    with torch.no_grad():
        draw = lambda seed: sampler.draw(_REPEATED, generator=_generator(context, seed)).spins  # noqa: E731
        found.check("generator", lambda: _uses_generator(draw, exactly=context.device.type == "cpu"))
    # A random weight makes draws of one configuration different; a weight that follows from it changes nothing.
    if text := repeated(first.configuration ^ log_weight.view(np.int64)):
        found.doubts.append(Doubt(Gate.DEPENDENT, text))
    return found


def check_chain(context: CellContext, sampler: ChainSampler, generator: torch.Generator) -> Contract:
    """Check a chain sampler after its draws, on copies: the chains and the generator stay as they are."""
    context.stage("contract")
    found = Contract()
    state = generator.get_state()

    def source() -> torch.Generator:
        return torch.Generator(generator.device).set_state(state)

    def draw() -> torch.Tensor:
        try:
            sampler_copy = copy.deepcopy(sampler)
        except Exception as error:  # a foreign object may refuse to be copied
            raise _NotChecked from error
        return sampler_copy.draw(_REPEATED, generator=source()).spins  # (16, n_chains, L, L)

    with torch.no_grad():
        found.check("spins", lambda: check_spins(draw()))
        found.check("series", lambda: _same_series(sampler, draw(), source()))
        found.check("generator", lambda: _repeats(draw))
        found.check("energy", lambda: _energy_of_bonds(context.target, draw()[:, 0]))
    return found


def independent_doubts(series: dict[str, NDArray[np.float64]]) -> list[Doubt]:
    """Return why draws with these series (n,) are not independent; see `statistics.independence`."""
    judged = {"energy": series["energy"], "abs(magnetisation)": np.abs(series["magnetisation"])}
    log_w = {name: values for name, values in series.items() if name in ("log_prob", "log_weight")}
    finite = {name: values for name, values in {**judged, **log_w}.items() if np.isfinite(values).all()}
    return [Doubt(Gate.DEPENDENT, text) for text in correlated(finite)[:1]]  # one fault shows in all of them


def configuration_hash(spins: torch.Tensor) -> NDArray[np.int64]:
    """Return (n,) hashes of configurations (n, L, L), 64 bits each: equal for equal configurations."""
    bits = np.packbits(spins.flatten(1).cpu().numpy() > 0, axis=1)  # (n, ceil(N/8))
    words = np.ascontiguousarray(np.pad(bits, ((0, 0), (0, -bits.shape[1] % 8)))).view(np.uint64)  # (n, ceil(N/64))
    result = np.full(len(words), 0x9E3779B97F4A7C15, dtype=np.uint64)
    for word in words.T:
        # multiply and shift, the finaliser of MurmurHash3: each bit of the words changes half the bits of the hash
        result = (result ^ word) * np.uint64(0xFF51AFD7ED558CCD)
        result ^= result >> np.uint64(33)
        result *= np.uint64(0xC4CEB9FE1A85EC53)
        result ^= result >> np.uint64(29)
    return result.view(np.int64)


def _kept(first: FirstDraws) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the first spins and their ln q or ln w."""
    if first.spins is None or first.values is None:
        raise PluginError("no configuration was drawn")
    return first.spins, first.values


def _generator(context: CellContext, seed: int) -> torch.Generator:
    """Return one of several streams for the checks."""
    return torch.Generator(context.device).manual_seed(context.seed("contract") + seed)


def _same_log_prob(density: Density, spins: torch.Tensor, given: torch.Tensor, beta: float) -> str | None:
    """Return the violation if `log_prob` differs from the ln q that `sample` returned."""
    with torch.no_grad():
        difference = (density.log_prob(spins, beta=beta) - given).double()
    # one draw may be rounded worse; a constant shift of 0.01 exceeds the limit in the mean up to L = 1000
    limit = _LOG_PROB * spins.shape[-1]
    mean, worst = float(difference.mean().abs()), float(difference.abs().max())
    if mean <= limit and worst <= 30 * limit:
        return None
    return f"log_prob of drawn spins differs from the ln q of `sample` by {mean:.2g} in the mean, {worst:.2g} at most"


def _energy_of_bonds(target: Target, spins: torch.Tensor) -> str | None:
    """Return the violation if the energy of the target is not the sum over the bonds of its lattice."""
    lattice = lattice_of(target)
    if lattice is None:
        raise _NotChecked
    given = target.energy(spins).cpu().numpy()
    summed = np.array([lattice.energy(one) for one in spins.cpu().numpy()])
    worst = float(np.abs(given - summed).max())
    if worst <= 1e-9 * (1 + float(np.abs(summed).max())):
        return None
    return f"the energy of the target '{target.name}' differs from the sum over its bonds by {worst:.3g}"


def _uses_generator(draw: Callable[[int], torch.Tensor], *, exactly: bool) -> str | None:
    """Return the violation if one seed draws different configurations, or two seeds draw the same.

    `exactly` is False on a device whose rounding may differ from call to call.
    """
    first, again, other = (draw(seed) for seed in (1, 1, 2))
    if exactly and not torch.equal(first, again):
        return "two calls with the same state of the generator draw different configurations"
    different = len(np.unique(configuration_hash(first.flatten(0, -3))))
    if different >= _DIFFERENT and torch.equal(first, other):
        return "two calls with different states of the generator draw the same configurations"
    return None


def _repeats(draw: Callable[[], torch.Tensor]) -> str | None:
    """Return the violation if two copies of the chains draw different configurations.

    Chains may have random numbers of their own, seeded in `prepare`, so that `generator` need not change the draws.
    """
    return None if torch.equal(draw(), draw()) else "two copies of the chains draw different configurations"


def _same_series(sampler: ChainSampler, spins: torch.Tensor, generator: torch.Generator) -> str | None:
    """Return the violation if `draw_series` differs from energy and magnetisation of the draws (n, n_chains, L, L)."""
    series = copy.deepcopy(sampler).draw_series(len(spins), generator=generator)
    energy = sampler.target.energy(spins).cpu().numpy()  # (n, n_chains)
    magnetisation = spins.sum((-2, -1), dtype=torch.float64).cpu().numpy()
    for name, given, expected in (
        ("energy", series.energy, energy),
        ("magnetisation", series.magnetisation, magnetisation),
    ):
        worst = float(np.abs(given - expected).max())
        if not worst <= 1e-9 * (1 + float(np.abs(expected).max())):
            return f"the {name} of `draw_series` differs from that of `draw` by {worst:.3g}"
    return None


def _flips(density: Density, spins: torch.Tensor, total: int, beta: float, rng: np.random.Generator) -> Flips:
    """Evaluate ln q of about `total` draws (m, L, L) with one spin flipped, and of the draws with all flipped."""
    n_sites = spins[0].numel()
    m = min(len(spins), max(1, total // 4))
    k = min(n_sites, max(1, total // m))
    flat = spins[:m].flatten(1)  # (m, N)
    chosen = np.concatenate([rng.choice(n_sites, k, replace=False) for _ in range(m)])
    sites = torch.from_numpy(chosen).to(spins.device)  # (m k,) k different sites of each draw
    part = max(16, min(1024, _PART_SPINS // n_sites))
    here = _log_prob(density, spins[:m], beta, part)
    flipped = []
    for rows in torch.split(torch.arange(m * k, device=spins.device), part):
        changed = flat[rows // k]
        changed[torch.arange(len(rows), device=spins.device), sites[rows]] *= -1
        flipped.append(_log_prob(density, changed.view(-1, *spins.shape[1:]), beta, part))
    mirror = _log_prob(density, -spins[:m], beta, part) - here
    magnetisation = flat.sum(1, dtype=torch.float64).cpu().numpy()
    return Flips(np.concatenate(flipped).reshape(m, k) - here[:, None], mirror, magnetisation)


def _log_prob(density: Density, spins: torch.Tensor, beta: float, part: int) -> NDArray[np.float64]:
    """Return (m,) ln q, evaluated in parts."""
    with torch.no_grad():
        parts: Sequence[torch.Tensor] = [density.log_prob(x, beta=beta) for x in torch.split(spins, part)]
    values: NDArray[np.float64] = torch.cat(list(parts)).to("cpu", torch.float64).numpy()
    return values
