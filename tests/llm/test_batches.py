"""The client of a Batch API, against the mock server."""

import json
import time

import pytest

from personahub.config import Model
from personahub.config.models import KEY_PLACEHOLDER
from personahub.errors import AuthenticationError
from personahub.llm.batches import OUR_NAME, BatchClient, UnknownThere, Unreachable, line_of

BODY = {"model": "m", "messages": [{"role": "user", "content": "Tell me about beekeeping in Norway."}]}


@pytest.fixture
def client_of():
    clients = []

    def make(server, key=None, **settings):
        clients.append(BatchClient(Model(base_url=server.base_url, **settings), key))
        return clients[-1].__enter__()

    yield make
    for one in clients:
        one.__exit__()


def ended(client, name):
    while (found := client.get(name)).status not in ("completed", "failed", "expired", "cancelled"):
        time.sleep(0.02)
    return found


def test_from_a_file_to_its_answers(client_of, mock_server):
    client = client_of(mock_server(batch_seconds=0.0))
    began = time.time()
    made = client.create(client.upload("a", line_of("x", BODY) + line_of("y", {**BODY, "seed": 1})), {OUR_NAME: "a"})
    assert (made.name, made.status) == ("a", "validating")
    found = ended(client, made.id)
    assert (found.status, found.total, found.completed, found.failed, len(found.output_files)) == ("completed", 2, 2, 0, 1)
    lines = client.lines(found.output_files[0])
    assert sorted(line["custom_id"] for line in lines) == ["x", "y"]
    assert all(line["response"]["body"]["choices"][0]["message"]["content"] for line in lines)
    assert [one.id for one in client.since(began - 5)] == [made.id]
    assert list(client.since(began + 60)) == []


def test_all_pages_of_the_list_are_read(client_of, mock_server, monkeypatch):
    monkeypatch.setattr("personahub.llm.batches._PAGE", 2)
    client = client_of(mock_server())
    file = client.upload("a", line_of("x", BODY))
    made = [client.create(file, {OUR_NAME: str(n)}).id for n in range(5)]
    assert [one.id for one in client.since(0)] == made[::-1]


def test_a_batch_that_was_made_unheard_is_bought_once(client_of, mock_server):
    client = client_of(server := mock_server(batch_ends=("unheard", "unmade")))
    file = client.upload("a", line_of("x", BODY))
    for count in (1, 1):
        with pytest.raises(Unreachable):
            client.create(file, {OUR_NAME: "a"})
        assert server.stats()["batches"] == count
    assert [one.name for one in client.since(0)] == ["a"]


def test_what_the_endpoint_does_not_know(client_of, mock_server):
    client = client_of(mock_server())
    for asked in (client.get, client.lines, client.delete_file, client.cancel):
        with pytest.raises(UnknownThere, match="HTTP 404"):
            asked("none")


def test_a_refused_key_is_not_shown(client_of, mock_server):
    client = client_of(mock_server(key="right"), "sk-wrong")
    with pytest.raises(AuthenticationError) as refused:
        client.get("none")
    assert "sk-wrong" not in str(refused.value)


def test_the_key_goes_where_a_header_places_it(client_of, mock_server):
    headers = {"api-key": f"${{{KEY_PLACEHOLDER}}}"}
    client = client_of(mock_server(key="right", like="azure"), "right", headers=headers)
    assert list(client.since(0)) == []


def test_an_endpoint_that_is_not_there(client_of, mock_server):
    class Gone:
        base_url = "http://127.0.0.1:9/v1"

    client = client_of(Gone)
    client._sdk.max_retries = 0
    with pytest.raises(Unreachable):
        client.get("none")


def test_a_torn_line_is_no_line(client_of, mock_server):
    client = client_of(mock_server())
    file = client.upload("a", json.dumps({"custom_id": "x"}).encode() + b'\n\n[1]\n{"custom_id": "\xff"}\n{"custom')
    assert client.lines(file) == [{"custom_id": "x"}, {"custom_id": "\ufffd"}]
