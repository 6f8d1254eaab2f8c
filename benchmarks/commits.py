"""The commits that are compared, read off git; and commits without a branch, made for trials."""

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
    """A commit that git does not find."""


def git(*arguments: str, env: Mapping[str, str] | None = None) -> str:
    """What git prints; raises UnknownCommit where it refuses."""
    done = subprocess.run(
        ["git", *arguments], capture_output=True, text=True, check=False, env={**os.environ, **(env or {})}
    )
    if done.returncode:
        raise UnknownCommit(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def resolve(name: str) -> str:
    """The full hash of a commit."""
    return git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")


def base_of(head: str) -> str:
    """The commit where `head` left main; its parent if it is on main."""
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
    """The patterns of the trailers `Accept-benchmark:` of the commits between."""
    lines = git("log", "--format=%(trailers:key=Accept-benchmark,valueonly)", f"{base}..{head}").splitlines()
    return [line.strip() for line in lines if line.strip()]


def prepare() -> None:
    """Makes the description of the machine that asv asks for, and says what will not be measured."""
    if not Path(MachineCollection.get_machine_file_path()).exists():
        subprocess.run([sys.executable, "-m", "asv", "machine", "--yes"], check=True, stdout=subprocess.DEVNULL)
    if git("status", "--porcelain", "--", "nisbench", "plugins"):
        sys.stderr.write("gate: changes that are not committed are not measured\n")


def suite_here() -> set[str]:
    """`file.Class.benchmark` of the suite at hand."""
    files = sorted(Path("benchmarks").glob("bench_*.py"))
    return {name for path in files for name in _benchmarks(path.stem, path.read_text(encoding="utf-8"))}


def suite_at(commit: str) -> set[str]:
    """`file.Class.benchmark` of the suite of a commit."""
    paths = git("ls-tree", "-r", "--name-only", commit, "--", "benchmarks").splitlines()
    files = [Path(path) for path in paths if Path(path).match("benchmarks/bench_*.py")]
    return {name for path in files for name in _benchmarks(path.stem, git("show", f"{commit}:{path}"))}


def _benchmarks(module: str, source: str) -> set[str]:
    classes = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    return {
        f"{module}.{klass.name}.{node.name}"
        for klass in classes
        for node in klass.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith(KINDS)
    }


def trial_commit(parent: str, changed: Mapping[str, str], message: str) -> str:
    """A commit on `parent` with other contents of some files; on no branch, the working tree is not touched."""
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
    """Deletes what asv stored for a trial commit, so that no page shows it."""
    for path in Path(".asv").glob(f"results/*/{commit[:8]}-*.json"):
        path.unlink()
