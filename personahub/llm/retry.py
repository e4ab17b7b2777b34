"""What follows from one attempt: an answer, another try, or the end. A function of the kind of failure, never of its message."""

import random
from dataclasses import dataclass

from personahub.config import Model
from personahub.errors import ErrorKind

# the endpoint did not serve the request: try again, up to max_retries
TRANSIENT = frozenset({ErrorKind.OVERLOADED, ErrorKind.SERVER, ErrorKind.CONNECTION, ErrorKind.TIMEOUT, ErrorKind.MALFORMED})
# the model answered, badly: one more try, then that is its answer
BAD_ANSWER = frozenset({ErrorKind.TRUNCATED, ErrorKind.EMPTY, ErrorKind.INVALID})
# no request of this stage can succeed
FATAL = frozenset({ErrorKind.AUTHENTICATION, ErrorKind.NOT_FOUND, ErrorKind.QUOTA})
# for the rate of errors: waiting is not failing, a model that declines is not down, and what only this text meets is no verdict on others
NO_FAILURE = frozenset(
    {
        ErrorKind.RATE_LIMIT,
        ErrorKind.REFUSED,
        ErrorKind.CONTENT_FILTER,
        ErrorKind.PROMPT_FILTERED,
        ErrorKind.CONTEXT_CUT,
    }
)
# refused for what the request holds, or, where no request is ever answered, for something else: a verdict once the endpoint serves one
REFUSED = frozenset({ErrorKind.BAD_REQUEST, ErrorKind.FORBIDDEN})


@dataclass(slots=True)
class Tries:
    """What one call has been through. Waiting is not failing: 429s are counted apart and use up nothing but time."""

    requests: int = 0
    transient: int = 0
    bad_answers: int = 0
    throttled: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """`retry_in` seconds, or (None) the end: `final` or missing next time. `kind` is what is written down."""

    retry_in: float | None
    final: bool = False
    kind: ErrorKind | None = None


def decide(
    kind: ErrorKind | None, tries: Tries, model: Model, elapsed: float, retry_after: float | None, elsewhere: bool = False
) -> Decision:
    """`elapsed`: seconds since this call's first send; `deadline_seconds` bounds all waiting. elsewhere: another endpoint may take it at
    once. Updates `tries`.
    """
    tries.requests += 1
    if kind in TRANSIENT:
        tries.transient += 1
        if tries.transient > model.max_retries:
            return Decision(None, final=False, kind=kind)
        # the first retry goes at once; the later ones back off
        wait = 0.0 if tries.transient == 1 else min(8.0, 0.25 * 2 ** (tries.transient - 2))
        return _wait(0.0 if elsewhere else max(wait, retry_after or 0.0), elapsed, model)
    if kind is ErrorKind.RATE_LIMIT:
        tries.throttled += 1
        wait = retry_after if retry_after is not None else min(8.0, 0.5 * 2 ** (tries.throttled - 1))
        return _wait(0.0 if elsewhere else wait, elapsed, model)
    if kind is ErrorKind.UNSUPPORTED:  # the client has another way for what the endpoint named, and comes to an end of ways
        return Decision(0.0)
    if kind in BAD_ANSWER:
        tries.bad_answers += 1
        if tries.bad_answers == 1 and elapsed < model.deadline_seconds:
            return Decision(0.0)
    return Decision(None, final=True, kind=kind)


def _wait(seconds: float, elapsed: float, model: Model) -> Decision:
    if elapsed + seconds > model.deadline_seconds:
        return Decision(None, final=False, kind=ErrorKind.DEADLINE)
    # jitter: rows that failed together do not come back together
    return Decision(seconds + random.uniform(0.0, 0.1 + 0.1 * seconds))
