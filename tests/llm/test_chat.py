"""The client against the real mock server over loopback: each way of failing has its kind, and no key is ever shown."""

import asyncio
import dataclasses
import socket
import socketserver
import threading
import time
from contextlib import suppress
from typing import ClassVar

import pytest
from odd_endpoints import endpoint, good, openai_refuses, said

from personahub import mockserver as server
from personahub.config import Model
from personahub.errors import AuthenticationError, ErrorKind
from personahub.llm import http
from personahub.llm.chat import ChatClient
from personahub.llm.dialects import Dialect
from personahub.llm.keys import read_key
from personahub.llm.types import ChatCall, Usage
from personahub.mockserver.faults import FAULTS, RARE_FAULTS

KEY = "sk-secret-0123456789"

KINDS = {
    "429": ErrorKind.RATE_LIMIT,
    "500": ErrorKind.SERVER,
    "503": ErrorKind.OVERLOADED,
    "529": ErrorKind.OVERLOADED,
    "408": ErrorKind.TIMEOUT,
    "reset": ErrorKind.CONNECTION,
    "truncated": ErrorKind.MALFORMED,
    "garbage": ErrorKind.MALFORMED,
    "empty_choices": ErrorKind.MALFORMED,
    "null_content": ErrorKind.EMPTY,
    "blank": ErrorKind.EMPTY,
    "reasoning": ErrorKind.EMPTY,
    "length": ErrorKind.TRUNCATED,
    "quota": ErrorKind.QUOTA,
    "content_filter": ErrorKind.PROMPT_FILTERED,
    "filtered": ErrorKind.CONTENT_FILTER,
    "refusal": ErrorKind.REFUSED,
    "error_200": ErrorKind.OVERLOADED,
    "wrong_schema": ErrorKind.INVALID,
}


def call_of(content, schema=None):
    return ChatCall("id", "source", 0, "prompt", "1", [{"role": "user", "content": content}], schema)


def ask(base_url, *calls, key=None, response_format="json_schema", at_once=True, **settings):
    """The attempts for `calls`, of one client in one loop."""

    async def run():
        client = ChatClient(Model(base_url=base_url, **settings), key, Dialect(response_format))
        try:
            if at_once:
                return await asyncio.gather(*(client.attempt(call) for call in calls))
            return [await client.attempt(call) for call in calls]
        finally:
            await client.close()

    return asyncio.run(run())


def test_a_good_answer(quick_server, persona_schema):
    (attempt,) = ask(quick_server.base_url, call_of("Who would read or like this?\n<text>Bees dance.</text>", persona_schema))
    assert attempt.kind is None
    assert attempt.message is None
    assert '"relation":"read"' in attempt.text
    assert attempt.finish_reason == "stop"
    assert attempt.usage.prompt > 0 < attempt.usage.completion
    assert 0 < attempt.latency_s < 5


def test_the_body_is_the_request_as_sent(persona_schema):
    model = Model(model="m", generation_params={"temperature": 0.5})
    bodies = {}
    for held in ("json_schema", "json_object", "none"):
        bodies[held] = ChatClient(model, None, Dialect(held)).body(call_of("hi", persona_schema))
    assert {name: body.get("response_format", {}).get("type") for name, body in bodies.items()} == {
        "json_schema": "json_schema",
        "json_object": "json_object",
        "none": None,
    }
    assert bodies["json_schema"]["messages"] == [{"role": "user", "content": "hi"}]
    assert bodies["json_schema"]["response_format"]["json_schema"]["schema"] == persona_schema
    for held in ("json_object", "none"):
        assert bodies[held]["messages"][0]["role"] == "system"
        assert "dislike" in bodies[held]["messages"][0]["content"]
    assert bodies["none"]["temperature"] == 0.5
    with_system = call_of("hi", persona_schema)
    with_system.messages.insert(0, {"role": "system", "content": "Be brief."})
    first = ChatClient(model, None, Dialect("none")).body(with_system)["messages"][0]["content"]
    assert first.startswith("Be brief.\n\nAnswer with one JSON value")
    assert with_system.messages[0]["content"] == "Be brief."


def test_every_fault_has_its_kind():
    assert set(KINDS) | {"slow"} == set(FAULTS) | set(RARE_FAULTS)


@pytest.fixture(scope="module")
def faulty_server():
    with server.start(median=0.0, fault_rate=1.0, faults=tuple(KINDS)) as running:
        yield running


