"""The tokens that endpoints tell, under the names that they use."""

import math

import pytest

from personahub.config import Model
from personahub.llm.types import UNTOLD, Usage
from personahub.llm.usage import completed, read_usage, read_usage_of_error, read_usage_of_texts

MANY = {"prompt_tokens": 2000, "completion_tokens": 300, "total_tokens": 2300}


@pytest.mark.parametrize(
    ("more", "usage"),
    [
        ({}, Usage(2000, completion=300)),
        ({"prompt_tokens_details": {"cached_tokens": 1536}}, Usage(2000, 1536, 0, 300)),
        ({"prompt_tokens_details": {"cached_tokens": 1500, "cache_write_tokens": 400}}, Usage(2000, 1500, 400, 300)),
        ({"completion_tokens_details": {"reasoning_tokens": 256}}, Usage(2000, 0, 0, 300, 256)),
        ({"reasoning_tokens": 256, "prompt_tokens_details": None}, Usage(2000, 0, 0, 300, 256)),
        ({"prompt_cache_hit_tokens": 1920, "prompt_cache_miss_tokens": 80}, Usage(2000, 1920, 0, 300)),
        ({"cache_read_input_tokens": 1000, "cache_creation_input_tokens": 500}, Usage(2000, 1000, 500, 300)),
        # both names for one thing
        ({"cache_read_input_tokens": 9, "prompt_tokens_details": {"cached_tokens": 9}}, Usage(2000, 9, 0, 300)),
        # what is impossible is cut to what is not
        ({"prompt_tokens_details": {"cached_tokens": 9999, "cache_write_tokens": 5}}, Usage(2000, 2000, 0, 300)),
        ({"completion_tokens_details": {"reasoning_tokens": 9999}}, Usage(2000, 0, 0, 300, 300)),
        ({"prompt_tokens_details": {"cached_tokens": -5}, "completion_tokens_details": None}, Usage(2000, completion=300)),
        ({"prompt_tokens_details": [1], "completion_tokens_details": "x"}, Usage(2000, completion=300)),
    ],
)
def test_parts_of_prompt_and_answer_are_read_by_every_name(more, usage):
    assert read_usage({"usage": MANY | more}) == usage


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        # thoughts, in the total alone
        ({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 2120}, Usage(100, completion=2020, reasoning=2000)),
        ({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 90}, Usage(100, completion=20)),
        # a cache beside the prompt: more than it, or in the total
        ({"prompt_tokens": 4, "completion_tokens": 20, "cache_read_input_tokens": 5000}, Usage(5004, 5000, 0, 20)),
        (
            {"prompt_tokens": 90, "completion_tokens": 20, "total_tokens": 160, "cache_read_input_tokens": 50},
            Usage(140, 50, 0, 20),
        ),
        ({"completion_tokens": 20, "total_tokens": 120}, Usage(100, completion=20)),
    ],
)
def test_the_total_tells_what_the_parts_do_not(told, usage):
    assert read_usage({"usage": told}) == usage


@pytest.mark.parametrize("odd", [None, "7", -1, float("nan"), float("inf"), True, [7], 1e300])
def test_what_is_no_count_is_none(odd):
    told = {"prompt_tokens": odd, "completion_tokens": odd, "total_tokens": odd, "prompt_tokens_details": {"cached_tokens": odd}}
    assert read_usage({"usage": told}) == read_usage({"usage": odd}) == UNTOLD
    assert read_usage_of_error({"usage": told}) == Usage()  # an error that tells none was not billed


def test_texts_are_billed_as_prompts_alone():
    assert read_usage_of_texts({"usage": {"prompt_tokens": 7, "total_tokens": 9}}) == Usage(7)
    assert read_usage_of_texts({"usage": {"total_tokens": 9}}) == Usage(9)
    assert completed(read_usage_of_texts({"usage": None}), 100, 0) == Usage(50, estimated=True)


def test_what_is_not_told_is_estimated_from_above():
    said = {"role": "assistant", "content": "A nurse.", "refusal": None}
    bytes_said = len('{"content": "A nurse."}')
    estimated = completed(read_usage({"usage": None}, said), 1001, 500)
    assert estimated == Usage(501, completion=math.ceil(bytes_said / 2), estimated=True)
    # thoughts and calls of tools count as well; an answer that was not seen counts as the longest
    thoughtful = said | {"reasoning_content": "x" * 400}
    assert read_usage({}, thoughtful).completion > 200
    assert completed(read_usage({}, {"content": None}), 1001, 500) == Usage(501, completion=500, estimated=True)
    assert completed(UNTOLD, 1001, 500) == Usage(501, completion=500, estimated=True)
    # two bytes a token hold in every script
    assert read_usage({}, {"content": "画" * 100}).completion > 100


def test_zeros_beside_a_text_tell_nothing():
    zeros, said = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, {"content": "A nurse."}
    assert completed(read_usage({"usage": zeros}, said), 100, 500) == Usage(50, completion=12, estimated=True)
    half = completed(read_usage({"usage": zeros | {"prompt_tokens": 40}}, said), 100, 500)
    assert half == Usage(40, completion=12, estimated=True)
    # as little as one of a long text
    one = read_usage({"usage": zeros | {"prompt_tokens": 40, "completion_tokens": 1}}, {"content": "x" * 300})
    assert (one.prompt, one.estimated) == (40, True)
    assert 150 < one.completion < 170
    # an empty answer costs nothing
    assert read_usage({"usage": zeros | {"prompt_tokens": 40}}, {"content": ""}) == Usage(40)


def test_usages_add_up_to_dollars():
    both = Usage(1000, 600, 100, 50, 20) + Usage(1000, 0, 0, 150, estimated=True)
    assert both == Usage(2000, 600, 100, 200, 20, estimated=True)
    model = Model(in_mtok_cost=1.0, cached_in_mtok_cost=0.1, cache_write_mtok_cost=1.25, out_mtok_cost=4.0)
    assert both.cost_usd(model) == pytest.approx((1300 + 60 + 125 + 800) / 1e6)
    assert both.cost_usd(Model()) is None
