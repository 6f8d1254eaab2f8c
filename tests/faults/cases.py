"""The cases of docs/known-faults.md: samplers with a known fault and what must name it, and honest samplers."""

from dataclasses import dataclass, replace

from fakes import faults, hidden, models, weighted
from fakes.samplers import HeatBath

__all__ = ["FAULTY", "HONEST", "Case"]

Options = tuple[tuple[str, object], ...]


@dataclass(frozen=True)
class Case:
    """A sampler, how it runs, and the words of the gate or the name of the check that must name its fault."""

    plugin: type | str
    """A class of `fakes`, the name of an installed plugin, or the place of a class, `module:Class`."""
    gate: str = ""
    """Part of the reason; empty for an honest sampler."""
    check: str = ""
    """Name of the check of `nisbench check`; empty for a fault that a run names."""
    L: int = 4
    draws: int = 20_000
    steps: int = 0
    beta: float = 0.44
    target: str = "ising"
    options: Options = ()
    """Options of the target."""
    own: Options = ()
    """Options of the plugin."""
    what: type | str | None = None
    """The class at fault, if it is not the sampler; or its description."""
    honest: bool = False

    @property
    def name(self) -> str:
        """Name under which the plugin is registered."""
        return self.plugin.rpartition(":")[2] if isinstance(self.plugin, str) else self.plugin.__name__

    @property
    def text(self) -> str:
        """What is wrong, or what is honest."""
        if isinstance(self.what, str):
            return self.what
        if isinstance(self.plugin, str):
            own = "".join(f", {key} = {value}" for key, value in self.own)
            return f"`{self.plugin}`{own}" + (f", {self.steps} steps" if self.steps else "")
        return ((self.what or self.plugin).__doc__ or self.plugin.__name__).splitlines()[0].rstrip(".")


REPEATED, MOVED = "draws are not independent", "standard errors from exact"
CHARGED = "prepare_s contains the work"
FAULTY = (
    Case(faults.Pairs, REPEATED),
    Case(faults.ShuffledPairs, "draws are repeated"),
    Case(faults.SameSeed, "different states of the generator"),
    Case(faults.OwnGenerator, "same state of the generator"),
    Case(faults.WeightedPairs, REPEATED),
    Case(faults.WeightedShuffledPairs, "draws are repeated"),
    Case(faults.WeightedSameSeed, "different states of the generator"),
    Case(faults.SlightlyColder, MOVED, draws=100_000),
    Case(faults.SlightlyColder, check="pooled_fit"),
    Case(faults.Hotter, "the draws are not those of ln q", draws=50_000),
    Case(faults.HotHeatBath, check="pooled_fit"),
    Case(hidden.InConstructor, CHARGED, beta=0.0),
    Case(hidden.InFirstConstructor, CHARGED, beta=0.0),
    Case(hidden.InUnsupported, CHARGED, beta=0.0),
    Case(hidden.InFirstPrepare, "the first calls took", beta=0.0),
    Case(
        "fakes.works_at_import:AtImport",
        "importing the plugin took",
        beta=0.0,
        what="work of seconds while its module is imported",
    ),
    Case(hidden.InBackground, "a thread or process of the plugin works", beta=0.0),
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
    Case(faults.HeavyTail, "pareto_k", draws=200_000),
    Case(faults.NaNLogProb, "not finite"),
    Case(faults.NaNWeights, "not finite"),
    Case(faults.Stuck, "never moves"),
    Case(faults.AcceptsEverything, MOVED),
    Case(faults.OrderedStart, MOVED, L=8),
    Case(faults.SeedSpinStays, MOVED),
    Case(faults.MoreDrawsThanMade, "`draw_series`"),
)

_FREE: Options = (("boundary", "free"),)
_HONEST_RUNS = (
    Case(faults.Boltzmann),
    Case(models.Exact),
    Case(weighted.Weighted),
    Case(HeatBath),
    Case(faults.WholeClusters),
    Case("metropolis", L=8),
    Case("metropolis", L=8, own=(("update", "heat-bath"),)),
    Case("parallel-tempering", L=8),
    Case("perfect", L=8),
    Case("swendsen-wang", L=8),
    Case("wolff", L=4),
    Case("wolff", L=16),
    Case("annealed", L=8),
    Case("boundary-mps", L=8, options=_FREE),
    Case("van", L=4, steps=200, own=(("batch_size", 128),)),
    Case("hier", L=4, steps=300),
    Case("hier-exact", L=8, steps=200, own=(("batch_size", 64),)),
)
_HONEST_CHECKS = (
    Case(faults.Boltzmann, check="pooled_fit"),
    Case(weighted.Weighted, check="exact_means"),
    Case("metropolis", check="exact_means"),
    Case("parallel-tempering", check="exact_means"),
    Case("perfect", check="exact_means"),
    Case("swendsen-wang", check="exact_means"),
    Case("wolff", check="exact_means"),
    Case("annealed", check="exact_means"),
    Case("boundary-mps", check="pooled_fit"),
    Case("van", check="pooled_fit"),
    Case("hier", check="pooled_fit"),
    Case("hier-exact", check="pooled_fit"),
)
HONEST = tuple(replace(case, honest=True) for case in (*_HONEST_RUNS, *_HONEST_CHECKS))