@pytest.mark.parametrize("fault", KINDS)
def test_each_fault_becomes_its_kind(faulty_server, persona_schema, fault):
    """All kinds strike in turn; ask other prompts until the server says that it was this one."""

    async def until_struck():
        client = ChatClient(Model(base_url=faulty_server.base_url), None, Dialect())
        try:
            for number in range(300):
                before = faulty_server.stats()["faults"].get(fault, 0)
                attempt = await client.attempt(call_of(f"{fault} {number}", persona_schema))
                if faulty_server.stats()["faults"].get(fault, 0) > before:
                    return attempt
            raise AssertionError(f"{fault} never struck")
        finally:
            await client.close()

    attempt = asyncio.run(until_struck())
    assert attempt.kind is KINDS[fault]
    assert attempt.message
    assert len(attempt.message) <= 500
    assert attempt.retry_after == (1.0 if fault in ("429", "503", "529") else None)
    if fault in ("null_content", "empty_choices", "blank", "reasoning", "length", "refusal", "filtered", "wrong_schema"):
        assert attempt.usage.completion > 0  # wasted, yet billed
        assert not attempt.usage.estimated
    elif fault in ("reset", "truncated", "garbage"):  # perhaps billed: nobody says how much
        assert attempt.usage.estimated
        assert attempt.usage.completion == 1024
        assert 10 < attempt.usage.prompt < 1000
    else:
        assert attempt.usage == Usage()


def test_a_dripping_body_ends_with_request_timeout(mock_server):
    running = mock_server(fault_rate=1.0, faults=("slow",), slow_seconds=60.0)
    (attempt,) = ask(running.base_url, call_of("hi"), request_timeout=0.5)
    assert attempt.kind is ErrorKind.TIMEOUT
    assert "request_timeout (0.5 s)" in attempt.message
    assert (attempt.usage.estimated, attempt.usage.completion) == (True, 1024)  # the model goes on without us
    assert 0.4 < attempt.latency_s < 2


def test_a_body_that_drips_in_time_is_an_answer(mock_server):
    running = mock_server(fault_rate=1.0, faults=("slow",), slow_seconds=0.2)
    (attempt,) = ask(running.base_url, call_of("hi"))
    assert attempt.kind is None
    assert attempt.latency_s > 0.15


def test_a_refused_connection(unused_port):
    (attempt,) = ask(f"http://127.0.0.1:{unused_port}/v1", call_of("hi"))
    assert (attempt.kind, attempt.down, attempt.usage) == (ErrorKind.CONNECTION, True, Usage())
    assert attempt.message == f"no connection to http://127.0.0.1:{unused_port}/v1: Connection refused"


def test_a_server_that_speaks_no_tls_is_there_and_not_waited_for(quick_server):
    (attempt,) = ask(quick_server.base_url.replace("http:", "https:"), call_of("hi"))
    assert (attempt.kind, attempt.down, attempt.usage) == (ErrorKind.CONNECTION, False, Usage())


