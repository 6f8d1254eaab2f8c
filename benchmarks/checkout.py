"""asv environment `checkout`: the interpreter that runs asv, with the packages of one commit first on the path.

Nothing is installed, so torch stays and no network is needed. The code of a commit lies in a folder of its own under
`env_dir` and never changes there: what Python and numba cache beside the sources belongs to these sources. The version
and the entry points are those of the commit too, for its metadata is written beside its packages.
"""

import importlib.metadata
import os
import platform
import shutil
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asv import util
from asv.environment import Environment

from nisbench.contract.distribution import metadata_files

__all__ = ["Checkout", "export"]

PACKAGES = ("nisbench", "plugins")
SERIES = ("numba", "numpy", "torch")
"""Packages whose version begins a new series of results."""
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
"""A second thread measures what else the machine does."""
HEAP = {
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
    "MALLOC_TOP_PAD_": str(2**27),
}
"""Freed memory stays with the process. Without this, tensors of some MB are mapped anew at every call in one process
and not in the next, and identical code differs by a factor of three."""
DROPPED = ("NUMBA_CACHE_DIR", "PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "TORCHINDUCTOR_CACHE_DIR")
"""Variables of the caller that would bring in other code or a cache that outlives the commit."""
KEPT = 20
"""Commits whose folder is kept, with its caches."""


class Checkout(Environment):  # type: ignore[misc]
    """One interpreter, any commit."""

    tool_name = "checkout"
    matches_python_fallback = False

    def __init__(self, conf: Any, python: str, requirements: Any, tagged_env_vars: Any) -> None:
        self._repository = Path(conf.repo).resolve()
        self._commit: str | None = None
        self._requirements = {name: importlib.metadata.version(name) for name in SERIES}  # read by the base's __init__
        python = ".".join(platform.python_version_tuple()[:2])
        super().__init__(conf, python, self._requirements, tagged_env_vars)

    @property
    def installed_commit_hash(self) -> str | None:
        """The commit that `run` puts first on the path."""
        return self._commit

    def check_presence(self) -> bool:
        """Whether the folder is there; an environment has nothing else."""
        return Path(self._path).is_dir()

    def install_project(self, conf: Any, repo: Any, commit_hash: str) -> None:
        """Lays out the code of the commit; raises asv's ProcessError where the commit has not got the packages."""
        export(self._repository, commit_hash, Path(self._path))
        self._commit = commit_hash
        self._set_commit_hash(commit_hash)

    def run(self, args: list[str], **kwargs: Any) -> Any:
        """Runs the interpreter on the code of the commit, its children included: they inherit PYTHONPATH."""
        if self._commit is None:
            raise util.UserError("no commit is laid out; run asv with a range of commits")
        kwargs["env"] = self._variables(kwargs.get("env") or os.environ, Path(self._path) / self._commit)
        return util.check_output([sys.executable, *args], **kwargs)

    def _setup(self) -> None:
        Path(self._path).mkdir(parents=True)

    def _variables(self, inherited: Mapping[str, str], source: Path) -> dict[str, str]:
        kept = {name: value for name, value in inherited.items() if name not in DROPPED}
        path = os.pathsep.join(str(entry) for entry in (source, source / "plugins"))
        # asv takes PYTHONPATH off the path of a benchmark and puts ASV_PYTHONPATH on it; children see PYTHONPATH.
        own = {"PYTHONPATH": path, "ASV_PYTHONPATH": path, "ASV_SOURCE": str(source)}
        return {**kept, **ONE_THREAD, **HEAP, **self._global_env_vars, **own}


def export(repository: Path, commit: str, folder: Path) -> Path:
    """The packages of `commit` in `folder`/`commit`, complete or not at all; an existing folder is left as it is."""
    target = folder / commit
    if target.is_dir():
        os.utime(target)
        return target
    with tempfile.TemporaryDirectory(dir=folder, prefix="partial-") as temporary:
        source = Path(temporary) / "source"
        archive = Path(temporary) / "source.tar"
        wanted = [*PACKAGES, "pyproject.toml"]
        util.check_output(["git", "-C", str(repository), "archive", f"--output={archive}", commit, *wanted], dots=False)
        with tarfile.open(archive) as tar:
            tar.extractall(source, filter="data")
        _write_metadata(source)
        source.rename(target)
    _discard_all_but(KEPT, folder)
    return target


def _write_metadata(source: Path) -> None:
    """A dist-info folder from pyproject.toml: it hides that of the installed distribution."""
    project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = source / f"{project['name']}-{project['version']}.dist-info"
    info.mkdir()
    for name, text in metadata_files(project).items():
        (info / name).write_text(text, encoding="utf-8")


def _discard_all_but(kept: int, folder: Path) -> None:
    """Deletes the folders that were used longest ago."""
    commits = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("partial-")]
    for path in sorted(commits, key=lambda path: path.stat().st_mtime, reverse=True)[kept:]:
        shutil.rmtree(path)
