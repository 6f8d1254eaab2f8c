"""The commits that are compared, found with git, and trial commits that belong to no branch."""

import ast
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from asv.machine import MachineCollection

__all__ = [
    "UnknownCommit",
    "accepted_patterns",
    "base_of",
    "forget",
    "prepare",
    "resolve",
    "suite_at",
    "suite_here",
    "trial_commit",
]

KINDS = ("time_", "timeraw_", "peakmem_", "mem_", "track_")
MAIN = ("origin/main", "main")
TRIAL = {f"GIT_{who}_{what}": "trial" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


class UnknownCommit(Exception):
    """git does not find a commit, or refuses a command."""


def git(*arguments: str, env: Mapping[str, str] | None = None) -> str:
    """Run git and return its standard output. Raises UnknownCommit if git fails."""
    done = subprocess.run(
        ["git", *arguments], capture_output=True, text=True, check=False, env={**os.environ, **(env or {})}
    )
    if done.returncode:
        raise UnknownCommit(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def resolve(name: str) -> str:
    """Return the full hash of a commit."""
    return git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")


def base_of(head: str) -> str:
    """Return the commit where the branch of `head` left main; the parent of `head` if `head` is on main."""
    for main in MAIN:
        try:
            base = git("merge-base", main, head)
        except UnknownCommit:
            continue
        if base != head:
            return base
    try:
        return resolve(f"{head}^")
    except UnknownCommit:
        raise UnknownCommit(f"{head[:10]} has no parent: there is nothing to compare it with") from None


def accepted_patterns(base: str, head: str) -> list[str]:
    """Return the patterns of all trailers `Accept-benchmark:` in the commits after `base` up to `head`."""
    lines = git("log", "--format=%(trailers:key=Accept-benchmark,valueonly)", f"{base}..{head}").splitlines()
    return [line.strip() for line in lines if line.strip()]


def prepare() -> None:
    """Write the description of the machine that asv needs, and warn about changes that are not committed."""
    if not Path(MachineCollection.get_machine_file_path()).exists():
        subprocess.run([sys.executable, "-m", "asv", "machine", "--yes"], check=True, stdout=subprocess.DEVNULL)
    if git("status", "--porcelain", "--", "nisbench", "plugins"):
        sys.stderr.write("gate: changes in nisbench or plugins that are not committed are not measured\n")


def suite_here() -> set[str]:
    """Return the names `file.Class.benchmark` of the suite in the working tree."""
    files = sorted(Path("benchmarks").glob("bench_*.py"))
    return {name for path in files for name in _benchmarks(path.stem, path.read_text(encoding="utf-8"))}


def suite_at(commit: str) -> set[str]:
    """Return the names `file.Class.benchmark` of the suite of a commit."""
    paths = git("ls-tree", "-r", "--name-only", commit, "--", "benchmarks").splitlines()
    files = [Path(path) for path in paths if Path(path).match("benchmarks/bench_*.py")]
    return {name for path in files for name in _benchmarks(path.stem, git("show", f"{commit}:{path}"))}


def _benchmarks(module: str, source: str) -> set[str]:
    """Return `module.Class.benchmark` for every benchmark in the source of a module."""
    classes = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    return {
        f"{module}.{klass.name}.{node.name}"
        for klass in classes
        for node in klass.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith(KINDS)
    }


def trial_commit(parent: str, changed: Mapping[str, str], message: str) -> str:
    """Create a commit on `parent` with new contents of some files; return its hash.

    The commit is on no branch, and the working tree does not change.
    """
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git("read-tree", parent, env=index)
        for path, content in changed.items():
            file = Path(folder) / "content"
            file.write_text(content, encoding="utf-8")
            blob = git("hash-object", "-w", str(file))
            git("update-index", "--cacheinfo", f"100644,{blob},{path}", env=index)
        tree = git("write-tree", env=index)
    return git("commit-tree", tree, "-p", parent, "-m", message, env=TRIAL)


def forget(commit: str) -> None:
    """Delete the results that asv stored for a trial commit, so that no page shows them."""
    for path in Path(".asv").glob(f"results/*/{commit[:8]}-*.json"):
        path.unlink()
