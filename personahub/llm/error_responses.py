"""What an error means: one Attempt for each that an endpoint can send, with an error status or inside a 200. Pure functions, no I/O."""

import json
import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from personahub.errors import ErrorKind
from personahub.llm.types import UNTOLD, Attempt, Usage

_KINDS = {
    402: ErrorKind.QUOTA,
    401: ErrorKind.AUTHENTICATION,
    403: ErrorKind.FORBIDDEN,
    404: ErrorKind.NOT_FOUND,
    405: ErrorKind.NOT_FOUND,
    408: ErrorKind.TIMEOUT,
    409: ErrorKind.SERVER,
    429: ErrorKind.RATE_LIMIT,
    503: ErrorKind.OVERLOADED,
    529: ErrorKind.OVERLOADED,
}
_GATEWAY_TIMEOUTS = (504, 524)  # what it had passed the request on to may have answered, and billed
# a gateway without its server; 521 to 523 are Cloudflare's
_DOWN = frozenset({502, 503, 504, 521, 522, 523})
# a code is more exact than the status: the first match wins. Only codes, letters and digits of them, are looked at: a message may
# repeat the text that was sent
_NO_MONEY = re.compile(
    "insufficientquota|billing(hardlimit|notactive|disabled|error)|exceededcurrentquota"
    "|insufficient(account)?(balance|credits?|funds)|paymentrequired|creditbalancetoolow|arrearage"
)
_CODES = (
    (_NO_MONEY, ErrorKind.QUOTA),
    (
        re.compile("contentfilter|contentpolicy|responsibleaipolicy|datainspectionfailed|moderationblocked|prohibitedcontent"),
        ErrorKind.PROMPT_FILTERED,
    ),
    (re.compile("invalidapikey|apikeyinvalid|incorrectapikey|authenticationerror|unauthenticated"), ErrorKind.AUTHENTICATION),
    (re.compile("modelnotfound|deploymentnotfound"), ErrorKind.NOT_FOUND),
)
_OF_THE_KEY = re.compile("key|auth|permission|account")  # in the codes of a 403
# the beginning of a message that comes with no code of its own
_BEGINNINGS = (("api key not valid", ErrorKind.AUTHENTICATION), ("incorrect api key provided", ErrorKind.AUTHENTICATION))
_NOT_KNOWN = re.compile("unsupported|unknownparam|unrecognized|extraforbidden")  # codes of a parameter that is refused as such
_CODE = re.compile(r"[\w.:/-]{1,100}")  # one word: what has blanks is a message


