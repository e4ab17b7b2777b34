"""`models`: the endpoints, each with its limits, parameters and prices."""

import re
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from personahub.config.values import Count, Price, Settings

# a key where the name of its variable belongs: by the beginning of those of several providers, or in both cases with digits
_KEY = re.compile(r"^(?:sk|hf|gsk|xai|r8|AIza|ghp)_|^(?=.*[a-z])(?=.*[A-Z])(?=.*\d).{20,}$")
_OF_SECRETS = re.compile(r"key|auth|token|secret|password|cookie|credential|signature", re.IGNORECASE)  # names of headers
VARIABLE = re.compile(r"\$\{(\w+)\}", re.ASCII)  # in `headers` and `query`: its value is filled in where the calls are made
KEY_PLACEHOLDER = "api_key"  # ${api_key}: the endpoint's own key, wherever it comes from

# how a provider serves and bills a request: no answer changes with it
OF_SERVICE = ("service_tier", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options")


class Batch(Settings):
    """Buying through the Batch API: the answers come within a day, for less."""

    enabled: bool = False
    price_factor: Price = 0.5
    max_requests: Count = 50_000
    max_bytes: Count = 200_000_000
    max_enqueued_tokens: Count | None = None


def _address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"[\s{}<>]", url):
        raise ValueError("an address belongs here, as https://llm.example.com/v1, whole and without placeholders")
    if asked := re.search(r"/(chat/completions|completions|embeddings|responses|messages)/?$", parts.path):
        raise ValueError(f"what lies before {asked[0]} belongs here, since that is put behind it")
    if "@" in parts.netloc:
        raise ValueError("a password or key in the address would stand in the ledger: put it where api_key_env says")
    if secret := next((name for name, _ in parse_qsl(parts.query, keep_blank_values=True) if _OF_SECRETS.search(name)), None):
        raise ValueError(f"{secret} in the address would stand in the ledger: put it into query, with its value in a variable")
    return url


def _name_of_a_variable(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) or _KEY.search(name):
        raise ValueError("the name of an environment variable belongs here, not a key: put the key into such a variable")
    return name


def _name_of_a_secret(name: str) -> str:
    if not re.fullmatch(r"[\w.@ -]+/[\w.@ -]+", name) or _KEY.search(name):
        raise ValueError("scope/key of a Databricks secret belongs here, not the key of the endpoint")
    return name


Address = Annotated[str, AfterValidator(_address)]
Variable = Annotated[str, AfterValidator(_name_of_a_variable)]
Secret = Annotated[str, AfterValidator(_name_of_a_secret)]
_OF_KEYS = ("api_key_env", "api_key_file", "api_key_secret")


class Endpoint(Settings):
    """One of a pool. What is not set is the model's; of the three settings of the key all are, or none."""

    base_url: Address
    api_key_env: Variable | None = None
    api_key_file: str | None = None
    api_key_secret: Secret | None = None
    weight: Annotated[float, Field(gt=0)] = 1.0
    max_concurrent_requests: Count | None = None
    max_requests_per_minute: Count | None = None
    max_tokens_per_minute: Count | None = None


