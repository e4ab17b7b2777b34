"""Runs inside the sandbox: imports what programs may need once, then forks a process for each program that it reads from its input.

It is started as source text (`python -I -c`), so it imports nothing of this package. A request is a line of JSON (code, timeout_s,
memory_mb, max_output), an answer another (status, stdout, stderr, seconds, left_over).
"""

import contextlib
import ctypes
import gc
import json
import os
import resource
import selectors
import signal
import sys
import time
import warnings
from typing import Any

OUT_OF_MEMORY, RAISED = 103, 104  # exit codes of a program
MAX_PROCESSES = 8  # the limit of memory is that of each
MAX_FILE_BYTES = 16 << 20
PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36


def serve(warm: tuple[str, ...], scoped: bool) -> None:
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    with contextlib.suppress(Exception):
        prctl = ctypes.CDLL(None).prctl
        prctl(PR_SET_DUMPABLE, 0)  # no program traces this process or reads its memory
        prctl(PR_SET_CHILD_SUBREAPER, 1)  # what a program leaves behind is a child of this process
    for module in warm:
        try:
            __import__(module)
        except Exception:  # a program that needs it says so
            continue
    gc.freeze()  # a fork copies no page only for the sake of the collector
    answers.write(b"ready\n")
    answers.flush()
    for line in requests:
        answer = run(**json.loads(line), scoped=scoped)
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()
        if answer["left_over"]:
            os._exit(0)  # what a program left, processes or files, ends with the sandbox


def run(code: str, timeout_s: float, memory_mb: int, max_output: int, scoped: bool) -> dict[str, Any]:
    """One program, in a process group of its own."""
    out, err = os.pipe(), os.pipe()
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _become_the_program(code, out[1], err[1], timeout_s, memory_mb)
    for end in (out[1], err[1]):
        os.close(end)
    texts, ended, status = _collect((out[0], err[0]), child, began + timeout_s, max_output)
    if not ended:
        _kill(child)
        _, code_of_wait = os.waitpid(child, 0)
    else:
        code_of_wait = status
    seconds = time.monotonic() - began
    _kill(child)  # what it left in its group
    clean = _alone(scoped) and not os.listdir(".")
    return {
        "status": _status(ended, code_of_wait),
        "stdout": texts[0].decode("utf-8", "replace"),
        "stderr": texts[1].decode("utf-8", "replace"),
        "seconds": seconds,
        "left_over": not clean,
    }


def _status(ended: bool, waited: int) -> str:
    if not ended or (os.WIFSIGNALED(waited) and os.WTERMSIG(waited) == signal.SIGXCPU):
        return "timeout"
    if os.WIFSIGNALED(waited):
        return "killed"
    return {0: "ok", OUT_OF_MEMORY: "memory"}.get(os.WEXITSTATUS(waited), "error")


def _collect(ends: tuple[int, int], child: int, deadline: float, max_output: int) -> tuple[list[bytes], bool, int]:
    """The head of what it prints, until it has ended; what it prints beyond is read and dropped. (texts, ended in time, wait status)."""
    texts, selector = [b"", b""], selectors.DefaultSelector()
    for at, end in enumerate(ends):
        os.set_blocking(end, False)
        selector.register(end, selectors.EVENT_READ, at)
    ended, status = False, 0
    pause = 0.0005
    while time.monotonic() < deadline:
        waited, status = os.waitpid(child, os.WNOHANG)
        ended = waited == child
        for key, _ in selector.select(0 if ended else min(pause, max(0.0, deadline - time.monotonic()))):
            _take(key.fd, key.data, texts, max_output, selector)
        pause = min(0.02, pause * 1.5)
        if ended:
            break
    for key in list(selector.get_map().values()):
        _take(key.fd, key.data, texts, max_output, selector)
    for end in ends:
        os.close(end)
    selector.close()
    return texts, ended, status


def _take(end: int, at: int, texts: list[bytes], max_output: int, selector: selectors.BaseSelector) -> None:
    for _ in range(16):
        try:
            piece = os.read(end, 65536)
        except OSError:
            return
        if not piece:
            selector.unregister(end)
            return
        texts[at] += piece[: max(0, max_output - len(texts[at]))]


def _kill(group: int) -> None:
    for target in (os.killpg, os.kill):
        try:
            target(group, signal.SIGKILL)
        except OSError:
            continue


def _alone(scoped: bool) -> bool:
    """End what a program left running, wherever it hid; whether nothing is left."""
    for _ in range(100):
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return True
        _kill_children(scoped)
        time.sleep(0.005)
    return False


def _kill_children(scoped: bool) -> None:
    if scoped:
        with contextlib.suppress(OSError):
            os.kill(-1, signal.SIGKILL)
        return
    with contextlib.suppress(OSError):
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError, IndexError), open(f"/proc/{name}/stat") as file:
                if int(file.read().rpartition(")")[2].split()[1]) == os.getpid():
                    os.kill(int(name), signal.SIGKILL)


def _become_the_program(code: str, out: int, err: int, timeout_s: float, memory_mb: int) -> None:
    status = RAISED
    try:
        with contextlib.suppress(OSError):  # behind a wall that keeps all in one group
            os.setsid()
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.closerange(3, 4096)
        sys.stdin = open(os.devnull)  # noqa: SIM115
        sys.stdout, sys.stderr = open(1, "w", encoding="utf-8", closefd=False), open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        _limit(timeout_s, memory_mb)
        sys.argv = ["program.py"]
        sys.setrecursionlimit(10_000)
        exec(compile(code, "program.py", "exec"), {"__name__": "__main__", "__builtins__": __builtins__})
        status = 0
    except SystemExit as error:
        status = 0 if error.code in (None, 0) else RAISED
        if isinstance(error.code, str):
            sys.stderr.write(f"{error.code}\n")
    except MemoryError:
        status = OUT_OF_MEMORY
    except BaseException:
        import traceback

        kind, raised, at = sys.exc_info()
        traceback.print_exception(kind, raised, at.tb_next if at else None)  # not this frame
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except Exception:
            pass
        os._exit(status)


def _limit(timeout_s: float, memory_mb: int) -> None:
    with_this = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    try:
        with open("/proc/self/statm") as file:
            with_this = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        with_this += 512 << 20  # what libraries map and do not touch
    cpu = int(timeout_s) + 1
    for what, soft, hard in (
        (resource.RLIMIT_AS, with_this + (memory_mb << 20), with_this + (memory_mb << 20)),
        (resource.RLIMIT_CPU, cpu, cpu + 1),
        (resource.RLIMIT_FSIZE, MAX_FILE_BYTES, MAX_FILE_BYTES),
        (resource.RLIMIT_NOFILE, 64, 64),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        resource.setrlimit(what, (soft, hard))
    if os.getuid():  # it counts all processes of the user; for root it counts nothing
        try:
            running = len([name for name in os.listdir("/proc") if name.isdigit()])
        except OSError:
            running = 512
        resource.setrlimit(resource.RLIMIT_NPROC, (running + MAX_PROCESSES, running + MAX_PROCESSES))


if __name__ == "__main__":
    sys.path[:0] = json.loads(sys.argv[1])
    os.chdir(sys.argv[2])
    serve(tuple(json.loads(sys.argv[3])), json.loads(sys.argv[4]))
