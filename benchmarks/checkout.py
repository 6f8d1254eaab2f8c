"""asv environment `checkout`: the interpreter that runs asv, with the packages of one commit first on the path.

Nothing is installed, so the installed torch is used and no network is needed. The code of each commit has its own
folder under `env_dir`, which never changes; the caches of Python and numba beside the sources are therefore never out
of date. The metadata of the commit is written beside its packages, so version and entry points belong to the commit.
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
"""Packages whose new version starts a new series of results."""
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
"""One thread for every library; times with a second thread depend on the other programs of the machine."""
HEAP = {
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
    "MALLOC_TOP_PAD_": str(2**27),
}
"""Settings of glibc that keep freed memory in the process. Without them, one process maps tensors of some MB anew at
every call and the next process does not: times of identical code then differ by a factor of three."""
DROPPED = ("NUMBA_CACHE_DIR", "PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "TORCHINDUCTOR_CACHE_DIR")
"""Variables of the caller that are removed: they would select other code, or a cache that commits share."""
KEPT = 20
"""Number of commits whose folder is kept, with its caches."""


class Checkout(Environment):  # type: ignore[misc]
    """asv environment that runs any commit with the interpreter of asv."""

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
        """Hash of the commit that `run` puts first on the path, or None."""
        return self._commit

    def check_presence(self) -> bool:
        """Return True if the folder of the environment exists; it needs nothing else."""
        return Path(self._path).is_dir()

    def install_project(self, conf: Any, repo: Any, commit_hash: str) -> None:
        """Write the code of the commit to its folder. Raises ProcessError of asv if the commit lacks the packages."""
        export(self._repository, commit_hash, Path(self._path))
        self._commit = commit_hash
        self._set_commit_hash(commit_hash)

    def run(self, args: list[str], **kwargs: Any) -> Any:
        """Run the interpreter with the code of the commit. Child processes inherit PYTHONPATH and use it too."""
        if self._commit is None:
            raise util.UserError("no commit is installed; run asv with a range of commits")
        kwargs["env"] = self._variables(kwargs.get("env") or os.environ, Path(self._path) / self._commit)
        return util.check_output([sys.executable, *args], **kwargs)

    def _setup(self) -> None:
        Path(self._path).mkdir(parents=True)

    def _variables(self, inherited: Mapping[str, str], source: Path) -> dict[str, str]:
        """Return the environment variables of a benchmark process that runs the code in `source`."""
        kept = {name: value for name, value in inherited.items() if name not in DROPPED}
        path = os.pathsep.join(str(entry) for entry in (source, source / "plugins"))
        # asv replaces PYTHONPATH by ASV_PYTHONPATH for a benchmark; child processes of the benchmark see PYTHONPATH
        own = {"PYTHONPATH": path, "ASV_PYTHONPATH": path, "ASV_SOURCE": str(source)}
        return {**kept, **ONE_THREAD, **HEAP, **self._global_env_vars, **own}


def export(repository: Path, commit: str, folder: Path) -> Path:
    """Write the packages of `commit` to `folder`/`commit` unless it exists, and return this folder.

    The folder appears complete or not at all.
    """
    target = folder / commit
    if target.is_dir():
        os.utime(target)  # marks the folder as recently used
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
    """Write a dist-info folder from pyproject.toml; it hides the metadata of the installed distribution."""
    project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = source / f"{project['name']}-{project['version']}.dist-info"
    info.mkdir()
    for name, text in metadata_files(project).items():
        (info / name).write_text(text, encoding="utf-8")


def _discard_all_but(kept: int, folder: Path) -> None:
    """Delete all but the `kept` most recently used folders of commits."""
    commits = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("partial-")]
    for path in sorted(commits, key=lambda path: path.stat().st_mtime, reverse=True)[kept:]:
        shutil.rmtree(path)
