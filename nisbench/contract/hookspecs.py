"""The hooks that a registration module may implement.

Every command calls the hooks, so a registration module does not import torch. The class that `factory` names is
imported by the worker process of its own cells.

Common arguments of `register`: the name, of letters, digits, ".", "_" and "-"; `factory="module:Class"`; `summary`, one
line; `options`, a frozen dataclass whose fields are bool, int, float, str or Literal, each with a finite default;
`devices`, by default ("cpu", "cuda"); `citation`, the publication of the method;
`bibtex`, the same as a BibTeX entry with a `doi`, which reports print and link. A plugin that was trained elsewhere
gives `trained_s`, the seconds of this training, and `trained_on`, its device; options of these names replace them.

A density or sampler without training may offer itself as the reference of plans that name none: `reference_rank`, 1 for
the first choice, and `reference_needs`, the traits that it needs. A target states its traits in `traits`, a function of
its options: `pairwise` (it has a `lattice`), `torus` or `free`, `ferromagnet` (no negative coupling) or `frustrated`,
`z2` (no field). The first in rank whose needs the target meets is chosen.

Changes of the process by a registration module are undone: `nisbench.contract.surroundings` lists them.
"""

from collections.abc import Callable

import pluggy

hookspec = pluggy.HookspecMarker("nisbench")


@hookspec
def register_models(register: Callable[..., None]) -> None:
    """Call register(name, options=..., factory=..., summary=..., citation="", trains=False) for each Model.

    The core trains models, so `options` inherits TrainingOptions. With `trains=True` the model trains itself in `fit`,
    with any options.
    """


@hookspec
def register_densities(register: Callable[..., None]) -> None:
    """Call register(name, factory=..., summary=..., options=..., devices=..., trains=False) for each Density.

    With `trains=True` the plan gives the density a training budget, which the core passes to `fit`.
    """


@hookspec
def register_samplers(register: Callable[..., None]) -> None:
    """Call register(name, factory=..., summary=..., options=..., devices=..., trains=False) for each sampler.

    The class inherits ChainSampler or WeightedSampler. `trains` is as for densities.
    """


@hookspec
def register_targets(register: Callable[..., None]) -> None:
    """Call register(name, factory=..., summary=..., options=..., citation="", traits=None) for each target.

    The factory is called with the extent L and an instance of `options`. A plan selects the target by `target = NAME`
    and sets its options in `target_options`.
    """
