"""How a process of the package's own is started, so that it imports what this one imports and nothing from the working folder."""

import os
import sys

# `python -m` and `python -c` look for modules in the working folder first, where a user's random.py may lie
_RUN = "import sys; sys.path[:] = [path for path in sys.path if path]; from {module} import main; main()"


def command(module: str) -> list[str]:
    """The arguments of a process that calls the function `main` of a module."""
    return [sys.executable, "-c", _RUN.format(module=module)]


def environment() -> dict[str, str]:
    """As that of this process, with the places from which it imports."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
