"""Programs behind each wall that this machine has: what they may do, and twelve and more things that they try and may not."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from personahub import subprocesses
from personahub.sandbox import backends, programs, run_program

WALLS = {backend.strength: backend for backend in backends.walls()}
ALL = {**WALLS, "limits_only": backends.LIMITS_ONLY}


def _skip_unless_it_starts(strength):
    """Where a container's own rules forbid it, it refuses programs, which another test holds."""
    if strength not in ALL:
        pytest.skip(f"{strength} is not installed here")
    if programs.run_behind(ALL[strength], "").status == "refused":
        pytest.skip(f"{strength} does not start here")


@pytest.fixture(params=["sandlock", "bubblewrap"])
def wall(request):
    """run(code, ...) behind one wall."""
    _skip_unless_it_starts(request.param)
    return lambda code, **limits: programs.run_behind(WALLS[request.param], code, **limits)


@pytest.fixture(params=["sandlock", "bubblewrap", "limits_only"])
def anywhere(request):
    _skip_unless_it_starts(request.param)
    return lambda code, **limits: programs.run_behind(ALL[request.param], code, **limits)


def test_this_machine_has_a_wall():
    if sys.platform == "linux":
        assert "sandlock" in WALLS


@pytest.mark.parametrize(
    ("code", "printed"),
    [
        ("print(6 * 7)", "42\n"),
        ("from fractions import Fraction; print(Fraction(1, 3) + Fraction(1, 6))", "1/2\n"),
        ("import itertools; print(len(list(itertools.permutations('abcd'))))", "24\n"),
        ("import sympy; print(sympy.solve('x**2 - 4'))", "[-2, 2]\n"),
        ("import z3; x = z3.Int('x'); s = z3.Solver(); s.add(x > 2, x < 4); s.check(); print(s.model()[x])", "3\n"),
        ("open('notes', 'w').write('kept'); print(open('notes').read())", "kept\n"),
        ("def f(n):\n    return n and f(n - 1)\nprint(f(5000), 'π')", "0 π\n"),
        ("", ""),
        ("import sys\nsys.exit()", ""),
    ],
)
def test_what_programs_may_do(anywhere, code, printed):
    result = anywhere(code)
    assert (result.status, result.stdout, result.stderr) == ("ok", printed, "")


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("print('half'); raise ValueError('no solution')", "error", "ValueError: no solution"),
        ("def f(:", "error", "SyntaxError"),
        ("import sys; sys.exit('gave up')", "error", "gave up"),
        ("while True: pass", "timeout", ""),
        ("import time; time.sleep(60)", "timeout", ""),
        ("import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)", "timeout", ""),
        ("x = [0] * 10**10", "memory", ""),
        ("x = []\nwhile True: x.append('x' * 10**6)", "memory", ""),
        ("import os; os.kill(os.getpid(), 9)", "killed", ""),
        ("print('\\ud800')", "error", "UnicodeEncodeError"),
    ],
)
def test_how_programs_end(anywhere, code, status, said):
    result = anywhere(code, timeout_s=1 if status == "timeout" else 30, memory_mb=256)
    assert result.status == status, result
    assert said in result.stderr
    assert status != "timeout" or result.seconds < 4
    assert "program_server" not in result.stderr
    assert anywhere("print(1)").stdout == "1\n"


def test_output_without_end_is_cut(anywhere):
    result = anywhere("while True: print('x' * 1000)", timeout_s=1)
    assert result.status == "timeout"
    assert len(result.stdout) == programs.MAX_OUTPUT
    assert set(result.stdout) <= {"x", "\n"}


@pytest.fixture
def secret(tmp_path, monkeypatch):
    (tmp_path / "key").write_text("sk-secret-0123456789")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-0123456789")
    return tmp_path / "key"


READS = """
def tried(what):
    try:
        return repr(what())
    except BaseException as error:
        return type(error).__name__
import os, subprocess
print(tried(lambda: open({path!r}).read()))
print(tried(lambda: os.environ.get("OPENAI_API_KEY")))
print(tried(lambda: open("/etc/shadow").read()))
print(tried(lambda: open(f"/proc/{{os.getppid()}}/environ").read()))
print(tried(lambda: open("/proc/{parent}/environ").read()))
print(tried(lambda: os.symlink({path!r}, "link") or open("link").read()))
print(tried(lambda: subprocess.run(["cat", {path!r}], capture_output=True, text=True).stdout))
print(tried(lambda: os.listdir(os.path.expanduser("~root"))))
"""


def test_neither_the_key_nor_a_file_nor_another_process_is_read(wall, secret):
    result = wall(READS.format(path=str(secret), parent=os.getpid()))
    assert result.status == "ok", result
    assert "sk-secret" not in result.stdout + result.stderr
    assert "root:" not in result.stdout


@pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_DGRAM"])
def test_no_socket_reaches_this_machine(wall, kind):
    import socket

    with socket.socket(type=getattr(socket, kind)) as server:
        server.bind(("127.0.0.1", 0))
        if kind == "SOCK_STREAM":
            server.listen()
        server.settimeout(0.5)
        code = f"import socket\ns = socket.socket(type=socket.{kind})\ns.connect(('127.0.0.1', {server.getsockname()[1]}))\ns.send(b'out')"
        wall(code, timeout_s=2)
        with pytest.raises(TimeoutError):
            server.accept() if kind == "SOCK_STREAM" else server.recv(10)


