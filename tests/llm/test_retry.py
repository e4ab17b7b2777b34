import pytest

from personahub.config import Model
from personahub.errors import ErrorKind
from personahub.llm.retry import Tries, decide

MODEL = Model(max_retries=2, deadline_seconds=60)


def test_an_answer_is_final():
    decision = decide(None, Tries(), MODEL, 0.0, None)
    assert (decision.retry_in, decision.final, decision.kind) == (None, True, None)


def test_the_first_retry_goes_at_once_and_the_last_failure_is_missing_not_final():
    tries = Tries()
    assert decide(ErrorKind.SERVER, tries, MODEL, 0.0, None).retry_in < 0.2
    assert decide(ErrorKind.CONNECTION, tries, MODEL, 0.0, None).retry_in is not None
    last = decide(ErrorKind.MALFORMED, tries, MODEL, 0.0, None)
    assert (last.retry_in, last.final, last.kind) == (None, False, ErrorKind.MALFORMED)


def test_waiting_is_not_failing_and_the_deadline_bounds_it():
    tries = Tries()
    for _ in range(20):
        assert decide(ErrorKind.RATE_LIMIT, tries, MODEL, 0.0, 1.0).retry_in >= 1.0
    assert tries.transient == 0
    late = decide(ErrorKind.RATE_LIMIT, tries, MODEL, 59.5, 1.0)
    assert (late.retry_in, late.final, late.kind) == (None, False, ErrorKind.DEADLINE)


@pytest.mark.parametrize("kind", [ErrorKind.TRUNCATED, ErrorKind.EMPTY, ErrorKind.INVALID])
def test_a_bad_answer_is_tried_once_more_then_it_is_final(kind):
    tries = Tries()
    assert decide(kind, tries, MODEL, 0.0, None).retry_in == 0.0
    last = decide(kind, tries, MODEL, 0.0, None)
    assert (last.retry_in, last.final, last.kind) == (None, True, kind)


@pytest.mark.parametrize("kind", [ErrorKind.REFUSED, ErrorKind.CONTENT_FILTER, ErrorKind.BAD_REQUEST])
def test_what_will_never_be_answered_is_final_at_once(kind):
    assert decide(kind, Tries(), MODEL, 0.0, None).final
