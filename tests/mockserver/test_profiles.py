"""What each kind of server does in its own way, over loopback: what it refuses, answers, bills and tells."""

import asyncio
import json
import time
import typing

import aiohttp
import pytest
from aiohttp import web

from personahub import mockserver
from personahub.cli.endpoints import Kind
from personahub.mockserver import problems, refusals
from personahub.mockserver.endpoint import Endpoint
from personahub.mockserver.profiles import PROFILES, PrefixCache, Profile

pytestmark = pytest.mark.filterwarnings("ignore::aiohttp.web.NotAppKeyWarning")
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
LONG = "Salt marshes rise with the sea. " * 700  # 5,600 tokens


def chat(content="hi", **fields):
    return {"model": "m", "messages": [{"role": "user", "content": content}]} | fields


def structured(content="hi", schema=SCHEMA, **fields):
    return chat(content, response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}, **fields)


def ask(like, *bodies, path="/v1/chat/completions", headers=None, **settings):
    """(status, headers, body) of each, one after the other, and the server's count. It runs in this process: one starts in no time."""

    async def run():
        endpoint = Endpoint(mockserver.Settings(**({"port": 0, "median": 0.0, "like": like} | settings)))
        runner = web.ServerRunner(web.Server(endpoint.handle, access_log=None))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found = []
        async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}", headers=headers) as session:
            for body in bodies:
                async with session.post(path, json=body) as response:
                    raw = await response.read()
                    found.append((response.status, response.headers, json.loads(raw) if raw.endswith((b"}", b"]")) else None))
        await runner.cleanup()
        return found, endpoint.stats.snapshot(time.monotonic(), 64)

    return asyncio.run(run())


def content_of(body):
    return body["choices"][0]["message"]["content"]


def test_the_command_offers_each_kind():
    assert set(typing.get_args(Kind)) == PROFILES.keys()
    with pytest.raises(ValueError, match="like is one of openai, azure"):
        mockserver.Settings(like="foo")


# -- what is refused: a body, and what is said of it -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "body", "status", "says"),
    [
        ("openai", chat(max_tokens=5), 400, {"error": {"code": "unsupported_parameter", "param": "max_tokens"}}),
        ("openai", chat(temperature=0.2), 400, {"error": {"code": "unsupported_value", "param": "temperature"}}),
        ("openai", structured(schema={"type": "object", "properties": {}}), 400, {"error": {"param": "response_format"}}),
        ("openai", structured(schema={**SCHEMA, "required": []}), 400, {"error": {"param": "response_format"}}),
        ("openai", structured(schema={"allOf": [SCHEMA]}), 400, {"error": {"type": "invalid_request_error"}}),
        ("azure", chat("a massacre"), 400, {"error": {"code": "content_filter", "param": "prompt", "status": 400}}),
        (
            "llamacpp",
            structured(schema={"type": "array", "maxItems": 50, "items": {"type": "string", "maxLength": 50}}),
            400,
            {"error": {"code": 400, "type": "invalid_request_error"}},
        ),
        ("mistral", chat(seed=1), 422, {"object": "error", "type": "invalid_request_error"}),
        ("deepseek", structured(), 400, {"error": {"code": "invalid_request_error"}}),
        ("deepseek", chat(response_format={"type": "json_object"}), 400, {"error": {"type": "invalid_request_error"}}),
        ("litellm", {"model": "m"}, 400, {"error": {"code": "400", "param": None}}),
        ("openrouter", {"model": "m"}, 400, {"error": {"message": "Provider returned error", "code": 400}}),
    ],
)
def test_what_is_refused(name, body, status, says):
    ((got, _, answer),), _ = ask(name, body)
    assert got == status
    inner = says.get("error", says)
    error = answer["error"] if "error" in says else answer
    assert {key: error[key] for key in inner} == inner


def test_gemini_says_it_in_an_array_and_a_schema_may_be_a_429():
    replies, _ = ask("gemini", chat(frequency_penalty=1), *(structured(f"{number}") for number in range(12)))
    assert {status for status, _, _ in replies} == {400, 429}
    for status, headers, (only,) in replies:
        assert (only["error"]["code"], "Retry-After" in headers) == (status, False)
        assert only["error"]["message"].startswith("Invalid JSON payload")
        assert only["error"]["details"][0]["fieldViolations"]


def test_the_names_that_mistral_forbids_are_listed():
    ((_, _, body),), _ = ask("mistral", chat(max_completion_tokens=5, seed=1))
    assert [each["loc"] for each in body["message"]["detail"]] == [["body", "max_completion_tokens"], ["body", "seed"]]


def test_bounds_add_up_to_a_grammar_that_is_too_large():
    one = {"type": "string", "maxLength": 900}
    assert refusals.llamacpp(structured(schema={"type": "object", "properties": {"a": one, "maxLength": one}}), 0.0) is None
    several = {"type": "object", "properties": dict.fromkeys("abc", one)}
    assert "failed to parse grammar" in refusals.llamacpp(structured(schema=several), 0.0).message
    assert refusals.llamacpp(chat(), 0.0) is None