def test_nothing_is_written_elsewhere(wall, tmp_path):
    targets = [
        tmp_path / "out",
        Path.home() / "personahub-evil",
        Path("/tmp/personahub-evil"),
        Path(sys.prefix) / "personahub-evil",
    ]
    for target in targets:
        wall(f"open({str(target)!r}, 'w').write('x')")
        assert not target.exists()


@pytest.mark.parametrize(
    "code",
    [
        "import os\nwhile True: os.fork()",
        "import os\nfor _ in range(1000): os.fork()\nos.execvp('sleep', ['sleep', '61.73'])",
        "import subprocess\nx = [subprocess.Popen(['sleep', '61.73'], start_new_session=True) for _ in range(100)]",
    ],
)
def test_processes_are_few_and_end(wall, code):
    wall(code, timeout_s=1)
    assert wall("print(1)").stdout == "1\n"
    assert _programs_left() == 0


def _programs_left():
    """Processes that programs of these tests have started, once the server of a wall has had time to end: itself not counted."""
    for _ in range(50):
        left = 0
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
                with open(f"/proc/{name}/stat") as file:
                    ended = file.read().rpartition(")")[2].split()[0] == "Z"
            except OSError:
                continue
            left += b"61.73" in words and not ended
        if not left:
            break
        time.sleep(0.1)
    return left


def test_the_disk_does_not_fill(wall):
    code = "for n in range(10_000):\n    with open(f'f{n}', 'wb') as file: file.write(b'x' * 10**6)"
    result = wall(code, timeout_s=60)
    assert (result.status, "No space left" in result.stderr) == ("error", True), result
    assert wall("import os; print(os.listdir('.'))").stdout == "[]\n"


@pytest.mark.parametrize(
    "code", ["import os; os.kill(os.getppid(), 9)", "import os; os.kill(-1, 9)", "import os; os.kill({pid}, 9)"]
)
def test_no_other_process_is_killed(wall, code):
    victim = subprocess.Popen(["sleep", "60"])
    try:
        result = wall(code.format(pid=victim.pid))
        assert result.status in ("killed", "error", "ok")
        assert victim.poll() is None
        assert wall("print(1)").stdout == "1\n"
    finally:
        victim.kill()
        victim.wait()


def test_no_process_is_traced(wall):
    code = (
        "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        f"print(libc.ptrace(16, {os.getpid()}, 0, 0), libc.ptrace(16, os.getppid(), 0, 0))"
    )
    assert wall(code).stdout == "-1 -1\n"


def test_a_program_knows_nothing_of_the_one_before(anywhere):
    anywhere("import builtins; builtins.leak = 1; open('left', 'w').write('x')")
    result = anywhere("import builtins, os; print(hasattr(builtins, 'leak'), os.listdir('.'))")
    assert result.stdout == "False []\n"


def test_what_is_left_running_ends_with_its_program(wall):
    result = wall("import os\nif os.fork() == 0:\n    os.setsid()\n    os.execvp('sleep', ['sleep', '61.73'])")
    assert result.status == "ok"
    assert _programs_left() == 0


def test_many_programs_with_hostile_ones_among_them(wall):
    hostile = [
        "import os; os.kill(os.getppid(), 9)",
        "while True: pass",
        "x = [0] * 10**10",
        "import os; os._exit(3)",
        "raise SystemExit(2)",
    ]
    codes = [hostile[n // 20 % 5] if n % 20 == 7 else f"print({n})" for n in range(100)]
    results = [wall(code, timeout_s=0.5) for code in codes]
    assert [result.stdout for n, result in enumerate(results) if n % 20 != 7] == [f"{n}\n" for n in range(100) if n % 20 != 7]
    assert all(result.status != "ok" for n, result in enumerate(results) if n % 20 == 7)


def test_threads_take_turns():
    found = {}
    threads = [
        threading.Thread(target=lambda n=n: found.setdefault(n, run_program(f"print({n})", limits_only=True).stdout))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: f"{n}\n" for n in range(8)}


def test_without_a_wall_a_program_is_refused(monkeypatch):
    monkeypatch.setattr(programs, "_found", [None])
    refused = run_program("print(1)")
    assert (refused.status, refused.stdout, refused.strength) == ("refused", "", "none")
    assert "limits_only" in refused.stderr
    allowed = run_program("print(1)", limits_only=True)
    assert (allowed.status, allowed.stdout, allowed.strength) == ("ok", "1\n", "limits_only")


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can become another user")
def test_as_another_user(tmp_path):
    code = (
        "from personahub.sandbox import run_program as run; "
        "print(run('print(1)', limits_only=True), run('open(\"/tmp/evil-of-nobody\", \"w\")').status)"
    )
    nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    environment = subprocesses.environment() | {"HOME": "/nonexistent"}
    try:
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd="/", **nobody)
    except PermissionError:
        pytest.skip("another user may not run this interpreter")
    if "No module named" in done.stderr:
        pytest.skip("another user may not read this checkout")
    assert "status='ok'" in done.stdout, done.stderr
    assert done.stdout.endswith(("error\n", "refused\n"))
