"""The arithmetic of deduplication on arrays: numpy and numba, no Spark. Each function has a slow, obvious reference in its test."""

from collections.abc import Callable
from typing import TypeVar

import numba

_F = TypeVar("_F", bound=Callable)


def compiled(function: _F) -> _F:
    """Compiled by numba without the GIL; kept on disk where that is possible: a package inside a zip has no folder to keep it in."""
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:
        return numba.njit(nogil=True)(function)
