"""Where a key comes from, what is sent with it, and that it is told nowhere. (Variables and files: test_chat.py.)"""

import asyncio
import http.server
import json
import sys
import threading
from types import SimpleNamespace

import pytest

from personahub.config import Model
from personahub.errors import AuthenticationError, ErrorKind
from personahub.llm.chat import ChatClient
from personahub.llm.dialects import Dialect
from personahub.llm.governor import Governor
from personahub.llm.governor_server import Address, GovernorServer, fetch_secret
from personahub.llm.keys import credentials_of, read_key
from personahub.llm.types import ChatCall, EndpointLimits, Limits

REMOTE = "https://api.example.com/v1"
SECRET = "dapi-0123456789abcdef"


@pytest.fixture
def databricks(monkeypatch):
    """Databricks Utilities with one secret, as they stand on a driver."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def get(scope, key):
        if (scope, key) != ("llm", "openai"):
            raise ValueError(f"Secret does not exist with scope: {scope} and key: {key}")
        return SECRET

    runtime = SimpleNamespace(dbutils=SimpleNamespace(secrets=SimpleNamespace(get=get)))
    for name, module in {"databricks": runtime, "databricks.sdk": runtime, "databricks.sdk.runtime": runtime}.items():
        monkeypatch.setitem(sys.modules, name, module)


def test_a_secret_is_read_where_neither_variable_nor_file_is_there(databricks, monkeypatch):
    model = Model(base_url=REMOTE, api_key_secret="llm/openai")
    assert read_key(model) == SECRET
    assert "the secret llm/openai" in credentials_of(model, SECRET).said
    monkeypatch.setenv("OPENAI_API_KEY", "from-env")
    assert read_key(model) == "from-env"


def test_a_secret_that_is_not_there_says_what_to_do(databricks):
    with pytest.raises(AuthenticationError, match="api_key_secret llm/other: ValueError: Secret does not exist"):
        read_key(Model(base_url=REMOTE, api_key_secret="llm/other"))


def test_without_databricks_a_secret_says_what_to_install(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setitem(sys.modules, "databricks.sdk.runtime", None)
    with pytest.raises(AuthenticationError, match="pip install databricks-sdk"):
        read_key(Model(base_url=REMOTE, api_key_secret="llm/openai"))


def test_a_task_gets_the_secret_of_its_purchase_from_the_driver_and_no_other(databricks):
    with GovernorServer(Governor(Limits((EndpointLimits(1),))), secrets=["llm/openai", "llm/gone"]) as carrier:
        address = carrier.address
        assert asyncio.run(fetch_secret(address, "llm/openai")) == SECRET
        with pytest.raises(AuthenticationError, match="does not exist"):
            asyncio.run(fetch_secret(address, "llm/gone"))
        with pytest.raises(AuthenticationError, match="gives no secret other/key"):
            asyncio.run(fetch_secret(address, "other/key"))
        with pytest.raises(AuthenticationError, match="gives no secret"):
            asyncio.run(fetch_secret(Address(address.url, "guess", address.pad), "llm/openai"))
        seen = asyncio.run(_body(address))  # by one who has the token, as it travels with each report, but not the plan
    assert len(seen) == len(SECRET)
    assert seen != SECRET.encode()
    with pytest.raises(AuthenticationError, match=r"\{\{secrets/llm/openai\}\}"):
        asyncio.run(fetch_secret(address, "llm/openai"))


async def _body(address):
    import aiohttp

    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {address.token}"}) as session:
        async with session.get(f"{address.url}/secret", params={"name": "llm/openai"}) as response:
            return await response.read()


@pytest.fixture
def echo():
    """A server that answers 401 and repeats the path and the headers that it got; yields its base_url and what it got."""
    got = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            got.update(path=self.path, headers={name.lower(): value for name, value in self.headers.items()})
            body = json.dumps({"error": {"message": f"no: {self.path} {got['headers']}"}}).encode()
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(401)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1", got
    server.shutdown()
    server.server_close()


def test_headers_and_query_are_sent_and_what_is_secret_in_them_is_scrubbed(echo, monkeypatch):
    monkeypatch.setenv("THE_KEY", "key of /+ none".replace(" ", "-"))
    monkeypatch.setenv("GATEWAY", "gate-0123")
    base_url, got = echo
    model = Model(
        base_url=f"{base_url}?tier=1", api_key_env="THE_KEY",
        headers={"Api-Key": "${api_key}", "X-Gateway": "Token ${GATEWAY}", "user-agent": "data-team"},
        query={"api-version": "2024-10-21", "key": "${api_key}"},
    )  # fmt: skip

    async def ask():
        client = ChatClient(model, read_key(model), Dialect("none"))
        try:
            return await client.attempt(ChatCall("", "", 0, "p", "1", [{"role": "user", "content": "hi"}]))
        finally:
            await client.close()

    attempt = asyncio.run(ask())
    assert got["path"] == "/v1/chat/completions?tier=1&api-version=2024-10-21&key=key-of-/%2B-none"
    sent = got["headers"]
    assert (sent["api-key"], sent["x-gateway"], sent["user-agent"]) == ("key-of-/+-none", "Token gate-0123", "data-team")
    assert "authorization" not in sent
    assert attempt.kind is ErrorKind.AUTHENTICATION
    assert "the key from $THE_KEY and headers.X-Gateway from $GATEWAY" in attempt.message
    for secret in ("key-of-/+-none", "key-of-/%2B-none", "gate-0123"):
        assert secret not in repr(attempt)


def test_a_variable_of_a_header_that_is_not_set_is_told_before_anything_is_sent(monkeypatch):
    monkeypatch.delenv("GATEWAY", raising=False)
    with pytest.raises(AuthenticationError, match=r"GATEWAY, which headers\.x-gateway names, is not set"):
        read_key(Model(headers={"x-gateway": "${GATEWAY}"}))


@pytest.mark.parametrize(
    ("path", "settings"),
    [
        ("/openai/v1", {}),  # takes a bearer token, and wants no version
        ("/openai/deployments/mock", {"headers": {"api-key": "${api_key}"}, "query": {"api-version": "2024-10-21"}}),
    ],
)
def test_azure_on_its_newer_and_its_older_path(mock_server, monkeypatch, path, settings):
    monkeypatch.setenv("AZURE_KEY", "right-0123")
    base_url = mock_server(like="azure", key="right-0123").base_url.replace("/v1", path)
    model = Model(base_url=base_url, api_key_env="AZURE_KEY", generation_params={}, **settings)

    async def ask():
        client = ChatClient(model, read_key(model), Dialect("none"))
        try:
            return await client.attempt(ChatCall("", "", 0, "p", "1", [{"role": "user", "content": "hi"}]))
        finally:
            await client.close()

    assert asyncio.run(ask()).kind is None
