"""What came back of a batch: lines of its output and error files -> outcomes, by the rules of answers that came online. Pure."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from personahub.errors import ErrorKind
from personahub.llm import error_responses, responses, retry
from personahub.llm.endpoint_health import ERROR_MINIMUM
from personahub.llm.retry import Decision, Tries
from personahub.llm.tracked_calls import TrackedCall
from personahub.llm.types import Attempt, ChatCall, Outcome, Usage
from personahub.llm.usage import completed

# the whole batch ended before this request was asked: nothing was bought
NEVER_ASKED = frozenset({"batch_expired", "batch_cancelled", "request_expired", "request_cancelled"})
_PASSING = retry.TRANSIENT | {ErrorKind.RATE_LIMIT}
# no verdict on the text, where a parameter is what was refused
_REFUSED = retry.REFUSED | {ErrorKind.UNSUPPORTED}
_MESSAGE = 500  # characters that are kept


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of the batch, its size, and how many answers of no use it has had before."""

    call: ChatCall
    sent_bytes: int
    bad_answers: int = 0


@dataclass(frozen=True, slots=True)
class Answers:
    """outcomes: one for each request that has a line. repeated, unknown: lines left out, as their request had one, or is not ours.

    fatal: what no request could have overcome; refusal: what the endpoint said to requests, where it has answered none.
    """

    outcomes: list[Outcome]
    repeated: int = 0
    unknown: int = 0
    fatal: Attempt | None = None
    refusal: str | None = None

    @property
    def kinds(self) -> Counter[str]:
        """How many outcomes are of no use, by error kind."""
        return Counter(outcome.kind.value for outcome in self.outcomes if outcome.kind is not None)

    def too_many_failed(self, max_error_rate: float) -> bool:
        """As the governor decides of requests online."""
        failed = sum(outcome.kind is not None and outcome.kind not in retry.NO_FAILURE for outcome in self.outcomes)
        return len(self.outcomes) >= ERROR_MINIMUM and failed > max_error_rate * len(self.outcomes)


def read(lines: Iterable[Mapping[str, Any]], asked: Mapping[str, Asked], served: bool, answer_tokens: int, at: float) -> Answers:
    """The outcomes of a batch that has ended, at most one a request; what has none is pending again.

    served: has the endpoint answered such requests before? answer_tokens: that one may have at most. at: their created_at.
    """
    attempts: dict[str, Attempt] = {}
    repeated = unknown = 0
    for line in lines:
        name = str(line.get("custom_id"))
        if name not in asked:
            unknown += 1
            continue
        attempt = attempt_of(line, asked[name].call.schema)
        if attempt is None:
            continue
        repeated += name in attempts
        if name not in attempts or (attempt.kind is None and attempts[name].kind is not None):
            attempts[name] = attempt
    served = served or any(_is_answer(attempt.kind) for attempt in attempts.values())
    outcomes = [_outcome(asked[name], attempt, served, answer_tokens, at) for name, attempt in attempts.items()]
    fatal = next((attempt for attempt in attempts.values() if attempt.kind in retry.FATAL), None)
    refusal = next((attempt.message for attempt in attempts.values() if attempt.kind in _REFUSED), None)
    return Answers(outcomes, repeated, unknown, fatal, None if served else refusal)


def attempt_of(line: Mapping[str, Any], schema: Mapping[str, Any] | None) -> Attempt | None:
    """What one line says; None: its request was never asked."""
    response, error = line.get("response"), line.get("error")
    status = response.get("status_code") if isinstance(response, Mapping) else None
    if isinstance(response, Mapping) and isinstance(status, int):
        body = response.get("body")
        attempt = responses.judge(body, schema) if 200 <= status < 300 else error_responses.judge_error(status, body, {})
    elif isinstance(error, Mapping) and str(error.get("code")).lower() in NEVER_ASKED:
        return None
    elif error:
        attempt = error_responses.error_inside(error, Usage())
    else:
        attempt = Attempt(ErrorKind.MALFORMED, message="the line of the batch has neither a response nor an error")
    kind = ErrorKind.UNSUPPORTED if attempt.named else attempt.kind
    return dataclasses.replace(attempt, kind=kind, message=attempt.message and attempt.message[:_MESSAGE])


def _is_answer(kind: ErrorKind | None) -> bool:
    return kind is None or not (kind in _PASSING or kind in retry.FATAL or kind in _REFUSED)


def _outcome(asked: Asked, attempt: Attempt, served: bool, answer_tokens: int, at: float) -> Outcome:
    kind = attempt.kind
    again = kind in _PASSING or kind in retry.FATAL or kind is ErrorKind.UNSUPPORTED
    again = again or (kind in retry.BAD_ANSWER and not asked.bad_answers)
    final = not again and (served or kind not in retry.REFUSED)
    tracked = TrackedCall(asked.call, Tries(requests=1), usage=completed(attempt.usage, asked.sent_bytes, answer_tokens))
    outcome = tracked.outcome(attempt, Decision(None, final=final, kind=kind))
    outcome.created_at = at
    return outcome