def test_a_connection_that_never_comes_is_not_billed():
    with socket.socket() as listener:  # one that waits to be accepted fills its line
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        with socket.create_connection(listener.getsockname()):
            (attempt,) = ask(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", call_of("hi"), request_timeout=0.6)
    assert attempt.kind is ErrorKind.CONNECTION
    assert "within 0.3 s" in attempt.message
    assert attempt.usage == Usage()


@pytest.fixture
def unused_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_a_query_stays_behind_the_path(quick_server):
    (attempt,) = ask(f"{quick_server.base_url}/?api-version=2024-06-01", call_of("hi"))
    assert attempt.kind is None


def test_a_wrong_path_is_not_found(quick_server):
    (attempt,) = ask(quick_server.base_url.removesuffix("/v1"), call_of("hi"))
    assert attempt.kind is ErrorKind.NOT_FOUND


def test_an_answer_cut_at_max_tokens_is_truncated_and_kept(quick_server):
    (attempt,) = ask(quick_server.base_url, call_of("hi there"), generation_params={"max_tokens": 5})
    assert attempt.kind is ErrorKind.TRUNCATED
    assert len(attempt.text) == 20
    assert attempt.usage.completion == 5


@pytest.mark.parametrize(
    "messages",
    [[{"role": "user", "content": "a lone surrogate \ud800"}], [{"role": "user", "content": {1, 2}}]],
)
def test_a_request_that_can_not_be_written_is_bad(quick_server, messages):
    (attempt,) = ask(quick_server.base_url, dataclasses.replace(call_of("x"), messages=messages))
    assert attempt.kind is ErrorKind.BAD_REQUEST
    assert quick_server.stats()["by_status"].get("400") is None  # it never left


def test_a_schema_that_is_none_is_a_bad_request(quick_server):
    (attempt,) = ask(quick_server.base_url, call_of("x", {"type": "no such type"}))
    assert attempt.kind is ErrorKind.BAD_REQUEST


def test_the_key_is_sent_and_an_echo_of_it_scrubbed(mock_server):
    base_url = mock_server(key="sk-right").base_url
    assert ask(base_url, call_of("hi"), key="sk-right")[0].kind is None
    (attempt,) = ask(base_url, call_of("hi"), key=KEY)
    assert attempt.kind is ErrorKind.AUTHENTICATION
    assert "Incorrect API key provided: ***" in attempt.message  # the server did echo it
    assert KEY not in repr(attempt)


def test_without_a_key_none_is_taken_from_the_environment(mock_server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    (attempt,) = ask(mock_server(key="sk-right").base_url, call_of("hi"), key=None)
    assert attempt.kind is ErrorKind.AUTHENTICATION
    assert KEY not in attempt.message


@pytest.mark.parametrize("key", ["e", "persona"])
def test_an_answer_is_kept_as_it_came_whatever_the_key_is(quick_server, key):
    call = call_of("hi")
    assert ask(quick_server.base_url, call, key=key)[0].text == ask(quick_server.base_url, call, key=None)[0].text


def test_a_key_longer_than_any_message_is_scrubbed_before_the_cut(mock_server):
    (attempt,) = ask(mock_server(key="sk-right").base_url, call_of("hi"), key="k" * 900)
    assert attempt.kind is ErrorKind.AUTHENTICATION
    assert "kkkk" not in attempt.message


def test_a_proxy_of_the_environment_is_not_used_for_loopback(quick_server, monkeypatch, unused_port):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_port}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert ask(quick_server.base_url, call_of("hi"))[0].kind is None


def test_no_proxy_may_name_a_network(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://proxy.invalid:3128")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "localhost, 10.0.0.0/8")
    assert http._proxy_for("http://10.1.2.3:8000/v1") is None
    assert http._proxy_for("http://11.1.2.3:8000/v1") == "http://proxy.invalid:3128"


class SocksProxy(socketserver.StreamRequestHandler):
    """SOCKS 5 without a password, to one address for every name."""

    names: ClassVar[list[bytes]] = []
    leads_to = ("127.0.0.1", 0)

    def handle(self):
        self.rfile.read(self.rfile.read(2)[1])
        self.wfile.write(b"\x05\x00")
        self.rfile.read(4)
        self.names.append(self.rfile.read(self.rfile.read(1)[0]))
        self.rfile.read(2)
        with socket.create_connection(self.leads_to) as onward:
            self.wfile.write(b"\x05\x00\x00\x01" + bytes(6))
            back = threading.Thread(target=self.pump, args=(onward, self.connection))
            back.start()
            self.pump(self.connection, onward)
            back.join()

    @staticmethod
    def pump(source, target):
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks"])
def test_a_socks_proxy_of_the_environment_looks_the_name_up(quick_server, monkeypatch, scheme):
    port = int(quick_server.base_url.split(":")[2].split("/")[0])
    monkeypatch.setattr(SocksProxy, "leads_to", ("127.0.0.1", port))
    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), SocksProxy) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        monkeypatch.setenv("all_proxy", f"{scheme}://127.0.0.1:{proxy.server_address[1]}")
        (attempt,) = ask("http://llm.invalid/v1", call_of("hi"))
        proxy.shutdown()
    assert attempt.kind is None, attempt.message
    assert SocksProxy.names[-1] == b"llm.invalid"


def test_as_many_requests_at_once_as_the_config_says(mock_server):
    running = mock_server(median=0.4, sigma=0.0, capacity=500)
    attempts = ask(running.base_url, *(call_of(f"{i}") for i in range(150)), max_concurrent_requests=150)
    assert [attempt.kind for attempt in attempts] == [None] * 150
    assert running.stats()["max_in_flight"] == 150  # more than aiohttp's default of 100 connections


def test_one_attempt_is_one_request_even_if_it_fails(mock_server):
    running = mock_server(fault_rate=1.0, faults=("500",))
    ask(running.base_url, call_of("hi"))
    assert running.stats()["requests"] == 1


def test_cancelling_ends_the_attempt(mock_server):
    base_url = mock_server(median=30.0, sigma=0.0).base_url

    async def run():
        client = ChatClient(Model(base_url=base_url), None, Dialect("none"))
        task = asyncio.create_task(client.attempt(call_of("hi")))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await client.close()

    started = time.perf_counter()
    asyncio.run(run())
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize(
    ("keys", "sent"),
    [
        ({"api_key_env": "MY_KEY"}, "the key from $MY_KEY"),
        ({"api_key_env": "MY_KEY", "api_key_file": "FILE"}, "the key from $MY_KEY"),  # the variable goes first
        ({"api_key_env": "UNSET_KEY", "api_key_file": "FILE"}, "the key from the file FILE"),
        ({"api_key_env": None, "api_key_file": "FILE"}, "the key from the file FILE"),
        ({"api_key_env": "UNSET_KEY"}, "a request without a key, as $UNSET_KEY is not set"),
        ({"api_key_env": None}, "a request without a key, as api_key_env is null"),
    ],
)
def test_a_refusal_says_where_the_key_came_from(mock_server, monkeypatch, tmp_path, keys, sent):
    monkeypatch.setenv("MY_KEY", KEY)
    monkeypatch.delenv("UNSET_KEY", raising=False)
    file = tmp_path / "key"
    file.write_text(KEY)
    keys = {name: str(file) if value == "FILE" else value for name, value in keys.items()}
    base_url = mock_server(key="sk-right").base_url
    (attempt,) = ask(base_url, call_of("hi"), key=read_key(Model(base_url=base_url, **keys)), **keys)
    assert attempt.kind is ErrorKind.AUTHENTICATION
    told = f"{base_url} (model mock) refused {sent.replace('FILE', str(file))}: HTTP 401 invalid_api_key"
    assert attempt.message.startswith(told)
    assert KEY not in repr(attempt)


