"""Plan files: turn a TOML file and the arguments of a command into the cells to run.

A plan has groups. A group contains the cells for one claim: targets x plugins x sizes x beta x seeds. Each (target, L,
beta) at which a model or density is measured gets one cell of the reference sampler, and reference cells run first. A
cell that several groups contain runs once. The result depends on the arguments and the catalog only.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from nisbench.contract.catalog import Catalog, Entry
from nisbench.contract.records import Budget, Cell
from nisbench.errors import InvalidValue
from nisbench.harness.interpreter import with_interpreters
from nisbench.harness.plan import Group, Overrides, Plan
from nisbench.harness.plan_files import DEFAULT_PLAN, GROUP_KEYS, TOP_KEYS, check_keys, pythons, read_plan, texts
from nisbench.harness.plan_targets import PlannedTarget, filled_options, planned_targets
from nisbench.harness.reference_choice import AUTO, NONE, check_reference, choose_reference
from nisbench.harness.values import (
    integer,
    items,
    parse_betas,
    parse_bytes,
    parse_name,
    parse_seconds,
    parse_size,
    parse_text,
    shown,
)

__all__ = ["load_plan"]

REFERENCE_SEED = 0
MOST_CELLS = 10**6
_DEFAULT = "default"


def load_plan(
    source: str | None,
    overrides: Overrides,
    catalog: Catalog,
    *,
    device: str = "cpu",
    plugin_files: tuple[str, ...] = (),
) -> Plan:
    """Return the plan with the overrides in place of the fields of every group.

    Parameters
    ----------
    source
        Name of a plan or path of a TOML file. None means the plan `quick`; if plugins or sizes are given, only its
        first group.
    device
        Device of the plugins that support it. A plugin for the cpu only stays on the cpu.
    plugin_files
        Absolute paths of files whose plugins are in the catalog.

    Raises
    ------
    UnknownName
        For a plan, key, plugin, option or target that does not exist.
    InvalidValue
        For a value that does not fit.
    """
    table = read_plan(source or DEFAULT_PLAN)
    where = f"plan '{shown(table.get('name', source))}'"
    groups = table.get("group")
    if not isinstance(groups, list) or not groups or not all(isinstance(group, dict) for group in groups):
        raise InvalidValue(f"{where} has no group; give at least one [[group]] with plugins and sizes")
    if source is None and (overrides.plugins or overrides.sizes):
        groups = [{key: value for key, value in groups[0].items() if key not in ("claim", "check")}]
    catalog, interpreters = with_interpreters(catalog, pythons(where, table, overrides), plugin_files)
    plan = _Planner(where, table, overrides, catalog, device).plan(groups, custom=source is None)
    used = {cell.plugin for cell in plan.cells}
    if unused := overrides.python.keys() - used:
        raise InvalidValue(f"--python {min(unused)}: the plan has no cell of it; add it to --plugins")
    python = {name: interpreter for name, interpreter in interpreters.items() if name in used}
    return replace(plan, plugin_files=plugin_files, python=python)


class _Planner:
    """Turns the tables of one plan into its cells."""

    def __init__(
        self, where: str, table: Mapping[str, Any], overrides: Overrides, catalog: Catalog, device: str
    ) -> None:
        check_keys(table, TOP_KEYS)
        self.n_cells = 0
        self.where, self.table, self.overrides, self.catalog, self.device = where, table, overrides, catalog, device
        self.reference = overrides.reference or parse_name(f"{where}, reference", table.get("reference", AUTO))
        self.reference_draws = integer(1, "number of configurations")(where, table.get("reference_draws", 2000))
        self.reference_chain_draws = integer(1, "number of draws")(where, table.get("reference_chain_draws", 20000))

    def plan(self, tables: Iterable[Mapping[str, Any]], *, custom: bool) -> Plan:
        """Return the plan; `custom` is True if no plan was named."""
        made = [self._group(table, plugins) for table, plugins in self._selected(list(tables)) if plugins]
        self._check_overrides([cell for _, group_cells in made for cell in group_cells])
        cells = {cell.cell_id: cell for _, group_cells in made for cell in group_cells}
        order = {cell_id: position for position, cell_id in enumerate(cells)}
        ordered = sorted(cells.values(), key=lambda c: (c.reference_draws == 0, c.L, c.beta, order[c.cell_id]))
        name, title, description = self._titles([group for group, _ in made], custom)
        limit, timeout = self.table.get("memory_limit"), self.table.get("timeout")
        return Plan(
            name=name,
            title=title,
            description=description,
            groups=tuple(group for group, _ in made),
            cells=tuple(ordered),
            memory_limit=self.overrides.memory_limit or (None if limit is None else parse_bytes(self.where, limit)),
            timeout=self.overrides.timeout or (None if timeout is None else parse_seconds(self.where, timeout)),
        )

    def _check_overrides(self, cells: Sequence[Cell]) -> None:
        """Refuse options of plugins and targets that the plan does not contain."""
        # Reference cells keep the default options, so an option for them would have no effect.
        plugins = {cell.plugin for cell in cells if not cell.reference_draws}
        targets = {cell.target for cell in cells}
        given = self.overrides.train_steps is not None or self.overrides.train_seconds is not None
        if given and cells and not any(cell.budget for cell in cells):
            names = ", ".join(sorted(plugins))
            raise InvalidValue(f"--train-steps, --train-seconds: {names} cannot be trained; leave the budget out")
        if self.overrides.reference not in (None, AUTO, NONE):
            self._entry(str(self.overrides.reference))
        for name in self.overrides.options:
            if name in self.catalog.targets:
                if name not in targets:
                    raise InvalidValue(f"--option {name}.*: the plan has no cell on {name}; give --target {name}")
                continue
            self._entry(name)
            if name not in plugins:
                raise InvalidValue(f"--option {name}.*: the plan has no cell of {name}; add it to --plugins")

    def _titles(self, groups: list[Group], custom: bool) -> tuple[str, str, str]:
        changed = self.overrides.changed
        if "name" not in self.table:
            raise InvalidValue(f'{self.where} has no name; give one, name = "mine"')
        name = parse_name(f"{self.where}, name", self.table["name"])
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name):
            raise InvalidValue(f"{self.where}: a name becomes a folder; use letters, digits, '.', '_' and '-'")
        title = parse_text(f"{self.where}, title", self.table.get("title", name))
        description = parse_text(f"{self.where}, description", self.table.get("description", ""))
        if custom and (self.overrides.plugins or self.overrides.sizes):
            sizes = ", ".join(map(str, groups[0].sizes))
            on = f" on {self.overrides.target}" if self.overrides.target else ""
            return "custom", f"{', '.join(groups[0].plugins)}{on} at L = {sizes}", ""
        if changed:
            title += f" (changed on the command line: {', '.join(changed)})"
        return name, title, description

    def _selected(self, tables: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], tuple[str, ...]]]:
        """Yield each group with its selected plugins.

        --plugins selects plugins within each group. A plugin that no group lists is added to every group.
        """
        own = [items(f"{self._where_of(table)}, plugins", table.get("plugins", ()), parse_name) for table in tables]
        planned = {name for plugins in own for name in plugins}
        for table, plugins in zip(tables, own, strict=True):
            asked = self.overrides.plugins
            yield table, plugins if asked is None else tuple(p for p in asked if p in plugins or p not in planned)

    def _where_of(self, table: Mapping[str, Any]) -> str:
        return f"{self.where}, group '{shown(table.get('name', ''))}'"

    def _group(self, table: Mapping[str, Any], plugins: tuple[str, ...]) -> tuple[Group, list[Cell]]:
        """Return one group and its cells, including the reference cells."""
        check_keys(table, GROUP_KEYS, "key of a group")
        where, given = self._where_of(table), self.overrides
        sizes = given.sizes or items(f"{where}, sizes", table.get("sizes", ()), parse_size)
        betas = given.beta or parse_betas(f"{where}, beta", table.get("beta", ()))
        seeds = given.seeds or items(f"{where}, seeds", table.get("seeds", 1), integer(0, "seed"))
        entries = [self._entry(name) for name in plugins]
        self._check_options(where, table)
        targets = planned_targets(where, (self.table, table), given.target, given.options, self.catalog)
        variants = {entry.name: self._variants(table, entry) for entry in entries}
        self._count(where, len(targets) * len(sizes) * len(betas) * len(seeds) * sum(map(len, variants.values())))
        measured = {(entry.name, L): self._measured(where, table, entry, L) for entry in entries for L in sizes}
        cells: dict[str, Cell] = {}
        references: dict[str, Cell] = {}
        for target, entry, L, beta in itertools.product(targets, entries, sizes, betas):
            reference = self._reference_cell(target, L, beta) if entry.takes_reference else None
            if reference:
                references[reference.cell_id] = reference
            for options, seed in itertools.product(variants[entry.name], seeds):
                cell = self._cell(entry, measured[entry.name, L], options, target, L, beta, seed, reference)
                cells[cell.cell_id] = cell
        group = Group(
            name=parse_text(f"{where}, name", table.get("name", "")),
            claim=parse_text(f"{where}, claim", table.get("claim", "")),
            check=texts(f"{where}, check", table.get("check", ())),
            plugins=plugins,
            sizes=sizes,
            beta=betas,
            seeds=seeds,
            cells=tuple(cells),
        )
        return group, [*references.values(), *cells.values()]

    def _count(self, where: str, n_cells: int) -> None:
        """Refuse a plan of more than a million cells before they are made."""
        self.n_cells += n_cells
        if self.n_cells > MOST_CELLS:
            many = f"{where}: the plan would have {self.n_cells} cells or more"
            raise InvalidValue(f"{many}; give at most {MOST_CELLS}, for example in several plans")

    def _check_options(self, where: str, table: Mapping[str, Any]) -> None:
        """Refuse options of a plugin that is not in the group, and options that a plugin does not have."""
        options = table.get("options", {})
        if not isinstance(options, dict):
            raise InvalidValue(f"{where}: options is a table by plugin, for example [group.options.hier]")
        for name, own in options.items():
            entry = self._entry(name)
            if not isinstance(own, dict):
                raise InvalidValue(f"{where}: options of {name} are {shown(own)}; give a table, [group.options.{name}]")
            if name not in items(f"{where}, plugins", table.get("plugins", ()), parse_name):
                raise InvalidValue(f"{where} has options of {name} but no cell of it; add it to plugins")
            if not entry.broken:
                filled_options(entry, own, {})

    def _variants(self, table: Mapping[str, Any], entry: Entry) -> tuple[Mapping[str, Any], ...]:
        """Return all options of a plugin, once for each combination of the values that the group lists."""
        if entry.broken:
            return ({},)
        planned, given = (options.get(entry.name, {}) for options in (table.get("options", {}), self.overrides.options))
        return filled_options(entry, planned, given)

    def _measured(self, where: str, table: Mapping[str, Any], entry: Entry, L: int) -> tuple[int, Budget | None, str]:
        """Return number of draws, budget and device of the cells of a plugin at a size."""
        draws = self.overrides.draws or self._draws(where, table, entry.name, L)
        return draws, self._budget(where, table, entry.name, L) if entry.takes_budget else None, self._device(entry)

    def _cell(
        self,
        entry: Entry,
        measured: tuple[int, Budget | None, str],
        options: Mapping[str, Any],
        target: PlannedTarget,
        L: int,
        beta: float,
        seed: int,
        reference: Cell | None,
    ) -> Cell:
        draws, budget, device = measured
        return Cell(
            plugin=entry.name,
            kind=entry.kind or "sampler",
            plugin_version=entry.version,
            options=options,
            target=target.name,
            target_options=target.options,
            target_version=target.version,
            L=L,
            beta=beta,
            seed=seed,
            draws=draws,
            budget=budget,
            device=device,
            reference=reference.cell_id if reference else None,
        )

    def _reference_cell(self, target: PlannedTarget, L: int, beta: float) -> Cell | None:
        if self.reference == NONE:
            return None
        if self.reference == AUTO:
            entry = choose_reference(self.where, target, self.catalog)
        else:
            entry = check_reference(self.where, self._entry(self.reference))
        return Cell(
            plugin=entry.name,
            kind=entry.kind or "sampler",
            plugin_version=entry.version,
            options={} if entry.broken else entry.fill({}),
            target=target.name,
            target_options=target.options,
            target_version=target.version,
            L=L,
            beta=beta,
            seed=REFERENCE_SEED,
            draws=self.reference_chain_draws,
            device=self._device(entry),
            reference_draws=self.reference_draws,
        )

    def _entry(self, name: str) -> Entry:
        """Return the plugin of that name. A broken registration is returned too: its cells fail with the reason."""
        for entry in self.catalog.broken:
            if entry.name == name and name not in self.catalog.plugins:
                return entry
        return self.catalog.plugin(name)

    def _device(self, entry: Entry) -> str:
        return self.device if self.device in entry.devices else entry.devices[0]

    def _draws(self, where: str, table: Mapping[str, Any], plugin: str, L: int) -> int:
        return integer(1, "number of draws")(f"{where}, draws", self._value(where, table, "draws", plugin, L))

    def _budget(self, where: str, table: Mapping[str, Any], plugin: str, L: int) -> Budget:
        steps, seconds = self.overrides.train_steps, self.overrides.train_seconds
        if steps is None and seconds is None:
            present = [key for key in ("train_steps", "train_seconds") if key in table]
            if len(present) != 1:
                raise InvalidValue(f"{where}: give train_steps or train_seconds, one of the two, for {plugin}")
            value = self._value(where, table, present[0], plugin, L)
            if present == ["train_steps"]:
                steps = integer(0, "number of steps")(f"{where}, train_steps", value)
            else:
                seconds = 0.0 if value == 0 else parse_seconds(f"{where}, train_seconds", value)
        return Budget(steps=steps, seconds=seconds)

    def _value(self, where: str, table: Mapping[str, Any], key: str, plugin: str, L: int) -> Any:
        """Return the value of `key` for a plugin at a size: one value for all, or a table by plugin or by size.

        The entry `default` of a table serves all others.
        """
        if key not in table:
            raise InvalidValue(f"{where} has no {key}; give it")
        value = table[key]
        if isinstance(value, dict):
            names = value.keys() - {_DEFAULT}
            by_size = bool(names) and all(name.isdecimal() for name in names)
            for name in () if by_size else names:
                self._entry(name)
            wanted = str(L) if by_size else plugin
            value = value.get(wanted, value.get(_DEFAULT))
            if value is None:
                raise InvalidValue(f"{where}, {key} has no entry for {wanted}; add '{wanted}' or 'default'")
        return value
