"""The commands for the authors of plugins: plugins, check, new-plugin."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click

__all__ = ["check", "new_plugin", "plugins"]

_PLUGIN_FILE = click.option(
    "--plugin-file",
    "plugin_files",
    multiple=True,
    metavar="FILE",
    help="A file with plugins or targets that are not installed.",
)


def _use(files: Sequence[str]) -> None:
    """Add the plugins of the files to the catalogue."""
    from nisbench.contract.plugin_files import use_plugin_file

    for file in files:
        use_plugin_file(Path(file))


@click.command()
@click.argument("name", required=False)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@_PLUGIN_FILE
def plugins(name: str | None, form: str, plugin_files: Sequence[str]) -> None:
    """List what is installed: plugins, targets, and broken plugins with the reason.

    With NAME: the options of one plugin or target, and the publication to cite.
    """
    from nisbench.contract.catalog import load_catalog
    from nisbench.contract.listing import details, overview, record

    _use(plugin_files)
    catalog = load_catalog()
    entries = catalog.entries if name is None else (catalog.entry(name),)
    if form == "json":
        click.echo(json.dumps([record(entry) for entry in entries], indent=1))
        return
    for line in overview(catalog) if name is None else details(entries[0]):
        click.echo(line)


@click.command()
@click.argument("name")
@click.option(
    "--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="Device of a model."
)
@click.option("--sizes", metavar="16", help="Extents besides L = 4; without L = 4 if the plugin refuses it [8].")
@click.option("--beta", metavar="0.44|critical", help="Inverse temperature of the checks [0.44].")
@click.option("--option", "options", multiple=True, metavar="couplings.file=F", help="Option of NAME.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--traceback", is_flag=True, help="Show where an exception of the plugin came from.")
@_PLUGIN_FILE
def check(
    name: str,
    device: str,
    sizes: str | None,
    beta: str | None,
    options: Sequence[str],
    form: str,
    traceback: bool,
    plugin_files: Sequence[str],
) -> None:
    """Check that a plugin or a target keeps the contract; one line per named check."""
    from nisbench.conformance.checks import CheckResult, run_checks
    from nisbench.contract.catalog import load_catalog
    from nisbench.harness import values

    _use(plugin_files)
    results: list[CheckResult] = []
    given = values.options("--option", options)
    extents = values.items("--sizes", sizes, values.parse_size) if sizes is not None else ()
    at = None if beta is None else values.parse_beta("--beta", beta)
    for result in run_checks(name, load_catalog(), device, given, sizes=extents, beta=at):
        results.append(result)
        if form == "text":
            click.echo(f"{result.outcome:<4} {result.name}{f': {result.message}' if result.message else ''}")
            if traceback and result.traceback:
                click.echo(result.traceback, err=True)
    if form == "json":
        names = ("name", "outcome", "message", *(["traceback"] if traceback else []))
        click.echo(json.dumps([{key: getattr(result, key) for key in names} for result in results], indent=1))
    outcomes = [result.outcome for result in results]
    counts = f"{outcomes.count('ok')} passed, {outcomes.count('FAIL')} failed, {outcomes.count('n/a')} not applicable"
    click.echo(f"{name}: {len(results)} checks: {counts}", err=form == "json")
    if "FAIL" in outcomes:
        click.echo(f"{name}: {outcomes.count('FAIL')} checks failed", err=True)
        sys.exit(1)


@click.command("new-plugin")
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(["model", "chain", "weighted", "density", "target"]),
    default="model",
    show_default=True,
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder to make [the name of the package].")
def new_plugin(name: str, kind: str, out: Path | None) -> None:
    """Write a package with a working plugin, its test and its CI file, to be changed into your own."""
    from nisbench.scaffold import write_package

    folder = write_package(name, kind, out)
    click.echo(f"{folder}: pip install --editable {folder} && nisbench check {name}")
