"""What is sent under another name, left out, or asked for in a weaker way, and what is learned from a refusal. No I/O."""

import pytest

from personahub.config import Model
from personahub.llm.dialects import CUT_AT, Dialect, adapt, from_capabilities, named_in, of_parameters, of_schema, parameters

SCHEMA = {"type": "object", "properties": {"persona": {"type": "string"}}, "required": ["persona"], "additionalProperties": False}


@pytest.mark.parametrize(
    ("params", "refusals", "sent"),
    [
        ({"max_tokens": 9}, [["max_tokens"]], {"max_completion_tokens": 9}),
        ({"max_completion_tokens": 9}, [["max_completion_tokens"]], {"max_tokens": 9}),
        ({"max_tokens": 9, "temperature": 0.5}, [["max_tokens"], ["temperature"]], {"max_completion_tokens": 9}),
        ({"seed": 7, "user": "u", "max_tokens": 9}, [["seed", "user"]], {"random_seed": 7, "max_tokens": 9}),
        ({"seed": 7}, [["seed"], ["random_seed"]], {}),
        ({"max_tokens": 9, "max_completion_tokens": 9}, [["max_tokens"]], {"max_completion_tokens": 9}),
    ],
)
def test_what_is_refused_is_sent_in_another_way_or_not_at_all(params, refusals, sent):
    dialect = Dialect()
    for named in refusals:
        dialect = adapt(dialect, named, params)
    assert dialect.params(params) == sent


def test_there_is_no_way_around_the_bound_of_an_answer_nor_around_what_was_not_sent():
    renamed = adapt(Dialect(), ["max_tokens"], {"max_tokens": 9})
    assert adapt(renamed, ["max_completion_tokens"], {"max_tokens": 9}) is None
    assert adapt(renamed, ["max_tokens"], {"max_tokens": 9}) is None  # is not sent any more
    assert adapt(Dialect(), ["model", "messages", "top_p"], {"max_tokens": 9}) is None
    assert adapt(Dialect(), [], {"max_tokens": 9}) is None


def test_a_schema_steps_down_alone_and_never_against_the_users_choice():
    dialect = adapt(Dialect(), ["response_format.json_schema"], {}, "jokes")
    assert (dialect.format_of("jokes"), dialect.format_of("personas")) == ("json_object", "json_schema")
    dialect = adapt(dialect, ["response_format"], {}, "jokes")
    assert dialect.format_of("jokes") == "none"
    assert adapt(dialect, ["response_format"], {}, "jokes") is None
    assert adapt(Dialect(steps_down=False), ["response_format"], {}, "jokes") is None


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ('Unknown name "frequency_penalty": Cannot find field.', ("frequency_penalty",)),
        ("UnsupportedParamsError: it does not support parameters: ['seed', 'frequency_penalty']", ("seed",)),
        ("frequency_penalty is deprecated for this model", ("frequency_penalty",)),
        ("max_tokens is too large: this model supports at most 4096", ()),
        ("random_seed is not allowed", ()),
        (None, ()),
    ],
)
def test_a_refusal_without_a_code_names_what_was_sent(message, named):
    assert named_in(message, ["max_tokens", "seed", "frequency_penalty"]) == named


def test_what_was_found_comes_back_from_its_rows():
    model = Model(generation_params={"max_tokens": 9, "seed": 7})
    dialect = Dialect(renamed=(("max_tokens", "max_completion_tokens"),), dropped=("seed",), cut_at=2050).with_format(
        "jokes", "none"
    )
    known = {of_parameters(model): parameters(dialect), of_schema(SCHEMA): "none", CUT_AT: "2050"}
    assert from_capabilities(model, {"jokes": SCHEMA}, known) == dialect
    assert dialect.told(model.generation_params) == [
        "max_tokens is sent as max_completion_tokens",
        "seed is left out, as the endpoint refuses it",
    ]
    other = model.model_copy(update={"generation_params": {"max_tokens": 9}})
    assert from_capabilities(other, {}, known).renamed == ()  # other parameters are asked for anew
    chosen = from_capabilities(model.model_copy(update={"response_format": "none"}), {"jokes": SCHEMA}, known)
    assert (chosen.format_of("jokes"), chosen.steps_down) == ("none", False)
