"""The arithmetic of deduplication on arrays: numpy and numba, no Spark. Each function has a slow, obvious reference in its test."""

import hashlib
from collections.abc import Callable
from importlib import resources
from typing import Any, TypeVar

import numba

_F = TypeVar("_F", bound=Callable[..., Any])
_FILES = sorted((file.name, file) for file in resources.files(__name__).iterdir() if file.name.endswith(".py"))
_STAMP = tuple((name, hashlib.sha256(file.read_bytes()).hexdigest()) for name, file in _FILES)


def compiled(function: _F) -> _F:
    """Compiled by numba without the GIL; kept on disk where there is a folder that can be written to."""
    try:
        made: Any = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:
        made = numba.njit(nogil=True)(function)
        return made
    # numba asks whether the function's own file has changed, but what it calls, and has compiled into it, may lie in another one
    made._cache._cache_file._source_stamp = _STAMP
    return made
