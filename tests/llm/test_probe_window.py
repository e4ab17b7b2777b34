"""Endpoints that read a long prompt whole, cut its front off, refuse it, or forget it."""

import asyncio
import re

import pytest
from odd_endpoints import endpoint, said

from personahub.config import Model
from personahub.errors import ErrorKind
from personahub.llm.dialects import Dialect
from personahub.llm.probe_window import probe_window

LONG = 24_000


def reads(tokens, told=True, forgets=False):
    """An endpoint whose window has so many tokens of four characters each: what is before is cut off, as Ollama does."""

    def answer(body):
        text = "\n".join(message["content"] for message in body["messages"])[-4 * tokens :]
        found = [] if forgets else re.findall(r"code word is (\w+)", text)
        status, content = said(" ".join(found) or "there are none", prompt_tokens=-(-len(text) // 4))
        return status, content if told else content | {"usage": None}

    return answer


def ask(answer):
    with endpoint(answer) as (base_url, asked):
        found = asyncio.run(probe_window(Model(base_url=base_url), None, Dialect(), LONG))
    return found, [sum(len(message["content"]) for message in body["messages"]) for body in asked]


@pytest.mark.parametrize("told", [True, False])
def test_a_prompt_that_is_read_whole_takes_one_request(told):
    found, lengths = ask(reads(8000, told))
    assert (found.kind, found.found) == (None, {"reads_characters": str(LONG), "cut_at": ""})
    assert len(lengths) == 1
    assert LONG <= lengths[0] < LONG + 100
    assert [outcome.final for outcome in found.outcomes()] == [True]


@pytest.mark.parametrize("tokens", [2050, 4096, 5700])
def test_a_cut_prompt_is_found_by_its_missing_beginning(tokens):
    found, lengths = ask(reads(tokens))
    assert (found.kind, found.found) == (ErrorKind.CONTEXT_CUT, {"cut_at": str(tokens)})
    assert len(lengths) == 2
    assert "OLLAMA_CONTEXT_LENGTH" in found.message


def test_a_cut_prompt_of_which_no_tokens_are_told():
    found, _ = ask(reads(4096, told=False))
    assert (found.kind, found.found) == (ErrorKind.CONTEXT_CUT, {})


def test_a_model_that_forgets_is_no_endpoint_that_cuts():
    found, lengths = ask(reads(8000, forgets=True))
    assert (found.kind, found.found["reads_characters"], len(lengths)) == (None, str(LONG), 2)
    assert "did not repeat" in found.notes[0]


def test_a_prompt_that_is_refused_says_so_itself():
    error = {"message": "the request exceeds the available context size", "type": "exceed_context_size_error", "n_ctx": 4096}
    found, lengths = ask(lambda body: (400, {"error": error}))
    assert (found.kind, found.found, len(lengths)) == (ErrorKind.BAD_REQUEST, {}, 1)
    assert "exceeds the available context size" in found.notes[0]
