"""The block `models`: keys, prices and bounds of endpoints."""

import json

import pytest

from personahub.config import Model, load
from personahub.errors import ConfigError


def test_a_budget_needs_the_prices_of_what_is_asked():
    assert load(overrides=["inference.budget_usd=5"]).models["default"].unpriced() == ["in_mtok_cost", "out_mtok_cost"]
    half = load(overrides=["inference.budget_usd=5", "models.default.in_mtok_cost=0"]).models["default"]  # nothing is a price
    assert (half.unpriced(), half.unpriced(answers=False)) == (["out_mtok_cost"], [])
    priced = ["inference.budget_usd=5", "models.default.in_mtok_cost=0.1", "models.default.out_mtok_cost=0.4"]
    assert load(overrides=priced).models["default"].cost_usd(1_000_000, 2_000_000) == pytest.approx(0.9)


def test_a_price_that_does_not_count_need_not_be_known():
    model = load(overrides=["models.default.in_mtok_cost=2"]).models["default"]
    assert model.cost_usd(1_000_000, 0) == 2.0
    assert model.cost_usd(1_000_000, 1) is None


def test_how_a_request_is_served_changes_no_answer():
    params = {"max_tokens": 9, "service_tier": "flex", "prompt_cache_key": "personas"}
    assert Model(generation_params=params).answer_params == {"max_tokens": 9}


def test_the_cache_of_a_provider_has_prices_of_its_own_or_that_of_the_prompt():
    tokens = {"prompt_tokens": 1_000_000, "completion_tokens": 100_000, "cached_tokens": 600_000, "cache_write_tokens": 200_000}
    model = Model(in_mtok_cost=2.0, out_mtok_cost=10.0)
    assert model.cost_usd(**tokens) == pytest.approx(3.0)
    assert model.model_copy(update={"cached_in_mtok_cost": 0.2}).cost_usd(**tokens) == pytest.approx(3.0 - 0.6 * 1.8)
    both = model.model_copy(update={"cached_in_mtok_cost": 0.0, "cache_write_mtok_cost": 2.5})
    assert both.cost_usd(**tokens) == pytest.approx(0.2 * 2 + 0.2 * 2.5 + 1.0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("api_key_env", "sk-proj-0123456789abcdef"),
        ("base_url", "https://sk-0123456789@llm.example.com/v1"),
        ("base_url", "https://llm.example.com/v1?key=AIza0123456789"),
        ("api_key_env", "hf_ABCdefGHIjklMNOpqrSTU1"),
        ("api_key_env", "AbCdEf0123456789AbCdEf01"),
        ("base_url", "https://me:0123456789abcdef@llm.example.com/v1"),
    ],
)
def test_a_key_where_a_name_belongs_is_refused_and_not_repeated(key, value):
    with pytest.raises(ConfigError, match=f"models.default.{key}") as error:
        load(overrides=[f"models.default.{key}={value}"])
    assert value not in str(error.value)


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "my_key", "KEY2"])
def test_names_of_variables_are_names(name):
    assert load(overrides=[f"models.default.api_key_env={name}"]).models["default"].api_key_env == name


@pytest.mark.parametrize(
    "url",
    [
        *(
            "llm.example.com/v1",
            "localhost:8000/v1",
            "ftp://llm.example.com",
            "https://",
            "https://${HOST}/v1",
            "https://<host>/v1",
            "",
        ),
        *("https://llm.example.com/v1/chat/completions", "https://llm.example.com/v1/embeddings/?api-version=1"),
    ],
)
def test_a_base_url_is_a_whole_address_without_what_is_put_behind_it(url):
    with pytest.raises(ConfigError, match=r"models\.default\.base_url: .* belongs here"):
        load(overrides=[f"models.default.base_url={json.dumps(url)}"])


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000", "https://[::1]:8000/v1/", "https://x.example.com/openai?api-version=2024-06-01"]
)
def test_addresses_as_people_have_them(url):
    assert load(overrides=[f"models.default.base_url={json.dumps(url)}"]).models["default"].base_url == url


@pytest.mark.parametrize(("params", "right"), [("{stream: true}", False), ("{n: 3}", False), ("{stream: false, n: 1}", True)])
def test_one_whole_answer_is_read_of_a_request(params, right):
    asked = [f"models.default.generation_params={params}"]
    if right:
        load(overrides=asked)
        return
    with pytest.raises(ConfigError, match=r"models\.default\.generation_params: one whole answer"):
        load(overrides=asked)