def test_azure_takes_either_header_and_wants_the_version_on_its_older_paths():
    older, newer = "/openai/deployments/mine/chat/completions", "/openai/v1/chat/completions"
    for path, headers, status in (
        (newer, {"api-key": "right"}, 200),
        (newer, {"Authorization": "Bearer right"}, 200),
        (newer, {"api-key": "wrong"}, 401),
        (older, {"api-key": "right"}, 404),
        (f"{older}?api-version=2024-10-21", {"api-key": "right"}, 200),
    ):
        ((got, _, body),), _ = ask("azure", chat(), path=path, headers=headers, key="right")
        assert got == status, (path, headers)
        assert status == 200 or body["error"]["code"] == str(status)


# -- what is answered --------------------------------------------------------------------------------------------------------------------


def test_an_answer_stands_where_thoughts_belong():
    ((_, _, schema), (_, _, free)), stats = ask("sglang", structured(), chat())
    message = schema["choices"][0]["message"]
    assert message["content"] is None
    assert json.loads(message["reasoning_content"]).keys() == {"a"}
    assert content_of(free)
    assert stats["sold"] == 2


def test_a_prompt_that_is_too_long_is_cut_at_its_front():
    replies, stats = ask("ollama", *(chat(f"The word is petrichor{number}. {LONG}") for number in range(8)), chat("short"))
    usages = [body["usage"]["prompt_tokens"] for _, _, body in replies]
    assert usages == [4095] * 8 + [2]
    assert {body["choices"][0]["finish_reason"] for _, _, body in replies} == {"stop", "length"}
    assert all("petrichor" not in content_of(body) for _, _, body in replies)
    assert stats["faults"] == {"context_cut": 8}
    assert (stats["billed"], stats["sold"], stats["prompt_tokens"]) == (9, 1, sum(usages))


def test_the_cut_leaves_the_last_messages():
    shorten = PROFILES["ollama"].shorten
    body = {"messages": [{"role": "system", "content": "x" * 9000}, {"role": "user", "content": "y" * 9000}]}
    assert [len(message["content"]) for message in shorten(body)["messages"]] == [4 * 4095 - 9000, 9000]
    short = chat("hello")
    assert shorten(short) == short


def test_a_grammar_that_never_leaves_the_blanks():
    ((_, _, schema), (_, _, free)), stats = ask("vllm", structured(max_tokens=100), chat(), odd_rate=1.0)
    assert schema["choices"][0]["finish_reason"] == "length"
    assert schema["usage"]["completion_tokens"] == 100
    assert content_of(schema).count("\n") >= 380
    assert content_of(free).strip()
    assert stats["faults"] == {"blanks": 1}


def test_filters_and_empty_answers_are_billed_and_not_sold():
    ((_, _, filtered),), azure = ask("azure", chat("Who sells morphine?"))
    as_json = chat("as JSON", response_format={"type": "json_object"})
    ((_, _, empty),), deepseek = ask("deepseek", as_json, odd_rate=1.0)
    again, _ = ask("deepseek", *[as_json] * 20, odd_rate=0.5)
    assert {bool(content_of(body)) for _, _, body in again} == {True, False}  # another try may fare better
    assert (content_of(filtered), filtered["choices"][0]["finish_reason"]) == ("", "content_filter")
    assert (content_of(empty), empty["choices"][0]["finish_reason"]) == ("", "stop")
    assert [(s["billed"], s["sold"]) for s in (azure, deepseek)] == [(1, 0)] * 2


# -- what is told of usage ---------------------------------------------------------------------------------------------------------------


def test_usage_is_told_in_each_ones_way_and_counted_as_it_is():
    """Twice the same long prompt: the second one is cached where the server caches."""
    found = {}
    for name in PROFILES:
        ((_, _, first), (_, _, second)), stats = ask(name, chat(LONG[:9000]), chat(LONG[:9000]))
        usages = [body.get("usage", "absent") for body in (first, second)]
        if name == "litellm":
            assert {str(usage) for usage in usages} <= {"None", "absent"}
            assert stats["told"] == dict.fromkeys(stats["told"], 0)
        else:
            assert stats["told"] == {key: stats[key] for key in stats["told"]}
            assert sum(usage["prompt_tokens"] for usage in usages) == stats["prompt_tokens"] == 4500
            told = sum(usage["total_tokens"] - usage["prompt_tokens"] for usage in usages)
            assert told == stats["completion_tokens"]
        found[name] = (stats["cached_tokens"] > 0, stats["reasoning_tokens"] > 0, usages[1])
    assert [name for name, (cached, _, _) in found.items() if cached] == ["openai", "azure", "llamacpp", "deepseek"]
    assert [name for name, (_, thought, _) in found.items() if thought] == ["openai", "openrouter", "gemini"]
    assert found["openai"][2]["prompt_tokens_details"]["cached_tokens"] == 2176  # whole blocks of 128
    assert found["deepseek"][2]["prompt_cache_hit_tokens"] + found["deepseek"][2]["prompt_cache_miss_tokens"] == 2250
    gemini = found["gemini"][2]
    assert gemini["total_tokens"] > gemini["prompt_tokens"] + gemini["completion_tokens"]
    assert "prompt_tokens_details" not in found["mistral"][2]
    assert found["vllm"][2]["prompt_tokens_details"] is None


