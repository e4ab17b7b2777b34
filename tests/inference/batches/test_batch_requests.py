import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personahub.config import Model
from personahub.inference.batches import requests
from personahub.inference.batches.requests import Line, Lines, Previous, Room, fill
from personahub.llm.chat import ChatClient
from personahub.llm.dialects import Dialect
from personahub.llm.types import ChatCall

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
CALL = ChatCall("id-1", "source", 0, "prompt", "1", [{"role": "user", "content": "Who?"}], SCHEMA)


def lines(*sizes, tokens=1, usd=0.25):
    return [Line(CALL, b"x" * size, tokens, usd) for size in sizes]


@pytest.mark.parametrize(
    ("room", "count"),
    [
        (Room(9, 999), 5),
        (Room(3, 999), 3),
        (Room(9, 25), 2),
        (Room(9, 999, tokens=4), 4),
        (Room(9, 999, usd=0.5), 2),
        (Room(9, 9), 0),
        (Room(9, 999, tokens=-3), 0),
        (Room(9, 999, usd=-0.1), 0),
    ],
)
def test_a_batch_ends_before_the_first_limit(room, count):
    assert fill(lines(10, 10, 10, 10, 10), room) == count


@given(st.lists(st.integers(1, 50), max_size=30), st.integers(1, 7), st.integers(50, 200))
def test_batches_hold_every_request_once_and_in_order(sizes, most, size):
    staged = [{"completion_id": f"{number:04}", "size": one} for number, one in enumerate(sizes)]
    fetches = []

    def fetch(after, count):
        fetches.append(count)
        return [row for row in staged if row["completion_id"] > after][:count]

    def render(rows):
        return [Line(CALL, b"x" * row["size"], int(row["completion_id"]), None) for row in rows]

    left, batches = Lines(fetch, render), []
    while left:
        batches.append(left.take(Room(most, size)))
        assert 0 < len(batches[-1]) <= most
        assert sum(len(line.content) for line in batches[-1]) <= size
    assert [line.prompt_tokens for batch in batches for line in batch] == list(range(len(sizes)))
    assert all(count <= most for count in fetches)


def test_a_line_has_the_body_that_is_sent_online():
    model = Model(model="m", in_mtok_cost=2.0, out_mtok_cost=4.0, generation_params={"max_tokens": 100, "seed": 7})
    client = ChatClient(model, None, Dialect("json_object"))
    line = requests.line(CALL, None, client, model)
    assert json.loads(line.content) == {
        "custom_id": "id-1",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": client.body(CALL),
    }
    assert line.content.endswith(b"}\n")
    assert line.usd == pytest.approx((line.prompt_tokens * 1.0 + 100 * 2.0) / 1e6)  # half price
    assert line.prompt_tokens >= len(line.content) // 2


def test_a_second_try_shows_an_invalid_answer_but_not_one_that_the_endpoint_withheld():
    client = ChatClient(Model(), None, Dialect())

    def messages(previous):
        return json.loads(requests.line(CALL, previous, client, Model()).content)["body"]["messages"]

    assert len(messages(Previous(1, "invalid", "{}", "a is missing", "stop"))) == 3
    assert messages(Previous(1, "invalid", "{}", "a is missing", None)) == CALL.messages
    assert messages(Previous(1, "empty", None, "no text", "stop")) == CALL.messages
    assert requests.line(CALL, Previous(1, "empty", None, "no text", "stop"), client, Model()).bad_answers == 1