@pytest.mark.parametrize("value", ["abc", "0", "-5", "1.5", "true"])
def test_an_answer_has_a_whole_number_of_tokens(value):
    with pytest.raises(ConfigError, match="max_tokens is a whole number"):
        load(overrides=[f"models.default.generation_params.max_tokens={value}"])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("headers", "{api-key: 0123456789abcdef}"),
        ("headers", "{X-Team: AbCdEf0123456789AbCdEf01}"),
        ("query", "{key: 0123456789abcdef}"),
        ("headers", "{'two words': a}"),
        ("headers", "{x-team: 'dät 0123456789abcdef'}"),
        ("api_key_secret", "sk-proj-0123456789abcdef"),
    ],
)
def test_a_secret_in_a_header_or_a_query_is_refused_and_not_repeated(key, value):
    with pytest.raises(ConfigError, match=rf"models\.default\.{key}") as error:
        load(overrides=[f"models.default.{key}={value}"])
    assert "0123456789" not in str(error.value)


def test_headers_and_query_name_variables():
    model = load(overrides=["models.default.headers={api-key: '${api_key}', x-team: data, x-gateway: 'Token ${GATE}'}"])
    assert model.models["default"].variables == {"GATE", "OPENAI_API_KEY"}


def test_batch_true_is_its_block_with_the_defaults_and_halves_all_prices():
    prices = {"in_mtok_cost": 2.0, "cached_in_mtok_cost": 0.2, "out_mtok_cost": 8.0}
    model = Model(batch=True, **prices)
    assert (model.batch.enabled, model.batch.max_requests, model.batch.max_bytes) == (True, 50_000, 200_000_000)
    half = model.as_bought()
    assert (half.in_mtok_cost, half.cached_in_mtok_cost, half.out_mtok_cost, half.cache_write_mtok_cost) == (1.0, 0.1, 4.0, None)
    assert Model(batch={"enabled": True, "price_factor": 0.8}, **prices).as_bought().out_mtok_cost == 6.4
    assert Model(**prices).as_bought() == Model(batch=False, **prices)
    assert load(overrides=["models.default.batch=true"]).models["default"].batch == model.batch


def test_vectors_are_not_bought_in_batches():
    embeds = ["dedup.semantic.enabled=true", "dedup.semantic.model=default", "models.default.batch=true"]
    with pytest.raises(ConfigError, match=r"vectors are not bought in batches: switch off models\.default\.batch"):
        load(overrides=embeds)


def test_a_model_without_endpoints_is_a_pool_of_one():
    model = load(overrides=["models.default.base_url=http://localhost:1/v1"]).models["default"]
    assert (model.pool, model.weights, model.places, model.address) == ((model,), (1.0,), 64, "http://localhost:1/v1")


def test_an_endpoint_of_a_pool_has_what_it_sets_and_the_rest_of_the_model():
    endpoints = (
        "[{base_url: 'http://a/v1'}, {base_url: 'http://b/v1', api_key_file: /key, weight: 2.0, max_concurrent_requests: 8, "
        "max_requests_per_minute: 60}]"
    )
    model = load(
        overrides=["models.default.max_requests_per_minute=600", f"models.default.endpoints={endpoints}"]
    ).models["default"]  # fmt: skip
    first, second = model.pool
    assert (first.base_url, first.api_key_env, first.max_concurrent_requests, first.max_requests_per_minute) == (
        "http://a/v1", "OPENAI_API_KEY", 64, 600,
    )  # fmt: skip
    assert (second.api_key_env, second.api_key_file, second.max_concurrent_requests, second.max_requests_per_minute) == (
        None, "/key", 8, 60,
    )  # fmt: skip
    assert (first.pool, model.weights, model.places, model.address) == ((first,), (1.0, 2.0), 72, "http://a/v1, http://b/v1")


@pytest.mark.parametrize(
    ("endpoints", "problem"),
    [
        ("[{base_url: 'http://a/v1'}, {base_url: 'http://a/v1'}]", "stands here twice"),
        ("[{base_url: 'http://a/v1', api_key_env: sk-proj-0123456789abcdef}]", "not a key"),
        ("[{base_url: 'http://a/v1', wieght: 2}]", "did you mean models.default.endpoints.0.weight"),
        ("[{weight: 2.0}]", "base_url"),
    ],
)
def test_a_pool_that_can_not_be_meant(endpoints, problem):
    with pytest.raises(ConfigError, match=r"models\.default\.endpoints") as error:
        load(overrides=[f"models.default.endpoints={endpoints}"])
    assert problem in str(error.value)
    assert "0123456789" not in str(error.value)
