"""Vectors of an endpoint: what a 200 means, how texts are packed, and who is found when one text of many is refused."""

import asyncio
import base64
import struct
import threading

import pytest

from personahub.config import Model
from personahub.errors import ErrorKind
from personahub.inference.vector_work import ledger_rows
from personahub.llm import embeddings
from personahub.llm.embeddings import EmbeddingsClient, Packer, judge, key_of
from personahub.llm.governor import Governor
from personahub.llm.governor_server import LocalLink
from personahub.llm.probe_embeddings import probe_embeddings
from personahub.llm.scheduler import Scheduler
from personahub.llm.types import Attempt, EmbeddingCall, EndpointLimits, Limits, Outcome, Usage
from personahub.llm.usage import max_tokens_of


def packed(*numbers):
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def body(*vectors, **more):
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    return {"data": data, "usage": {"prompt_tokens": 7}} | more


@pytest.mark.parametrize("vector", [packed(1.0, 2.0), [1.0, 2], packed(1.0, 2.0).encode().decode()])
def test_vectors_come_as_base64_or_as_numbers_and_are_kept_as_base64(vector):
    attempt = judge(body(vector), 1)
    assert attempt == Attempt(None, vectors=(packed(1.0, 2.0),), usage=Usage(7))


def test_the_order_is_that_of_the_indices():
    answer = body([1.0], [2.0])
    answer["data"].reverse()
    assert judge(answer, 2).vectors == (packed(1.0), packed(2.0))
    for item in answer["data"]:
        del item["index"]  # where the endpoint does not say it, that of the response
    assert judge(answer, 2).vectors == (packed(2.0), packed(1.0))


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        ("no json", ErrorKind.MALFORMED, "not JSON"),
        ([], ErrorKind.MALFORMED, "JSON list"),
        ({}, ErrorKind.MALFORMED, "no list of objects"),
        ({"data": None}, ErrorKind.MALFORMED, "no list of objects"),
        (body([1.0]), ErrorKind.MALFORMED, "1 items"),
        (body([1.0], None), ErrorKind.MALFORMED, "neither base64"),
        (body([1.0], [[2.0]]), ErrorKind.MALFORMED, "neither base64"),
        (body([1.0], "*"), ErrorKind.MALFORMED, "list of 2"),
        (body([1.0], [1.0, 2.0]), ErrorKind.MALFORMED, "lengths"),
        (body([], []), ErrorKind.MALFORMED, "lengths"),
        ({"data": [{"index": 1, "embedding": [1.0]}] * 2}, ErrorKind.MALFORMED, "indices"),
        ({"data": [{"index": None, "embedding": [1.0]}, {"index": 1, "embedding": [1.0]}]}, ErrorKind.MALFORMED, "list of 2"),
        (body([1.0], [float("nan")]), ErrorKind.INVALID, "finite"),
        (body([1.0], [1e300]), ErrorKind.INVALID, "finite"),
        ({"error": {"message": "overloaded", "code": 503}}, ErrorKind.OVERLOADED, "inside a 200"),
    ],
)
def test_anything_else_is_told(answer, kind, message):
    attempt = judge(answer, 2)
    assert attempt.kind is kind
    assert message in attempt.message
    assert attempt.vectors == ()


def test_dimensions_that_are_not_those_asked_for_are_no_answer():
    assert judge(body([1.0, 2.0]), 1, dimensions=2).kind is None
    assert judge(body([1.0, 2.0]), 1, dimensions=3).kind is ErrorKind.INVALID


def test_requests_are_packed_full_within_both_limits():
    packer = Packer(texts=3, tokens=10)
    sizes = [4, 4, 2, 8, 8, 40, 2]  # bytes: half as many tokens; one is larger than any request
    full = packer.add([(str(n), "x" * size) for n, size in enumerate(sizes)])
    requests = [one.ids for one in [*full, *packer.rest()]]
    assert requests == [("0", "1", "2"), ("3", "4"), ("5",), ("6",)]
    assert packer.rest() == []
    assert max_tokens_of("xé") == 2


def test_the_key_tells_what_changes_a_vector_and_nothing_else():
    assert key_of(Model(model="e", base_url="http://elsewhere/v1")) == "e"
    assert key_of(Model(model="e", generation_params={"dimensions": 256, "max_tokens": 5})) == 'e {"dimensions":256}'


