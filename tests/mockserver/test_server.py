"""The mock server over loopback: what it sells it counts, and the same request has the same answer everywhere."""

import asyncio
import base64
import json
import math
import re
import signal
import statistics
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request

import aiohttp
import orjson
import pytest

from personahub import mockserver as server
from personahub.llm import json_answers
from personahub.mockserver import answers, endpoint
from personahub.mockserver.profiles import Billed
from personahub.mockserver.stats import Stats


def chat(content, **fields):
    return {"model": "m", "messages": [{"role": "user", "content": content}]} | fields


def structured(content, schema, **fields):
    return chat(content, response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}, **fields)


def post(running, *bodies, path="/chat/completions", headers=None):
    """(status, headers, raw body) for each, all at once; a lost connection has status 0."""

    async def one(session, body):
        try:
            async with session.post(running.base_url + path, json=body, headers=headers) as response:
                return response.status, response.headers, await response.read()
        except aiohttp.ClientConnectionError:
            return 0, {}, b""

    async def run():
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            return await asyncio.gather(*(one(session, body) for body in bodies))

    return asyncio.run(run())


def content_of(result):
    return json.loads(result[2])["choices"][0]["message"]["content"]


def test_every_answer_says_that_it_is_simulated(quick_server):
    ((status, headers, raw),) = post(quick_server, chat("Tell me about beekeeping in Norway."))
    body = json.loads(raw)
    assert (status, headers["x-simulated"]) == (200, "true")
    assert (body["model"], body["system_fingerprint"]) == ("m", "simulated")
    assert "simulated answer" in body["choices"][0]["message"]["content"]
    assert re.search("beekeeping|Norway|Tell", body["choices"][0]["message"]["content"])
    assert quick_server.stats()["simulated"] is True


def test_usage_is_characters_by_four(quick_server):
    (result,) = post(quick_server, chat("x" * 41))
    usage = json.loads(result[2])["usage"]
    assert usage["prompt_tokens"] == 11
    assert usage["completion_tokens"] == math.ceil(len(content_of(result)) / 4)


def test_answers_depend_on_seed_and_body_only(mock_server):
    bodies = [chat(f"question {number}") for number in range(5)]
    one, same, other = mock_server(seed=1, median=0.01), mock_server(seed=1), mock_server(seed=2)
    first = [content_of(result) for result in post(one, *bodies)]
    assert [content_of(result) for result in post(same, *reversed(bodies))][::-1] == first
    assert [content_of(result) for result in post(other, *bodies)] != first
    assert len(set(first)) == 5


def test_an_item_per_relation_that_the_instruction_names(quick_server, persona_schema):
    prompt = "Who would read or dislike this?\n<document-7>I like to write about chloroplasts.</document-7>"
    (result,) = post(quick_server, structured(prompt, persona_schema))
    value = json.loads(content_of(result))
    assert json_answers.check(persona_schema)(value) is None
    assert [item["relation"] for item in value["personas"]] == ["read", "dislike"]  # the document's own words do not count
    assert all("chloroplasts" in item["persona"] for item in value["personas"])
    assert all(re.fullmatch(r"An? \S.* who .*\.", item["persona"]) for item in value["personas"])
    (result,) = post(quick_server, structured(prompt + "\nGive exactly 4 entries.", persona_schema))
    assert [item["relation"] for item in json.loads(content_of(result))["personas"]] == ["read", "dislike"] * 2


def test_a_schema_in_the_prompt_is_honoured_too(quick_server, persona_schema):
    body = chat("Who would like this? <text>Bees.</text>")
    body["messages"].insert(0, {"role": "system", "content": "Be brief.\n\n" + json_answers.describe(persona_schema)})
    for extra in ({}, {"response_format": {"type": "json_object"}}):
        (result,) = post(quick_server, body | extra)
        value = json_answers.extract(content_of(result))
        assert [item["relation"] for item in value["personas"]] == ["like"]


def test_a_problem_is_a_question_with_numbers_and_the_prompts_words(quick_server):
    schema = {"type": "object", "properties": {"problem": {"type": "string"}}}
    (result,) = post(quick_server, structured("<persona>A beekeeper who counts swarms.</persona> Make a problem.", schema))
    problem = json.loads(content_of(result))["problem"]
    assert problem.endswith("?")
    assert re.search(r"\d", problem)
    assert re.search("beekeeper|counts|swarms", problem)


def test_thousands_of_personas_are_distinct(persona_schema):
    body = structured("<text>Bees dance.</text>", persona_schema)
    texts = {item["persona"] for seed in range(1500) for item in json.loads(answers.text(body, seed))["personas"]}
    assert len(texts) > 5900  # of 6,000, from one and the same text


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "integer", "minimum": 3, "maximum": 9}, "minItems": 4},
        {
            "type": "object",
            "properties": {"a": {"type": "number"}, "b": {"type": "boolean"}, "c": {"const": 7}},
            "required": ["a"],
        },
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"enum": ["p", "q"]}}},
        {"type": "object", "properties": {"a": {"anyOf": [{"type": "null"}, {"type": "string", "maxLength": 9}]}}},
        {"type": "object", "properties": {"a": {"type": ["null", "string"], "minLength": 300}}},
        {"type": "array", "items": {"type": "string"}, "maxItems": 1},
    ],
)
def test_an_instance_of_any_schema(schema):
    for seed in range(20):
        value = json.loads(answers.text(structured("some data", schema), seed))
        assert json_answers.check(schema)(value) is None


