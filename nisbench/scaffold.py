"""Write the package of a new plugin: it installs, passes its checks, and waits to be changed into a method."""

import keyword
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template

from nisbench.contract.catalog import check_name
from nisbench.errors import InvalidValue, PluginError, UserError

__all__ = ["KINDS", "write_package"]

_FIELD = '    {}: {} = field(default={}, metadata={{"help": "{}"}})'


@dataclass(frozen=True)
class _Kind:
    """The parts of the package that depend on the kind."""

    hook: str
    summary: str
    options: tuple[tuple[str, str, str, str], ...]
    """Name, type, default and help of each option."""
    trains: bool = False
    """True if the options inherit TrainingOptions."""
    try_it: str = "nisbench run --plugins $name,wolff --sizes 4,8 --draws 4000"


_STRENGTH = ("strength", "float", "1.0", "coupling along a row")
KINDS = {
    "model": _Kind(
        "register_models",
        "fully visible belief network",
        (("initial_scale", "float", "0.01", "deviation of the initial weights"),),
        trains=True,
        try_it="nisbench run --plugins $name,wolff --sizes 4,8 --train-steps 500 --draws 4000",
    ),
    "chain": _Kind(
        "register_samplers",
        "single-spin Metropolis",
        (
            ("n_chains", "int", "64", "independent chains"),
            ("burn_in", "int", "30", "sweeps of each chain before its first draw"),
        ),
    ),
    "weighted": _Kind("register_samplers", "importance sampling from independent rows", (_STRENGTH,)),
    "density": _Kind("register_densities", "independent rows", (_STRENGTH,)),
    "target": _Kind(
        "register_targets",
        "Ising model with diagonal couplings",
        (("j2", "float", "-0.5", "coupling of diagonal neighbours"),),
        try_it="nisbench run --target $name --plugins van --sizes 4 --reference none --train-steps 500",
    ),
}
"""The kinds of `nisbench new-plugin`."""


def write_package(name: str, kind: str, out: Path | None) -> Path:
    """Write the package of the plugin or target `name` and return its folder.

    Parameters
    ----------
    kind
        A key of KINDS.
    out
        Folder to make; by default the name of the distribution, in the working directory.

    Raises
    ------
    UserError
        For a name that cannot be registered, and for a folder that is not empty. Nothing is written then.
    """
    try:
        check_name(name)
    except PluginError as error:
        raise InvalidValue(str(error)) from error
    package = "nisbench_" + "".join(c if c.isalnum() else "_" for c in name.lower())
    class_name = "".join(part[:1].upper() + part[1:] for part in package.split("_")[1:])
    if not class_name.isidentifier() or keyword.iskeyword(class_name):
        raise InvalidValue(f"'{name}' does not give the name of a class; begin it with a letter")
    folder = out or Path(package.replace("_", "-"))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists and is not empty; give another --out")
    for path, text in _files(name, package, class_name, kind).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def _files(name: str, package: str, class_name: str, kind: str) -> dict[str, str]:
    """Return the texts of the package by their paths."""
    made = KINDS[kind]
    values = {
        "name": name,
        "package": package,
        "distribution": package.replace("_", "-"),
        "module": kind,
        "class_name": class_name,
        "summary": made.summary,
        "hook": made.hook,
        "options": "\n".join(_FIELD.format(*option) for option in made.options),
        "base": "(TrainingOptions)" if made.trains else "",
        "imports": "TrainingOptions, hookimpl" if made.trains else "hookimpl",
        "try": Template(made.try_it).substitute(name=name),
    }
    sources = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        ".github/workflows/contract.yml": "ci.yml",
        "tests/test_contract.py": "test_plugin.py",
        f"{package}/registration.py": "registration.py",
        f"{package}/{kind}.py": f"{kind}.py",
    }
    templates = resources.files("nisbench") / "templates"
    texts = {path: (templates / f"{source}.txt").read_text(encoding="utf-8") for path, source in sources.items()}
    filled = {path: Template(text).substitute(values) for path, text in texts.items()}
    return filled | {f"{package}/__init__.py": ""}
