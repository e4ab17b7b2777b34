"""The values that travel through `llm`: what is asked (an answer or vectors), what one try gave, what one call became."""

import dataclasses
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from personahub.config import Model
from personahub.errors import ErrorKind


@dataclass(frozen=True, slots=True)
class ChatCall:
    """One rendered request. `schema` is the JSON Schema the answer must satisfy, or None for free text."""

    completion_id: str
    source_id: str
    sample_index: int
    prompt_name: str
    prompt_version: str
    messages: list[dict[str, str]]
    schema: dict[str, Any] | None = None
    schema_name: str = "answer"

    @property
    def size(self) -> int:
        """Rows of the ledger that become of it."""
        return 1

    def halves(self) -> tuple["EmbeddingCall", ...]:
        """An answer is whole: it can not be asked for in parts."""
        return ()


@dataclass(frozen=True, slots=True)
class EmbeddingCall:
    """One request for the vectors of several texts, each under its id."""

    ids: tuple[str, ...]
    texts: tuple[str, ...]

    @property
    def size(self) -> int:
        """Rows of the ledger that become of it."""
        return len(self.ids)

    def halves(self) -> tuple["EmbeddingCall", ...]:
        """The same texts in two requests: one of them at least is served if only one text was at fault. None of a single text."""
        middle = len(self.ids) // 2
        if not middle:
            return ()
        return EmbeddingCall(self.ids[:middle], self.texts[:middle]), EmbeddingCall(self.ids[middle:], self.texts[middle:])


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens that a request was billed, or all requests of a call together.

    `prompt` is the whole prompt: `cached` (read from the provider's cache) and `cache_write` (written to it) are parts of it. `reasoning`
    is the part of `completion` that was thought. estimated: the endpoint did not tell all of it, and an upper estimate of ours stands for
    the rest (llm/usage.py).
    """

    prompt: int = 0
    cached: int = 0
    cache_write: int = 0
    completion: int = 0
    reasoning: int = 0
    estimated: bool = False

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt + other.prompt,
            self.cached + other.cached,
            self.cache_write + other.cache_write,
            self.completion + other.completion,
            self.reasoning + other.reasoning,
            self.estimated or other.estimated,
        )

    def cost_usd(self, model: Model) -> float | None:
        """Dollars, at the prices of `model`; None where a price that counts is unknown."""
        return model.cost_usd(self.prompt, self.completion, self.cached, self.cache_write)


UNTOLD = Usage(estimated=True)  # of a request that may have been billed, and nobody says how much


@dataclass(frozen=True, slots=True)
class Attempt:
    """One HTTP request and what came of it. `kind` None means a whole, non-empty answer."""

    kind: ErrorKind | None
    text: str | None = None
    finish_reason: str | None = None
    message: str | None = None  # for people; at most 500 characters, never the key
    retry_after: float | None = None  # seconds the endpoint asked to wait
    usage: Usage = Usage()  # nothing was billed
    latency_s: float = 0.0
    down: bool = False  # the endpoint was not there to take it: a refused connection, a gateway that says so
    named: tuple[str, ...] = ()  # parameters that a refusal names in its fields as unknown or unsupported
    withheld: bool = False  # an answer that the endpoint itself found invalid: no turn of a conversation, only asked for again
    vectors: tuple[str, ...] = ()  # float32, little endian, base64: as they travel, and as the journal keeps them


@dataclass(slots=True)
class Outcome:
    """A row of `completions`, or the rows of `embeddings`, in the making: the last attempt, with the usage of all of them."""

    call: ChatCall | EmbeddingCall
    final: bool
    kind: ErrorKind | None
    text: str | None
    finish_reason: str | None
    message: str | None
    usage: Usage  # of all attempts
    latency_s: float  # of the last attempt
    attempts: int
    created_at: float  # seconds since the epoch, when the outcome was known
    vectors: tuple[str, ...] = ()  # of EmbeddingCall, in their order; none where there was no answer
    endpoint: int = 0  # of the pool: which one answered


@dataclass(slots=True)
class Counts:
    """What became of requests: of one task since its last report, or of all tasks."""

    started: int = 0
    settled: int = 0  # requests that ended, however they ended
    tokens: int = 0  # that the settled ones were billed, and dollars
    usd: float = 0.0
    answered: int = 0  # rows that ended final
    failed: int = 0  # rows that ended not final
    errors: Counter[str] = field(default_factory=Counter)  # ErrorKind -> attempts that ended so
    down: int = 0  # of these, attempts that did not find the endpoint there

    @property
    def good(self) -> int:
        """Requests that gave an answer, good for a row or not."""
        return max(0, self.settled - sum(self.errors.values()))

    def add(self, other: "Counts") -> None:
        self.started += other.started
        self.settled += other.settled
        self.tokens += other.tokens
        self.usd += other.usd
        self.answered += other.answered
        self.failed += other.failed
        self.errors.update(other.errors)
        self.down += other.down


@dataclass(frozen=True, slots=True)
class EndpointReport:
    """What a task has at one endpoint, and what became of its requests there since its last report. Messages are the endpoint's."""

    in_flight: int = 0
    counts: Counts = field(default_factory=Counts)
    fatal: str | None = None  # a message: authentication, quota, unknown model
    fatal_kind: str | None = None
    refusal: str | None = None  # what it says to requests that it refuses, while it has answered none
    down: str | None = None  # why it is not there


@dataclass(frozen=True, slots=True)
class Report:
    """What a task sends the governor, about every 0.25 s.

    `task` names window and slot. `attempt` grows with each retry of the task; the counts of an older attempt are ignored, and the reply
    stops it.
    """

    task: str
    attempt: int
    wants: int  # requests it could have in flight now, wherever
    endpoints: tuple[EndpointReport, ...] = ()  # in the order of the limits; none: it has not asked yet
    done: bool = False


@dataclass(frozen=True, slots=True)
class EndpointGrant:
    """What a task may do at one endpoint."""

    concurrency: int = 0  # requests that may be in flight at once
    starts: int = 0  # requests that may be started before the next report
    out: bool = False  # nothing is sent there, but now and then one request that finds out whether it is back
    answered: bool = False  # it has answered a request of this purchase


@dataclass(frozen=True, slots=True)
class Grant:
    """The governor's answer, a lease: valid until the next report, or for `expires_in` seconds."""

    endpoints: tuple[EndpointGrant, ...]
    report_in: float  # seconds until the next report is due
    expires_in: float  # unheard for longer: start nothing
    stop: str | None = None  # why no further request may start, ever


@dataclass(frozen=True, slots=True)
class EndpointLimits:
    """What all tasks of a stage may do together at one endpoint."""

    concurrency: int
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    name: str = "the endpoint"  # its address, for messages
    known: bool = False  # it has answered before: where it does not, it is away, and its address not wrong

    def share(self, tasks: int) -> "EndpointLimits":
        """The static share of one of `tasks`, for executors that cannot reach the driver."""

        def part(value: int | None) -> int | None:
            return None if value is None else max(1, value // tasks)

        return dataclasses.replace(
            self,
            concurrency=max(1, self.concurrency // tasks),
            requests_per_minute=part(self.requests_per_minute),
            tokens_per_minute=part(self.tokens_per_minute),
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """What all tasks of a stage may do together. `tokens_each` and `usd_each`: the upper estimates of one request."""

    endpoints: tuple[EndpointLimits, ...]
    budget_usd: float | None = None  # what may still be spent
    max_error_rate: float = 1.0
    tokens_each: int = 0
    usd_each: float = 0.0
    request_timeout: float = 120.0  # seconds
    down_seconds: float = 300.0  # for so long no endpoint may be there

    def share(self, tasks: int) -> "Limits":
        """See `EndpointLimits.share`."""
        return dataclasses.replace(
            self,
            endpoints=tuple(each.share(tasks) for each in self.endpoints),
            budget_usd=None if self.budget_usd is None else self.budget_usd / tasks,
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The figures of the live panel. `cost_usd` is of this stage in this run."""

    done: int
    total: int
    failed: int
    requests: int
    requests_per_minute: float
    tokens_per_minute: float
    cost_usd: float
    errors: dict[str, int]
    in_flight: int
    wanted: int  # requests that the tasks could have in flight, if the limit allowed them
    limit: int
    eta_s: float | None
    stop: str | None
    out: str | None = None  # which endpoints are left out, why, and for how long that is borne
