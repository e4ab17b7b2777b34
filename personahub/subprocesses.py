"""How a process of the package's own is started, so that it imports what this one imports and nothing from the working folder."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

# `python -m` and `python -c` look for modules in the working folder first, where a user's random.py may lie
_RUN = "import sys; sys.path[:] = [path for path in sys.path if path]; from {module} import main; main()"


def command(module: str) -> list[str]:
    """The arguments of a process that calls the function `main` of a module."""
    return [sys.executable, "-c", _RUN.format(module=module)]


def environment() -> dict[str, str]:
    """As that of this process, with the places from which it imports."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}


@contextlib.contextmanager
def serving(module: str, given: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server in a child process, by the `main` of a module: it takes `given` from the first line of stdin, writes a line when it serves,
    and ends with the block, or when its stdin does, as where this process is killed. Gives the process and that line; "": it ended.

    Ctrl-C in a terminal does not reach it: it would end before the block does.
    """
    child = subprocess.Popen(
        command(module), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(), start_new_session=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdin.write(given + "\n")
        child.stdin.flush()
        yield child, child.stdout.readline().strip()
    finally:
        child.terminate()
        child.communicate()
