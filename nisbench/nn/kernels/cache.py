"""The decorator that compiles a function and caches the result on disk.

Samplers without a network use this file and not `jit.py`: the import of `jit.py` sets the processor features for all
functions that numba compiles later.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numba import njit

__all__ = ["kernel"]


def kernel(signature: str | None = None, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function with `numba.njit` and cache the result on disk.

    numba recompiles a cached function when the function's own file has changed, but misses changes in the functions
    that it calls. The version that numba compares first therefore contains a stamp of all files in the folder of the
    function and in this folder. numba unpickles a cache of the same version only, so that a class that is no longer
    there does no harm.

    Parameters
    ----------
    signature
        Types of the result and the arguments. The function is compiled at once, for these types only. None: it is
        compiled at the first call with new types.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        dispatcher = njit(cache=True, **options)(function)
        if hasattr(dispatcher, "_cache"):  # NUMBA_DISABLE_JIT returns the plain function
            index = dispatcher._cache._cache_file
            folders = Path(__file__).parent, Path(function.__code__.co_filename).parent
            index._version = index._version, *map(_stamp, folders)  # numba has no public setting for it
            if signature:  # not before: njit with a signature would read the cache before the version is complete
                dispatcher.compile(signature)
                dispatcher.disable_compile()
        return dispatcher

    return compiled


@cache
def _stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Return name, time of change and size of each Python file of a folder."""
    files = [(path.name, path.stat()) for path in sorted(folder.glob("*.py"))]
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in files)
