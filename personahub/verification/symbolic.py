"""Equality of mathematical expressions by math-verify, in a warm process of its own.

math-verify runs past its own alarm on towers of powers and works in no thread but the main one; so it is asked over a pipe, and killed
where it does not answer in time. Without it (the extra `verification`) symbols tell nothing.
"""

import atexit
import json
import os
import select
import subprocess
import sys
import threading
from importlib.util import find_spec
from typing import Any

from personahub import subprocesses

SECONDS = 5.0  # of one comparison
START_SECONDS = 60.0  # until the process has loaded sympy
MEMORY_BYTES = 2 << 30

_lock = threading.Lock()
_worker: subprocess.Popen[bytes] | None = None
_owner = 0  # the process that started the worker: a fork must not share the pipe


def equal(a: str, b: str) -> bool | None:
    """Whether two expressions are equal; None where it cannot be told, or not in time. Thread-safe."""
    with _lock:
        worker = _started()
        if worker is None:
            return None
        try:
            worker.stdin.write(json.dumps([a, b]).encode() + b"\n")  # type: ignore[union-attr]
            worker.stdin.flush()  # type: ignore[union-attr]
            answer = _line(worker, SECONDS)
        except OSError:
            answer = None
        if answer is None:
            _stop()
            return None
        return json.loads(answer)


def _started() -> subprocess.Popen[bytes] | None:
    global _worker, _owner
    if _worker is not None and _owner == os.getpid() and _worker.poll() is None:
        return _worker
    if find_spec("math_verify") is None:
        return None
    _worker = subprocess.Popen(
        subprocesses.command(__name__),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=subprocesses.environment(),
        start_new_session=True,
    )
    _owner = os.getpid()
    if _line(_worker, START_SECONDS) is None:
        _stop()
    return _worker


def _line(worker: subprocess.Popen[bytes], seconds: float) -> bytes | None:
    """The next line; None at the end of its output, or of the time."""
    assert worker.stdout is not None
    ready, _, _ = select.select([worker.stdout], [], [], seconds)
    return (worker.stdout.readline() or None) if ready else None


@atexit.register
def _stop() -> None:
    global _worker
    if _worker is not None and _owner == os.getpid():
        _worker.kill()
        _worker.wait()
        for pipe in (_worker.stdin, _worker.stdout):
            if pipe is not None:
                pipe.close()
    _worker = None


# -- in the process of its own ------------------------------------------------------------------------------------------------------------


def main() -> None:
    """Answers each line of two expressions with true, false or null, until its input ends."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    from math_verify import parse, verify
    from math_verify.parser import ExprExtractionConfig, LatexExtractionConfig

    ways = [LatexExtractionConfig(), ExprExtractionConfig()]

    def compared(a: str, b: str) -> bool | None:
        try:
            first, second = (
                parse(f"${text}$", ways, raise_on_error=True, parsing_timeout=int(SECONDS)) or parse(text, ways)
                for text in (a, b)
            )
            if not (_is_expression(first) and _is_expression(second)):
                return None
            return any(
                verify(*pair, timeout_seconds=int(SECONDS), raise_on_error=True) for pair in ((first, second), (second, first))
            )
        except (Exception, RecursionError):
            return None

    print("ready", file=out, flush=True)
    for line in sys.stdin:
        print(json.dumps(compared(*json.loads(line))), file=out, flush=True)


def _is_expression(parsed: list[object]) -> bool:
    """Whether it was understood as mathematics, and means something: otherwise math-verify compares letters, or calls 1/0 equal to 2/0."""
    if not parsed or isinstance(parsed[0], str):
        return False
    infinite = getattr(parsed[0], "has", None)
    return infinite is None or not infinite(*_meaningless())


def _meaningless() -> tuple[Any, ...]:
    import sympy

    return sympy.zoo, sympy.nan
