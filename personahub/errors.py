"""What can go wrong, as types. Each carries the exit code of the process and a message that says what to do next.

PersonahubError            1   a bug, if it is nothing more special
+-- ConfigError            2   a key, a value or the usage is wrong
|   +-- InputError         2   an input path is missing or holds nothing readable
+-- TransientFailures      3   done, but some calls failed transiently: run again
+-- BudgetExceeded         4   inference.budget_usd leaves no room for another call
+-- EndpointError          5   the endpoint is down or fails too often
|   +-- AuthenticationError 5   the key is missing, unreadable or refused
+-- RootInUse              6   another run holds the lease of this root
+-- Interrupted          130   Ctrl-C: what was in flight has been committed
"""

from enum import Enum


class ErrorKind(str, Enum):
    """Why one call, or one try of it, gave no answer. The retry policy reads the kind, never a message."""

    RATE_LIMIT = "rate_limit"  # 429: wait, it uses up no attempt
    OVERLOADED = "overloaded"  # 503 or 529
    SERVER = "server"  # any other 5xx
    CONNECTION = "connection"  # refused, reset, cut off
    TIMEOUT = "timeout"  # request_timeout ran out
    MALFORMED = "malformed"  # a 200 whose body is not a chat completion
    TRUNCATED = "truncated"  # finish_reason length, or JSON that ends in the middle
    RUNAWAY_WHITESPACE = "runaway_whitespace"  # an answer of blanks to the last token: a fault of constrained decoding
    CONTEXT_CUT = "context_cut"  # the endpoint cut the front of the prompt off, and answered the rest
    EMPTY = "empty"  # a whole response without any content
    INVALID = "invalid"  # content that does not satisfy the answer's schema, by our judgement or the endpoint's
    REFUSED = "refused"  # the model declines
    CONTENT_FILTER = "content_filter"  # the provider's filter stopped the answer
    PROMPT_FILTERED = "prompt_filtered"  # the provider's filter refused the prompt: this text will never be answered
    UNSUPPORTED = "unsupported"  # 400 or 422 that names a parameter: asked again in another way, at no try's cost
    BAD_REQUEST = "bad_request"  # 400, 413, 422: this request will never be accepted
    FORBIDDEN = "forbidden"  # 403 that does not say that the key is at fault: a firewall or a moderation dislikes this text
    AUTHENTICATION = "authentication"  # 401, and 403 whose code is about the key
    NOT_FOUND = "not_found"  # 404: no such model or path
    QUOTA = "quota"  # the account has no money left
    DEADLINE = "deadline"  # deadline_seconds since the first send ran out


class PersonahubError(Exception):
    """Base of all errors raised on purpose."""

    exit_code = 1


class ConfigError(PersonahubError):
    """A configuration key or value, or the command's usage, is wrong."""

    exit_code = 2


class InputError(ConfigError):
    """An input path is missing or holds nothing that can be read."""


class TransientFailures(PersonahubError):
    """The run is done but for calls that failed transiently; running again asks only for those."""

    exit_code = 3


class BudgetExceeded(PersonahubError):
    """`inference.budget_usd` leaves no room for another call."""

    exit_code = 4


class EndpointError(PersonahubError):
    """The endpoint is down, unknown, or fails too often."""

    exit_code = 5


class AuthenticationError(EndpointError):
    """The key is missing, unreadable on the executors, or refused by the endpoint."""


class RootInUse(PersonahubError):
    """Another run spends on this root."""

    exit_code = 6


class Interrupted(PersonahubError):
    """The user asked to stop."""

    exit_code = 130