class Model(Settings):
    base_url: Address = "http://127.0.0.1:8000/v1"
    model: str = "mock"
    api_key_env: Variable | None = "OPENAI_API_KEY"
    api_key_file: str | None = None
    api_key_secret: Secret | None = None
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    endpoints: tuple[Endpoint, ...] = ()
    max_concurrent_requests: Count = 64
    max_requests_per_minute: Count | None = None
    max_tokens_per_minute: Count | None = None
    request_timeout: Annotated[float, Field(gt=0)] = 120.0
    max_retries: Annotated[int, Field(ge=0)] = 8
    deadline_seconds: Annotated[float, Field(gt=0)] = 900.0
    endpoint_down_seconds: Annotated[float, Field(gt=0)] = 300.0
    generation_params: dict[str, Any] = {"max_tokens": 1024}
    response_format: Literal["auto", "json_schema", "json_object", "none"] = "auto"
    in_mtok_cost: Price | None = None
    cached_in_mtok_cost: Price | None = None
    cache_write_mtok_cost: Price | None = None
    out_mtok_cost: Price | None = None
    batch: Batch = Batch()

    @field_validator("batch", mode="before")
    @classmethod
    def _a_switch(cls, value: Any) -> Any:
        """`batch: true` is the block with its defaults."""
        return {"enabled": value} if isinstance(value, bool) else value

    @field_validator("headers", "query")
    @classmethod
    def _hold_no_secrets(cls, given: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        for name, value in given.items():
            if info.field_name == "headers" and not re.fullmatch(r"[!#$%&'*+.^_`|~\w-]+", name, re.ASCII):
                raise ValueError(f"{name!r} is no name of a header")
            if not (value.isascii() and value.isprintable()):
                raise ValueError(f"{name} holds line breaks or characters outside ASCII")
            if not VARIABLE.search(value) and (_OF_SECRETS.search(name) or _KEY.search(value)):
                raise ValueError(
                    f"{name} holds a secret, which would stand in logs: put it into a variable of the environment and write "
                    f"{name}: ${{ITS_NAME}}, or ${{{KEY_PLACEHOLDER}}} for the endpoint's own key"
                )
        return given

    @field_validator("endpoints")
    @classmethod
    def _are_different(cls, endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
        if len({each.base_url for each in endpoints}) < len(endpoints):
            raise ValueError("an address stands here twice: give one endpoint a larger max_concurrent_requests or weight")
        return endpoints

    @field_validator("generation_params")
    @classmethod
    def _are_of_one_bounded_answer(cls, params: dict[str, Any]) -> dict[str, Any]:
        if params.get("stream") or params.get("n", 1) != 1:
            raise ValueError(
                "one whole answer is read of a request: leave out stream and n (synthesis.samples_per_persona asks for several)"
            )
        for name in ("max_tokens", "max_completion_tokens"):
            if name in params and (type(params[name]) is not int or params[name] < 1):
                raise ValueError(f"{name} is a whole number of 1 or more")
        return params

    @model_validator(mode="after")
    def _buys_in_one_way(self) -> "Model":
        if self.batch.enabled and self.endpoints:
            raise ValueError("a batch is bought at one endpoint: set base_url and no endpoints, or no batch")
        return self

    @property
    def pool(self) -> tuple["Model", ...]:
        """The model at each of its endpoints; itself where `endpoints` names none."""
        return tuple(self._at(each) for each in self.endpoints) or (self,)

    def _at(self, endpoint: Endpoint) -> "Model":
        given = {name: value for name in Endpoint.model_fields if (value := getattr(endpoint, name)) is not None}
        given.pop("weight")
        if given.keys() & set(_OF_KEYS):
            given = {name: getattr(endpoint, name) for name in _OF_KEYS} | given
        return self.model_copy(update={**given, "endpoints": ()})

    @property
    def weights(self) -> tuple[float, ...]:
        """Of the pool."""
        return tuple(each.weight for each in self.endpoints) or (1.0,)

    @property
    def places(self) -> int:
        """Requests in flight at once, over the pool."""
        return sum(each.max_concurrent_requests for each in self.pool)

    @property
    def address(self) -> str:
        """For people: of a pool all that there are."""
        return ", ".join(each.base_url for each in self.pool)

    @property
    def variables(self) -> set[str]:
        """The variables of the environment that a request is made with."""
        named = {name for value in (*self.headers.values(), *self.query.values()) for name in VARIABLE.findall(value)}
        return (named - {KEY_PLACEHOLDER}) | {each.api_key_env for each in self.pool if each.api_key_env}

    @property
    def max_answer_tokens(self) -> int:
        """The upper bound of one answer, in tokens; 4,096 is assumed where generation_params sets none."""
        params = self.generation_params
        return int(params.get("max_completion_tokens") or params.get("max_tokens") or 4096)

    @property
    def answer_params(self) -> dict[str, Any]:
        """Those of generation_params that can change an answer."""
        return {name: value for name, value in self.generation_params.items() if name not in OF_SERVICE}

    def in_batches(self) -> "Model":
        """With the prices of the Batch API."""
        prices = {name: getattr(self, name) for name in type(self).model_fields if name.endswith("_mtok_cost")}
        return self.model_copy(
            update={name: None if price is None else price * self.batch.price_factor for name, price in prices.items()}
        )

    def as_bought(self) -> "Model":
        """With the prices of the way in which its answers are bought."""
        return self.in_batches() if self.batch.enabled else self

    def unpriced(self, *, answers: bool = True) -> list[str]:
        """The settings of the prices that a budget needs and that are unknown. answers: are there answer tokens? Embeddings have none."""
        return [name for name in ("in_mtok_cost", "out_mtok_cost")[: 1 + answers] if getattr(self, name) is None]

    def cost_usd(
        self, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0, cache_write_tokens: int = 0
    ) -> float | None:
        """Dollars; None where a price that counts is unknown. Embeddings have no answer tokens, and need no price for them.

        cached_tokens, cache_write_tokens: the parts of prompt_tokens that were read from the provider's cache, and written to it. Where
        these have no price of their own, they have that of the prompt.
        """
        price, out = self.in_mtok_cost, self.out_mtok_cost
        if price is None or (out is None and completion_tokens):
            return None
        parts = ((cached_tokens, self.cached_in_mtok_cost), (cache_write_tokens, self.cache_write_mtok_cost))
        extra = sum(tokens * (own - price) for tokens, own in parts if own is not None)
        return (prompt_tokens * price + extra + completion_tokens * (out or 0.0)) / 1e6