def judge_error(status: int, body: Any, headers: Mapping[str, str]) -> Attempt:
    """The Attempt that a response with an error status is. `body`: parsed JSON if it was that, the text, or None."""
    body = unwrapped(body)
    error = body["error"] if isinstance(body, Mapping) and body.get("error") else body
    code, said = _words(error)
    message = f"HTTP {status}{f' {code}' if code else ''}: {one_line(said) if said else 'no message'}"
    if 300 <= status < 400:
        message += "; base_url points to a redirect: use its target"
    kind = _kind(status, error)
    failed = error.get("failed_generation") if kind is ErrorKind.INVALID else None
    waits = retry_after(headers)
    return Attempt(
        kind,
        text=failed if isinstance(failed, str) and failed else None,
        message=message,
        retry_after=_retry_delay(error) if waits is None else waits,
        named=_named(error) if kind is ErrorKind.BAD_REQUEST else (),
        down=status in _DOWN,
        withheld=kind is ErrorKind.INVALID,
        usage=UNTOLD if status in _GATEWAY_TIMEOUTS else Usage(),
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from Retry-After-Ms, or Retry-After as a number or an HTTP date. None where neither can be read."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) / unit
        except ValueError:
            try:
                seconds = parsedate_to_datetime(value).timestamp() - time.time()
            except (ValueError, TypeError, OverflowError):
                continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    return None


def _retry_delay(error: Any) -> float | None:
    """Seconds of a "retryDelay": "17s" among the details of an error."""
    for detail in _details(error):
        delay = detail.get("retryDelay")
        if isinstance(delay, str) and re.fullmatch(r"\d{1,6}(\.\d+)?s", delay):
            return float(delay[:-1])
    return None


def _kind(status: int, error: Any) -> ErrorKind:
    codes, said = _codes(error), _words(error)[1].lstrip().lower()
    if status in (400, 422) and isinstance(error, Mapping) and ("failed_generation" in error or "jsonvalidatefailed" in codes):
        return ErrorKind.INVALID  # the endpoint holds the answer against the schema, and the model failed
    if status == 429:  # it may speak of plans and billing, and passes all the same
        if said.startswith("invalid json payload"):
            return ErrorKind.BAD_REQUEST
        return ErrorKind.QUOTA if _NO_MONEY.search(codes) else ErrorKind.RATE_LIMIT
    if status < 500 and (kind := _by_code(codes, said)) is not None:
        return kind
    if status == 403 and _OF_THE_KEY.search(codes):
        return ErrorKind.AUTHENTICATION
    if 300 <= status < 400:
        return ErrorKind.NOT_FOUND
    return _KINDS.get(status, ErrorKind.SERVER if status >= 500 else ErrorKind.BAD_REQUEST)


def _by_code(codes: str, said: str) -> ErrorKind | None:
    for pattern, kind in _CODES:
        if pattern.search(codes):
            return kind
    return next((kind for beginning, kind in _BEGINNINGS if said.startswith(beginning)), None)


def error_inside(error: Any, usage: Usage) -> Attempt:
    """An error that came with status 200: its code may be a status, or words that name it."""
    code, said = _words(error)
    number = error.get("code", error.get("status")) if isinstance(error, Mapping) else None
    status = int(number) if isinstance(number, int | str) and re.fullmatch(r"[45]\d\d", str(number)) else None
    kind = (_by_code(_codes(error), said.lower()) or ErrorKind.MALFORMED) if status is None else _kind(status, error)
    if kind is ErrorKind.PROMPT_FILTERED:
        kind = ErrorKind.CONTENT_FILTER  # a filter within a 200 may have read the prompt or the answer
    return Attempt(kind, message=f"an error inside a 200: {code} {one_line(said)}", retry_after=_retry_delay(error), usage=usage)


def unwrapped(body: Any) -> Any:
    """An error in a list of its own: [{"error": {...}}]."""
    alone = body[0] if isinstance(body, list) and len(body) == 1 else None
    return alone if isinstance(alone, Mapping) and alone.get("error") else body


def _words(error: Any) -> tuple[str, str]:
    """Code (and type), and what an error says, for people.

    Servers send {"error": {...}}, {"error": "..."}, {"message": ...} and {"detail": ...}; a gateway adds what its provider said.
    """
    if not isinstance(error, Mapping):
        return "", "" if error is None else str(error)
    codes = [error.get("code"), error.get("type"), _part(error, "innererror").get("code")]
    said, raw = error.get("message") or error.get("detail") or error, _part(error, "metadata").get("raw")
    said = said if isinstance(said, str) else str(said)
    return " ".join(str(code) for code in codes if code), f"{said}: {raw}" if raw and said is not error else said


def _codes(error: Any) -> str:
    """Everything in an error that is a code, letters and digits only, in lower case."""
    if not isinstance(error, Mapping):
        found = [error]
    else:
        found = [error.get("code"), error.get("type"), error.get("status"), _part(error, "innererror").get("code")]
        found += [detail.get("reason") for detail in _details(error)]
    codes = (code for code in found if isinstance(code, str) and _CODE.fullmatch(code))
    return " ".join(re.sub(r"[\W_]", "", code).lower() for code in codes)


def _named(error: Any) -> tuple[str, ...]:
    """The parameters of the request that its fields name as unknown or unsupported; `response_format` whatever the code."""
    if not isinstance(error, Mapping):
        return ()
    param = error.get("param")
    named = (
        [param] if isinstance(param, str) and (_NOT_KNOWN.search(_codes(error)) or param.startswith("response_format")) else []
    )
    for problem in (*_problems(error.get("detail")), *_problems(error.get("message"))):
        match problem:
            case {"type": "extra_forbidden", "loc": ["body", str(name)]}:
                named.append(name)
    return tuple(dict.fromkeys(named))


def _problems(said: Any) -> list[Any]:
    """What a validator found wrong: a list, under "detail" or not, as JSON or as text of it."""
    if isinstance(said, str) and said.startswith("{"):
        try:
            said = json.loads(said)
        except ValueError:
            return []
    said = said.get("detail") if isinstance(said, Mapping) else said
    return said if isinstance(said, list) else []


def _part(error: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = error.get(name)
    return part if isinstance(part, Mapping) else {}


def _details(error: Any) -> list[Mapping[str, Any]]:
    details = error.get("details") if isinstance(error, Mapping) else None
    return [detail for detail in details if isinstance(detail, Mapping)] if isinstance(details, list) else []


def one_line(value: Any) -> str:
    """On one line. Not cut here: the caller first scrubs what must not be shown."""
    return " ".join(str(value).split())
