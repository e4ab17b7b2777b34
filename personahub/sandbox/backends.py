"""How the process that runs programs is closed in, strongest first; which of them this machine has is found out by a trial."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from personahub.sandbox import program_server

WARM = ("math", "fractions", "itertools", "sympy", "z3")
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
SCOPED_SIGNALS = 6  # the version of Landlock since which signals stay within
_DISK_BYTES = str(64 << 20)


class Started(Protocol):
    """A process with pipes."""

    stdin: IO[bytes]
    stdout: IO[bytes]

    def kill(self) -> None: ...


class Backend(NamedTuple):
    """strength: the name that verdicts keep. start(folder): the server of programs in the sandbox, which may write to `folder` alone."""

    strength: str
    start: Callable[[str], Started]


def server_command(folder: str, scoped: bool) -> list[str]:
    """scoped: signals reach no process outside of the sandbox, so that its server may end all others at once."""
    source = Path(program_server.__file__).read_text(encoding="utf-8")
    return [sys.executable, "-I", "-c", source, json.dumps(_paths()), folder, json.dumps(WARM), json.dumps(scoped)]


def _paths() -> list[str]:
    """Where libraries lie that programs may import. Not the working folder, and not what the user's own path names."""
    found = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    return sorted(path for path in found if os.path.isdir(path))


def _readable() -> list[str]:
    interpreter = {sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.realpath(sys.executable), *_paths()}
    return sorted({path for path in (*_SYSTEM, *interpreter) if os.path.exists(path)})


def _environment(folder: str) -> dict[str, str]:
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {"PATH": "/usr/bin:/bin", "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8", "PYTHONHASHSEED": "0", **one_thread}


class _Sandlock:
    """Landlock and seccomp, by sandlock: no network, no file but the interpreter's, no process beyond its own."""

    def __init__(self, folder: str) -> None:
        from sandlock import BranchAction, Protection, Sandbox, StdioMode, landlock_abi_version

        self._sandbox = Sandbox(
            fs_readable=[*_readable(), *_DEVICES],
            fs_writable=[folder, "/dev/null"],
            clean_env=True,
            env=_environment(folder),
            cwd=folder,
            max_processes=program_server.MAX_PROCESSES,
            workdir=folder,
            max_disk=int(_DISK_BYTES),
            on_exit=BranchAction.ABORT,
            no_coredump=True,
            allow_degraded=[Protection.SIGNAL_SCOPE, Protection.ABSTRACT_UNIX_SOCKET_SCOPE],
        )
        command = server_command(folder, scoped=landlock_abi_version() >= SCOPED_SIGNALS)
        self._process = self._sandbox.popen(command, StdioMode.PIPED, StdioMode.PIPED, StdioMode.NULL)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.stdin, self.stdout = self._process.stdin, self._process.stdout

    def kill(self) -> None:
        try:
            self._process.kill()
            self._process.wait(5)
        except Exception:  # it has ended
            pass
        self._process.__exit__(None, None, None)


class _Process:
    def __init__(self, command: list[str], folder: str) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=_environment(folder),
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.stdin, self.stdout = self._process.stdin, self._process.stdout

    def kill(self) -> None:
        try:
            os.killpg(self._process.pid, 9)
        except OSError:
            pass
        self._process.kill()
        self._process.wait()
        self.stdin.close()
        self.stdout.close()


def _bubblewrap(folder: str) -> Started:
    """Namespaces of its own for files, processes, network and users, by bubblewrap."""
    shown = [argument for path in _readable() for argument in ("--ro-bind", path, path)]
    command = [
        "bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv", *shown, "--proc", "/proc", "--dev", "/dev",
        "--size", _DISK_BYTES, "--tmpfs", folder, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", folder, "--cap-drop", "ALL",
    ]  # fmt: skip
    for name, value in _environment(folder).items():
        command += ["--setenv", name, value]
    return _Process([*command, "--", *server_command(folder, scoped=True)], folder)


def _limits_only(folder: str) -> Started:
    """No wall: a clean environment and limits of memory, time, files and processes. It reads whatever the user may read."""
    return _Process(server_command(folder, scoped=False), folder)


LIMITS_ONLY = Backend("limits_only", _limits_only)


def walls() -> list[Backend]:
    """The backends that keep programs from files and network, as far as they are installed, strongest first."""
    found = []
    if sys.platform == "linux" and find_spec("sandlock") is not None:
        found.append(Backend("sandlock", _Sandlock))
    if shutil.which("bwrap"):
        found.append(Backend("bubblewrap", _bubblewrap))
    return found