REMOTE = "https://api.example.com/v1"


def test_the_key_comes_from_the_environment_then_from_the_file(monkeypatch, tmp_path):
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    model = Model(base_url=REMOTE, api_key_env="MY_KEY", api_key_file=str(file))
    monkeypatch.setenv("MY_KEY", "from-env")
    assert read_key(model) == "from-env"
    monkeypatch.delenv("MY_KEY")
    assert read_key(model) == KEY


def test_without_a_key_only_loopback_or_an_open_endpoint_will_do(monkeypatch):
    monkeypatch.delenv("MY_KEY", raising=False)
    for base_url in ("http://127.0.0.1:8000/v1", "http://localhost/v1", "http://[::1]:1/v1"):
        assert read_key(Model(base_url=base_url, api_key_env="MY_KEY")) is None
    assert read_key(Model(base_url=REMOTE, api_key_env=None)) is None
    with pytest.raises(AuthenticationError, match="MY_KEY"):
        read_key(Model(base_url=REMOTE, api_key_env="MY_KEY"))


@pytest.mark.parametrize("content", [None, "", "two words", "schlüssel", "a\nb"])
def test_a_key_file_that_can_not_be_right(monkeypatch, tmp_path, content):
    monkeypatch.delenv("MY_KEY", raising=False)
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(AuthenticationError, match=str(file)) as caught:
        read_key(Model(base_url=REMOTE, api_key_env="MY_KEY", api_key_file=str(file)))
    assert not content or content not in str(caught.value)


def test_a_refusal_that_names_a_parameter_is_learned_from_and_costs_no_try():
    with endpoint(openai_refuses("max_tokens")) as (base_url, asked):
        first, second = ask(base_url, call_of("hi"), call_of("ho"), at_once=False)
    assert (first.kind, first.named, second.kind) == (ErrorKind.UNSUPPORTED, ("max_tokens",), None)
    assert [sorted(body.keys() & {"max_tokens", "max_completion_tokens"}) for body in asked] == [
        ["max_tokens"],
        ["max_completion_tokens"],
    ]


def test_what_is_refused_for_good_stays_refused():
    with endpoint(openai_refuses("messages")) as (base_url, asked):
        attempts = ask(base_url, call_of("hi"), call_of("hi"), at_once=False)
    assert [attempt.kind for attempt in attempts] == [ErrorKind.BAD_REQUEST] * 2
    assert len(asked) == 2


def test_text_that_an_error_echoes_teaches_nothing():
    error = {"message": "Unsupported parameter: 'max_tokens' ... said the text", "type": "invalid_request_error", "param": None}
    with endpoint(lambda body: (400, {"error": error | {"code": "invalid_value"}})) as (base_url, asked):
        (attempt,) = ask(base_url, call_of("Unsupported parameter: 'max_tokens'"))
    assert (attempt.kind, attempt.named, "max_tokens" in asked[0]) == (ErrorKind.BAD_REQUEST, (), True)


def test_a_schema_whose_answers_run_away_is_asked_for_in_a_weaker_way(persona_schema):
    def answer(body):
        blank = body.get("response_format", {}).get("type") == "json_schema"
        return said('{"personas": [' + "\n" * 400, "length") if blank else good(body)

    calls = [call_of("hi", persona_schema) for _ in range(4)]
    with endpoint(answer) as (base_url, _):
        kinds = [attempt.kind for attempt in ask(base_url, *calls, at_once=False)]
    assert kinds == [ErrorKind.RUNAWAY_WHITESPACE] * 3 + [None]


def test_a_prompt_that_was_cut_is_no_answer_whatever_came():
    with endpoint(lambda body: said("An answer to the rest.", prompt_tokens=2050)) as (base_url, _):
        short, long = ask(base_url, call_of("hi"), call_of("word " * 8000), at_once=False)
    assert (short.kind, long.kind) == (None, ErrorKind.CONTEXT_CUT)
    assert "read only 2,050 tokens" in long.message
