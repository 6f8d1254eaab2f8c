"""The cases of docs/known-faults.md: samplers with a known fault and what must name it, and honest samplers."""

from dataclasses import dataclass

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
            own = "".join(f", {key} {value}" for key, value in self.own)
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
    Case(faults.HeavyTail, "pareto_k"),
    Case(faults.NaNLogProb, "not finite"),
    Case(faults.NaNWeights, "not finite"),
    Case(faults.Stuck, "never moves"),
    Case(faults.AcceptsEverything, MOVED),
    Case(faults.OrderedStart, MOVED, L=8),
    Case(faults.SeedSpinStays, MOVED),
    Case(faults.MoreDrawsThanMade, "`draw_series`"),
)

_FREE: Options = (("boundary", "free"),)
HONEST = tuple(
    Case(**given, honest=True)
    for given in (
        {"plugin": faults.Boltzmann},
        {"plugin": faults.Boltzmann, "check": "pooled_fit"},
        {"plugin": models.Exact},
        {"plugin": weighted.Weighted},
        {"plugin": weighted.Weighted, "check": "exact_means"},
        {"plugin": HeatBath},
        {"plugin": faults.WholeClusters},
        {"plugin": "metropolis", "L": 8},
        {"plugin": "metropolis", "L": 8, "own": (("update", "heat-bath"),)},
        {"plugin": "metropolis", "check": "exact_means"},
        {"plugin": "parallel-tempering", "L": 8},
        {"plugin": "parallel-tempering", "check": "exact_means"},
        {"plugin": "perfect", "L": 8},
        {"plugin": "perfect", "check": "exact_means"},
        {"plugin": "swendsen-wang", "L": 8},
        {"plugin": "swendsen-wang", "check": "exact_means"},
        {"plugin": "wolff", "L": 4},
        {"plugin": "wolff", "L": 16},
        {"plugin": "wolff", "check": "exact_means"},
        {"plugin": "annealed", "L": 8},
        {"plugin": "annealed", "check": "exact_means"},
        {"plugin": "boundary-mps", "L": 8, "options": _FREE},
        {"plugin": "boundary-mps", "check": "pooled_fit"},
        {"plugin": "van", "L": 4, "steps": 300},
        {"plugin": "van", "check": "pooled_fit"},
        {"plugin": "hier", "L": 8, "steps": 300},
        {"plugin": "hier", "check": "pooled_fit"},
        {"plugin": "hier-exact", "L": 8, "steps": 300},
        {"plugin": "hier-exact", "check": "pooled_fit"},
    )
)