def test_max_tokens_cuts(quick_server):
    (result,) = post(quick_server, chat("hello", max_tokens=3))
    choice = json.loads(result[2])["choices"][0]
    assert (len(choice["message"]["content"]), choice["finish_reason"]) == (12, "length")


def test_the_count_of_what_was_sold(mock_server):
    running = mock_server()
    post(running, *(chat(f"{number}") for number in range(6)), chat("0"))
    post(running, chat("0"))
    post(running, {"model": "m"})  # refused: no messages
    stats = running.stats()
    expected = {"requests": 9, "answers": 8, "sold": 8, "billed": 8, "bought_twice": 2, "distinct_bodies": 6}
    assert {name: stats[name] for name in expected} == expected
    assert stats["by_status"] == {"200": 8, "400": 1}
    assert stats["refused"] == {"request": 1}
    assert stats["in_flight"] == 0
    assert stats["max_requests_per_minute"] == 9
    assert stats["max_tokens_per_minute"] == stats["prompt_tokens"] + stats["completion_tokens"] > 0
    running.reset()
    assert running.stats()["requests"] == running.stats()["distinct_bodies"] == 0


def test_the_busiest_minute_is_that_of_the_arrivals():
    stats = Stats()
    for now in (0.0, 59.0, 60.0, 61.0, 200.0):
        stats.arrive(now)
    stats.bill(60.0, 1, Billed(300, 5), told=True)
    stats.bill(0.5, 2, Billed(100, 5), told=True)  # asked first, answered last: within a minute of the other two
    stats.bill(59.0, 3, Billed(30, 5), told=False)
    stats.bill(119.5, 1, Billed(7, 0), told=True)
    shot = stats.snapshot(201.0, capacity=1)
    assert shot["max_requests_per_minute"] == 3  # 59 to 61; what arrived at 0 is a minute older than what arrived at 60
    assert shot["max_tokens_per_minute"] == 105 + 35 + 305
    assert shot["requests_by_minute"] == [3, 0, 1]  # 20 to 80, 80 to 140, 140 to 200
    assert (shot["prompt_tokens"], shot["completion_tokens"]) == (437, 15)
    assert shot["told"] == {"prompt_tokens": 407, "completion_tokens": 10, "cached_tokens": 0, "reasoning_tokens": 0}


def test_places_are_never_more_than_the_capacity_and_the_rest_waits(mock_server):
    running = mock_server(capacity=4, median=0.1, sigma=0.0)
    started = time.monotonic()
    results = post(running, *(chat(f"{number}") for number in range(12)))
    assert [status for status, _, _ in results] == [200] * 12
    assert time.monotonic() - started >= 0.3  # three rounds of four
    stats = running.stats()
    assert (stats["max_busy"], stats["max_in_flight"]) == (4, 12)
    assert stats["busy_seconds"] >= 1.19
    assert 0.5 < stats["utilisation"] <= 1.0


def test_overflow_is_told_to_come_back(mock_server):
    running = mock_server(capacity=4, overflow="429", median=0.3, sigma=0.0)
    results = post(running, *(chat(f"{number}") for number in range(10)))
    assert sorted(status for status, _, _ in results) == [200] * 4 + [429] * 6
    assert {headers["Retry-After"] for status, headers, _ in results if status == 429} == {"1"}
    assert running.stats()["refused"] == {"capacity": 6}


def test_requests_per_minute(mock_server):
    running = mock_server(rpm=5)
    results = post(running, *(chat(f"{number}") for number in range(8)))
    assert sorted(status for status, _, _ in results) == [200] * 5 + [429] * 3
    assert all(50 <= int(headers["Retry-After"]) <= 60 for status, headers, _ in results if status == 429)


def test_latency_is_log_normal_and_of_the_body(mock_server):
    settings = server.Settings(median=0.05, sigma=0.5)
    logs = [math.log(endpoint.latency_of(settings, digest)) for digest in range(4_000)]
    assert statistics.mean(logs) == pytest.approx(math.log(0.05), abs=0.05)
    assert statistics.stdev(logs) == pytest.approx(0.5, abs=0.05)
    running = mock_server(median=0.05, sigma=0.5, capacity=1000)
    post(running, *(chat(f"{number}") for number in range(200)))
    assert running.stats()["busy_seconds"] / 200 > 0.04  # and more on a machine that has much else to do