def test_parts_of_a_bill_add_up():
    texts = EmbeddingCall(("a", "b", "c"), ("x" * 10, "", "x" * 23))
    outcome = Outcome(texts, True, None, None, None, None, Usage(101), 0.5, 2, 1.0, (packed(1.0),) * 3)
    rows = ledger_rows(outcome, "dedup", "vectors", "run", Model(model="e", in_mtok_cost=2.0))
    assert sum(row["prompt_tokens"] for row in rows) == 101
    assert sum(row["cost_usd"] for row in rows) == pytest.approx(202e-6)
    assert [row["text_id"] for row in rows] == ["a", "b", "c"]
    assert rows[0]["prompt_tokens"] < rows[2]["prompt_tokens"]


@pytest.fixture
def loop():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def outcomes_of(loop, model, batches):
    async def build():
        client = EmbeddingsClient(model, None, "base64")
        return client, Scheduler(
            [client], LocalLink(Governor(Limits((EndpointLimits(4),)))), model, "0/0", 1, lambda outcome: [outcome], loop
        )

    client, scheduler = asyncio.run_coroutine_threadsafe(build(), loop).result()
    scheduler.start()
    scheduler.offer(batches)
    scheduler.close_input()
    outcomes, ended = [], False
    while not ended:
        more, ended = scheduler.take(1.0)
        outcomes += more
    asyncio.run_coroutine_threadsafe(client.close(), loop).result()
    return outcomes


def test_one_text_that_is_refused_is_found_and_the_others_are_bought_once(loop, mock_server):
    server = mock_server()
    texts = [f"text {n}" for n in range(16)]
    texts[5] = "x" * 40_000
    outcomes = outcomes_of(loop, Model(base_url=server.base_url), [EmbeddingCall(tuple(map(str, range(16))), tuple(texts))])
    by_id = {name: outcome for outcome in outcomes for name in outcome.call.ids}
    assert len(by_id) == sum(outcome.call.size for outcome in outcomes) == 16
    assert all(outcome.final for outcome in outcomes)
    refused = [outcome for outcome in outcomes if outcome.kind is not None]
    assert [(outcome.call.ids, outcome.kind) for outcome in refused] == [(("5",), ErrorKind.BAD_REQUEST)]
    assert "reads at most" in refused[0].message
    stats = server.stats()
    assert (stats["texts_sold"], stats["texts_sold_twice"]) == (15, 0)
    assert stats["by_status"] == {"400": 5, "200": 4}  # 16, 8, 4, 2 and the one; the other half of each


def test_faults_are_retried_and_no_text_is_lost(loop, mock_server):
    server = mock_server(fault_rate=0.4, seed=2, faults=("500", "reset", "truncated", "garbage", "empty_choices", "null_content"))
    batches = [EmbeddingCall((f"{n}a", f"{n}b"), (f"text {n}", f"other {n}")) for n in range(30)]
    outcomes = outcomes_of(loop, Model(base_url=server.base_url), batches)
    assert sorted(name for outcome in outcomes for name in outcome.call.ids) == sorted(n for each in batches for n in each.ids)
    assert all(outcome.kind is None and len(outcome.vectors) == 2 for outcome in outcomes)
    assert sum(outcome.attempts for outcome in outcomes) == server.stats()["requests"] > 30


def test_chat_settings_are_not_sent_and_others_are(mock_server):
    async def attempt(**settings):
        client = EmbeddingsClient(Model(base_url=server.base_url, **settings), None, "float")
        try:
            return await client.attempt(EmbeddingCall(("a",), ("a cat",)))
        finally:
            await client.close()

    server = mock_server()
    assert embeddings.settings_of(Model()) == {}
    assert len(embeddings.unpacked(asyncio.run(attempt()).vectors[0])) == 64
    wide = asyncio.run(attempt(generation_params={"dimensions": 128}))
    assert len(embeddings.unpacked(wide.vectors[0])) == 128


def test_the_probe_says_whether_and_how_vectors_come(mock_server):
    server = mock_server(key="right")
    found = asyncio.run(probe_embeddings(Model(base_url=server.base_url), "right"))
    assert (found.found, found.kind) == ({"encoding": "base64"}, None)
    [row] = found.outcomes()
    assert row.final
    assert row.usage.prompt > 0
    found = asyncio.run(probe_embeddings(Model(base_url=server.base_url), "wrong"))
    assert (found.found, found.kind) == ({}, ErrorKind.AUTHENTICATION)
