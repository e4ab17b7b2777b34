"""The arithmetic of deduplication on arrays: numpy and numba, no Spark. Each function has a slow, obvious reference in its test."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numba

_F = TypeVar("_F", bound=Callable)
_STAMP = tuple(sorted((file.name, file.stat().st_mtime_ns) for file in Path(__file__).parent.glob("*.py")))


def compiled(function: _F) -> _F:
    """Compiled by numba without the GIL; kept on disk where that is possible: a package inside a zip has no folder to keep it in."""
    try:
        made = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:
        return numba.njit(nogil=True)(function)
    # numba asks whether the function's own file has changed, but what it calls, and has compiled into it, may lie in another one
    made._cache._cache_file._source_stamp = _STAMP
    return made