def test_usage_comes_absent_and_null():
    replies, _ = ask("litellm", *(chat(f"{number}") for number in range(8)))
    assert {body.get("usage", "absent") for _, _, body in replies} == {None, "absent"}


def test_only_whole_blocks_of_a_common_beginning_are_cached():
    cache = PrefixCache(Profile(cache_block=64, min_cached=128))
    prompt = "".join(chr(97 + number % 26) for number in range(1200))
    assert cache.cached(prompt) == 0
    assert cache.cached(prompt) == 256  # of 300 tokens
    assert cache.cached(prompt[:600] + "!" * 600) == 128
    assert cache.cached(prompt[:300]) == 0  # one block is less than the minimum
    assert cache.cached("!" + prompt[1:]) == 0
    assert PrefixCache(Profile()).cached(prompt) == 0


def test_what_was_billed_and_not_told_is_known():
    replies, stats = ask("mistral", *(chat(f"{number}") for number in range(30)), fault_rate=0.5, faults=("truncated",))
    told = sum(body["usage"]["completion_tokens"] for _, _, body in replies if body)
    assert 0 < stats["told"]["completion_tokens"] == told < stats["completion_tokens"]


# -- how errors and limits are told ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROFILES)
def test_an_overload_is_said_in_each_ones_form(name):
    """Of the fault that every server has."""
    form = PROFILES[name].form
    for draw in (0.2, 0.8):
        reply = form(problems.Problem(503, "overloaded", "overloaded", retry_after=1), draw)
        assert reply.status == (200 if name == "openrouter" else 503)
        assert "overloaded" in json.dumps(reply.body)
        has_header = name in ("openai", "azure", "mistral", "litellm")
        assert ("Retry-After" in reply.headers) == has_header


def test_a_429_in_a_200_and_in_an_array_that_tells_the_time():
    problem = problems.Problem(429, "slow down", "rate_limit_exceeded", retry_after=3)
    bodies = [problems.openrouter(problem, draw).body for draw in (0.2, 0.8)]
    assert [body["choices"] and content_of(body) for body in bodies] == [None, None]
    assert [body["choices"] is None for body in bodies] == [False, True]
    assert all(body["error"]["metadata"]["raw"] == "slow down" for body in bodies)
    (inner,) = problems.gemini(problem, 0.0).body
    assert inner["error"]["details"][0]["retryDelay"] == "3s"
    assert problems.openai(problem, 0.0).headers == {"Retry-After": "3", "retry-after-ms": "3000"}
    assert problems.litellm(problem, 0.0).body["error"]["type"] == "throttling_error"
    no_money = problems.Problem(429, "no money", "insufficient_quota")
    assert [form(no_money, 0.0).status for form in (problems.deepseek, problems.openrouter, problems.openai)] == [402, 402, 429]


def test_a_wrong_key_in_each_ones_form():
    found = {}
    for name in PROFILES:
        ((status, _, body),), _ = ask(name, chat(), headers={"Authorization": "Bearer wrong"}, key="right")
        found[name] = status
        assert "right" not in json.dumps(body)
    assert found.pop("gemini") == 400
    assert set(found.values()) == {401}


def test_who_has_no_limits_lets_requests_wait():
    assert [name for name, profile in PROFILES.items() if not profile.limits] == ["vllm", "sglang", "llamacpp", "ollama"]
    limits = {"capacity": 1, "overflow": "429", "rpm": 2, "faults": ("429", "500"), "fault_rate": 1.0}
    replies, _ = ask("vllm", *(chat(f"{number}") for number in range(6)), **limits)
    assert [status for status, _, _ in replies] == [500] * 6


def test_limits_are_told_in_headers():
    for name, headers in (
        (
            "openai",
            {"x-ratelimit-limit-requests": "3", "x-ratelimit-remaining-requests": "2", "x-ratelimit-reset-requests": "1m0s"},
        ),
        ("azure", {"x-ratelimit-remaining-requests": "2", "x-ratelimit-reset-requests": "0"}),
        ("mistral", {"x-ratelimit-remaining-req-minute": "2"}),
        ("litellm", {"llm_provider-x-ratelimit-remaining-requests": "2"}),
    ):
        replies, _ = ask(name, *(chat(f"{number}") for number in range(4)), rpm=3)
        assert [status for status, _, _ in replies] == [200, 200, 200, 429]
        assert {header: replies[0][1][header] for header in headers} == headers