def test_faults_strike_their_share_and_a_retry_can_pass(mock_server):
    running = mock_server(fault_rate=0.3, faults=("500", "reset", "truncated"), seed=4)
    bodies = [chat(f"{number}") for number in range(400)]
    good = rounds = 0
    while bodies:
        results = post(running, *bodies)
        rounds += 1
        left = []
        for body, (status, _, raw) in zip(bodies, results, strict=True):
            if status == 200 and raw.endswith(b"}") and b"usage" in raw:
                good += 1
            else:
                left.append(body)
        bodies = left
        assert rounds < 20
    stats = running.stats()
    struck = sum(stats["faults"].values())
    assert good == stats["sold"] == stats["distinct_bodies"] == 400
    assert struck == stats["requests"] - 400
    assert struck / stats["requests"] == pytest.approx(0.3, abs=0.06)
    assert all(count / struck == pytest.approx(1 / 3, abs=0.12) for count in stats["faults"].values())
    assert stats["billed"] == 400 + stats["faults"]["truncated"]  # the model had run
    assert stats["by_status"]["reset"] == stats["faults"]["reset"]
    assert stats["bought_twice"] == 0


def test_what_a_client_leaves_behind_is_sold_all_the_same(mock_server):
    running = mock_server(median=0.5, sigma=0.0)

    async def leave():
        timeout = aiohttp.ClientTimeout(total=0.1)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            with pytest.raises(asyncio.TimeoutError):
                await session.post(running.base_url + "/chat/completions", json=chat("hi"))

    asyncio.run(leave())
    post(running, chat("hi"))
    stats = running.stats()
    assert (stats["sold"], stats["answers"], stats["abandoned"], stats["bought_twice"]) == (2, 1, 1, 1)


def test_a_key_is_asked_for_only_if_one_is_set(mock_server):
    running = mock_server(key="sk-right")
    ((status, _, raw),) = post(running, chat("hi"), headers={"Authorization": "Bearer sk-wrong"})
    assert (status, json.loads(raw)["error"]["code"]) == (401, "invalid_api_key")
    assert b"sk-right" not in raw
    assert post(running, chat("hi"), headers={"Authorization": "Bearer sk-right"})[0][0] == 200
    listed = subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", str(running.pid)], capture_output=True, text=True, check=True
    ).stdout
    assert "mockserver" in listed
    assert "sk-right" not in listed


@pytest.mark.parametrize(
    ("held", "kind", "status"),
    [
        ("all", "json_schema", 200),
        ("json_object", "json_schema", 400),
        ("json_object", "json_object", 200),
        ("none", "json_object", 400),
    ],
)
def test_response_formats(mock_server, held, kind, status):
    ((got, _, raw),) = post(mock_server(response_formats=held), chat("hi", response_format={"type": kind}))
    assert got == status
    if status == 400:
        assert json.loads(raw)["error"]["param"] == "response_format"


def test_embeddings_are_unit_vectors_of_their_text(quick_server):
    ask = {"model": "e", "input": ["a cat", "a dog", "a cat"]}
    first, packed, wide = (
        json.loads(raw)["data"]
        for _, _, raw in post(
            quick_server,
            ask,
            ask | {"encoding_format": "base64"},
            ask | {"input": "a cat", "dimensions": 256},
            path="/embeddings",
        )
    )
    assert [item["index"] for item in first] == [0, 1, 2]
    vectors = [item["embedding"] for item in first]
    assert vectors[0] == vectors[2] != vectors[1]
    assert len(vectors[0]) == 64
    assert sum(x * x for x in vectors[0]) == pytest.approx(1)
    assert struct.unpack("<64f", base64.b64decode(packed[1]["embedding"])) == pytest.approx(vectors[1], abs=1e-6)
    assert len(wide[0]["embedding"]) == 256


def test_models_health_and_unknown_paths(quick_server):
    def get(path):
        with urllib.request.urlopen(quick_server.base_url.removesuffix("/v1") + path) as response:
            return orjson.loads(response.read())

    assert get("/v1/models")["data"][0]["id"] == "mock"
    assert get("/health")["status"] == "ok"
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get("/v1/nothing")


def test_wrong_settings_are_refused():
    for wrong in ({"faults": ("5000",)}, {"overflow": "x"}, {"response_formats": "x"}, {"capacity": 0}, {"fault_rate": 2.0}):
        with pytest.raises(ValueError, match=r"is|unknown"):
            server.Settings(**wrong)


def test_a_port_in_use_is_said(quick_server):
    port = int(quick_server.base_url.split(":")[2].removesuffix("/v1"))
    with pytest.raises(RuntimeError, match=str(port)), server.start(port=port):
        pass


def test_the_server_ends_with_the_process_that_started_it():
    code = "import time; from personahub import mockserver as m\nwith m.start() as s: print(s.pid, flush=True); time.sleep(60)"
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    for _ in range(100):
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
        if not state or state.startswith("Z"):  # ended, at most nobody has read its exit code
            return
        time.sleep(0.05)
    raise AssertionError("the server outlived its parent")
